"""Writing `.tflite`: what was read comes back, and other runtimes agree with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_quantize.errors import UnsupportedModelError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.options import Activation, CustomOptions, Padding, SchemaOptions
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.inputs import lcg_inputs
from edge_quantize.reference import LiteRtReference, TflmReference, tflm_available

MODELS = ["ad", "kws", "ic", "vww"]


def assert_equal_graphs(a: Graph, b: Graph) -> None:
    assert a.operators == b.operators
    assert (a.inputs, a.outputs, a.labels) == (b.inputs, b.outputs, b.labels)
    assert (a.description, a.metadata) == (b.description, b.metadata)
    assert len(a.tensors) == len(b.tensors)
    for s, t in zip(a.tensors, b.tensors, strict=True):
        assert (s.index, s.name, s.shape, s.dtype) == (t.index, t.name, t.shape, t.dtype)
        assert s.quantization == t.quantization
        assert (s.shape_signature, s.is_variable) == (t.shape_signature, t.is_variable)
        assert (s.data is None) == (t.data is None)
        if s.data is not None and t.data is not None:
            np.testing.assert_array_equal(s.data, t.data)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["int8", "float"])
def test_reading_what_was_written_gives_the_same_graph(
    mlperf_tiny: Callable[[str], Path], name: str, kind: str
) -> None:
    graph = read_tflite(mlperf_tiny(f"{name}_{kind}.tflite"))
    assert_equal_graphs(graph, read_tflite(write_tflite(graph)))


@pytest.mark.parametrize("name", MODELS)
def test_writing_twice_gives_the_same_bytes(mlperf_tiny: Callable[[str], Path], name: str) -> None:
    written = write_tflite(read_tflite(mlperf_tiny(name)))
    assert written == write_tflite(read_tflite(mlperf_tiny(name)))
    again = read_tflite(written)
    assert write_tflite(again) == written


@pytest.mark.skipif(not tflm_available(), reason="no tflite_micro wheel here")
@pytest.mark.parametrize("name", MODELS)
def test_tflite_micro_computes_the_same_from_the_rewritten_file(
    mlperf_tiny: Callable[[str], Path], name: str
) -> None:
    from tflite_micro.python.tflite_micro import runtime

    original = mlperf_tiny(name).read_bytes()
    graph = read_tflite(original)
    plain = runtime.Interpreter.from_bytes(original, arena_size=1 << 20)
    rewritten = TflmReference(graph)
    state = 2
    for _ in range(5):
        inputs, state = lcg_inputs(graph, state)
        plain.set_input(inputs[0], 0)
        plain.invoke()
        np.testing.assert_array_equal(plain.get_output(0), rewritten.run(inputs)[0])


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("kind", ["int8", "float"])
def test_litert_computes_the_same_from_the_rewritten_file(
    mlperf_tiny: Callable[[str], Path], name: str, kind: str
) -> None:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    original = mlperf_tiny(f"{name}_{kind}.tflite").read_bytes()
    graph = read_tflite(original)
    plain = Interpreter(
        model_content=original, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    plain.allocate_tensors()
    inputs, _ = lcg_inputs(graph)
    plain.set_tensor(graph.inputs[0], inputs[0])
    plain.invoke()
    expected = plain.get_tensor(graph.outputs[0])
    np.testing.assert_array_equal(expected, LiteRtReference(graph).run(inputs)[0])


@pytest.mark.parametrize("name", MODELS)
def test_the_rewritten_file_is_no_larger(mlperf_tiny: Callable[[str], Path], name: str) -> None:
    path = mlperf_tiny(name)
    assert len(write_tflite(read_tflite(path))) <= path.stat().st_size


sizes = st.integers(1, 5)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(st.just(1), sizes, sizes, sizes),
    channels=sizes,
    taps=st.tuples(sizes, sizes),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    activation=st.sampled_from([Activation.NONE, Activation.RELU, Activation.RELU6]),
    per_channel=st.booleans(),
    with_bias=st.booleans(),
    scale=st.floats(1e-4, 10),
    zero_point=st.integers(-128, 127),
)
def test_any_convolution_survives(
    shape: tuple[int, int, int, int],
    channels: int,
    taps: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    activation: Activation,
    per_channel: bool,
    with_bias: bool,
    scale: float,
    zero_point: int,
) -> None:
    b = GraphBuilder("conv")
    x = b.input("x", shape, scale, zero_point)
    weights = np.arange(channels * taps[0] * taps[1] * shape[3]) % 255 - 127
    scales = [0.01 * (i + 1) for i in range(channels)] if per_channel else [0.01]
    w = b.weights("w", weights.reshape(channels, *taps, shape[3]), scales)
    bias = b.bias("b", range(channels), x, w) if with_bias else None
    y = b.conv_2d(
        x, w, bias, 0.5, 3, stride=stride, dilation=dilation, activation=activation,
        padding=Padding.SAME,
    )  # fmt: skip
    graph = b.build([y])
    assert_equal_graphs(graph, read_tflite(write_tflite(graph)))


def test_every_dtype_survives_as_a_constant() -> None:
    b = GraphBuilder("constants")
    x = b.input("x", (1, 4))
    names = [d for d in DType if not d.opaque and d is not DType.INT4]
    constants = [
        b.tensor(d.name, (3,), d, None, np.array([0, 1, 1]).astype(d.numpy)) for d in names
    ]
    constants.append(b.tensor("int4", (3,), DType.INT4, None, np.array([-8, 7, -1])))
    y = b.operator("RELU", (x, *constants))
    graph = b.build([y])
    assert_equal_graphs(graph, read_tflite(write_tflite(graph)))


def test_equal_constants_are_stored_once() -> None:
    def size(second: int) -> int:
        b = GraphBuilder("twice")
        x = b.input("x", (1, 1000))
        first = b.constant("a", np.full(1000, 5, np.int32))
        other = b.constant("b", np.full(1000, second, np.int32))
        return len(write_tflite(b.build([b.operator("RELU", (x, first, other))])))

    assert size(6) - size(5) >= 4000


def test_constants_are_aligned_for_runtimes_that_map_the_file() -> None:
    b = GraphBuilder("aligned")
    x = b.input("x", (1, 7))
    marks = [np.arange(40 + i, dtype=np.int8) + 64 for i in range(5)]
    w = [b.constant(f"w{i}", mark) for i, mark in enumerate(marks)]
    data = write_tflite(b.build([b.operator("RELU", (x, *w))]))
    assert [data.index(mark.tobytes() + b"\0") % 16 for mark in marks[4:]] == [0]


def test_what_was_not_read_is_not_written() -> None:
    tensors = (
        Tensor(0, "x", (1, 4), DType.INT8),
        Tensor(1, "y", (1, 4), DType.INT8, encoding="sparse"),
    )
    operators = (
        Operator(0, "CUSTOM:Mine", (0,), (1,), CustomOptions(4)),
        Operator(1, "GATHER", (0,), (1,), SchemaOptions("GathererOptions")),
    )
    graph = Graph("odd", tensors, operators, (0,), (1,), other_subgraphs=("body",))
    with pytest.raises(UnsupportedModelError) as caught:
        write_tflite(graph)
    assert caught.value.problems == (
        "subgraph 'body' was not read",
        "tensor 1 'y': sparse",
        "operator 0 CUSTOM:Mine: not an operator of the schema",
        "operator 1 GATHER: GathererOptions is not in the schema",
    )
