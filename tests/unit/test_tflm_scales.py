"""What TFLM computes wrongly without a word, or refuses only on the board, held against TFLM."""

from __future__ import annotations

from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_export.tflm.ops import tflm_problems
from edge_quantize.graph import Graph
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import ReshapeOptions, SqueezeOptions
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.reference import ReferenceRuntimeError, TflmReference, tflm_available

needs_tflm = pytest.mark.skipif(not tflm_available(), reason="the tflite_micro wheel is missing")


def two_inputs(op: str, other: float, output: float) -> Graph:
    """x of scale 1 and y of scale `other`, both (1, 4)."""
    b = GraphBuilder(op.lower())
    inputs = (b.input("x", (1, 4), 1.0), b.input("y", (1, 4), other))
    if op == "CONCATENATION":
        return b.build([b.concatenation(inputs, 1)])
    return b.build([b.operator(op, inputs, scale=output, shape=(1, 4))])


# Output's shape and the second input of what takes (1, 4) and moves it.
MOVES: dict[str, tuple[tuple[int, ...], list[list[int]]]] = {
    "BROADCAST_TO": ((1, 4), [[1, 4]]),
    "EXPAND_DIMS": ((1, 1, 4), [[0]]),
    "PAD": ((1, 4), [[0, 0, 0, 0]]),
    "RESHAPE": ((4, 1), [[4, 1]]),
    "REVERSE_V2": ((1, 4), [[0]]),
    "SLICE": ((1, 4), [[0, 0], [1, 4]]),
    "SQUEEZE": ((4,), []),
    "TRANSPOSE": ((4, 1), [[1, 0]]),
}


def moved(op: str, output: float) -> Graph:
    """x of scale 1, its numbers in their order, with an output of scale `output`."""
    b = GraphBuilder(op.lower())
    x = b.input("x", (1, 4), 1.0)
    shape, constants = MOVES[op]
    more = [np.array(c, np.int32).reshape((2, 2) if op == "PAD" else (-1,)) for c in constants]
    inputs = (x, *(b.constant(f"c{i}", data) for i, data in enumerate(more)))
    options = {"SQUEEZE": SqueezeOptions((0,)), "RESHAPE": ReshapeOptions(shape)}.get(op)
    return b.build([b.operator(op, inputs, options, scale=output, shape=shape)])


def run(graph: Graph, *inputs: list[int]) -> list[float]:
    """Real values of the output, from TFLM itself."""
    arrays = [np.array([values], np.int8) for values in inputs]
    tflm = TflmReference(write_tflite(graph), checked=True)
    (output,) = tflm.run(arrays)
    quantization = graph.tensor(graph.outputs[0]).quantization
    assert quantization is not None
    return (output.ravel() * quantization.scale).tolist()


@needs_tflm
@pytest.mark.parametrize(("op", "right", "tflms"), [("MAXIMUM", 3.0, 8.0), ("MINIMUM", 2.0, 3.0)])
def test_of_unequal_scales_the_larger_integer_is_not_the_larger_number(
    op: str, right: float, tflms: float
) -> None:
    graph = two_inputs(op, 0.25, 1.0)
    assert run(graph, [3] * 4, [8] * 4) == [tflms] * 4 != [right] * 4
    (problem,) = tflm_problems(graph)
    assert (problem.op, problem.tensor) == (op, "y")
    assert "has another scale or zero point than" in str(problem)
    assert not tflm_problems(two_inputs(op, 1.0, 1.0))


@needs_tflm
@pytest.mark.parametrize("op", sorted(MOVES))
def test_what_only_moves_numbers_does_not_rescale_them(op: str) -> None:
    same, other = moved(op, 1.0), moved(op, 0.5)
    assert not tflm_problems(same)
    assert run(same, [1, 2, 3, 4]) == [1.0, 2.0, 3.0, 4.0]
    (problem,) = tflm_problems(other)
    assert (problem.op, problem.tensor) == (op, "x")
    assert run(other, [1, 2, 3, 4]) == [0.5, 1.0, 1.5, 2.0]


@needs_tflm
def test_a_concatenation_of_unequal_scales_is_refused_before_tflm_does() -> None:
    graph = two_inputs("CONCATENATION", 0.25, 1.0)
    with pytest.raises(ReferenceRuntimeError):
        run(graph, [1] * 4, [1] * 4)
    (problem,) = tflm_problems(graph)
    assert (problem.op, problem.tensor) == ("CONCATENATION", "y")
    equal = two_inputs("CONCATENATION", 1.0, 1.0)
    assert not tflm_problems(equal)
    assert run(equal, [1] * 4, [2] * 4) == [1.0] * 4 + [2.0] * 4


@needs_tflm
def test_int4_weights_of_a_transposed_convolution_are_refused_before_tflm_does() -> None:
    folder = Path(__file__).parents[1] / "golden" / "tflm" / "models"
    content = (folder / "transpose_conv_int8.tflite").read_bytes()
    graph = read_tflite(content)
    assert not tflm_problems(graph)
    TflmReference(content, checked=True)
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    weights = model.subgraphs[0].tensors[graph.operators[0].inputs[1]]
    weights.type = schema.TensorType.INT4
    data = model.buffers[weights.buffer].data
    model.buffers[weights.buffer].data = data[: (len(data) + 1) // 2]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    narrow = bytes(builder.Output())
    (problem,) = tflm_problems(read_tflite(narrow))
    assert "is int4, which TFLM's kernel does not take" in str(problem)
    with pytest.raises(ReferenceRuntimeError):
        TflmReference(narrow, checked=True)
