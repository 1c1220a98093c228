"""A wrong result is an error with its name, and a right one is none."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from ptq_models import FloatBuilder, cnn, samples

from edge_quantize.errors import UnsoundResultError
from edge_quantize.graph.model import DType, Graph, Quantization
from edge_quantize.graph.options import FullyConnectedOptions
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ptq import Precision, Recipe, quantize
from edge_quantize.ptq.soundness import buffers_outside, check_file, check_outputs, output_fault

PLAIN = Recipe(adaptive_rounding=False, equalize=False)


@pytest.fixture(scope="module")
def made() -> tuple[Graph, Graph]:
    graph = cnn()
    return graph, quantize(graph, samples(graph), PLAIN).graph


def changed(graph: Graph, layer: int, position: int, change: object) -> Graph:
    """`graph` with `change(content)` for an operand of one of its operators."""
    index = graph.operators[layer].inputs[position]
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], data=change(tensors[index].data))  # type: ignore[operator]
    return replace(graph, tensors=tuple(tensors))


def test_a_sound_result_is_let_through(made: tuple[Graph, Graph]) -> None:
    before, after = made
    check_file(before, after, {})
    check_outputs(before, after, samples(before))


def test_an_unchanged_file(made: tuple[Graph, Graph]) -> None:
    before, _ = made
    with pytest.raises(UnsoundResultError, match="unchanged file: int8 was asked for"):
        check_file(before, before, {"conv": Precision.INT8})
    check_file(before, before, {"conv": Precision.FLOAT32})


def test_weights_alone_in_integers(made: tuple[Graph, Graph]) -> None:
    before, _ = made
    after = quantize(before, None, Recipe.uniform(Precision.DYNAMIC)).graph
    asked = {before.layer_name(o): Precision.DYNAMIC for o in before.operators}
    check_file(before, after, asked)
    with pytest.raises(UnsoundResultError, match=r"weight-only: layer '.*' \(CONV_2D\)"):
        check_file(before, after, dict.fromkeys(asked, Precision.INT8))


def test_a_constant_output(made: tuple[Graph, Graph]) -> None:
    before, after = made
    dense = next(o.index for o in after.operators if o.op == "FULLY_CONNECTED")
    broken = changed(after, dense, 1, np.zeros_like)
    with pytest.raises(UnsoundResultError, match="is a constant output") as one:
        check_outputs(before, broken, samples(before))
    with pytest.raises(UnsoundResultError, match="is a constant output") as other:
        check_outputs(before, broken, samples(before), real=False)
    assert re.search(r"the data's range is a likely cause: input '.*' \S+ to \S+ ", str(one.value))
    assert "likely cause" not in str(other.value)


def test_a_constant_output_of_a_constant_model_is_none() -> None:
    b = FloatBuilder("constant")
    w, bias = np.zeros((3, 4), np.float32), np.ones(3, np.float32)
    x = b.source((1, 4))
    y = b.add(
        "FULLY_CONNECTED", (x, b.constant("w", w), b.constant("b", bias)), FullyConnectedOptions()
    )
    graph = b.build([y])
    quantize(graph, samples(graph), PLAIN)


def test_a_layer_that_collapses(made: tuple[Graph, Graph]) -> None:
    before, after = made
    broken = changed(after, 0, 1, np.negative)
    name = after.layer_name(after.operators[0])
    with pytest.raises(UnsoundResultError, match=rf"'{name}' \(CONV_2D\)"):
        check_outputs(before, broken, samples(before))


def test_no_number() -> None:
    values = np.ones((4, 3), np.float32)
    assert output_fault(values, np.full_like(values, np.nan), None, DType.FLOAT32) == (
        "is not a number"
    )


def test_a_saturated_output() -> None:
    random = np.random.default_rng(0)
    reference = random.uniform(3, 9, (8, 10)).astype(np.float32)
    quantization = Quantization((1 / 128,), (0,))
    given = np.minimum(reference, 127 / 128)
    given[0, 0] = 0.5
    assert "saturated output" in output_fault(reference, given, quantization, DType.INT8)
    near = np.clip(reference / 10, -1, 127 / 128)
    assert not output_fault(near, near, quantization, DType.INT8)


def test_buffers_behind_the_flatbuffer_are_seen(made: tuple[Graph, Graph]) -> None:
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    content = write_tflite(made[1])
    assert buffers_outside(content) == 0
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
    buffer = next(b for b in model.buffers if b.data is not None and len(b.data) > 4)
    buffer.offset, buffer.size, buffer.data = 4096, 64, None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    assert buffers_outside(bytes(builder.Output())) == 1
