"""MACs, lives and the memory bound."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edge_quantize.graph.analysis import Lifetime, analyse
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.ingest.tflite import read_tflite


@pytest.mark.parametrize(
    ("name", "macs", "bound"),
    [
        ("ad", 264_192, 768),
        ("kws", 2_656_768, 16_000),
        ("ic", 12_501_632, 49_152),
        ("vww", 7_489_664, 55_296),
    ],
)
def test_published_figures_of_the_reference_models(
    mlperf_tiny: Callable[[str], Path], name: str, macs: int, bound: int
) -> None:
    analysis = analyse(read_tflite(mlperf_tiny(name)))
    assert analysis.macs == macs
    assert analysis.memory_bound == bound


def test_macs_by_hand() -> None:
    b = GraphBuilder("macs")
    x = b.input("x", (1, 4, 4, 2))
    w = b.weights("w", np.ones((3, 3, 3, 2), np.int8), [0.1])
    d = b.weights("d", np.ones((1, 2, 2, 6), np.int8), [0.1], axis=3)
    f = b.weights("f", np.ones((5, 96), np.int8), [0.1])
    y = b.conv_2d(x, w, None, 0.1, 0)
    y = b.depthwise_conv_2d(y, d, None, 0.1, 0, depth_multiplier=2)
    y = b.fully_connected(y, f, None, 0.1, 0)
    graph = b.build([b.softmax(y)])
    macs = [operator.macs for operator in analyse(graph).operators]
    assert macs == [4 * 4 * 3 * 3 * 3 * 2, 4 * 4 * 6 * 2 * 2, 5 * 96, 0]


def test_a_skipped_connection_keeps_its_tensor_alive() -> None:
    b = GraphBuilder("skip")
    x = b.input("x", (1, 100))
    y = b.operator("RELU", (x,))
    z = b.operator("RELU", (y,))
    z = b.operator("RELU", (z,))
    out = b.elementwise("ADD", y, z, 1.0, 0)
    analysis = analyse(b.build([out]))
    assert [operator.live_bytes for operator in analysis.operators] == [200, 200, 300, 300]
    assert (analysis.memory_bound, analysis.memory_bound_at) == (300, 2)
    assert analysis.lifetimes[y] == Lifetime(y, "relu_0", 100, 0, 3)
    assert analysis.lifetimes[x] == Lifetime(x, "x", 100, -1, 0)


def test_outputs_live_to_the_end() -> None:
    b = GraphBuilder("early")
    x = b.input("x", (1, 10))
    early = b.operator("RELU", (x,))
    late = b.operator("RELU", (b.operator("RELU", (early,)),))
    analysis = analyse(b.build([early, late]))
    assert analysis.lifetimes[early].last == 3
    assert [operator.live_bytes for operator in analysis.operators] == [20, 20, 30]


def test_parameters_that_two_operators_share_count_once() -> None:
    b = GraphBuilder("shared")
    x = b.input("x", (1, 8))
    w = b.weights("w", np.ones((8, 8), np.int8), [0.1])
    y = b.fully_connected(b.fully_connected(x, w, None, 1.0, 0), w, None, 1.0, 0)
    analysis = analyse(b.build([y]))
    assert analysis.parameter_bytes == 64
    assert [operator.parameter_bytes for operator in analysis.operators] == [64, 64]


def test_operators_are_counted_by_kind() -> None:
    b = GraphBuilder("kinds")
    x = b.input("x", (1, 8))
    y = b.operator("RELU6", (b.operator("RELU", (b.operator("RELU", (x,)),)),))
    assert analyse(b.build([y])).op_counts == (("RELU", 2), ("RELU6", 1))
