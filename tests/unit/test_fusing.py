"""What shares a step: a PAD with the convolutions behind it, padding and clamps with the kernel
that computes; and how a layer comes apart without that, to the same bytes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aot_models import board, classifier
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from kernel_harness import HostKernels
from operator_harness import random_inputs, reference

from edge_export.aot.fusing import fused
from edge_export.aot.lower import lower
from edge_export.aot.package import compile_model, export_model
from edge_export.aot.program import Program
from edge_export.host import HostModel
from edge_export.kernels.row import Border
from edge_export.kernels.table import rows_for
from edge_export.verify import verify_host
from edge_quantize.graph import DType, Graph
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import Activation, Padding
from edge_quantize.inputs import LCG_SEED, lcg_inputs
from edge_quantize.reference import TflmReference

DSP = frozenset({"dsp"})
PORTABLE = frozenset[str]()
IMAGE = ((0, 0), (1, 2), (2, 1), (0, 0))


def weights(b: GraphBuilder, shape: tuple[int, ...], axis: int, dtype: DType = DType.INT8) -> int:
    low, high = (-8, 8) if dtype is DType.INT4 else (-127, 128)
    data = np.random.default_rng(len(b._tensors)).integers(low, high, shape)
    scale = 0.08 if dtype is DType.INT4 else 0.005
    return b.weights(f"w{len(b._tensors)}", data, [scale], axis, dtype)


def conv(b: GraphBuilder, x: int, kernel: tuple[int, int] = (3, 3), **options: Any) -> int:
    channels = b._tensors[x].shape[3]
    w = weights(b, (4, *kernel, channels), 0)
    return b.conv_2d(x, w, None, 0.5, 3, **({"padding": Padding.VALID} | options))


def padded(amounts: Any = IMAGE, kernel: tuple[int, int] = (3, 3), **options: Any) -> Graph:
    b = GraphBuilder("padded")
    x = b.pad(b.input("x", (1, 6, 7, 4), 0.5, -3), amounts)
    return b.build([conv(b, x, kernel, **options)])


def steps(program: Program) -> list[tuple[int, str]]:
    return [(step.layer, step.kernel) for step in program.steps]


def outputs(graph: Graph, folder: Path, **options: Any) -> None:
    """Asserts that the generated C is bit-exact, layer by layer too."""
    export = export_model(graph, board(), folder, **options)
    arrays, _ = lcg_inputs(graph, LCG_SEED)
    runtime = TflmReference(graph, preserve=True)
    with HostModel(export, flags=("-O1",)) as model:
        verdict = verify_host(graph, model, runtime, [arrays])
        assert verdict.bit_exact, str(verdict)
        runtime.run(arrays)
        for output in model.run_steps(arrays):
            wanted = runtime.tensors()[graph.operators[output.layer].outputs[0]]
            assert output.content == np.ascontiguousarray(wanted).tobytes(), output.name


# A PAD and what is behind it.


@st.composite
def padded_convolutions(draw: st.DrawFn) -> Graph:
    b = GraphBuilder("padded")
    channels = draw(st.sampled_from([1, 3, 4, 8]))
    size = (draw(st.integers(2, 8)), draw(st.integers(2, 8)))
    x = b.input("x", (1, *size, channels), 0.5, draw(st.integers(-128, 127)))
    pads = st.integers(0, 3)
    amounts = [(0, 0), (draw(pads), draw(pads)), (draw(pads), draw(pads)), (0, 0)]
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (4, 2), (5, 5)]))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1)]))
    padding = draw(st.sampled_from(Padding))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    grown = [n + sum(amounts[i + 1]) for i, n in enumerate(size)]
    assume(padding is Padding.SAME or (reach[0] <= grown[0] and reach[1] <= grown[1]))
    strides = (draw(st.integers(1, 2)), draw(st.integers(1, 3)))
    activation = draw(st.sampled_from([Activation.NONE, Activation.RELU6]))
    options: Any = {
        "stride": strides, "padding": padding, "dilation": dilation, "activation": activation
    }  # fmt: skip
    dtype = draw(st.sampled_from([DType.INT8, DType.INT4]))
    y = b.pad(x, amounts)
    if draw(st.booleans()):
        w = weights(b, (1, *kernel, channels), 3, dtype)
        z = b.depthwise_conv_2d(y, w, None, 0.9, 5, **options)
    else:
        w = weights(b, (5, *kernel, channels), 0, dtype)
        z = b.conv_2d(y, w, None, 0.9, 5, **options)
    return b.build([z])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=padded_convolutions(), seed=st.integers(0, 999))
def test_every_kernel_that_takes_over_a_pad_equals_tflite_micro(
    host: HostKernels, graph: Graph, seed: int
) -> None:
    pieces = fused(graph, DSP, {}).pieces
    assume(len(pieces) == 1)
    (view,) = (piece.view for piece in pieces)
    inputs = random_inputs(graph, seed)
    wanted = reference(graph, inputs).reshape(-1)
    rows = [row for row in rows_for(view.operator.op) if row.refuses(view) is None]
    assert rows
    for row in rows:
        binding = row.bind(view)
        for in_place in {False, bool(binding.in_place)}:
            got = host.run(row.name, binding, inputs[0], view.output.elements, in_place)
            np.testing.assert_array_equal(got, wanted, err_msg=f"{row.name}, {in_place}")


def test_a_pad_and_its_convolution_are_one_step_without_the_padded_copy(tmp_path: Path) -> None:
    graph = padded()
    fused_, apart = (compile_model(graph, board(), fuse_ops=fuse) for fuse in (True, False))
    assert steps(fused_.program) == [(1, "eag_conv_2d_dsp")]
    assert steps(apart.program) == [(0, "eag_pad_s8"), (1, "eag_conv_2d_dsp")]
    assert fused_.plan.arena_bytes < apart.plan.arena_bytes
    # The layer is still there, with no output of its own.
    assert [layer.op for layer in fused_.program.layers] == ["PAD", "CONV_2D"]
    assert fused(graph, DSP, {}).pieces[0].view.border == Border(1, 2, 2, 1)
    outputs(graph, tmp_path / "fused")
    outputs(graph, tmp_path / "apart", fuse_ops=False)


def test_a_pad_that_two_convolutions_read_is_folded_into_both(tmp_path: Path) -> None:
    b = GraphBuilder("two")
    x = b.pad(b.input("x", (1, 6, 7, 4), 0.5, -3), IMAGE)
    graph = b.build([b.elementwise("ADD", conv(b, x), conv(b, x), 0.9, 1)])
    assert [layer for layer, _ in steps(lower(graph, "two", DSP))] == [1, 2, 3]
    outputs(graph, tmp_path / "out")


def read_by_others() -> Graph:
    b = GraphBuilder("other")
    x = b.pad(b.input("x", (1, 6, 7, 4), 0.5, -3), IMAGE)
    return b.build([conv(b, x), b.pool("MAX_POOL_2D", x, (2, 2), (2, 2))])


def given_out() -> Graph:
    b = GraphBuilder("output")
    x = b.pad(b.input("x", (1, 6, 7, 4), 0.5, -3), IMAGE)
    return b.build([conv(b, x), x])


@pytest.mark.parametrize(
    "graph",
    [
        pytest.param(read_by_others(), id="something else reads it"),
        pytest.param(given_out(), id="it is an output"),
        pytest.param(padded(((0, 0), (1, 1), (1, 1), (0, 2))), id="channels"),
        pytest.param(padded(((0, 0), (3, 0), (0, 0), (0, 0))), id="windows that see no image"),
        pytest.param(padded(((0, 0), (1, 1), (1, 1), (0, 0)), (1, 1)), id="a window of one"),
    ],
)
def test_a_pad_stays_a_step_where_its_result_is_needed(graph: Graph, tmp_path: Path) -> None:
    assert steps(lower(graph, "m", DSP))[0] == (0, "eag_pad_s8")
    outputs(graph, tmp_path / "out")


def test_a_pad_stays_where_a_slower_kernel_would_have_to_take_it_over() -> None:
    b = GraphBuilder("slower")
    x = b.pad(b.input("x", (1, 8, 8, 4), 0.5, -3), ((0, 0), (2, 2), (2, 2), (0, 0)))
    w = weights(b, (1, 3, 3, 4), 3)
    # SAME adds a third row, more than the fast kernel has.
    graph = b.build([b.depthwise_conv_2d(x, w, None, 0.9, 0)])
    assert steps(lower(graph, "m", DSP)) == [(0, "eag_pad_s8"), (1, "eag_depthwise_conv_3x3_dsp")]
    assert steps(lower(graph, "m", PORTABLE)) == [(1, "eag_depthwise_conv_2d")]


def test_a_plan_of_either_kind_is_read_back_and_a_pad_whose_kernel_it_names_is_a_step(
    tmp_path: Path,
) -> None:
    graph = padded(activation=Activation.RELU)
    for fuse in (True, False):
        compiled = compile_model(graph, board(), fuse_ops=fuse)
        plan = tmp_path / f"{fuse}.json"
        plan.write_text(compiled.files["plan.json"])
        again = compile_model(graph, board(), plan=plan, fuse_ops=fuse)
        assert again.files == compiled.files
    (pad, _) = json.loads((tmp_path / "False.json").read_text())["kernels"]
    named = tmp_path / "named.json"
    named.write_text(json.dumps({"schema": 1, "kernels": [pad]}))
    program = compile_model(graph, board(), plan=named).program
    assert steps(program) == [(0, "eag_pad_s8"), (1, "eag_conv_2d_dsp")]


# Taken apart.


def test_same_padding_and_every_fused_activation_become_steps_of_their_layer(
    tmp_path: Path,
) -> None:
    b = GraphBuilder("apart")
    x = b.input("x", (1, 7, 6, 4), 0.5, -3)
    y = conv(b, x, padding=Padding.SAME, activation=Activation.RELU6)
    w = weights(b, (1, 3, 3, 4), 3)
    z = b.depthwise_conv_2d(y, w, None, 0.5, 3, activation=Activation.RELU_N1_TO_1)
    v = b.elementwise("ADD", y, z, 0.5, -7, activation=Activation.RELU)
    v = b.pool("MAX_POOL_2D", v, (3, 3), (2, 2), padding=Padding.SAME, activation=Activation.RELU6)
    # Its sums are divided by what lies inside the image: that padding is part of it.
    v = b.pool("AVERAGE_POOL_2D", v, (2, 2), (1, 1), padding=Padding.SAME)
    v = b.reshape(v, (1, 48))
    v = b.fully_connected(v, weights(b, (5, 48), 0), None, 0.5, 0, activation=Activation.RELU)
    graph = b.build([v])
    program = lower(graph, "m", DSP, fuse_ops=False)
    assert steps(program) == [
        (0, "eag_pad_s8"), (0, "eag_conv_2d_dsp"), (0, "eag_clamp_s8_dsp"),
        (1, "eag_pad_s8"), (1, "eag_depthwise_conv_3x3_dsp"), (1, "eag_clamp_s8_dsp"),
        (2, "eag_add_linear_s8"), (2, "eag_clamp_s8_dsp"),
        (3, "eag_pad_s8"), (3, "eag_max_pool_s8_dsp"), (3, "eag_clamp_s8_dsp"),
        (4, "eag_average_pool_s8_dsp"),
        (6, "eag_fully_connected_dsp"), (6, "eag_clamp_s8_dsp"),
    ]  # fmt: skip
    assert len(lower(graph, "m", DSP).steps) == 6
    # A step that only pads or clamps does no multiplying.
    fused_ = lower(graph, "m", DSP)
    assert [(x.name, x.op, x.macs) for x in program.layers] == [
        (x.name, x.op, x.macs) for x in fused_.layers
    ]
    outputs(graph, tmp_path / "apart", fuse_ops=False)
    outputs(graph, tmp_path / "portable", fuse_ops=False, features=PORTABLE)


def test_where_nothing_is_fused_the_two_are_the_same() -> None:
    b = GraphBuilder("plain")
    graph = b.build([b.softmax(conv(b, b.input("x", (1, 5, 5, 4), 0.5, 0)))])
    fused_, apart = (compile_model(graph, board(), fuse_ops=fuse) for fuse in (True, False))
    assert fused_.files == apart.files


def test_an_override_names_the_kernel_of_the_step_that_computes() -> None:
    program = lower(classifier(), "m", DSP, {0: "eag_conv_2d"}, fuse_ops=False)
    assert [kernel for layer, kernel in steps(program) if layer == 0] == [
        "eag_pad_s8", "eag_conv_2d",
    ]  # fmt: skip
