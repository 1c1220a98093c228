"""A file's float32 constants as float16, and everything else of it as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from float_graphs import FloatNet
from half_models import alignment, changed, outside, signatures, tables, with_signature

from edge_quantize.errors import ModelFileError
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import Conv2DOptions, FullyConnectedOptions, Padding
from edge_quantize.graph.writer import write_tflite
from edge_quantize.half import Float16Result, float16_weights
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.ptq.prepare import float_graph


def net(seed: int = 0) -> Graph:
    """A convolution and a dense layer, each with weights and a bias."""
    made = FloatNet("net", seed)
    x = made.conv(made.input(6, 6, 3), 64, "conv", size=3)
    return made.build(made.dense(made.flatten(x), 70, "dense"))


def with_weights(values: np.ndarray) -> bytes:
    made = FloatNet("one", 0)
    x = made.input(values.shape[1])
    w = made.builder.constant("w", values.astype(np.float32))
    return write_tflite(
        made.build(made.op("FULLY_CONNECTED", [x, w], FullyConnectedOptions(), "y"))
    )


def run(content: bytes, *inputs: np.ndarray) -> list[np.ndarray]:
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    for detail, array in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]


def test_constants_are_float16_behind_dequantize_and_readers_see_the_same_tensors() -> None:
    graph = net()
    result = float16_weights(write_tflite(graph))
    made = read_tflite(result.content)
    assert set(result.converted) == {"conv/w", "conv/b", "dense/w", "dense/b"}
    widened = [o for o in made.operators if o.op == "DEQUANTIZE"]
    assert len(widened) == 4
    for operator in widened:
        (source,), (target,) = made.operands(operator), made.results(operator)
        assert source is not None
        assert source.dtype is DType.FLOAT16
        before = next(t for t in graph.tensors if t.name == target.name)
        assert before.data is not None
        np.testing.assert_array_equal(source.data, before.data.astype(np.float16))
    rest = [o for o in made.operators if o.op != "DEQUANTIZE"]
    assert [(o.op, o.inputs, o.outputs, o.options) for o in rest] == [
        (o.op, o.inputs, o.outputs, o.options) for o in graph.operators
    ]


def test_the_file_is_half_as_large_and_computes_what_rounded_weights_compute() -> None:
    graph = net()
    content = write_tflite(graph)
    result = float16_weights(content)
    assert result.bytes_after < 0.52 * result.bytes_before
    source = np.random.default_rng(1).normal(size=(1, 6, 6, 3)).astype(np.float32)
    widened = write_tflite(float_graph(read_tflite(result.content)))
    np.testing.assert_allclose(run(result.content, source), run(widened, source), rtol=1e-6)
    np.testing.assert_allclose(run(result.content, source)[0], run(content, source)[0], atol=5e-3)


def test_the_same_file_gives_the_same_bytes_with_buffers_aligned() -> None:
    content = write_tflite(net())
    assert float16_weights(content).content == float16_weights(content).content
    assert alignment(float16_weights(content).content) == {0}


def test_signature_names_and_metadata_stay() -> None:
    graph = net()
    content = with_signature(graph, {"picture": 0}, {"scores": 0})
    assert signatures(float16_weights(content).content) == signatures(content)
    assert list(signatures(content)) == ["classify"]

    def describe(model: Any) -> None:
        entry, buffer = schema.MetadataT(), schema.BufferT()
        buffer.data = np.frombuffer(b"floats? " * 64, np.uint8)
        model.buffers.append(buffer)
        entry.name, entry.buffer = b"about", len(model.buffers) - 1
        model.metadata = [entry]

    made = read_tflite(float16_weights(changed(graph, describe)).content)
    assert made.metadata == {"about": b"floats? " * 64}


def test_a_constant_read_twice_has_one_dequantize() -> None:
    made = FloatNet("shared", 0)
    x = made.input(4, 4, 8)
    w = made.normal("w", 8, 3, 3, 8)
    for name in "ab":
        x = made.op("CONV_2D", [x, w], Conv2DOptions(Padding.SAME, 1, 1), name)
    result = read_tflite(float16_weights(write_tflite(made.build(x))).content)
    assert [o.op for o in result.operators] == ["DEQUANTIZE", "CONV_2D", "CONV_2D"]


def test_further_subgraphs_are_converted_too_and_share_the_halves() -> None:
    def twice(model: Any) -> None:
        other = copy.deepcopy(model.subgraphs[0])
        other.name = b"second"
        signature = copy.deepcopy(model.signatureDefs[0])
        signature.signatureKey, signature.subgraphIndex = b"second", 1
        model.subgraphs.append(other)
        model.signatureDefs.append(signature)

    content = changed(net(), twice)
    result = float16_weights(content)
    assert signatures(result.content) == signatures(content)
    assert result.bytes_after < 0.56 * result.bytes_before
    for number, subgraph in enumerate(tables(result.content).subgraphs):
        assert [len(o.inputs) for o in subgraph.operators[:4]] == [1] * 4, number
    interpreter = Interpreter(model_content=result.content)
    source = np.ones((1, 6, 6, 3), np.float32)
    first, second = (
        interpreter.get_signature_runner(key)(x=source) for key in ("serving_default", "second")
    )
    np.testing.assert_array_equal(first["dense"], second["dense"])


def test_a_constant_behind_the_flatbuffer_comes_into_it() -> None:
    content = write_tflite(net())
    moved = outside(content)
    assert moved != content
    source = np.ones((1, 6, 6, 3), np.float32)
    made = float16_weights(moved).content
    np.testing.assert_array_equal(
        run(made, source)[0], run(float16_weights(content).content, source)[0]
    )


def test_custom_operators_keep_their_options_and_their_float32_constants() -> None:
    def custom(model: Any) -> None:
        code = model.operatorCodes[-1]
        code.builtinCode, code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM, 32
        code.customCode = b"Mine"
        operator = model.subgraphs[0].operators[-1]
        operator.builtinOptionsType, operator.builtinOptions = 0, None
        operator.customOptions = np.arange(50, dtype=np.uint8)

    result = float16_weights(changed(net(), custom))
    assert set(result.converted) == {"conv/w", "conv/b"}
    assert {name for name, _ in result.left} == {"dense/w", "dense/b"}
    assert all("custom operator" in why for _, why in result.left)
    operator = tables(result.content).subgraphs[0].operators[-1]
    assert bytes(operator.customOptions) == bytes(range(50))


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (np.where(np.eye(16) > 0, 70000.0, 1.0), "16 values pass 65504, up to 70000"),
        (np.full((16, 16), 1e-6), "too small for float16"),
        (np.full((16, 16), 1e-20), "100.0% of them would be lost"),
    ],
)
def test_what_float16_cannot_hold_stays_float32_and_is_named(values: np.ndarray, why: str) -> None:
    content = with_weights(values)
    result = float16_weights(content)
    assert result.content == content
    ((name, reason),) = result.left
    assert name == "w"
    assert why in reason


def test_small_values_among_ordinary_ones_are_converted_and_counted() -> None:
    values = np.random.default_rng(0).normal(size=(16, 16))
    values[3] = 1e-30
    result = float16_weights(with_weights(values))
    assert result.converted == ("w",)
    assert any("16 values below 3e-8 become 0 in 1 tensors" in note for note in result.notes)


def test_infinity_is_a_number_that_float16_has() -> None:
    values = np.random.default_rng(0).normal(size=(16, 16))
    values[0, 0] = -np.inf
    assert float16_weights(with_weights(values)).converted == ("w",)


def test_few_elements_stay_float32() -> None:
    content = with_weights(np.ones((7, 9)))
    result = float16_weights(content)
    assert (result.content, result.converted, result.left) == (content, (), ())
    assert result.notes == ("1 constant of fewer than 64 elements stays float32",)


def test_integers_are_not_touched_and_float16_is_not_converted_again() -> None:
    once = float16_weights(write_tflite(net()))
    assert float16_weights(once.content).content == once.content
    shape = next(t for t in read_tflite(once.content).tensors if t.name == "shape")
    assert shape.dtype is DType.INT32


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ModelFileError):
        float16_weights(b"TFL3 no")


@pytest.mark.parametrize("name", ["ad", "ic", "vww"])
def test_real_models_halve(mlperf_tiny: Callable[[str], Path], name: str) -> None:
    content = mlperf_tiny(f"{name}_float.tflite").read_bytes()
    result: Float16Result = float16_weights(content)
    assert result.left == ()
    assert 0.5 < result.bytes_after / result.bytes_before < 0.53
    # The file computes what a float32 file with the rounded weights computes.
    widened = float_graph(read_tflite(result.content))
    shape = widened.tensors[widened.inputs[0]].shape
    source = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    (wanted,), (given,) = run(write_tflite(widened), source), run(result.content, source)
    assert np.abs(given - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_a_bias_beside_integer_weights_stays_a_constant(
    mlperf_tiny: Callable[[str], Path],
) -> None:
    # XNNPACK refuses such a layer when its bias comes from a DEQUANTIZE.
    content = mlperf_tiny("kws_float.tflite").read_bytes()
    result = float16_weights(content)
    assert len(result.left) == 5
    assert all("beside integer weights" in why for _, why in result.left)
    run(result.content, np.zeros((1, 49, 10, 1), np.float32))
