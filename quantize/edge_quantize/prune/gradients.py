"""Gradients with respect to activations, by numpy: the chain rule through the operators that small
networks have. Forward values come from the reference runtime, so only the way back is here.

Every rule takes the gradient of the result `[probes, ...]` and gives that of each activation the
operator reads; `probes` are gradients of several scalars, carried at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from edge_quantize.errors import PruningError
from edge_quantize.graph.model import Graph, Operator
from edge_quantize.graph.options import (
    Activation,
    ConcatenationOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Padding,
    Pool2DOptions,
    SoftmaxOptions,
)
from edge_quantize.graph.shapes import window

from .layers import Floats

Values = Mapping[int, Floats]
Rule = Callable[[Graph, Operator, Values, Floats], dict[int, Floats]]


def require_gradients(graph: Graph) -> None:
    """Raises PruningError, naming the operator, where the chain rule is not known here."""
    for operator in graph.operators:
        if operator.op not in _RULES:
            raise PruningError(
                f"{graph.name}: no gradient is known of {operator.op} "
                f"('{graph.layer_name(operator)}'), which Taylor importance needs; "
                "choose activation importance"
            )


def backward(
    graph: Graph, values: Values, seeds: Mapping[int, Floats]
) -> tuple[dict[int, Floats], dict[int, Floats]]:
    """(gradients by activation tensor, gradients by operator before its fused activation).

    `values` are activations of one sample by tensor index (batch 1); `seeds` are the gradients of
    the scalars with respect to some tensors, `[probes, *shape without batch]`.
    """
    by_tensor: dict[int, Floats] = {index: seed.copy() for index, seed in seeds.items()}
    by_operator: dict[int, Floats] = {}
    for operator in reversed(graph.operators):
        gradient = by_tensor.get(operator.outputs[0])
        if gradient is None:
            continue
        gradient = gradient * _slope(operator, values[operator.outputs[0]])
        by_operator[operator.index] = gradient
        for index, part in _RULES[operator.op](graph, operator, values, gradient).items():
            if index in by_tensor:
                by_tensor[index] = by_tensor[index] + part
            else:
                by_tensor[index] = part
    return by_tensor, by_operator


def _slope(operator: Operator, result: Floats) -> Floats | float:
    """The derivative of the fused activation, from its result."""
    activation = getattr(operator.options, "activation", Activation.NONE)
    limits = {
        Activation.RELU: (0.0, np.inf),
        Activation.RELU6: (0.0, 6.0),
        Activation.RELU_N1_TO_1: (-1.0, 1.0),
    }
    if activation is Activation.NONE:
        return 1.0
    if activation is Activation.TANH:
        return 1 - result**2
    if activation in limits:
        low, high = limits[activation]
        return ((result > low) & (result < high)).astype(np.float32)
    raise PruningError(f"no gradient is known of the fused activation {activation.value}")


class _Taps:
    """A sliding window's taps as slices of the padded input."""

    def __init__(
        self, shape: tuple[int, ...], size: tuple[int, int], stride: tuple[int, int],
        dilation: tuple[int, int], padding: Padding,
    ) -> None:  # fmt: skip
        _, height, width, _ = shape
        self.size = size
        self.down = window(height, size[0], stride[0], dilation[0], padding)
        self.across = window(width, size[1], stride[1], dilation[1], padding)
        self.stride, self.dilation = stride, dilation
        self.shape = shape

    def at(self, tap_h: int, tap_w: int) -> tuple[slice, slice, slice]:
        """Rows and columns of the padded input that this tap meets, one an output."""
        top, left = tap_h * self.dilation[0], tap_w * self.dilation[1]
        (down, across), (step_h, step_w) = (self.down.outputs, self.across.outputs), self.stride
        return (
            slice(None),
            slice(top, top + (down - 1) * step_h + 1, step_h),
            slice(left, left + (across - 1) * step_w + 1, step_w),
        )

    def empty(self, probes: int, channels: int) -> Floats:
        _, height, width, _ = self.shape
        tall = max(self.down.before + height + self.down.after, self._reach(0))
        wide = max(self.across.before + width + self.across.after, self._reach(1))
        return np.zeros((probes, tall, wide, channels), np.float32)

    def _reach(self, side: int) -> int:
        outputs = (self.down, self.across)[side].outputs
        return (outputs - 1) * self.stride[side] + (self.size[side] - 1) * self.dilation[side] + 1

    def cut(self, padded: Floats) -> Floats:
        _, height, width, _ = self.shape
        top, left = self.down.before, self.across.before
        return padded[:, top : top + height, left : left + width]

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(np.ndindex(*self.size))


def _conv(graph: Graph, operator: Operator, values: Values, gradient: Floats) -> dict[int, Floats]:
    source = operator.inputs[0]
    weights = np.asarray(graph.tensors[operator.inputs[1]].data, np.float32)
    o = operator.options
    assert isinstance(o, Conv2DOptions)
    taps = _Taps(
        values[source].shape, (weights.shape[1], weights.shape[2]),
        (o.stride_h, o.stride_w), (o.dilation_h, o.dilation_w), o.padding,
    )  # fmt: skip
    padded = taps.empty(len(gradient), weights.shape[3])
    for tap in taps:
        padded[taps.at(*tap)] += gradient @ weights[:, tap[0], tap[1]]
    return {source: taps.cut(padded)}


def _depthwise(
    graph: Graph, operator: Operator, values: Values, gradient: Floats
) -> dict[int, Floats]:
    source = operator.inputs[0]
    weights = np.asarray(graph.tensors[operator.inputs[1]].data, np.float32)[0]
    o = operator.options
    assert isinstance(o, DepthwiseConv2DOptions)
    taps = _Taps(
        values[source].shape, (weights.shape[0], weights.shape[1]),
        (o.stride_h, o.stride_w), (o.dilation_h, o.dilation_w), o.padding,
    )  # fmt: skip
    channels = values[source].shape[3]
    padded = taps.empty(len(gradient), channels)
    for tap in taps:
        each = gradient * weights[tap]
        padded[taps.at(*tap)] += each.reshape(*each.shape[:3], channels, -1).sum(-1)
    return {source: taps.cut(padded)}


def _fully_connected(
    graph: Graph, operator: Operator, values: Values, gradient: Floats
) -> dict[int, Floats]:
    assert isinstance(operator.options, FullyConnectedOptions)
    source = operator.inputs[0]
    weights = np.asarray(graph.tensors[operator.inputs[1]].data, np.float32)
    flat = gradient.reshape(len(gradient), -1, len(weights)) @ weights
    return {source: flat.reshape(len(gradient), *values[source].shape[1:])}


def _pooling(operator: Operator, shape: tuple[int, ...]) -> _Taps:
    o = operator.options
    assert isinstance(o, Pool2DOptions)
    return _Taps(shape, (o.filter_h, o.filter_w), (o.stride_h, o.stride_w), (1, 1), o.padding)


def _average_pool(
    graph: Graph, operator: Operator, values: Values, gradient: Floats
) -> dict[int, Floats]:
    del graph
    source = operator.inputs[0]
    taps = _pooling(operator, values[source].shape)
    # Padding is not averaged over: each output divides by the elements that are there.
    inside = taps.empty(1, 1)
    taps.cut(inside)[:] = 1
    count = sum(inside[taps.at(*tap)] for tap in taps)
    padded = taps.empty(len(gradient), gradient.shape[3])
    for tap in taps:
        padded[taps.at(*tap)] += gradient / count
    return {source: taps.cut(padded)}


def _max_pool(
    graph: Graph, operator: Operator, values: Values, gradient: Floats
) -> dict[int, Floats]:
    del graph
    source, result = operator.inputs[0], values[operator.outputs[0]]
    taps = _pooling(operator, values[source].shape)
    held = taps.empty(1, gradient.shape[3])
    held[:] = -np.inf
    taps.cut(held)[:] = values[source]
    padded = taps.empty(len(gradient), gradient.shape[3])
    taken = np.zeros(result.shape, bool)  # the first of equals gets it all
    for tap in taps:
        chosen = (held[taps.at(*tap)] == result) & ~taken
        taken |= chosen
        padded[taps.at(*tap)] += gradient * chosen
    return {source: taps.cut(padded)}


def _reduced(gradient: Floats, shape: tuple[int, ...]) -> Floats:
    """Sums over the axes along which an operand of `shape` (batch 1 left out) was broadcast."""
    extra = gradient.ndim - 1 - len(shape)
    summed = gradient.sum(axis=tuple(range(1, 1 + extra))) if extra > 0 else gradient
    wide = tuple(i + 1 for i, n in enumerate(shape) if n == 1 and summed.shape[i + 1] != 1)
    reduced: Floats = summed.sum(axis=wide, keepdims=True) if wide else summed
    return reduced.reshape(len(gradient), *shape)


def _elementwise(
    graph: Graph, operator: Operator, values: Values, gradient: Floats
) -> dict[int, Floats]:
    found: dict[int, Floats] = {}
    for position, index in enumerate(operator.inputs):
        if index not in values:
            continue
        if operator.op == "MUL":
            other = operator.inputs[1 - position]
            data = graph.tensors[other].data
            part = gradient * (values[other] if data is None else np.asarray(data, np.float32))
        else:
            part = -gradient if operator.op == "SUB" and position == 1 else gradient
        part = _reduced(part, values[index].shape[1:])
        found[index] = found[index] + part if index in found else part
    return found


def _reshape(
    graph: Graph, operator: Operator, values: Values, gradient: Floats
) -> dict[int, Floats]:
    del graph
    source = operator.inputs[0]
    return {source: gradient.reshape(len(gradient), *values[source].shape[1:])}


def _mean(graph: Graph, operator: Operator, values: Values, gradient: Floats) -> dict[int, Floats]:
    source = operator.inputs[0]
    shape = values[source].shape
    axes = {
        int(a) % len(shape) for a in np.ravel(np.asarray(graph.tensors[operator.inputs[1]].data))
    }
    if 0 in axes:
        raise PruningError(
            f"'{graph.layer_name(operator)}': a MEAN over the batch has no gradient here"
        )
    kept = [1 if axis in axes else n for axis, n in enumerate(shape)][1:]
    count = float(np.prod([shape[axis] for axis in axes]))
    spread = np.broadcast_to(gradient.reshape(len(gradient), *kept), (len(gradient), *shape[1:]))
    return {source: spread / np.float32(count)}


def _pad(graph: Graph, operator: Operator, values: Values, gradient: Floats) -> dict[int, Floats]:
    source = operator.inputs[0]
    shape = values[source].shape
    before = np.asarray(graph.tensors[operator.inputs[1]].data).reshape(-1, 2)[:, 0]
    inner = tuple(slice(int(b), int(b) + n) for b, n in zip(before[1:], shape[1:], strict=True))
    return {source: gradient[(slice(None), *inner)]}


def _concatenation(
    graph: Graph, operator: Operator, values: Values, gradient: Floats
) -> dict[int, Floats]:
    assert isinstance(operator.options, ConcatenationOptions)
    axis = operator.options.axis % gradient.ndim
    found: dict[int, Floats] = {}
    start = 0
    for index in operator.inputs:
        size = graph.tensors[index].shape[axis]
        part = np.take(gradient, range(start, start + size), axis=axis)
        start += size
        if index in values:
            found[index] = found[index] + part if index in found else part
    return found


def _softmax(
    graph: Graph, operator: Operator, values: Values, gradient: Floats
) -> dict[int, Floats]:
    del graph
    assert isinstance(operator.options, SoftmaxOptions)
    result = values[operator.outputs[0]]
    inner = (gradient * result).sum(-1, keepdims=True)
    return {operator.inputs[0]: operator.options.beta * result * (gradient - inner)}


def _unary(derivative: Callable[[Floats, Floats], Floats]) -> Rule:
    """A rule from the derivative as a function of (input, result)."""

    def rule(
        graph: Graph, operator: Operator, values: Values, gradient: Floats
    ) -> dict[int, Floats]:
        del graph
        source = operator.inputs[0]
        return {source: gradient * derivative(values[source], values[operator.outputs[0]])}

    return rule


def _inside(low: float, high: float) -> Rule:
    return _unary(lambda _, y: ((y > low) & (y < high)).astype(np.float32))


def _hard_swish(x: Floats, _: Floats) -> Floats:
    """x relu6(x + 3) / 6."""
    return np.where(x <= -3, 0, np.where(x >= 3, 1, (2 * x + 3) / 6)).astype(np.float32)


_RULES: dict[str, Rule] = {
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _average_pool,
    "MAX_POOL_2D": _max_pool,
    "ADD": _elementwise,
    "SUB": _elementwise,
    "MUL": _elementwise,
    "RESHAPE": _reshape,
    "SQUEEZE": _reshape,
    "EXPAND_DIMS": _reshape,
    "MEAN": _mean,
    "PAD": _pad,
    "CONCATENATION": _concatenation,
    "SOFTMAX": _softmax,
    "RELU": _inside(0.0, np.inf),
    "RELU6": _inside(0.0, 6.0),
    "RELU_N1_TO_1": _inside(-1.0, 1.0),
    "LOGISTIC": _unary(lambda _, y: y * (1 - y)),
    "TANH": _unary(lambda _, y: 1 - y**2),
    "HARD_SWISH": _unary(_hard_swish),
}
