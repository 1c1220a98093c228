"""What a weighted layer multiplies its weights with: its input as rows of patches, and their first
and second moments over samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.model import Graph, Operator
from edge_quantize.graph.options import Conv2DOptions, DepthwiseConv2DOptions
from edge_quantize.graph.shapes import window

Array = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
_CHUNK = 1 << 20  # patch elements held at once


@dataclass(frozen=True, eq=False)
class Moments:
    """Of a layer's inputs x (as it gets them) and x_float (as the float model has them): means,
    H = covariance of x, and cross = covariance of x_float with x. Dense layers and convolutions:
    `[K]` and `[K, K]`; depthwise: `[channels, K]` and `[channels, K, K]`."""

    mean: Array
    float_mean: Array
    hessian: Array
    cross: Array


@dataclass(frozen=True, eq=False)
class Sums:
    """What `Moments` are made from, so that two sets of samples can be put together."""

    count: int
    parts: tuple[Array, Array, Array, Array]  # of x, x_float, x x^T, x_float x^T

    def __add__(self, other: Sums) -> Sums:
        first, second, third, fourth = (a + b for a, b in zip(self.parts, other.parts, strict=True))
        return Sums(self.count + other.count, (first, second, third, fourth))

    def moments(self) -> Moments:
        mean, float_mean, square, product = (part / self.count for part in self.parts)
        return Moments(
            mean,
            float_mean,
            square - mean[..., :, None] * mean[..., None, :],
            product - float_mean[..., :, None] * mean[..., None, :],
        )


def sums(graph: Graph, operator: Operator, given: Floats, floating: Floats) -> Sums:
    """`given` and `floating` are `[samples, ...]` of the operator's first operand."""
    rows = max(1, _CHUNK // max(1, _patch_elements(graph, operator)))
    total: Sums | None = None
    for start in range(0, len(given), rows):
        x = patches(graph, operator, given[start : start + rows])
        f = patches(graph, operator, floating[start : start + rows])
        part = Sums(x.shape[-2], _chunk(x, f))
        total = part if total is None else total + part
    assert total is not None
    return total


def _chunk(x: Floats, f: Floats) -> tuple[Array, Array, Array, Array]:
    """Sums of x and f over their rows, and of x^T x and f^T x.

    Products in float32 take half the time. They are taken about the mean and moved back in float64,
    since a covariance that is small beside the squared mean would drown in their rounding.
    """
    count = x.shape[-2]
    mean_x, mean_f = (each.mean(-2, keepdims=True, dtype=np.float64) for each in (x, f))
    near_x, near_f = mean_x.astype(np.float32), mean_f.astype(np.float32)
    centred = x - near_x
    products = []
    for each, mean, near in ((x, mean_x, near_x), (f, mean_f, near_f)):
        about = np.swapaxes(each - near, -1, -2) @ centred
        # sum (a + m)(b + n) with a, b what is left about the float32 means m, n.
        left_a = count * (mean - near)
        left_b = count * (mean_x - near_x)
        m, n = np.swapaxes(near, -1, -2).astype(np.float64), near_x.astype(np.float64)
        moved = np.swapaxes(left_a, -1, -2) * n + m * left_b + count * m * n
        products.append(about.astype(np.float64) + moved)
    return (
        x.sum(-2, dtype=np.float64),
        f.sum(-2, dtype=np.float64),
        products[0],
        products[1],
    )


def patches(graph: Graph, operator: Operator, values: Floats) -> Floats:
    """Rows `[positions, K]` in the order of the weights' elements, one for each output position of
    each sample; for depthwise `[channels, positions, K]`, K being kernel height x width."""
    weights = graph.tensors[operator.inputs[1]]
    if operator.op == "FULLY_CONNECTED":
        return values.reshape(-1, weights.shape[1])
    options = operator.options
    assert isinstance(options, Conv2DOptions | DepthwiseConv2DOptions)
    height, width = weights.shape[1:3]
    shape = graph.tensors[operator.inputs[0]].shape
    images = values.reshape(-1, *shape[1:])
    o = options
    rows = window(shape[1], height, o.stride_h, o.dilation_h, o.padding)
    columns = window(shape[2], width, o.stride_w, o.dilation_w, o.padding)
    # Padding holds the real value 0, in integers the zero point.
    border = ((0, 0), (rows.before, rows.after), (columns.before, columns.after), (0, 0))
    padded = np.pad(images, border)
    extent = ((height - 1) * o.dilation_h + 1, (width - 1) * o.dilation_w + 1)
    views = np.lib.stride_tricks.sliding_window_view(padded, extent, axis=(1, 2))
    views = views[:, :: o.stride_h, :: o.stride_w, :, :: o.dilation_h, :: o.dilation_w]
    views = views[:, : rows.outputs, : columns.outputs]  # [n, h, w, channels, kh, kw]
    if operator.op == "CONV_2D":
        return views.transpose(0, 1, 2, 4, 5, 3).reshape(-1, height * width * shape[3])
    assert isinstance(o, DepthwiseConv2DOptions)
    each = views.transpose(3, 0, 1, 2, 4, 5).reshape(shape[3], -1, height * width)
    return np.repeat(each, o.depth_multiplier, axis=0)


def weight_rows(operator: Operator, weights: Array) -> Array:
    """Weights as `[output channels, K]`, K as in `patches`."""
    if operator.op == "DEPTHWISE_CONV_2D":
        return weights.reshape(-1, weights.shape[3]).T
    return weights.reshape(weights.shape[0], -1)


def from_rows(
    operator: Operator, rows: npt.NDArray[np.int8], shape: tuple[int, ...]
) -> npt.NDArray[np.int8]:
    """The reverse of `weight_rows`."""
    back = rows.T if operator.op == "DEPTHWISE_CONV_2D" else rows
    result: npt.NDArray[np.int8] = np.ascontiguousarray(back).reshape(shape)
    return result


def _patch_elements(graph: Graph, operator: Operator) -> int:
    weights = graph.tensors[operator.inputs[1]]
    result = graph.tensors[operator.outputs[0]]
    if operator.op == "DEPTHWISE_CONV_2D":
        return result.elements * int(np.prod(weights.shape[1:3]))
    positions = max(1, result.elements // weights.shape[0])
    return positions * int(np.prod(weights.shape[1:]))
