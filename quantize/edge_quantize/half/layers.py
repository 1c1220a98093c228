"""Layers whose sums are kept in float16, as a GPU's half-precision kernels keep them.

Modelled: one running sum for each result, over window rows, window columns and input channels in
this order, then the bias, then the activation; each step rounds. Real kernels may split a sum
among threads (which rounds less often) or transform the convolution (Winograd).
Values are float32 arrays `[samples, *tensor shape]` that hold float16 numbers, constants with one
sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from edge_quantize.graph.edit import fused_activation
from edge_quantize.graph.model import Graph, Operator
from edge_quantize.graph.options import (
    Activation,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    Padding,
    Pool2DOptions,
    SchemaOptions,
    SoftmaxOptions,
)
from edge_quantize.graph.shapes import Window, window

from .arithmetic import Floats, Sums, dot, halved, safe_sum, stays_finite

_BLOCK = 1 << 15
Values = Mapping[int, Floats]
_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})


def half_layer(graph: Graph, operator: Operator, values: Values) -> Floats | None:
    """The only result before its fused activation, or None for an operator that is not here."""
    rule = _RULES.get(operator.op)
    if rule is None or (operator.op in _WEIGHTED and not _constant_weights(graph, operator)):
        return None
    return rule(graph, operator, values)


def activated(operator: Operator, values: Floats) -> Floats:
    """The fused activation, in float16."""
    activation = fused_activation(operator) or Activation.NONE
    if activation is Activation.RELU:
        return np.maximum(values, np.float32(0))
    if activation is Activation.RELU6:
        return np.clip(values, np.float32(0), np.float32(6))
    if activation is Activation.RELU_N1_TO_1:
        return np.clip(values, np.float32(-1), np.float32(1))
    if activation is Activation.TANH:
        return halved(np.tanh(values))
    return values


def _constant_weights(graph: Graph, operator: Operator) -> bool:
    weights = operator.inputs[:2] + operator.inputs[3:]
    if operator.op != "TRANSPOSE_CONV":
        weights = operator.inputs[1:]
    return all(graph.tensors[i].is_constant for i in weights if i >= 0)


def _convolution(_: Graph, operator: Operator, values: Values) -> Floats | None:
    options = operator.options
    assert isinstance(options, Conv2DOptions)
    source, weights = values[operator.inputs[0]], values[operator.inputs[1]][0]
    groups, rest = divmod(source.shape[4], weights.shape[3])
    if rest or weights.shape[0] % groups:
        return None
    made = [
        _windowed(part, filters, options)
        for part, filters in zip(
            np.split(source, groups, axis=4), np.split(weights, groups), strict=True
        )
    ]
    return _biased(np.concatenate(made, axis=4), operator, values)


def _windowed(source: Floats, weights: Floats, options: Any) -> Floats:
    count = weights.shape[0]
    places = _Places(source, weights.shape[1:3], options)
    turned = np.ascontiguousarray(weights.reshape(count, -1).T)
    result = np.empty((places.count, count), np.float32)
    block = max(1, _BLOCK // count)
    for start in range(0, places.count, block):
        stop = min(start + block, places.count)
        taps = [places.rows(start, stop, y, x) for y, x in places.taps]
        result[start:stop] = dot(np.concatenate(taps, axis=1), turned)
    return result.reshape(places.shape(count))


def _transposed(graph: Graph, operator: Operator, values: Values) -> Floats | None:
    """As the convolution of an input with zeros between its elements: those add nothing."""
    options = operator.options
    if not isinstance(options, SchemaOptions) or options.values.get("fused_activation_function"):
        return None
    weights, source = values[operator.inputs[1]][0], values[operator.inputs[2]]
    (result,) = graph.results(operator)
    samples, batch, height, width, channels = source.shape
    stride = int(options.values["stride_h"]), int(options.values["stride_w"])  # type: ignore[arg-type]
    apart = [(n - 1) * step + 1 for n, step in zip((height, width), stride, strict=True)]
    sizes = weights.shape[1:3]
    wanted = [n + size - 1 for n, size in zip(result.shape[1:3], sizes, strict=True)]
    # What SAME cuts off the whole result in front; VALID cuts nothing.
    cut = [
        max(0, (n - 1) * step + size - out) // 2
        for n, step, size, out in zip(
            (height, width), stride, sizes, result.shape[1:3], strict=True
        )
    ]
    front = [size - 1 - before for size, before in zip(sizes, cut, strict=True)]
    if min(front) < 0:
        return None
    spread = np.zeros(
        (samples, batch, *(f + n for f, n in zip(front, apart, strict=True)), channels), np.float32
    )
    spread[:, :, front[0] :: stride[0], front[1] :: stride[1]] = source
    padded = np.zeros((samples, batch, *wanted, channels), np.float32)
    rows, columns = (min(a, b) for a, b in zip(wanted, spread.shape[2:4], strict=True))
    padded[:, :, :rows, :columns] = spread[:, :, :rows, :columns]
    plain = Conv2DOptions(Padding.VALID, 1, 1)
    return _biased(_windowed(padded, weights[:, ::-1, ::-1], plain), operator, values, 3)


def _depthwise(_: Graph, operator: Operator, values: Values) -> Floats | None:
    options = operator.options
    assert isinstance(options, DepthwiseConv2DOptions)
    source, weights = values[operator.inputs[0]], values[operator.inputs[1]][0]
    count = weights.shape[3]
    repeats, rest = divmod(count, source.shape[4])
    if rest:
        return None
    places = _Places(source, weights.shape[1:3], options)
    with np.errstate(over="ignore", invalid="ignore"):
        most = float(np.abs(source).max(initial=0.0) * np.abs(weights).sum(axis=(0, 1, 2)).max())
    safe = stays_finite(most, len(places.taps))
    result = np.empty((places.count, count), np.float32)
    block = max(1, _BLOCK // count)
    for start in range(0, places.count, block):
        stop = min(start + block, places.count)
        sums = Sums(stop - start, count, safe)
        for y, x in places.taps:
            rows = places.rows(start, stop, y, x)
            rows = np.repeat(rows, repeats, axis=1) if repeats > 1 else rows
            sums.add_product(rows, weights[0, y, x])
        result[start:stop] = sums.values
    return _biased(result, operator, values).reshape(places.shape(count))


def _fully_connected(graph: Graph, operator: Operator, values: Values) -> Floats:
    source, weights = values[operator.inputs[0]], values[operator.inputs[1]][0]
    (result,) = graph.results(operator)
    rows = source.reshape(-1, weights.shape[1])
    made = dot(rows, np.ascontiguousarray(weights.T))
    return _biased(made, operator, values).reshape(source.shape[0], *result.shape)


def _average_pool(_: Graph, operator: Operator, values: Values) -> Floats:
    options = operator.options
    assert isinstance(options, Pool2DOptions)
    source = values[operator.inputs[0]]
    size = (options.filter_h, options.filter_w)
    places = _Places(source, size, options)
    inside = _Places(np.ones((1, *source.shape[1:4], 1), np.float32), size, options)
    result = np.empty((places.count, source.shape[4]), np.float32)
    # The number of inputs under each window: those of the padding do not count.
    under = np.zeros((inside.count, 1), np.float32)
    for y, x in inside.taps:
        under += inside.rows(0, inside.count, y, x)
    with np.errstate(over="ignore", invalid="ignore"):
        most = float(np.abs(source).max(initial=0.0)) * size[0] * size[1]
    safe = stays_finite(most, size[0] * size[1])
    block = max(1, _BLOCK // source.shape[4])
    for start in range(0, places.count, block):
        stop = min(start + block, places.count)
        sums = Sums(stop - start, source.shape[4], safe)
        for y, x in places.taps:
            sums.add(places.rows(start, stop, y, x))
        result[start:stop] = sums.values
    divisors = np.tile(under, (places.count // inside.count, 1))
    return halved(result / divisors).reshape(places.shape(source.shape[4]))


def _mean(graph: Graph, operator: Operator, values: Values) -> Floats | None:
    tensor, axes = graph.operands(operator)[:2]
    (result,) = graph.results(operator)
    assert tensor is not None
    if axes is None or axes.data is None:
        return None
    source = values[operator.inputs[0]]
    reduced = {int(axis) % len(tensor.shape) for axis in axes.data.reshape(-1)}
    over = [axis + 1 for axis in sorted(reduced)]
    kept = [axis for axis in range(source.ndim) if axis not in over]
    terms = np.transpose(source, over + kept)
    count = math.prod(source.shape[axis] for axis in over)
    flat = np.ascontiguousarray(terms).reshape(count, 1, -1)
    sums = Sums(1, flat.shape[2], safe_sum(flat, 0))
    for term in flat:
        sums.add(term)
    made = sums.values if operator.op == "SUM" else halved(sums.values / np.float32(count))
    return made.reshape(source.shape[0], *result.shape)


def _softmax(_: Graph, operator: Operator, values: Values) -> Floats:
    """exp(beta * (x - largest)) and its sum, so that nothing passes 1 before it is added."""
    options = operator.options
    assert isinstance(options, SoftmaxOptions)
    source = values[operator.inputs[0]]
    flat = source.reshape(-1, source.shape[-1])
    with np.errstate(over="ignore", invalid="ignore"):
        apart = halved(flat - flat.max(axis=1, keepdims=True))
        powers = halved(np.exp(halved(apart * np.float32(options.beta))))
    sums = Sums(flat.shape[0], 1, safe_sum(powers, 1))
    for column in powers.T:
        sums.add(column[:, None])
    with np.errstate(invalid="ignore", divide="ignore"):
        return halved(powers / sums.values).reshape(source.shape)


def _batch_matmul(graph: Graph, operator: Operator, values: Values) -> Floats | None:
    options = operator.options
    if not isinstance(options, SchemaOptions):
        return None
    left, right = values[operator.inputs[0]], values[operator.inputs[1]]
    (result,) = graph.results(operator)
    if options.values.get("adj_x"):
        left = np.swapaxes(left, -1, -2)
    if options.values.get("adj_y"):
        right = np.swapaxes(right, -1, -2)
    count = max(len(left), len(right))
    shape = (count, *result.shape)
    pairs = zip(_batches(left, shape), _batches(right, shape), strict=True)
    made = [dot(one, other) for one, other in pairs]
    return np.stack(made).reshape(shape)


def _batches(values: Floats, shape: tuple[int, ...]) -> Floats:
    """`[all batches, rows, columns]`, samples and batch dimensions broadcast."""
    wide = values.reshape(len(values), *[1] * (len(shape) - values.ndim), *values.shape[1:])
    batch = np.broadcast_to(wide, (*shape[:-2], *wide.shape[-2:]))
    return np.ascontiguousarray(batch).reshape(-1, *wide.shape[-2:])


def _biased(sums: Floats, operator: Operator, values: Values, place: int = 2) -> Floats:
    bias = operator.inputs[place] if len(operator.inputs) > place else -1
    if bias < 0:
        return sums
    with np.errstate(over="ignore", invalid="ignore"):
        return halved(sums + values[bias][0].reshape(-1))


class _Places:
    """Where a window lies: every position of it, over all samples, numbered in order."""

    def __init__(self, source: Floats, size: tuple[int, ...], options: Any) -> None:
        samples, batch, height, width, self._channels = source.shape
        dilation = (getattr(options, "dilation_h", 1), getattr(options, "dilation_w", 1))
        stride = (options.stride_h, options.stride_w)
        rows, columns = (
            window(extent, taps, step, apart, options.padding)
            for extent, taps, step, apart in zip(
                (height, width), size, stride, dilation, strict=True
            )
        )
        self._dilation, self._stride = dilation, stride
        self._leading = (samples, batch)
        self._rows, self._columns = rows, columns
        self.count = samples * batch * rows.outputs * columns.outputs
        self.taps = [(y, x) for y in range(size[0]) for x in range(size[1])]
        padded = np.pad(
            source.reshape(samples * batch, height, width, self._channels),
            ((0, 0), _padding(rows), _padding(columns), (0, 0)),
        )
        self._size = padded.shape[1:3]
        self._flat = padded.reshape(-1, self._channels)

    def rows(self, start: int, stop: int, y: int, x: int) -> Floats:
        """What lies under tap (y, x) at positions `start` to `stop`: `[positions, channels]`."""
        numbers = np.arange(start, stop)
        rest, column = np.divmod(numbers, self._columns.outputs)
        sample, row = np.divmod(rest, self._rows.outputs)
        row = row * self._stride[0] + y * self._dilation[0]
        column = column * self._stride[1] + x * self._dilation[1]
        found: Floats = self._flat[(sample * self._size[0] + row) * self._size[1] + column]
        return found

    def shape(self, channels: int) -> tuple[int, ...]:
        return (*self._leading, self._rows.outputs, self._columns.outputs, channels)


def _padding(side: Window) -> tuple[int, int]:
    return side.before, side.after


_RULES: dict[str, Callable[[Graph, Operator, Values], Floats | None]] = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _average_pool,
    "MEAN": _mean,
    "SUM": _mean,
    "SOFTMAX": _softmax,
    "BATCH_MATMUL": _batch_matmul,
}
