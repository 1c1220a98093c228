"""Small models that a phone's GPU takes whole, in part, or not at all; each made here, in code."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph, Tensor
from edge_quantize.graph.options import (
    Conv2DOptions,
    ElementwiseOptions,
    Options,
    Padding,
    ReshapeOptions,
    SchemaOptions,
)
from edge_quantize.graph.writer import write_tflite

FLOAT = DType.FLOAT32


class Net:
    """Float layers one after the other; methods take and return tensors."""

    def __init__(self, name: str, shape: tuple[int, ...], dtype: DType = FLOAT) -> None:
        self.builder = GraphBuilder(name)
        self.random = np.random.default_rng(5)
        self.x = self.builder.input("x", shape, scale=0.05, dtype=dtype)
        self._constants = 0

    def constant(self, *values: int) -> int:
        self._constants += 1
        data = np.array(values, np.int32)
        return self.builder.constant(f"constant_{self._constants}", data)

    def op(self, op: str, sources: list[int], options: Options | None = None,
           shape: tuple[int, ...] | None = None, dtype: DType = FLOAT) -> int:  # fmt: skip
        return self.builder.operator(op, sources, options, shape=shape, dtype=dtype, version=1)

    def conv(self, x: int, out: int = 4) -> int:
        depth = self.builder.shape_of(x)[-1]
        self._constants += 1
        weights = (self.random.standard_normal((out, 3, 3, depth)) * 0.2).astype(np.float32)
        w = self.builder.constant(f"weights_{self._constants}", weights)
        b = self.builder.constant(f"bias_{self._constants}", np.zeros(out, np.float32))
        return self.op("CONV_2D", [x, w, b], Conv2DOptions(Padding.SAME, 1, 1))

    def relu(self, x: int) -> int:
        return self.op("RELU", [x])

    def add(self, x: int, y: int) -> int:
        return self.op("ADD", [x, y], ElementwiseOptions())

    def reversed(self, x: int) -> int:
        """REVERSE_SEQUENCE, which no GPU has."""
        options = SchemaOptions("ReverseSequenceOptions", {"seq_dim": 1, "batch_dim": 0})
        shape = self.builder.shape_of(x)
        return self.op("REVERSE_SEQUENCE", [x, self.constant(3)], options, shape)

    def built(self, *outputs: int) -> Graph:
        return self.builder.build(list(outputs))


def rfft2d() -> bytes:
    net = Net("rfft2d", (1, 8, 8, 4))
    y = net.relu(net.conv(net.x))
    begin, end, step = net.constant(0, 0, 0, 0), net.constant(1, 8, 8, 1), net.constant(1, 1, 1, 1)
    masks = SchemaOptions("StridedSliceOptions", {"shrink_axis_mask": 8})
    y = net.op("STRIDED_SLICE", [y, begin, end, step], masks, (1, 8, 8))
    y = net.op("RFFT2D", [y, net.constant(8, 8)], None, (1, 8, 5), DType.COMPLEX64)
    return write_tflite(net.built(net.op("COMPLEX_ABS", [y], None, (1, 8, 5))))


def where() -> bytes:
    net = Net("where", (1, 4, 4, 4))
    y = net.conv(net.x)
    zero = net.builder.constant("zero", np.zeros((), np.float32))
    found = net.op("GREATER", [y, zero], None, (1, 4, 4, 4), DType.BOOL)
    places = net.op("WHERE", [found], None, (64, 4), DType.INT64)
    graph = net.built(net.op("CAST", [places], None, (64, 4)))
    opened = tuple(
        replace(t, shape_signature=(-1, 4)) if t.shape == (64, 4) else t for t in graph.tensors
    )
    return write_tflite(replace(graph, tensors=opened))


def reverse_sequence() -> bytes:
    net = Net("reverse_sequence", (1, 8, 8, 4))
    return write_tflite(net.built(net.reversed(net.relu(net.conv(net.conv(net.x))))))


def open_input() -> bytes:
    """Height and width are open."""
    net = Net("open_input", (1, 1, 1, 4))
    graph = net.built(net.relu(net.conv(net.x)))
    given = graph.inputs[0]

    def opened(tensor: Tensor) -> Tensor:
        if tensor.index != given and tensor.is_constant:
            return tensor
        return replace(tensor, shape_signature=(1, -1, -1, 4))

    return write_tflite(replace(graph, tensors=tuple(map(opened, graph.tensors))))


def five_dimensions() -> bytes:
    net = Net("five_dimensions", (1, 4, 4, 8))
    y = net.relu(net.x)
    shape = (1, 2, 2, 4, 8)
    y = net.op("RESHAPE", [y, net.constant(*shape)], ReshapeOptions(shape))
    y = net.relu(y)
    shape = (1, 4, 4, 8)
    y = net.op("RESHAPE", [y, net.constant(*shape)], ReshapeOptions(shape))
    return write_tflite(net.built(net.op("LOGISTIC", [net.relu(y)])))


def int16() -> bytes:
    builder = GraphBuilder("int16")
    x = builder.input("x", (1, 8, 8, 2), scale=0.01, dtype=DType.INT16)
    weights = np.random.default_rng(1).integers(-99, 99, (4, 3, 3, 2))
    w = builder.weights("w", weights, [0.02] * 4)
    b = builder.bias("b", np.zeros(4, np.int64), x, w)
    y = builder.conv_2d(x, w, b, scale=0.02, zero_point=0)
    return write_tflite(builder.build([builder.reshape(y, (1, 256))]))


def int4() -> bytes:
    """int4 weights, int8 activations."""
    builder = GraphBuilder("int4")
    x = builder.input("x", (1, 8, 8, 2), scale=0.1, zero_point=3)
    random = np.random.default_rng(1)
    w = builder.weights("w", random.integers(-7, 8, (4, 3, 3, 2)), [0.1] * 4, dtype=DType.INT4)
    b = builder.bias("b", np.zeros(4, np.int32), x, w)
    y = builder.conv_2d(x, w, b, scale=0.2, zero_point=0)
    return write_tflite(builder.build([builder.reshape(y, (1, 256))]))


def custom() -> bytes:
    """One operator of somebody's own, "Twist", between two that a GPU has."""
    net = Net("custom", (1, 4, 4, 4))
    y = net.relu(net.op("ROUND", [net.relu(net.x)], None, (1, 4, 4, 4)))
    model = schema.ModelT.InitFromPackedBuf(write_tflite(net.built(y)))
    _rename(model, "Twist")
    return _packed(model)


def known_custom() -> bytes:
    """A custom operator that LiteRT brings itself: a spectrogram, by its CPU kernel."""
    from flatbuffers import flexbuffers

    net = Net("known_custom", (64, 1))
    y = net.op("ROUND", [net.relu(net.x)], None, (1, 3, 17))
    model = schema.ModelT.InitFromPackedBuf(write_tflite(net.built(net.relu(y))))
    _rename(model, "AudioSpectrogram")
    wishes = {"window_size": 32, "stride": 16, "magnitude_squared": True}
    model.subgraphs[0].operators[1].customOptions = list(flexbuffers.Dumps(wishes))
    return _packed(model)


def _rename(model: schema.ModelT, name: str) -> None:
    """Makes ROUND a custom operator."""
    for code in model.operatorCodes:
        if code.builtinCode == schema.BuiltinOperator.ROUND:
            code.builtinCode = schema.BuiltinOperator.CUSTOM
            code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
            code.customCode = name


def _packed(model: schema.ModelT) -> bytes:
    builder = flatbuffers.Builder(4096)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def two_partitions() -> bytes:
    """Two layers, a break, three layers."""
    net = Net("two_partitions", (1, 8, 8, 4))
    y = net.reversed(net.relu(net.conv(net.x)))
    return write_tflite(net.built(net.relu(net.conv(net.conv(y)))))


def equal_partitions() -> bytes:
    """One layer, a break, one layer."""
    net = Net("equal_partitions", (1, 8, 8, 4))
    return write_tflite(net.built(net.conv(net.reversed(net.conv(net.x)))))


def branches() -> bytes:
    """A break in one of two branches: what does not depend on it stays with the first half."""
    net = Net("branches", (1, 8, 8, 4))
    y = net.relu(net.conv(net.x))
    left = net.reversed(y)
    right = net.relu(net.conv(net.conv(y)))
    return write_tflite(net.built(net.relu(net.add(left, right)), right))


def empty() -> bytes:
    """No operator: the input is the output."""
    net = Net("empty", (1, 8, 8, 4))
    graph = Graph("empty", net.built(net.relu(net.x)).tensors[:1], (), (0,), (0,))
    return write_tflite(graph)


def float16_weights(breaks: bool = True) -> bytes:
    """Weights in float16 behind a DEQUANTIZE, and a break where one is wanted."""
    net = Net("float16_weights", (1, 8, 8, 4))
    y = net.x
    for number in range(3):
        data = (net.random.standard_normal((4, 3, 3, 4)) * 0.2).astype(np.float16)
        w = net.op("DEQUANTIZE", [net.builder.constant(f"half_{number}", data)], None, data.shape)
        b = net.builder.constant(f"bias_{number}", np.zeros(4, np.float32))
        y = net.op("CONV_2D", [y, w, b], Conv2DOptions(Padding.SAME, 1, 1))
        if number == 0 and breaks:
            y = net.reversed(y)
    return write_tflite(net.built(y))


def computed_shape() -> bytes:
    """RESHAPE to what SHAPE and STRIDED_SLICE made: computed, yet of a size known beforehand."""
    net = Net("computed_shape", (1, 4, 4, 8))
    y = net.relu(net.x)
    shape = net.op("SHAPE", [y], SchemaOptions("ShapeOptions", {"out_type": 2}), (4,), DType.INT32)
    parts = [shape, net.constant(0), net.constant(4), net.constant(1)]
    shape = net.op("STRIDED_SLICE", parts, SchemaOptions("StridedSliceOptions"), (4,), DType.INT32)
    y = net.op("RESHAPE", [y, shape], ReshapeOptions(), (1, 4, 4, 8))
    return write_tflite(net.built(net.relu(net.relu(y))))


def one_kind_two_ways() -> bytes:
    """Two SOFTMAX, of which a GPU takes one."""
    from edge_quantize.graph.options import SoftmaxOptions

    net = Net("one_kind_two_ways", (1, 8))
    y = net.op("SOFTMAX", [net.relu(net.x)], SoftmaxOptions(1.0))
    y = net.op("SOFTMAX", [net.relu(y)], SoftmaxOptions(2.0))
    return write_tflite(net.built(net.relu(y)))


# The ten of the report's promise, and what else has a form of its own.
TEN: dict[str, Callable[[], bytes]] = {
    f.__name__: f
    for f in (rfft2d, where, reverse_sequence, open_input, five_dimensions, int16, int4, custom,
              two_partitions, empty)
}  # fmt: skip
MORE: dict[str, Callable[[], bytes]] = {
    f.__name__: f
    for f in (
        known_custom,
        equal_partitions,
        branches,
        float16_weights,
        computed_shape,
        one_kind_two_ways,
    )
}
MODELS = TEN | MORE
