"""The simulation of float16 arithmetic as people read it, in a terminal of 80 columns."""

from __future__ import annotations

import io

import numpy as np
import pytest
from float_graphs import FloatNet
from rich.console import Console

from edge_autoglm.report.half import half_table
from edge_quantize.data import Samples
from edge_quantize.graph.options import ElementwiseOptions
from edge_quantize.half import HalfReport, half_lines, simulate_half


@pytest.fixture
def report() -> HalfReport:
    net = FloatNet("net", 0)
    x = net.conv(net.input(4, 4, 2), 3, "a_layer_with_quite_a_long_name/conv2d", size=3)
    w = net.builder.constant("gain", np.array([1e5], np.float32))
    graph = net.build(net.op("MUL", [x, w], ElementwiseOptions(), "loud"))
    return simulate_half(graph, net.samples(graph, 4))


def drawn(report: HalfReport, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    out = io.StringIO()
    console = Console(file=out, width=80, markup=False)
    console.print(half_table(report))
    return out.getvalue().splitlines()


def test_the_table_fits_and_says_what_is_modelled(
    report: HalfReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = drawn(report, monkeypatch)
    assert max(map(len, lines)) <= 80
    text = "\n".join(lines)
    assert "sums in float32 (modelled, 4 samples)" in text
    assert "past 65504" in text
    (loud,) = [line for line in lines if " mul " in line]
    assert loud.split()[-2:] == ["inf", "inf"], "what overflows has no error of 0"


def test_the_lines_name_the_layer_the_constant_and_the_output(report: HalfReport) -> None:
    text = " ".join(half_lines(report))
    assert "layer 'loud' (MUL) passes 65504" in text
    assert "constant 'gain': 1 value passes 65504" in text
    assert "output 'loud': infinite or NaN where float32 is not" in text


def test_a_layer_that_loses_nothing_is_shown_too(monkeypatch: pytest.MonkeyPatch) -> None:
    net = FloatNet("net", 0)
    graph = net.build(net.dense(net.input(3), 2, "dense"))
    report = simulate_half(graph, Samples((np.zeros((2, 3), np.float32),)))
    assert any("dense" in line for line in drawn(report, monkeypatch))


def test_an_output_at_the_ends_of_its_range_is_said_to_be_so() -> None:
    """A softmax of far apart classes is 0 and 1, in float16 too."""
    net = FloatNet("hot", 0)
    x = net.input(3)
    w = net.builder.constant("gain", np.array([100], np.float32))
    graph = net.build(net.softmax(net.op("MUL", [x, w], ElementwiseOptions(), "loud")))
    hot = simulate_half(graph, Samples((np.array([[1, 2, 3]], np.float32),)))
    assert hot.outputs[0].saturated == 1
    text = " ".join(half_lines(hot))
    assert "(modelled, 1 sample):" in text
    assert "100% of its values are at an end of their range" in text
    mild = simulate_half(graph, Samples((np.array([[0, 0.001, 0.002]], np.float32),)))
    assert mild.outputs[0].saturated == 0
    assert "at an end" not in " ".join(half_lines(mild))
