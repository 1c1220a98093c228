"""TFLM's arena as it is modelled, against what TFLM itself took of it.

`tests/golden/tflm/arena.json` was measured by `tools/tflm_arena` with the real library under QEMU.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge_export.tflm.arena import KERNEL_SETS, Arena, ArenaError, arena_of
from edge_export.tflm.kernel_memory import CMSIS_NN, REFERENCE
from edge_export.tflm.ops import TFLM_OPS, stops_with_checks, tflm_problems
from edge_export.tflm.structs import CMSIS_NN_COMMIT, KERNELS, OFFLINE_PLAN, OPTIONS, TFLM_COMMIT
from edge_quantize.graph import DType, Graph, Operator, Quantization, Tensor
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import NoOptions
from edge_quantize.ingest.tflite import read_tflite

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
FOLDERS = {"models": GOLDEN / "models", "tflm": GOLDEN / "tflm" / "models"}
MEASURED: dict[str, Any] = json.loads((GOLDEN / "tflm" / "arena.json").read_text())
Row = dict[str, Any]

# Arena used, as measured apart from this project with the same TFLM, CMSIS-NN, Cortex-M7.
PEER = {"ad": 2_580, "kws": 22_820, "ic": 54_996, "vww": 100_708}
# TFLM runs this one where its kernel overwrites its own temporaries, by good luck.
LUCKY = {"models/dense_per_channel"}


def small_rows() -> Iterator[tuple[Row, Graph]]:
    for row in MEASURED["rows"]:
        folder, name = row["model"].split("/")
        if folder in FOLDERS:
            yield row, read_tflite(FOLDERS[folder] / f"{name}.tflite")


def check(row: Row, arena: Arena) -> list[str]:
    """Where the model is not true of a measured row."""
    wrong = []
    if arena.used != row["used"]:
        wrong.append(f"used {arena.used}, really {row['used']}")
    if [[b.size, b.first, b.last, b.offset] for b in arena.buffers] != row["plan"]:
        wrong.append("TFLM plans otherwise")
    over = arena.standard_bytes - row["smallest"]
    if over != (16 if row["model"] in LUCKY else 0):
        wrong.append(
            f"a plain interpreter starts with {row['smallest']}, not {arena.standard_bytes}"
        )
    if not row["planned"] <= arena.bytes:
        wrong.append(f"{row['planned']} with its own plan, more than {arena.bytes}")
    return [f"{row['kernels']} {row['model']}: {reason}" for reason in wrong]


def test_the_figures_are_of_the_tflm_that_is_modelled() -> None:
    assert (MEASURED["tflm"], MEASURED["cmsis_nn"]) == (TFLM_COMMIT, CMSIS_NN_COMMIT)


def test_every_small_model_takes_what_is_stated() -> None:
    wrong, count = [], 0
    for row, graph in small_rows():
        if row["used"]:
            wrong += check(row, arena_of(graph, row["kernels"]))
            count += 1
    assert not wrong
    assert count > 600


def test_every_operator_that_tflm_has_is_held_against_it() -> None:
    seen = {o.op for row, graph in small_rows() if row["used"] for o in graph.operators}
    assert set(REFERENCE) <= seen
    assert set(TFLM_OPS) - set(REFERENCE) == {"UNIDIRECTIONAL_SEQUENCE_LSTM"}
    assert set(CMSIS_NN) <= set(REFERENCE)


def test_every_struct_of_a_row_is_in_the_table() -> None:
    rows = [*REFERENCE.values(), *CMSIS_NN.values()]
    assert {row.options for row in rows} - {""} <= set(OPTIONS)
    assert {row.data for row in rows} - {""} <= set(KERNELS)


@pytest.mark.parametrize("kernels", ["cmsis-nn", "reference"])
@pytest.mark.parametrize("name", sorted(PEER))
def test_mlperf_tiny_takes_what_is_stated(
    name: str, kernels: str, mlperf_tiny: Callable[[str], Path]
) -> None:
    (row,) = (
        row
        for row in MEASURED["rows"]
        if (row["kernels"], row["model"]) == (kernels, f"mlperf_tiny/{name}_int8")
    )
    assert not check(row, arena_of(read_tflite(mlperf_tiny(name)), kernels))


@pytest.mark.parametrize("name", sorted(PEER))
def test_the_stated_arena_is_not_under_and_at_most_2_percent_over(
    name: str, mlperf_tiny: Callable[[str], Path]
) -> None:
    arena = arena_of(read_tflite(mlperf_tiny(name)))
    assert PEER[name] <= arena.bytes <= 1.02 * PEER[name]


def test_what_does_not_run_is_named_and_what_is_not_named_runs() -> None:
    for row, graph in small_rows():
        problems = tflm_problems(graph, row["kernels"])
        stops = problems or stops_with_checks(graph, row["kernels"])
        # A bias read as of another type leads to numbers, on a good day.
        if row["model"] == "tflm/depthwise_int16_bias32":
            assert "read it as int64" in str(problems[0])
        else:
            assert bool(stops) == (row["used"] == 0), (row["kernels"], row["model"], stops)


def test_the_parts_add_up(mlperf_tiny: Callable[[str], Path]) -> None:
    arena = arena_of(read_tflite(mlperf_tiny("kws")))
    assert arena.used == arena.persistent + arena.head
    assert arena.head == max(b.offset + b.size for b in arena.buffers)
    assert arena.standard_bytes >= max(arena.used, arena.preparing, arena.planning)
    assert {b.what.split()[2] for b in arena.scratch} == {"CONV_2D", "AVERAGE_POOL_2D"}
    assert all(arena.buffers[i].tensor >= 0 for i in range(len(arena.buffers) - len(arena.scratch)))


def a_graph() -> Graph:
    draft = GraphBuilder("plain")
    x = draft.input("x", (1, 6, 6, 8), 0.05, 3)
    return draft.build([draft.pool("MAX_POOL_2D", x, (2, 2), (2, 2))])


def test_an_unknown_kernel_set_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no kernel set 'fast': cmsis-nn"):
        arena_of(a_graph(), "fast")


def test_another_subgraph_is_named() -> None:
    graph = dataclasses.replace(a_graph(), other_subgraphs=("body",))
    with pytest.raises(ArenaError, match="another subgraph, 'body'"):
        arena_of(graph)


def test_an_operator_that_is_not_modelled_is_named() -> None:
    graph = a_graph()
    (operator,) = graph.operators
    lstm = dataclasses.replace(operator, op="UNIDIRECTIONAL_SEQUENCE_LSTM", options=NoOptions())
    with pytest.raises(ArenaError, match=r"operator 0 UNIDIRECTIONAL_SEQUENCE_LSTM .* modelled"):
        arena_of(dataclasses.replace(graph, operators=(lstm,)))


def test_a_weighted_operator_without_weights_is_named() -> None:
    graph = a_graph()
    (operator,) = graph.operators
    conv = dataclasses.replace(operator, op="CONV_2D", options=NoOptions())
    with pytest.raises(ArenaError, match=r"operator 0 CONV_2D .* input 1 is left out"):
        arena_of(dataclasses.replace(graph, operators=(conv,)))


def offline(*offsets: int, version: int = 1) -> bytes:
    return np.array([version, 0, len(offsets), *offsets], "<i4").tobytes()


def test_offsets_that_the_file_fixes_are_kept() -> None:
    graph = dataclasses.replace(a_graph(), metadata={OFFLINE_PLAN: offline(1024, -1)})
    arena = arena_of(graph)
    assert [b.offset for b in arena.buffers] == [1024, 0]
    assert arena.head == 1024 + 288


def test_offsets_of_another_model_are_refused() -> None:
    graph = dataclasses.replace(a_graph(), metadata={OFFLINE_PLAN: offline(0, 0, 0)})
    with pytest.raises(ArenaError, match="not of 2 tensors"):
        arena_of(graph)


@pytest.mark.parametrize("content", [b"", b"\x01\x00", offline(0, 0)[:-4]])
def test_a_broken_plan_in_the_file_is_refused(content: bytes) -> None:
    graph = dataclasses.replace(a_graph(), metadata={OFFLINE_PLAN: content})
    with pytest.raises(ArenaError, match=OFFLINE_PLAN):
        arena_of(graph)


def test_a_tensor_that_nobody_uses_takes_its_place_all_the_same() -> None:
    graph = a_graph()
    idle = Tensor(len(graph.tensors), "idle", (1, 1000), DType.INT8, Quantization((1.0,), (0,)))
    grown = dataclasses.replace(graph, tensors=(*graph.tensors, idle))
    assert arena_of(grown).head == 1008


def test_pooling_by_the_largest_needs_no_scratch() -> None:
    assert arena_of(a_graph()).scratch == ()


def test_helium_wants_other_scratch_than_dsp() -> None:
    draft = GraphBuilder("depthwise")
    x = draft.input("x", (1, 9, 9, 8), 0.05, 3)
    weights = draft.weights("w", np.ones((1, 5, 5, 8), np.int8), [0.01] * 8, 3)
    graph = draft.build([draft.depthwise_conv_2d(x, weights, None, 0.1, 0)])
    sizes = {k: sum(b.size for b in arena_of(graph, k).scratch) for k in KERNEL_SETS}
    assert sizes == {
        "cmsis-nn": 2 * 8 * 25,
        "cmsis-nn-mve": 4 * 124 * 25,
        "cmsis-nn-scalar": 0,
        "reference": 0,
    }


def test_weights_of_int8_beside_float_activations_are_refused() -> None:
    tensors = (
        Tensor(0, "x", (1, 4), DType.FLOAT32),
        Tensor(1, "w", (2, 4), DType.INT8, Quantization((0.1,), (0,)), np.ones((2, 4), np.int8)),
        Tensor(2, "y", (1, 2), DType.FLOAT32),
    )
    operators = (Operator(0, "FULLY_CONNECTED", (0, 1, -1), (2,), NoOptions()),)
    graph = Graph("hybrid", tensors, operators, (0,), (2,))
    assert "no hybrid kernels" in str(tflm_problems(graph)[0])


def test_weights_that_are_dequantized_per_channel_are_refused() -> None:
    weights = Quantization((0.1, 0.2), (0, 0), 0)
    tensors = (
        Tensor(0, "w", (2, 4), DType.INT8, weights, np.ones((2, 4), np.int8)),
        Tensor(1, "y", (2, 4), DType.FLOAT32),
    )
    operators = (Operator(0, "DEQUANTIZE", (0,), (1,), NoOptions()),)
    graph = Graph("weights_only", tensors, operators, (), (1,))
    assert "its first scale for all" in str(tflm_problems(graph)[0])


def broken(graph: Graph) -> Iterator[Graph]:
    """The same operator with something missing."""
    (operator,) = graph.operators[:1]
    rest = graph.operators[1:]
    for one in (
        dataclasses.replace(operator, options=NoOptions()),
        dataclasses.replace(operator, inputs=operator.inputs[:-1]),
        dataclasses.replace(operator, inputs=(-1,) * len(operator.inputs)),
        dataclasses.replace(operator, inputs=()),
        dataclasses.replace(operator, outputs=()),
    ):
        yield dataclasses.replace(graph, operators=(one, *rest))
    for shape in ((), (4,), (1, 2, 3, 4, 5, 6, 7, 8)):
        tensors = tuple(dataclasses.replace(t, shape=shape) for t in graph.tensors)
        yield dataclasses.replace(graph, tensors=tensors)


def test_a_broken_operator_is_an_error_of_ours_or_none() -> None:
    for row, graph in small_rows():
        for spoiled in broken(graph):
            with contextlib.suppress(ArenaError):
                arena_of(spoiled, row["kernels"])
            tflm_problems(spoiled, row["kernels"])
