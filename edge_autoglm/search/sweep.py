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
    yield from _graphs("conv_w4", [_conv(*shape, bits=4) for shape in CONV])
    yield from _graphs("depthwise_w4", [_depthwise(*shape, bits=4) for shape in DEPTHWISE])
    yield from _graphs("dense_w4", [_dense(*shape, bits=4) for shape in DENSE])
    yield from _graphs("others", OTHERS)


def _graphs(name: str, layers: Sequence[Layer], kernel: str | None = None) -> Iterator[Trial]:
    for start in range(0, len(layers), _MOST_LAYERS):
        builder = GraphBuilder(f"sweep_{name}_{start}")
        chosen = layers[start : start + _MOST_LAYERS]
        results = [layer(builder, f"{start + i}") for i, layer in enumerate(chosen)]
        graph = builder.build(results)
        kernels = {o.index: kernel for o in graph.operators} if kernel else {}
        yield Trial(graph, kernels)


def _values(*shape: int, bits: int = 8) -> npt.NDArray[np.int8]:
    top = (1 << bits - 1) - 1
    random = np.random.default_rng(sum(shape))
    return random.integers(-top, top + 1, shape).astype(np.int8)


def _weights(b: GraphBuilder, n: str, shape: Sequence[int], axis: int, bits: int) -> int:
    scales = [0.01] * shape[axis]
    if bits == 8:
        return b.weights(f"w{n}", _values(*shape), scales, axis)
    return b.weights(f"w{n}", _values(*shape, bits=4), scales, axis, DType.INT4)


def _conv(
    side: int, channels: int, out: int, kernel: int, stride: int, padding: Padding, bits: int = 8
) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        x = b.input(f"x{n}", (1, side, side, channels), _SCALE)
        w = _weights(b, n, (out, kernel, kernel, channels), 0, bits)
        bias = b.bias(f"b{n}", np.zeros(out, np.int32), x, w)
        return b.conv_2d(x, w, bias, 0.1, 0, stride=(stride, stride), padding=padding)

    return add


def _depthwise(
    side: int, channels: int, kernel: int, stride: int, padding: Padding, bits: int = 8
) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        x = b.input(f"x{n}", (1, side, side, channels), _SCALE)
        w = _weights(b, n, (1, kernel, kernel, channels), 3, bits)
        bias = b.bias(f"b{n}", np.zeros(channels, np.int32), x, w)
        return b.depthwise_conv_2d(x, w, bias, 0.1, 0, stride=(stride, stride), padding=padding)

    return add


def _dense(depth: int, out: int, bits: int = 8) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        x = b.input(f"x{n}", (1, depth), _SCALE)
        w = _weights(b, n, (out, depth), 0, bits)
        return b.fully_connected(x, w, b.bias(f"b{n}", np.zeros(out, np.int32), x, w), 0.1, 0)

    return add


def _pool(op: str, side: int, channels: int, size: int, stride: int, padding: Padding) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        x = b.input(f"x{n}", (1, side, side, channels), _SCALE)
        return b.pool(op, x, (size, size), (stride, stride), padding=padding)

    return add


def _elementwise(op: str, side: int, channels: int, scale: float) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        shape = (1, side, side, channels)
        x, y = b.input(f"x{n}", shape, _SCALE), b.input(f"y{n}", shape, scale, 3)
        return b.elementwise(op, x, y, 0.2, -5)

    return add


def _mean(side: int, channels: int) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        x = b.input(f"x{n}", (1, side, side, channels), _SCALE)
        return b.mean(x, (1, 2), 0.03, 1, False)

    return add


def _softmax(rows: int, depth: int) -> Layer:
    return lambda b, n: b.softmax(b.input(f"x{n}", (rows, depth), 0.1))


def _pad(side: int, channels: int) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        x = b.input(f"x{n}", (1, side, side, channels), _SCALE)
        return b.pad(x, [(0, 0), (1, 1), (1, 2), (0, 0)])

    return add


def _concat(count: int, side: int, channels: int) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        shape = (1, side, side, channels)
        return b.concatenation(
            [b.input(f"x{n}_{i}", shape, _SCALE) for i in range(count)], axis=3
        )

    return add


def _relu(op: str, size: int) -> Layer:
    return lambda b, n: b.operator(op, (b.input(f"x{n}", (1, size), _SCALE),))


def _requantize(size: int, source: DType, to: DType) -> Layer:
    def add(b: GraphBuilder, n: str) -> int:
        zero = 0 if DType.INT16 in (source, to) else 4
        x = b.input(f"x{n}", (1, size), _SCALE, 0, source)
        return b.quantize(x, 0.07, zero if to is DType.INT8 else 0, to)

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
OTHERS: tuple[Layer, ...] = (
    *(_elementwise("ADD", s, c, _SCALE) for s, c in ((16, 16), (8, 32), (4, 48), (5, 7), (12, 6))),
    *(_elementwise("ADD", s, c, 7.0) for s, c in ((16, 16), (8, 32), (4, 48), (5, 7), (12, 6))),
    *(_elementwise("MUL", s, c, 0.03) for s, c in ((16, 16), (8, 32), (4, 48), (5, 7), (12, 6))),
    *(_mean(s, c) for s, c in ((8, 64), (4, 48), (6, 32), (3, 128), (12, 8), (5, 10))),
    *(_softmax(r, d) for r, d in ((1, 10), (1, 12), (1, 2), (1, 100), (4, 16), (20, 5))),
    *(_pad(s, c) for s, c in ((16, 16), (8, 32), (12, 3), (24, 1), (5, 10), (4, 64))),
    *(_concat(n, s, c) for n, s, c in ((2, 8, 16), (2, 12, 3), (2, 4, 64), (3, 8, 16), (4, 5, 12),
                                       (5, 4, 8), (6, 4, 8), (7, 4, 8), (8, 4, 8))),
    *(_relu("RELU", n) for n in (16, 200, 1024, 4096)),
    *(_relu("RELU6", n) for n in (16, 200, 1024, 4096)),
    *(_requantize(n, DType.INT8, DType.INT8) for n in (16, 200, 1024, 4096)),
    *(_requantize(n, DType.INT8, DType.INT16) for n in (16, 200, 1024, 4096)),
    *(_requantize(n, DType.INT16, DType.INT8) for n in (16, 200, 1024, 4096)),
    *(_requantize(n, DType.INT16, DType.INT16) for n in (16, 200, 1024, 4096)),
    *(_quantize(n, DType.INT8) for n in (16, 200, 1024, 4096)),
    *(_dequantize(n, DType.INT8) for n in (16, 200, 1024, 4096)),
    *(_quantize(n, DType.INT16) for n in (16, 200, 1024, 4096)),
    *(_dequantize(n, DType.INT16) for n in (16, 200, 1024, 4096)),
)  # fmt: skip
