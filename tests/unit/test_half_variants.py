"""Float variants of integer models, and int8 variants of float ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from half_models import changed, signatures, with_signature
from ptq_models import CASES, Case, case_graph, cnn, samples

from edge_quantize.data import Samples
from edge_quantize.errors import UnsupportedModelError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import (
    Activation,
    ElementwiseOptions,
    FullyConnectedOptions,
    SchemaOptions,
)
from edge_quantize.graph.writer import write_tflite
from edge_quantize.half import float16_weights, float_variant, int8_variant
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.ptq.quantize import quantize
from edge_quantize.ptq.recipe import Precision, Recipe
from edge_quantize.run import quantized, real

LEAST = -128


def run(content: bytes, source: np.ndarray) -> np.ndarray:
    return outputs_of(content, source)[0]


def outputs_of(content: bytes, source: np.ndarray) -> list[np.ndarray]:
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], source)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def dense(zero_point: int, scale: float = 0.05, activation: Activation = Activation.NONE) -> Graph:
    b = GraphBuilder("dense")
    x = b.input("x", (1, 4), 0.02, 3)
    random = np.random.default_rng(0)
    w = b.weights(
        "w", random.integers(-127, 128, (6, 4)).astype(np.int8), [0.01 + 0.01 * i for i in range(6)]
    )
    bias = b.bias("b", random.integers(-500, 500, 6), x, w)
    return b.build([b.fully_connected(x, w, bias, scale, zero_point, activation=activation)])


def lsb(graph: Graph, content: bytes, count: int = 20, *, seed: int = 0) -> float:
    """The most that the float file differs from the integer model, in steps of its output."""
    random = np.random.default_rng(seed)
    source, target = graph.tensors[graph.inputs[0]], graph.tensors[graph.outputs[0]]
    most = 0.0
    for _ in range(count):
        integers = random.integers(-128, 128, source.shape).astype(np.int8)
        wanted = run(write_tflite(graph), integers).astype(int)
        given = run(content, real(integers, source.quantization))
        most = max(most, float(np.abs(quantized(given, target) - wanted).max()))
    return most


@pytest.mark.parametrize("zero_point", [LEAST, 0, 20])
@pytest.mark.parametrize("scale", [0.05, 0.005])
def test_a_layer_computes_in_float_what_its_integers_stand_for(
    zero_point: int, scale: float
) -> None:
    graph = dense(zero_point, scale)
    result = float_variant(write_tflite(graph))
    made = read_tflite(result.content)
    assert not [t for t in made.tensors if t.quantization or t.dtype.numpy.kind == "i"]
    assert lsb(graph, result.content) <= 1


def test_a_range_that_starts_at_zero_is_a_relu() -> None:
    made = read_tflite(float_variant(write_tflite(dense(LEAST)), clamp=False).content)
    options = made.operators[0].options
    assert isinstance(options, FullyConnectedOptions)
    assert options.activation is Activation.RELU


def test_a_range_from_zero_to_six_is_a_relu6_and_needs_no_more() -> None:
    graph = dense(LEAST, 6 / 255)
    made = read_tflite(float_variant(write_tflite(graph)).content)
    (operator,) = made.operators
    assert isinstance(operator.options, FullyConnectedOptions)
    assert operator.options.activation is Activation.RELU6


def test_other_ends_are_clamped_at_by_minimum_and_maximum() -> None:
    result = float_variant(write_tflite(dense(20, 0.005)))
    assert [o.op for o in read_tflite(result.content).operators] == [
        "FULLY_CONNECTED", "MINIMUM", "MAXIMUM",
    ]  # fmt: skip
    assert result.clamps == ("fully_connected_0",)
    plain = float_variant(write_tflite(dense(20, 0.005)), clamp=False)
    assert [o.op for o in read_tflite(plain.content).operators] == ["FULLY_CONNECTED"]
    assert lsb(dense(20, 0.005), plain.content) <= 1  # the last layer's: clamped by what reads it


def test_names_and_signature_of_the_ends_stay() -> None:
    content = with_signature(dense(0), {"picture": 0}, {"scores": 0})
    result = float_variant(content)
    assert signatures(result.content) == signatures(content)
    before, after = read_tflite(content), read_tflite(result.content)
    for side in ("inputs", "outputs"):
        old = [before.tensors[i] for i in getattr(before, side)]
        new = [after.tensors[i] for i in getattr(after, side)]
        assert [(t.name, t.shape) for t in old] == [(t.name, t.shape) for t in new]
        assert {t.dtype for t in new} == {DType.FLOAT32}
    assert result.ports == ("x", "fully_connected_0")


def test_what_quantize_cuts_off_is_cut_off() -> None:
    b = GraphBuilder("cut")
    x = b.input("x", (1, 4), dtype=DType.FLOAT32)
    y = b.quantize(x, 0.01, 0)
    graph = b.build([b.dequantize(b.elementwise("ADD", y, y, 0.02, 0))])
    source = np.array([[5, -5, 0.5, 1]], np.float32)
    made = float_variant(write_tflite(graph))
    np.testing.assert_allclose(run(made.content, source), [[2.54, -2.56, 1, 2]], rtol=1e-6)
    np.testing.assert_allclose(run(write_tflite(graph), source), [[2.54, -2.56, 1, 2]], rtol=1e-6)


def test_quantize_and_dequantize_at_the_ends_go() -> None:
    graph = cnn()
    data = samples(graph)
    integers = quantize(graph, data, Recipe(float_io=True)).graph
    assert {o.op for o in integers.operators} >= {"QUANTIZE", "DEQUANTIZE"}
    result = float_variant(write_tflite(integers))
    made = read_tflite(result.content)
    assert not {o.op for o in made.operators} & {"QUANTIZE", "DEQUANTIZE"}
    assert result.ports == ()
    assert [made.tensors[i].name for i in made.outputs] == [
        integers.tensors[i].name for i in integers.outputs
    ]
    source = data.inputs[0][:1]
    np.testing.assert_allclose(
        run(result.content, source), run(write_tflite(integers), source), atol=0.03
    )


@pytest.mark.parametrize("precision", [Precision.INT16X8, Precision.INT4, Precision.DYNAMIC])
def test_other_integers_become_float_too(precision: Precision) -> None:
    graph = cnn()
    data = samples(graph)
    integers = quantize(graph, data, Recipe.uniform(precision, float_io=True)).graph
    result = float_variant(write_tflite(integers))
    made = read_tflite(result.content)
    assert {t.dtype for t in made.tensors} <= {DType.FLOAT32, DType.INT32}
    source = data.inputs[0][:1]
    np.testing.assert_allclose(
        run(result.content, source), run(write_tflite(integers), source), atol=0.03
    )


def test_a_float_model_is_returned_as_it_is() -> None:
    content = write_tflite(cnn())
    assert float_variant(content).content == content


def test_an_operator_on_the_integers_themselves_is_refused() -> None:
    b = GraphBuilder("cast")
    x = b.input("x", (1, 4), 0.1, 3)
    y = b.operator(
        "CAST", (x,), SchemaOptions("CastOptions", {}), dtype=DType.FLOAT32, shape=(1, 4)
    )
    with pytest.raises(UnsupportedModelError, match=r"'cast_0' \(CAST\) reads the integers as"):
        float_variant(write_tflite(b.build([y])))


def test_an_output_in_two_element_types_is_refused() -> None:
    b = GraphBuilder("two")
    x = b.input("x", (1, 4), 0.1, 3)
    y = b.elementwise("ADD", x, x, 0.2, 0)
    content = write_tflite(b.build([y, b.dequantize(y)]))
    with pytest.raises(UnsupportedModelError, match="another output in another element type"):
        float_variant(content)


def test_an_added_clamp_stays_within_what_reads_it() -> None:
    # Two readers: both must see the clamped values.
    b = GraphBuilder("fan")
    x = b.input("x", (1, 4), 0.05, 0)
    y = b.elementwise("ADD", x, x, 0.03, 10)
    z = b.elementwise("MUL", y, y, 0.08, -100)
    graph = b.build([b.elementwise("SUB", z, y, 0.1, 0, activation=Activation.RELU)])
    assert lsb(graph, float_variant(write_tflite(graph)).content) <= 2
    assert isinstance(graph.operators[0].options, ElementwiseOptions)


# Whole models on pseudo-random integers, where much saturates. Steps of the outputs, measured:
# ad 2, kws 9, vww 1, ic 38 (its logits differ by 6 steps of 0.17, and the softmax is steep there).
@pytest.mark.parametrize(("name", "most"), [("ad", 3), ("kws", 10), ("vww", 2), ("ic", 45)])
def test_real_integer_models_keep_their_answers(
    mlperf_tiny: Callable[[str], Path], name: str, most: int
) -> None:
    content = mlperf_tiny(name).read_bytes()
    result = float_variant(content)
    graph = read_tflite(content)
    assert lsb(graph, result.content, 8) <= most
    halves = float16_weights(result.content)
    assert lsb(graph, halves.content, 8) <= most
    assert halves.left == ()


def test_int8_keeps_names_and_signature() -> None:
    graph = cnn()
    content = with_signature(graph, {"picture": 0}, {"scores": 0})
    result = int8_variant(content, samples(graph))
    made = read_tflite(result.content)
    assert signatures(result.content) == signatures(content)
    assert {made.tensors[i].dtype for i in (*made.inputs, *made.outputs)} == {DType.INT8}
    source = samples(graph).inputs[0][:1]
    scores = run(result.content, quantized(source, made.tensors[made.inputs[0]]))
    given = real(scores, made.tensors[made.outputs[0]].quantization)
    np.testing.assert_allclose(given, run(content, source), atol=0.05)


def test_int8_leaves_out_a_signature_that_names_a_tensor_inside_and_says_so() -> None:
    graph = cnn()

    def names_one_inside(model: Any) -> None:
        model.signatureDefs[0].signatureKey = b"peek"
        model.signatureDefs[0].outputs[0].tensorIndex = graph.operators[0].outputs[0]

    result = int8_variant(changed(graph, names_one_inside), samples(graph))
    assert signatures(result.content) == {}
    assert any("signature 'peek' names a tensor inside" in note for note in result.notes)


def test_int8_of_a_file_without_signature_has_none(mlperf_tiny: Callable[[str], Path]) -> None:
    content = mlperf_tiny("ad_float.tflite").read_bytes()
    random = np.random.default_rng(0)
    data = Samples((random.normal(size=(4, 640)).astype(np.float32),))
    result = int8_variant(content, data)
    made, source = read_tflite(result.content), read_tflite(content)
    assert signatures(result.content) == {}
    assert [made.tensors[i].name for i in made.inputs] == [
        source.tensors[i].name for i in source.inputs
    ]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
def test_every_operator_of_an_integer_model_has_a_float_form_within_one_step(case: Case) -> None:
    graph = case_graph(case)
    data = samples(graph, 4)
    content = write_tflite(quantize(graph, data, verify=False).graph)
    integers = read_tflite(content)
    result = float_variant(content)
    (source,) = (integers.tensors[i] for i in integers.inputs)
    given = quantized(data.inputs[0][:1], source)
    wanted = outputs_of(content, given)
    made = outputs_of(result.content, real(given, source.quantization))
    for index, old, new in zip(integers.outputs, wanted, made, strict=True):
        steps = quantized(new, integers.tensors[index]).astype(int) - old
        assert np.abs(steps).max() <= 1
