"""The layers that the latency model is fitted to: each kernel over shapes that models have.

Graphs hold several independent layers, each with an input of its own, so that one image measures
all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_quantize.graph import DType, Graph
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import Padding

Layer = Callable[[GraphBuilder, str], int]
"""Adds an input and one layer behind it; returns the layer's result."""

_MOST_LAYERS = 8
_SCALE = 0.05
_POOLS = ("AVERAGE_POOL_2D", "MAX_POOL_2D")


@dataclass(frozen=True)
class Types:
    """Element types of a layer's activations and weights."""

    name: str
    activations: DType = DType.INT8
    weights: DType = DType.INT8

    @property
    def zero(self) -> int:
        """A zero point: int16 activations have none."""
        return 0 if self.activations is DType.INT16 else 3

    def input(self, b: GraphBuilder, name: str, shape: Sequence[int], scale: float = _SCALE) -> int:
        return b.input(name, shape, scale, self.zero, self.activations)


INT8 = Types("s8")
INT4 = Types("w4", weights=DType.INT4)
INT16 = Types("s16", activations=DType.INT16)


@dataclass(frozen=True, eq=False)
class Trial:
    """One graph to measure. `kernels` names rows for layers, by the operator's index."""

    graph: Graph
    kernels: Mapping[int, str] = field(default_factory=dict)


def sweep(features: frozenset[str]) -> Iterator[Trial]:
    """Every graph, for a core with these features; the same each time."""
    dsp = "dsp" in features
    # (layers, the portable row to force where a faster one would be chosen)
    for name, layers, portable in (
        ("conv", [_conv(*shape) for shape in CONV], "eag_conv_2d"),
        ("depthwise", [_depthwise(*shape) for shape in DEPTHWISE], "eag_depthwise_conv_2d"),
        ("dense", [_dense(*shape) for shape in DENSE], "eag_fully_connected"),
        ("average", [_pool("AVERAGE_POOL_2D", *s) for s in POOL], "eag_average_pool_s8"),
        ("max", [_pool("MAX_POOL_2D", *s) for s in POOL], "eag_max_pool_s8"),
    ):
        yield from _graphs(name, layers)
        if dsp:
            yield from _graphs(f"{name}_portable", layers, portable)
    for types in (INT4, INT16):
        for name, layers in (
            ("conv_2d", [_conv(*shape, types) for shape in CONV]),
            ("depthwise_conv_2d", [_depthwise(*shape, types) for shape in DEPTHWISE]),
            ("fully_connected", [_dense(*shape, types) for shape in DENSE]),
        ):
            yield from _graphs(f"{name}_{types.name}", layers)
            if dsp:
                row = f"eag_{name}_{types.name}"
                yield from _graphs(f"{name}_{types.name}_portable", layers, row)
    yield from _graphs("pools_s16", [_pool(op, *s, INT16) for s in POOL for op in _POOLS])
    yield from _graphs("others", [*_others(INT8), *_others(INT16), *CONVERSIONS])


def _graphs(name: str, layers: Sequence[Layer], kernel: str | None = None) -> Iterator[Trial]:
    for start in range(0, len(layers), _MOST_LAYERS):
        builder = GraphBuilder(f"sweep_{name}_{start}")
        chosen = layers[start : start + _MOST_LAYERS]
        results = [layer(builder, f"{start + i}") for i, layer in enumerate(chosen)]
        graph = builder.build(results)
        kernels = {o.index: kernel for o in graph.operators} if kernel else {}
        yield Trial(graph, kernels)


def _values(shape: Sequence[int], types: Types) -> npt.NDArray[np.int8]:
    top = 7 if types.weights is DType.INT4 else 127
    random = np.random.default_rng(sum(shape))
    return random.integers(-top, top + 1, shape).astype(np.int8)


def _weights(b: GraphBuilder, n: str, shape: Sequence[int], axis: int, types: Types) -> int:
    scales = [0.01] * shape[axis]
    return b.weights(f"w{n}", _values(shape, types), scales, axis, types.weights)


def _conv(
    side: int, channels: int, out: int, kernel: int, stride: int, padding: Padding,
    types: Types = INT8,
) -> Layer:  # fmt: skip
    def add(b: GraphBuilder, n: str) -> int:
        x = types.input(b, f"x{n}", (1, side, side, channels))
        w = _weights(b, n, (out, kernel, kernel, channels), 0, types)
        bias = b.bias(f"b{n}", np.zeros(out, np.int32), x, w)
        return b.conv_2d(x, w, bias, 0.1, 0, stride=(stride, stride), padding=padding)

    return add


def _depthwise(
    side: int, channels: int, kernel: int, stride: int, padding: Padding, types: Types = INT8
) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        x = types.input(b, f"x{n}", (1, side, side, channels))
        w = _weights(b, n, (1, kernel, kernel, channels), 3, types)
        bias = b.bias(f"b{n}", np.zeros(channels, np.int32), x, w)
        return b.depthwise_conv_2d(x, w, bias, 0.1, 0, stride=(stride, stride), padding=padding)

    return add


def _dense(depth: int, out: int, types: Types = INT8) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        x = types.input(b, f"x{n}", (1, depth))
        w = _weights(b, n, (out, depth), 0, types)
        return b.fully_connected(x, w, b.bias(f"b{n}", np.zeros(out, np.int32), x, w), 0.1, 0)

    return add


def _pool(
    op: str, side: int, channels: int, size: int, stride: int, padding: Padding,
    types: Types = INT8,
) -> Layer:  # fmt: skip
    def add(b: GraphBuilder, n: str) -> int:
        x = types.input(b, f"x{n}", (1, side, side, channels))
        return b.pool(op, x, (size, size), (stride, stride), padding=padding)

    return add


def _elementwise(op: str, side: int, channels: int, scale: float, types: Types) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        shape = (1, side, side, channels)
        x, y = types.input(b, f"x{n}", shape), types.input(b, f"y{n}", shape, scale)
        return b.elementwise(op, x, y, 0.2, types.zero and -5)

    return add


def _mean(side: int, channels: int, types: Types) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        x = types.input(b, f"x{n}", (1, side, side, channels))
        return b.mean(x, (1, 2), 0.03, types.zero, False)

    return add


def _softmax(rows: int, depth: int, types: Types) -> Layer:
    return lambda b, n: b.softmax(types.input(b, f"x{n}", (rows, depth), 0.1))


def _pad(side: int, channels: int, types: Types) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        x = types.input(b, f"x{n}", (1, side, side, channels))
        return b.pad(x, [(0, 0), (1, 1), (1, 2), (0, 0)])

    return add


def _concat(count: int, side: int, channels: int, types: Types) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        shape = (1, side, side, channels)
        return b.concatenation([types.input(b, f"x{n}_{i}", shape) for i in range(count)], axis=3)

    return add


def _relu(op: str, size: int, types: Types) -> Layer:
    return lambda b, n: b.operator(op, (types.input(b, f"x{n}", (1, size)),))


def _activation(op: str, size: int, types: Types) -> Layer:
    return lambda b, n: b.activation(op, types.input(b, f"x{n}", (1, size)))


def _requantize(size: int, source: DType, to: DType) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        x = b.input(f"x{n}", (1, size), _SCALE, 0, source)
        return b.quantize(x, 0.07, 0, to)

    return add


def _quantize(size: int, to: DType) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        return b.quantize(b.input(f"x{n}", (1, size), dtype=DType.FLOAT32), 0.07, 0, to)

    return add


def _dequantize(size: int, source: DType) -> Layer:
    return lambda b, n: b.dequantize(b.input(f"x{n}", (1, size), 0.07, 0, source))


S, V = Padding.SAME, Padding.VALID
# side, channels in, channels out, kernel, stride, padding
CONV = (
    (32, 3, 16, 3, 1, S), (16, 3, 8, 3, 2, S), (24, 1, 8, 3, 2, V), (16, 1, 12, 5, 1, S),
    (16, 16, 16, 3, 1, S), (8, 32, 32, 3, 1, S), (8, 24, 20, 3, 2, S), (4, 64, 48, 3, 1, S),
    (12, 8, 6, 3, 1, V), (10, 12, 7, 3, 1, S), (6, 20, 33, 3, 1, S), (9, 5, 9, 3, 2, S),
    (16, 16, 32, 1, 1, V), (12, 32, 32, 1, 1, V), (8, 64, 64, 1, 1, V), (6, 64, 128, 1, 1, V),
    (3, 128, 128, 1, 1, V), (3, 256, 128, 1, 1, V), (1, 128, 64, 1, 1, V), (20, 8, 16, 1, 1, V),
    (12, 24, 10, 1, 2, V), (7, 13, 21, 1, 1, V), (5, 40, 50, 1, 1, V), (2, 96, 96, 1, 1, V),
    (24, 4, 4, 3, 1, S), (14, 10, 14, 5, 2, S), (8, 48, 12, 1, 1, V), (4, 16, 64, 3, 1, V),
    (16, 6, 3, 1, 1, V), (11, 28, 28, 1, 1, V), (5, 9, 40, 3, 1, S), (3, 32, 16, 3, 1, S),
)  # fmt: skip
# side, channels, kernel, stride, padding
DEPTHWISE = (
    (24, 8, 3, 1, S), (24, 16, 3, 2, S), (12, 32, 3, 1, S), (12, 32, 3, 2, S), (6, 64, 3, 1, S),
    (6, 64, 3, 2, S), (3, 128, 3, 1, S), (16, 4, 3, 1, V), (10, 48, 3, 1, S), (5, 20, 3, 1, S),
    (7, 36, 3, 2, V), (8, 12, 3, 1, S), (20, 8, 3, 1, V), (4, 96, 3, 1, S), (13, 24, 3, 1, S),
    (2, 64, 3, 1, S), (9, 6, 3, 1, S), (11, 5, 5, 2, S), (8, 16, 5, 1, S), (12, 10, 3, 1, S),
    (6, 40, 5, 1, V), (10, 7, 3, 2, S), (16, 9, 3, 1, S), (5, 32, 5, 1, S),
)  # fmt: skip
# depth, channels out
DENSE = (
    (640, 128), (128, 128), (128, 8), (8, 128), (128, 640), (64, 10), (256, 12), (48, 10),
    (400, 30), (32, 64), (500, 40), (96, 3), (24, 24), (16, 5), (1024, 16), (200, 100),
    (10, 10), (33, 20), (130, 50), (64, 2), (27, 64), (90, 9), (250, 25), (512, 64),
)  # fmt: skip
# side, channels, size, stride, padding
POOL = (
    (16, 8, 2, 2, V), (12, 16, 2, 2, V), (8, 32, 3, 2, S), (5, 64, 5, 1, V), (3, 128, 3, 3, V),
    (8, 12, 8, 1, V), (10, 6, 2, 2, V), (9, 20, 3, 1, S), (24, 4, 2, 2, V), (7, 10, 7, 1, V),
    (6, 48, 2, 1, S), (13, 5, 3, 3, V), (4, 100, 4, 1, V), (16, 3, 2, 2, V), (12, 2, 3, 2, S),
    (20, 1, 2, 2, V),
)  # fmt: skip
_IMAGES = ((16, 16), (8, 32), (4, 48), (5, 7), (12, 6))
_LENGTHS = (16, 200, 1024, 4096)


def _others(types: Types) -> list[Layer]:
    """What moves and combines values, in both types of activations."""
    layers = [
        *(_elementwise("ADD", s, c, _SCALE, types) for s, c in _IMAGES),
        *(_elementwise("ADD", s, c, 7.0, types) for s, c in _IMAGES),
        *(_elementwise("SUB", s, c, 0.03, types) for s, c in _IMAGES),
        *(_elementwise("MUL", s, c, 0.03, types) for s, c in _IMAGES),
        *(_mean(s, c, types) for s, c in ((8, 64), (4, 48), (6, 32), (3, 128), (12, 8), (5, 10))),
        *(_softmax(*shape, types) for shape in ((1, 10), (1, 12), (1, 2), (1, 100), (4, 16))),
        *(_pad(s, c, types) for s, c in ((16, 16), (8, 32), (12, 3), (24, 1), (5, 10), (4, 64))),
        *(_relu("RELU", n, types) for n in _LENGTHS),
        *(_relu("RELU6", n, types) for n in _LENGTHS),
        *(_activation("LOGISTIC", n, types) for n in _LENGTHS),
        *(_activation("TANH", n, types) for n in _LENGTHS),
    ]
    if types is INT8:  # of bytes, whatever they stand for
        shapes = ((8, 16), (12, 3), (4, 64))
        layers += [_concat(n, s, c, types) for n in range(2, 9) for s, c in shapes]
    return layers


CONVERSIONS: tuple[Layer, ...] = (
    *(_requantize(n, DType.INT8, DType.INT8) for n in _LENGTHS),
    *(_requantize(n, DType.INT8, DType.INT16) for n in _LENGTHS),
    *(_requantize(n, DType.INT16, DType.INT8) for n in _LENGTHS),
    *(_requantize(n, DType.INT16, DType.INT16) for n in _LENGTHS),
    *(_quantize(n, to) for to in (DType.INT8, DType.INT16) for n in _LENGTHS),
    *(_dequantize(n, source) for source in (DType.INT8, DType.INT16) for n in _LENGTHS),
)
