"""Operators with weights, pools, and products of matrices."""

from __future__ import annotations

from collections.abc import Iterator

from edge_quantize.graph.model import Graph
from edge_quantize.graph.options import (
    Activation,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Padding,
    Pool2DOptions,
)

from .one_op import T, one_op, schema

_BIASES = {"f32": "f32", "f16": "f32", "i8": "i32", "u8": "i32", "i16": "i64"}
# (input, weights): what converters write, and what is close to it.
_TYPES = (
    ("f32", "f32"), ("i8", "i8"), ("u8", "u8"), ("i16", "i8"), ("f32", "i8"), ("f32", "i4"),
    ("i8", "i4"), ("f32", "f16"), ("i16", "i16"), ("f16", "f16"), ("f32", "u8"),
)  # fmt: skip


def cases() -> Iterator[tuple[str, Graph]]:
    yield from _conv()
    yield from _depthwise()
    yield from _dense()
    yield from _pools()
    yield from _transposed()
    yield from _matrices()


def _weights(shape: tuple[int, ...], dtype: str, axis: int | None) -> T:
    per_channel = axis if dtype in ("i8", "i4") else None
    return T(shape, dtype, True, channels=per_channel, zero_point=None if dtype == "u8" else 0)


def _bias(count: int, source: str) -> T:
    # LiteRT's int8 kernels read the bias's scale before they look whether it has one.
    axis = 0 if source in ("i8", "u8", "i16") else None
    return T((count,), _BIASES[source], True, channels=axis)


def _conv() -> Iterator[tuple[str, Graph]]:
    plain = Conv2DOptions(Padding.SAME, 1, 1)
    for x, w in _TYPES:
        for size in (1, 3):
            for axis in (0, None) if w in ("i8", "i4") else (None,):
                graph = one_op(
                    "CONV_2D",
                    [T((1, 8, 8, 4), x), _weights((6, size, size, 4), w, axis), _bias(6, x)],
                    [T((1, 8, 8, 6), x)], plain, 3,
                )  # fmt: skip
                kind = " per channel" if axis == 0 else ""
                yield f"CONV_2D {x} weights {w} {size}x{size}{kind}", graph
    a, w, b, y = T((1, 8, 8, 4)), T((6, 3, 3, 4), "f32", True), _bias(6, "f32"), T((1, 8, 8, 6))
    yield "CONV_2D f32 no bias", one_op("CONV_2D", [a, w], [y], plain)
    yield "CONV_2D f32 runtime weights", one_op("CONV_2D", [a, T((6, 3, 3, 4)), b], [y], plain)
    graph = one_op("CONV_2D", [a, T((6, 3, 3, 4)), T((6,))], [y], plain)
    yield "CONV_2D f32 runtime weights and bias", graph
    yield "CONV_2D f32 runtime bias", one_op("CONV_2D", [a, w, T((6,))], [y], plain)
    i8 = T((1, 8, 8, 4), "i8")
    graph = one_op("CONV_2D", [i8, T((6, 3, 3, 4), "i8", zero_point=0), _bias(6, "i8")],
                   [T((1, 8, 8, 6), "i8")], plain, 3)  # fmt: skip
    yield "CONV_2D i8 runtime weights", graph
    yield (
        "CONV_2D f32 groups",
        one_op("CONV_2D", [a, T((6, 3, 3, 2), "f32", True), b], [y], plain, 6),
    )
    wide = Conv2DOptions(Padding.VALID, 1, 1, 2, 2)
    yield "CONV_2D f32 dilation2", one_op("CONV_2D", [a, w, b], [T((1, 4, 4, 6))], wide, 2)
    steps = Conv2DOptions(Padding.SAME, 2, 1)
    yield "CONV_2D f32 stride2x1", one_op("CONV_2D", [a, w, b], [T((1, 4, 8, 6))], steps)
    for act in Activation:
        fused = Conv2DOptions(Padding.SAME, 1, 1, activation=act)
        yield f"CONV_2D f32 fused {act.name.lower()}", one_op("CONV_2D", [a, w, b], [y], fused)
    two = [T((2, 8, 8, 4)), w, b]
    yield "CONV_2D f32 batch2", one_op("CONV_2D", two, [T((2, 8, 8, 6))], plain)
    for version in (5, 6, 7, 8):
        yield f"CONV_2D f32 version{version}", one_op("CONV_2D", [a, w, b], [y], plain, version)


def _depthwise() -> Iterator[tuple[str, Graph]]:
    plain = DepthwiseConv2DOptions(Padding.SAME, 1, 1, 1)
    for x, w in _TYPES:
        for axis in (3, None) if w in ("i8", "i4") else (None,):
            graph = one_op(
                "DEPTHWISE_CONV_2D",
                [T((1, 8, 8, 4), x), _weights((1, 3, 3, 4), w, axis), _bias(4, x)],
                [T((1, 8, 8, 4), x)], plain, 3,
            )  # fmt: skip
            yield f"DEPTHWISE_CONV_2D {x} weights {w}{' per channel' if axis else ''}", graph
    a, w, b, y = T((1, 8, 8, 4)), T((1, 3, 3, 4), "f32", True), _bias(4, "f32"), T((1, 8, 8, 4))
    op = "DEPTHWISE_CONV_2D"
    yield f"{op} f32 no bias", one_op(op, [a, w], [y], plain)
    yield f"{op} f32 runtime weights", one_op(op, [a, T((1, 3, 3, 4)), b], [y], plain)
    yield f"{op} f32 runtime bias", one_op(op, [a, w, T((4,))], [y], plain)
    double = DepthwiseConv2DOptions(Padding.SAME, 1, 1, 2)
    graph = one_op(
        op, [a, T((1, 3, 3, 8), "f32", True), _bias(8, "f32")], [T((1, 8, 8, 8))], double
    )
    yield f"{op} f32 multiplier2", graph
    wide = DepthwiseConv2DOptions(Padding.VALID, 1, 1, 1, 2, 2)
    yield f"{op} f32 dilation2", one_op(op, [a, w, b], [T((1, 4, 4, 4))], wide, 2)
    steps = DepthwiseConv2DOptions(Padding.SAME, 2, 2, 1)
    yield f"{op} f32 stride2", one_op(op, [a, w, b], [T((1, 4, 4, 4))], steps)
    for act in Activation:
        fused = DepthwiseConv2DOptions(Padding.SAME, 1, 1, 1, activation=act)
        yield f"{op} f32 fused {act.name.lower()}", one_op(op, [a, w, b], [y], fused)
    for version in (5, 6, 7):
        yield f"{op} f32 version{version}", one_op(op, [a, w, b], [y], plain, version)


def _dense() -> Iterator[tuple[str, Graph]]:
    op, plain = "FULLY_CONNECTED", FullyConnectedOptions()
    keep = FullyConnectedOptions(keep_num_dims=True)
    for x, w in _TYPES:
        for axis in (0, None) if w in ("i8", "i4") else (None,):
            graph = one_op(op, [T((1, 8), x), _weights((6, 8), w, axis), _bias(6, x)],
                           [T((1, 6), x)], plain, 5)  # fmt: skip
            yield f"{op} {x} weights {w}{' per channel' if axis == 0 else ''}", graph
    w, b = T((6, 8), "f32", True), _bias(6, "f32")
    for shape in ((8,), (2, 8), (1, 4, 8), (1, 4, 4, 8), (1, 2, 4, 4, 8)):
        rows = 1
        for n in shape[:-1]:
            rows *= n
        yield f"{op} f32 rank{len(shape)}", one_op(op, [T(shape), w, b], [T((rows, 6))], plain)
        graph = one_op(op, [T(shape), w, b], [T((*shape[:-1], 6))], keep, 5)
        yield f"{op} f32 rank{len(shape)} keep", graph
    graph = one_op(op, [T((1, 2, 2, 2)), w, b], [T((1, 6))], plain)
    yield f"{op} f32 flattening", graph
    yield f"{op} f32 no bias", one_op(op, [T((1, 8)), w, None], [T((1, 6))], plain)
    yield f"{op} f32 runtime weights", one_op(op, [T((1, 8)), T((6, 8)), b], [T((1, 6))], plain)
    graph = one_op(op, [T((1, 8)), T((6, 8)), T((6,))], [T((1, 6))], plain)
    yield f"{op} f32 runtime weights and bias", graph
    yield f"{op} f32 runtime bias", one_op(op, [T((1, 8)), w, T((6,))], [T((1, 6))], plain)
    graph = one_op(op, [T((1, 8), "f32", True), T((6, 8)), b], [T((1, 6))], plain)
    yield f"{op} f32 constant input", graph
    runtime = T((6, 8), "i8", zero_point=0)
    graph = one_op(op, [T((1, 8), "i8"), runtime, None], [T((1, 6), "i8")], plain, 4)
    yield f"{op} i8 runtime weights", graph
    for act in Activation:
        fused = FullyConnectedOptions(act)
        graph = one_op(op, [T((1, 8)), w, b], [T((1, 6))], fused)
        yield f"{op} f32 fused {act.name.lower()}", graph
    for version in (9, 12, 13, 14):
        graph = one_op(op, [T((1, 8)), w, b], [T((1, 6))], plain, version)
        yield f"{op} f32 version{version}", graph


def _pools() -> Iterator[tuple[str, Graph]]:
    for op in ("AVERAGE_POOL_2D", "MAX_POOL_2D", "L2_POOL_2D"):
        plain = Pool2DOptions(Padding.SAME, 2, 2, 2, 2)
        for dtype in ("f32", "i8", "u8", "i16", "f16"):
            graph = one_op(op, [T((1, 8, 8, 4), dtype)], [T((1, 4, 4, 4), dtype)], plain,
                           {"i8": 2, "i16": 3}.get(dtype, 1))  # fmt: skip
            yield f"{op} {dtype}", graph
        for act in Activation:
            fused = Pool2DOptions(Padding.SAME, 2, 2, 2, 2, act)
            graph = one_op(op, [T((1, 8, 8, 4))], [T((1, 4, 4, 4))], fused)
            yield f"{op} f32 fused {act.name.lower()}", graph
        whole = Pool2DOptions(Padding.VALID, 8, 8, 8, 8)
        yield f"{op} f32 whole", one_op(op, [T((1, 8, 8, 4))], [T((1, 1, 1, 4))], whole)
        for version in (2, 3):
            graph = one_op(op, [T((1, 8, 8, 4))], [T((1, 4, 4, 4))], plain, version)
            yield f"{op} f32 version{version}", graph


def _transposed() -> Iterator[tuple[str, Graph]]:
    op = "TRANSPOSE_CONV"
    options = schema("TransposeConvOptions", padding=0, stride_w=2, stride_h=2)
    shape = T((4,), "i32", [1, 8, 8, 6])
    for x, w in (("f32", "f32"), ("i8", "i8"), ("u8", "u8"), ("i16", "i8"), ("f32", "f16")):
        parts = [shape, _weights((6, 3, 3, 4), w, 0), T((1, 4, 4, 4), x)]
        y = T((1, 8, 8, 6), x)
        yield f"{op} {x} weights {w}", one_op(op, parts, [y], options, 2)
        yield f"{op} {x} weights {w} bias", one_op(op, [*parts, _bias(6, x)], [y], options, 3)
    w = T((6, 3, 3, 4), "f32", True)
    y = T((1, 8, 8, 6))
    graph = one_op(op, [shape, T((6, 3, 3, 4)), T((1, 4, 4, 4))], [y], options)
    yield f"{op} f32 runtime weights", graph
    fused = schema("TransposeConvOptions", padding=0, stride_w=2, stride_h=2,
                   fused_activation_function=1)  # fmt: skip
    yield f"{op} f32 fused relu", one_op(op, [shape, w, T((1, 4, 4, 4))], [y], fused, 4)
    for version in (3, 4, 5):
        graph = one_op(op, [shape, w, T((1, 4, 4, 4))], [y], options, version)
        yield f"{op} f32 version{version}", graph


def _matrices() -> Iterator[tuple[str, Graph]]:
    op = "BATCH_MATMUL"
    plain = schema("BatchMatMulOptions")
    for dtype in ("f32", "i8", "i16", "i32"):
        a, b, y = (T(s, dtype) for s in ((1, 4, 8), (1, 8, 6), (1, 4, 6)))
        yield f"{op} {dtype}", one_op(op, [a, b], [y], plain, 2)
        constant = T((1, 8, 6), dtype, True)
        yield f"{op} {dtype} second const", one_op(op, [a, constant], [y], plain, 2)
    for name, values in (("adj_x", {"adj_x": True}), ("adj_y", {"adj_y": True})):
        a = T((1, 8, 4) if name == "adj_x" else (1, 4, 8))
        b = T((1, 6, 8) if name == "adj_y" else (1, 8, 6))
        graph = one_op(op, [a, b], [T((1, 4, 6))], schema("BatchMatMulOptions", **values))
        yield f"{op} f32 {name}", graph
    ranks = {2: (), 3: (2,), 4: (1, 2), 5: (1, 1, 2)}
    for rank, lead in ranks.items():
        a, b, y = T((*lead, 4, 8)), T((*lead, 8, 6)), T((*lead, 4, 6))
        yield f"{op} f32 rank{rank}", one_op(op, [a, b], [y], plain)
        graph = one_op(op, [a, T((*lead, 8, 6), "f32", True)], [y], plain)
        yield f"{op} f32 rank{rank} second const", graph
    graph = one_op(op, [T((1, 4, 8), "f32", True), T((1, 8, 6))], [T((1, 4, 6))], plain)
    yield f"{op} f32 first const", graph
    graph = one_op(op, [T((2, 4, 8)), T((8, 6))], [T((2, 4, 6))], plain)
    yield f"{op} f32 ranks 3 and 2", graph
    lstm = schema("LSTMOptions", fused_activation_function=4, kernel_type=1)
    f = T
    graph = one_op("LSTM", [f((1, 8)), f((1, 8)), f((32, 16), "f32", True), f((32,), "f32", True),
                            f((1, 8))],
                   [f((1, 8)), f((1, 8)), f((1, 16)), f((1, 32))], lstm)  # fmt: skip
    yield "LSTM f32 basic", graph
