"""Footprint and latency before anything is built, against images and a virtual board."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from aot_models import classifier as int8_classifier
from hypothesis import given
from hypothesis import strategies as st
from search_models import classifier

from edge_autoglm.search.budget import Budget
from edge_autoglm.search.codesize import code_sizes, measure_kernels, read_table, target
from edge_autoglm.search.finalists import export_to, measure
from edge_autoglm.search.footprint import footprint, smallest_arena
from edge_autoglm.search.latency import _inside, cost_model
from edge_autoglm.search.limits import BudgetError, check_possible
from edge_autoglm.search.shapes import kernel_choices, shaped, smallest, supported
from edge_autoglm.search.space import uniform
from edge_autoglm.search.target import Target
from edge_boards import Board, load_board
from edge_boards.toolchain import find_toolchain
from edge_export import compile_model
from edge_quantize.graph import Graph
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.ptq import Precision, Recipe


@pytest.fixture(scope="module")
def board() -> Board:
    return load_board("stm32f746")


def test_the_table_of_code_sizes_is_of_todays_kernels(board: Board) -> None:
    table = read_table()
    compiler = find_toolchain(board)
    if compiler.identity != table["compiler"]:
        pytest.skip(f"the table is of {table['compiler']}, here is {compiler.identity}")
    assert measure_kernels(compiler) == table["targets"][target(board)], (
        "run python -m edge_autoglm.search.codesize"
    )


def test_every_kernel_of_the_table_has_a_latency(board: Board) -> None:
    """But those that the sweep leaves out: unsigned inputs, operands that are constants, and what
    lowering chooses on this core for no layer of the sweep."""
    from edge_export.kernels.table import KERNELS

    names = {row.name for row in KERNELS if not row.is_alias}
    missing = names - set(cost_model(board).kernels)
    others = {"eag_clamp_s8", "eag_copy", "eag_softmax_s8_s16"}
    assert {n for n in missing - others if "constant" not in n and "u8" not in n} == set()


def test_a_footprint_is_that_of_the_built_image(board: Board, tmp_path: Path) -> None:
    path = tmp_path / "small.tflite"
    path.write_bytes(write_tflite(int8_classifier()))
    graph = read_tflite(path)
    said = footprint(graph, board, code_sizes(board))
    built = measure(export_to(tmp_path / "c", graph, board, {}), board, path)
    assert abs(said.flash - built.flash) <= 0.01 * built.flash
    assert said.static_ram + said.arena == built.static_ram
    assert built.stack is not None
    assert built.stack <= said.stack, "the estimate is from above"
    assert built.matches


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ad", "kws", "ic", "vww"])
def test_the_models_of_flash_and_time_hold_on_the_mlperf_models(
    name: str, board: Board, mlperf_tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    """None of them took part in a fit."""
    path = mlperf_tiny(name)
    graph = read_tflite(path)
    said = footprint(graph, board, code_sizes(board))
    built = measure(export_to(tmp_path / "c", graph, board, {}), board, path)
    assert abs(said.flash / built.flash - 1) < 0.005
    assert built.latency is not None
    assert abs(cost_model(board).predict(said.program).ms / built.latency.value - 1) < 0.05
    assert built.stack is not None
    assert built.stack <= said.stack


def test_a_footprint_takes_milliseconds(board: Board) -> None:
    graph, sizes = int8_classifier(), code_sizes(board)
    begun = time.process_time()
    for _ in range(5):
        footprint(graph, board, sizes)
    assert (time.process_time() - begun) / 5 < 0.1


def test_shapes_alone_give_the_plan_of_the_quantized_model(board: Board) -> None:
    made = shaped(classifier(), Recipe())
    program = compile_model(made, board).program
    assert {step.kernel for step in program.steps} >= {"eag_conv_2d_dsp"}
    assert smallest_arena(program) <= footprint(made, board, code_sizes(board)).arena


@pytest.mark.parametrize("precision", [Precision.INT8, Precision.INT4, Precision.INT16X8])
def test_what_the_board_supports_compiles_there(board: Board, precision: Precision) -> None:
    graph = classifier()
    names = supported(graph, board, precision)
    assert set(names) == {name for name, _ in uniform(graph, precision)}
    compile_model(shaped(graph, Recipe().with_layers(dict.fromkeys(names, precision))), board)


def test_kernels_to_choose_from_begin_with_the_fastest(board: Board) -> None:
    found = kernel_choices(classifier(), board)
    assert found["CONV_2D"][0] == "eag_conv_2d_dsp"
    assert "eag_conv_2d" in found["CONV_2D"]


def test_the_smallest_graph_keeps_inputs_and_outputs() -> None:
    graph = classifier()
    least = smallest(graph)
    shapes = [least.tensors[i].shape for i in (*least.inputs, *least.outputs)]
    assert shapes == [graph.tensors[i].shape for i in (*graph.inputs, *graph.outputs)]
    assert sum(t.elements for t in least.constants()) < sum(t.elements for t in graph.constants())


@pytest.mark.parametrize("level", [2, 3])
def test_what_cannot_fit_is_refused_with_layer_and_bytes(board: Board, level: int) -> None:
    budget = Budget(ram=4096)
    with pytest.raises(BudgetError, match=r"RAM: [\d,]+ B needed.*layer \w+ \(") as caught:
        check_possible(classifier(), Target.of(board, budget), budget, level)
    assert "is the least that could do" in str(caught.value)


def test_ic_is_refused_at_4k_in_a_few_seconds(
    board: Board, mlperf_tiny: Callable[[str], Path]
) -> None:
    begun = time.process_time()
    graph: Graph = read_tflite(mlperf_tiny("ic_float.tflite"))
    budget = Budget(ram=4096)
    with pytest.raises(BudgetError, match="conv2d"):
        check_possible(graph, Target.of(board, budget), budget, 3)
    assert time.process_time() - begun < 5


@given(
    st.integers(1, 20), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.integers(1, 2)
)
def test_taps_inside_the_image_are_counted(
    size: int, window: int, stride: int, pad: int, dilation: int
) -> None:
    outputs = max(1, (size + 2 * pad - (window - 1) * dilation - 1) // stride + 1)
    brute = sum(
        0 <= y * stride - pad + k * dilation < size for y in range(outputs) for k in range(window)
    )
    assert _inside(size, outputs, window, stride, pad, dilation) == brute


def test_a_wider_layer_takes_longer(board: Board) -> None:
    model, sizes = cost_model(board), code_sizes(board)
    times = [
        model.predict(footprint(shaped(classifier(c), Recipe()), board, sizes).program).ms
        for c in (8, 16, 32)
    ]
    assert times == sorted(times)
    assert np.all(np.diff(times) > 0)
