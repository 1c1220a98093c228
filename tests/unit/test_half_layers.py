"""Layers in float16 against loops over scalars, and against LiteRT in float32."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph, Operator
from edge_quantize.graph.options import (
    Activation,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Options,
    Padding,
    Pool2DOptions,
    ReducerOptions,
    SchemaOptions,
    SoftmaxOptions,
)
from edge_quantize.graph.shapes import window
from edge_quantize.half.arithmetic import halved
from edge_quantize.half.layers import activated, half_layer
from edge_quantize.ptq.single import run_operator

H = np.float16


def layer(
    op: str, shape: tuple[int, ...], constants: list[np.ndarray], options: Options,
    result: tuple[int, ...] | None = None, place: int = 0,
) -> Graph:  # fmt: skip
    """One operator on an input of `shape`, which is its operand number `place`."""
    b = GraphBuilder("one")
    operands = [b.constant(f"c{i}", array) for i, array in enumerate(constants)]
    operands.insert(place, b.input("x", shape, dtype=DType.FLOAT32))
    return b.build(
        [b.operator(op, operands, options, dtype=DType.FLOAT32, shape=result, version=1)]
    )


def in_half(graph: Graph, source: np.ndarray) -> np.ndarray:
    operator = graph.operators[0]
    values = {t.index: np.asarray(t.data)[None] for t in graph.constants()}
    made = half_layer(graph, operator, {**values, graph.inputs[0]: source})
    assert made is not None
    return activated(operator, made)


def in_single(graph: Graph, source: np.ndarray) -> np.ndarray:
    made = run_operator(graph, graph.operators[0], {graph.inputs[0]: source})
    return made[graph.outputs[0]]


def draw_halves(seed: int, *shape: int) -> np.ndarray:
    return halved(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def step(total: H, left: float, right: float) -> H:
    return H(np.float32(total) + np.float32(left) * np.float32(right))


def convolved(source: np.ndarray, weights: np.ndarray, bias: np.ndarray, options) -> np.ndarray:  # type: ignore[no-untyped-def]
    """[height, width, channels] by `[out, h, w, in]`, or depthwise `[1, h, w, out]`."""
    deep = isinstance(options, DepthwiseConv2DOptions)
    count = weights.shape[3] if deep else weights.shape[0]
    sides = [
        window(size, taps, stride, dilation, options.padding)
        for size, taps, stride, dilation in (
            (source.shape[0], weights.shape[1], options.stride_h, options.dilation_h),
            (source.shape[1], weights.shape[2], options.stride_w, options.dilation_w),
        )
    ]
    result = np.zeros((sides[0].outputs, sides[1].outputs, count), np.float32)
    for row, column, channel in np.ndindex(*result.shape):
        total = H(0)
        for y, x in np.ndindex(*weights.shape[1:3]):
            top = row * options.stride_h + y * options.dilation_h - sides[0].before
            left = column * options.stride_w + x * options.dilation_w - sides[1].before
            if not (0 <= top < source.shape[0] and 0 <= left < source.shape[1]):
                continue
            if deep:
                multiplier = count // source.shape[2]
                value = source[top, left, channel // multiplier]
                total = step(total, value, weights[0, y, x, channel])
                continue
            for depth in range(weights.shape[3]):
                total = step(total, source[top, left, depth], weights[channel, y, x, depth])
        result[row, column, channel] = H(total + H(bias[channel]))
    return result


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**20), side=st.integers(3, 6), depth=st.integers(1, 3),
    count=st.integers(1, 4), taps=st.sampled_from([(1, 1), (3, 3), (2, 3)]),
    stride=st.integers(1, 2), dilation=st.integers(1, 2), padding=st.sampled_from(Padding),
)  # fmt: skip
def test_a_convolution_adds_up_window_by_window(
    seed: int, side: int, depth: int, count: int, taps: tuple[int, int], stride: int,
    dilation: int, padding: Padding,
) -> None:  # fmt: skip
    if padding is Padding.VALID and (max(taps) - 1) * dilation + 1 > side:
        dilation = 1
    options = Conv2DOptions(padding, stride, stride, dilation, dilation)
    source = draw_halves(seed, 2, 1, side, side, depth)
    weights, bias = draw_halves(seed + 1, count, *taps, depth), draw_halves(seed + 2, count)
    made = in_half(layer("CONV_2D", source.shape[1:], [weights, bias], options), source)
    wanted = [convolved(one[0], weights, bias, options) for one in source]
    np.testing.assert_array_equal(made[:, 0], np.stack(wanted))


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**20), depth=st.integers(1, 3), multiplier=st.integers(1, 2),
    stride=st.integers(1, 2), padding=st.sampled_from(Padding),
)  # fmt: skip
def test_a_depthwise_convolution_adds_up_window_by_window(
    seed: int, depth: int, multiplier: int, stride: int, padding: Padding
) -> None:
    options = DepthwiseConv2DOptions(padding, stride, stride, multiplier)
    source = draw_halves(seed, 2, 1, 5, 4, depth)
    count = depth * multiplier
    weights, bias = draw_halves(seed + 1, 1, 3, 3, count), draw_halves(seed + 2, count)
    made = in_half(layer("DEPTHWISE_CONV_2D", source.shape[1:], [weights, bias], options), source)
    wanted = [convolved(one[0], weights, bias, options) for one in source]
    np.testing.assert_array_equal(made[:, 0], np.stack(wanted))


@given(seed=st.integers(0, 2**20), depth=st.integers(1, 9), rows=st.integers(1, 5))
def test_a_fully_connected_layer_adds_up_in_order(seed: int, depth: int, rows: int) -> None:
    source, weights = draw_halves(seed, 3, 1, depth), draw_halves(seed + 1, rows, depth)
    bias = draw_halves(seed + 2, rows)
    graph = layer(
        "FULLY_CONNECTED", (1, depth), [weights, bias], FullyConnectedOptions(Activation.RELU)
    )
    made = in_half(graph, source)
    for sample, row in np.ndindex(3, rows):
        total = H(0)
        for k in range(depth):
            total = step(total, source[sample, 0, k], weights[row, k])
        assert made[sample, 0, row] == max(H(0), H(total + H(bias[row])))


def test_an_average_counts_only_what_lies_under_the_window() -> None:
    source = draw_halves(0, 2, 1, 5, 5, 3)
    options = Pool2DOptions(Padding.SAME, 2, 2, 3, 3)
    graph = layer("AVERAGE_POOL_2D", source.shape[1:], [], options)
    made = in_half(graph, source)
    corner = H(0)
    side = window(5, 3, 2, 1, Padding.SAME)
    inside = range(max(0, -side.before), 3 - side.before)
    for y in inside:
        for x in inside:
            corner = H(corner + H(source[1, 0, y, x, 2]))
    assert made[1, 0, 0, 0, 2] == H(np.float32(corner) / len(inside) ** 2)
    np.testing.assert_allclose(made, in_single(graph, source), rtol=5e-3, atol=2e-3)


def test_a_mean_adds_first_and_divides_then() -> None:
    source = draw_halves(0, 2, 1, 4, 3, 2)
    axes = np.array([1, 2], np.int32)
    made = in_half(layer("MEAN", (1, 4, 3, 2), [axes], ReducerOptions()), source)
    for sample, channel in np.ndindex(2, 2):
        total = H(0)
        for y, x in np.ndindex(4, 3):
            total = H(total + H(source[sample, 0, y, x, channel]))
        assert made[sample, 0, channel] == H(np.float32(total) / 12)


def test_a_softmax_takes_the_largest_off_first() -> None:
    source = halved(np.array([[[30000, 29999, 100]], [[1, 2, 3]]], np.float32))
    graph = layer("SOFTMAX", (1, 3), [], SoftmaxOptions(1.0))
    made = in_half(graph, source)
    assert np.isfinite(made).all()
    np.testing.assert_allclose(made, in_single(graph, source), atol=1e-3)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_grouped_convolution_is_near_litert(groups: int) -> None:
    source = draw_halves(0, 2, 1, 6, 6, 4)
    weights, bias = draw_halves(1, 6, 3, 3, 4 // groups), draw_halves(2, 6)
    options = Conv2DOptions(Padding.SAME, 2, 2)
    graph = layer("CONV_2D", (1, 6, 6, 4), [weights, bias], options, (1, 3, 3, 6))
    np.testing.assert_allclose(in_half(graph, source), in_single(graph, source), atol=3e-2)


@pytest.mark.parametrize("padding", [0, 1], ids=["same", "valid"])
@pytest.mark.parametrize(("taps", "stride"), [(3, 2), (2, 2), (4, 2), (3, 1), (2, 3)])
def test_a_transposed_convolution_is_near_litert(padding: int, taps: int, stride: int) -> None:
    source = draw_halves(0, 2, 1, 4, 5, 3)
    weights = draw_halves(1, 2, taps, taps, 3)
    grown = [n * stride if padding == 0 else (n - 1) * stride + taps for n in (4, 5)]
    if padding == 1:
        grown = [max(g, n * stride) for g, n in zip(grown, (4, 5), strict=True)]
    shape = np.array([1, *grown, 2], np.int32)
    options = SchemaOptions(
        "TransposeConvOptions", {"padding": padding, "stride_w": stride, "stride_h": stride}
    )
    graph = layer(
        "TRANSPOSE_CONV", (1, 4, 5, 3), [shape, weights], options, (1, *grown, 2), place=2
    )
    np.testing.assert_allclose(in_half(graph, source), in_single(graph, source), atol=3e-2)


@pytest.mark.parametrize("turned", [False, True])
def test_a_product_of_matrices_is_near_litert(turned: bool) -> None:
    source = draw_halves(0, 3, 2, 4, 5)
    other = draw_halves(1, 2, *((6, 5) if turned else (5, 6)))
    options = SchemaOptions("BatchMatMulOptions", {"adj_x": False, "adj_y": turned})
    graph = layer("BATCH_MATMUL", (2, 4, 5), [other], options, (2, 4, 6))
    np.testing.assert_allclose(in_half(graph, source), in_single(graph, source), atol=3e-2)


def test_what_has_no_model_is_said_and_not_guessed() -> None:
    graph = layer("TANH", (1, 3), [], SoftmaxOptions())
    operator: Operator = graph.operators[0]
    assert half_layer(graph, operator, {graph.inputs[0]: draw_halves(0, 1, 1, 3)}) is None
