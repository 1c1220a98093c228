"""Bounds of every element of every activation, over all inputs there can be.

Interval arithmetic: an int8 input lies between -128 and 127, an accumulator between the sums of its
products' bounds, and since the way from accumulator to output is monotone, the output lies between
what becomes of the two. Every element is followed by itself, so borders where a window sees padding
are not a special case: each has bounds of its own. An element whose bounds meet is constant, for
every input; that is the proof the passes rest on. (Elements are taken as independent, so bounds may
be wider than the truth and never narrower.)

Integer layers are bounded under both roundings in use, float ones with room for rounding errors.
Whatever has no rule here, or might leave int32, has the bounds of its element type.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.fixed_point import activation_range, mean_multiplier, quantize_value
from edge_quantize.graph.edit import fused_activation
from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.options import (
    Activation,
    ConcatenationOptions,
    ElementwiseOptions,
    Pool2DOptions,
)

from .accumulate import Accumulated, accumulated
from .arithmetic import (
    Ints,
    Multipliers,
    Rounding,
    added,
    divided_half_away,
    requantize,
    sum_fits,
)
from .windows import Sliding

Array = npt.NDArray[Any]
_REAL_CLAMPS: dict[Activation, tuple[float, float]] = {
    Activation.NONE: (-np.inf, np.inf),
    Activation.RELU: (0.0, np.inf),
    Activation.RELU6: (0.0, 6.0),
    Activation.RELU_N1_TO_1: (-1.0, 1.0),
}


@dataclass(frozen=True, eq=False)
class Bounds:
    """`low` and `high` have the tensor's shape; integers in its type, reals in float64."""

    low: Array
    high: Array

    @property
    def constant(self) -> npt.NDArray[np.bool_]:
        """Which elements are the same for every input."""
        found: npt.NDArray[np.bool_] = self.low == self.high
        return found

    def mapped(self, function: Callable[[Array], Array]) -> Bounds:
        """Bounds of a monotone function of the elements, or of their rearrangement."""
        return Bounds(function(self.low), function(self.high))


def tensor_bounds(
    graph: Graph, given: dict[int, Bounds] | None = None, roundings: tuple[Rounding, ...] = ()
) -> dict[int, Bounds]:
    """Bounds of every activation and constant, by tensor index.

    `given` narrows inputs of the model; both roundings are taken into account unless told.
    """
    found: dict[int, Bounds] = {}
    for index in graph.inputs:
        found[index] = (given or {}).get(index) or _widest(graph.tensors[index])
    for tensor in graph.constants():
        if not tensor.encoding and not tensor.dtype.opaque and tensor.data is not None:
            found[tensor.index] = Bounds(tensor.data, tensor.data)
    rules = _Rules(graph, found, roundings or tuple(Rounding))
    for operator in graph.operators:
        bounds = rules.bounds(operator)
        for index in operator.outputs:
            tensor = graph.tensors[index]
            widest = _widest(tensor)
            found[index] = widest
            if bounds is not None and len(operator.outputs) == 1:
                # Never outside the type, whatever a rule computed.
                found[index] = Bounds(
                    *(
                        np.clip(b, widest.low, widest.high).astype(widest.low.dtype)
                        for b in (bounds.low, bounds.high)
                    )
                )
    return found


def _widest(tensor: Tensor) -> Bounds:
    dtype = tensor.dtype.numpy
    if tensor.dtype is DType.INT4:
        low, high = -8.0, 7.0
    elif dtype.kind in "iu" and dtype.itemsize <= 2:
        limits = np.iinfo(dtype.name)
        low, high = float(limits.min), float(limits.max)
    else:
        dtype = np.dtype(np.float64)
        high = float(np.finfo(np.float32).max)
        low = -high
    # Views of one number each: most of these arrays are never looked into.
    return Bounds(*(np.broadcast_to(np.array(b, dtype), tensor.shape) for b in (low, high)))


def is_int8(tensor: Tensor | None) -> bool:
    """Whether a tensor is int8 with one usable scale and zero point."""
    quantization = tensor.quantization if tensor is not None else None
    return (
        tensor is not None
        and tensor.dtype is DType.INT8
        and quantization is not None
        and len(quantization.scales) == 1
        and quantization.scale > 0
        and -128 <= quantization.zero_point <= 127
    )


def _wide(array: Array) -> Ints:
    return array.astype(np.int64)


class _Rules:
    """One method for each operator; each returns None where it has no proof."""

    def __init__(
        self, graph: Graph, found: dict[int, Bounds], roundings: tuple[Rounding, ...]
    ) -> None:
        self.graph = graph
        self.found = found
        self.roundings = roundings

    def bounds(self, operator: Operator) -> Bounds | None:
        rule = _TABLE.get(operator.op)
        if rule is None or any(i >= 0 and i not in self.found for i in operator.inputs):
            return None
        return rule(self, operator)

    def operand(self, operator: Operator, position: int = 0) -> tuple[Tensor, Bounds]:
        index = operator.inputs[position]
        return self.graph.tensors[index], self.found[index]

    def output(self, operator: Operator) -> Tensor:
        return self.graph.tensors[operator.outputs[0]]

    def both(self, function: Callable[[Rounding], tuple[Array, Array]]) -> Bounds:
        """The bounds that hold under every rounding."""
        pairs = [function(rounding) for rounding in self.roundings]
        lows, highs = zip(*pairs, strict=True)
        return Bounds(np.minimum.reduce(lows), np.maximum.reduce(highs))

    def clamped(self, bounds: Bounds, output: Tensor, activation: Activation) -> Bounds | None:
        if activation not in _REAL_CLAMPS:
            return None
        limits = activation_range(output, activation)
        return bounds.mapped(lambda b: np.clip(b, *limits))

    def accumulate(self, operator: Operator) -> Bounds | None:
        source, bounds = self.operand(operator)
        sums = accumulated(self.graph, operator, bounds.low, bounds.high)
        if sums is None:
            return None
        if source.dtype is DType.FLOAT32:
            limits = _REAL_CLAMPS.get(fused_activation(operator) or Activation.NONE)
            found = Bounds(sums.low, sums.high)
            return None if limits is None else found.mapped(lambda b: np.clip(b, *limits))
        if source.dtype is DType.INT16:
            return self.loosely_requantized(operator, sums)
        return self.requantized(operator, sums)

    def loosely_requantized(self, operator: Operator, sums: Accumulated) -> Bounds | None:
        """Of int16 activations, whose rounding differs from runtime to runtime: one off at most."""
        output = self.output(operator)
        assert sums.multipliers is not None
        assert output.quantization is not None
        by = sums.multipliers.mantissa * 2.0 ** (sums.multipliers.shift - 31.0)
        # Accumulators have 64 bits there, of which multipliers take 16.
        if (sums.magnitude >= 2.0**47).any():
            return None
        found = Bounds(np.floor(sums.low * by) - 1, np.ceil(sums.high * by) + 1)
        moved = found.mapped(lambda b: b + output.quantization.zero_point)  # type: ignore[union-attr]
        return self.clamped(moved, output, fused_activation(operator) or Activation.NONE)

    def requantized(self, operator: Operator, sums: Accumulated) -> Bounds | None:
        output = self.output(operator)
        multipliers, zero = sums.multipliers, output.quantization
        assert multipliers is not None
        assert zero is not None
        low, high = _wide(sums.low), _wide(sums.high)
        fits = multipliers.fits(_wide(sums.magnitude))
        safe = Multipliers(multipliers.mantissa, np.where(fits, multipliers.shift, 0))
        found = self.both(
            lambda rounding: (
                requantize(low, safe, rounding) + zero.zero_point,
                requantize(high, safe, rounding) + zero.zero_point,
            )
        )
        limited = self.clamped(found, output, fused_activation(operator) or Activation.NONE)
        if limited is None:
            return None
        # An accumulator that may wrap around may become anything.
        return Bounds(np.where(fits, limited.low, -128), np.where(fits, limited.high, 127))

    def rearrange(self, operator: Operator) -> Bounds:
        shape = self.output(operator).shape
        return self.operand(operator)[1].mapped(lambda b: b.reshape(shape))

    def transpose(self, operator: Operator) -> Bounds | None:
        order = self.operand(operator, 1)[0].data
        if order is None:
            return None
        axes = [int(axis) for axis in order.reshape(-1)]
        return self.operand(operator)[1].mapped(lambda b: np.transpose(b, axes))

    def concatenate(self, operator: Operator) -> Bounds | None:
        options = operator.options
        if not isinstance(options, ConcatenationOptions):
            return None
        output = self.output(operator)
        parts = [self.operand(operator, i) for i in range(len(operator.inputs))]
        same = all(
            t.quantization == output.quantization and t.dtype is output.dtype for t, _ in parts
        )
        if not same or options.activation is not Activation.NONE:
            return None
        return Bounds(
            np.concatenate([b.low for _, b in parts], options.axis),
            np.concatenate([b.high for _, b in parts], options.axis),
        )

    def pad(self, operator: Operator) -> Bounds | None:
        source, bounds = self.operand(operator)
        paddings = self.operand(operator, 1)[0].data
        output = self.output(operator)
        if paddings is None or source.quantization != output.quantization:
            return None
        if len(operator.inputs) > 2:
            filler = self.operand(operator, 2)[0].data
            if filler is None or filler.size != 1:
                return None
            value: Any = filler.reshape(-1)[0]
        elif output.dtype is DType.FLOAT32:
            value = 0.0
        elif output.quantization is not None and not output.quantization.per_channel:
            value = output.quantization.zero_point
        else:
            return None
        widths = np.asarray(paddings)
        return bounds.mapped(lambda b: np.pad(b, widths, constant_values=value))

    def pool(self, operator: Operator) -> Bounds | None:
        source, bounds = self.operand(operator)
        output, options = self.output(operator), operator.options
        if not isinstance(options, Pool2DOptions):
            return None
        if source.quantization != output.quantization:
            return None
        if not is_int8(source) and source.dtype is not DType.INT16:
            return None
        sliding = Sliding.of(source.shape, (options.filter_h, options.filter_w), options)
        least, most = np.iinfo(source.dtype.value).min, np.iinfo(source.dtype.value).max
        if operator.op == "MAX_POOL_2D":

            def pooled(b: Array) -> Array:
                return _extreme(sliding, b, np.maximum, least)
        elif source.dtype is DType.INT16:
            # However it is rounded, an average lies between the smallest and the largest.
            found = Bounds(
                _extreme(sliding, bounds.low, np.minimum, most),
                _extreme(sliding, bounds.high, np.maximum, least),
            )
            return self.clamped(found, output, options.activation)
        else:
            inside = np.ones((1, *source.shape[1:3], 1), np.int64)
            count = sum(tap for _, _, tap in sliding.per_tap(inside, 0))

            def pooled(b: Array) -> Array:
                total = sum(tap for _, _, tap in sliding.per_tap(_wide(b), 0))
                return divided_half_away(np.asarray(total), np.asarray(count))

        return self.clamped(bounds.mapped(pooled), output, options.activation)

    def mean(self, operator: Operator) -> Bounds | None:
        source, bounds = self.operand(operator)
        axes, output = self.operand(operator, 1)[0].data, self.output(operator)
        if axes is None or not is_int8(source) or not is_int8(output):
            return None
        over = tuple(sorted({int(axis) % len(source.shape) for axis in axes.reshape(-1)}))
        count = int(np.prod([source.shape[axis] for axis in over], dtype=np.int64))
        (in_scale, in_zero), (out_scale, out_zero) = _affine(source), _affine(output)
        mantissa, shift = mean_multiplier(in_scale, out_scale, count)
        by = Multipliers(np.array([mantissa]), np.array([shift]))
        if not by.fits(np.array([256 * count])).all() or shift < -31:
            return None

        low, high = (
            (_wide(b).sum(axis=over) - in_zero * count).reshape(output.shape)
            for b in (bounds.low, bounds.high)
        )
        found = self.both(
            lambda r: (requantize(low, by, r) + out_zero, requantize(high, by, r) + out_zero)
        )
        if len(self.roundings) == 1:
            return found
        # LiteRT divides in another way, one off at times; of a sum of zero all make the same.
        return Bounds(found.low - (low != 0), found.high + (high != 0))

    def rescale(self, operator: Operator) -> Bounds | None:
        """QUANTIZE and RELU between int8 tensors."""
        source, bounds = self.operand(operator)
        output = self.output(operator)
        if not is_int8(source) or not is_int8(output):
            return None
        (in_scale, in_zero), (out_scale, out_zero) = _affine(source), _affine(output)
        by = Multipliers.of(in_scale / out_scale)
        if not by.fits(np.array([256])).all():
            return None
        found = self.both(
            lambda rounding: (
                requantize(_wide(bounds.low) - in_zero, by, rounding) + out_zero,
                requantize(_wide(bounds.high) - in_zero, by, rounding) + out_zero,
            )
        )
        least = out_zero if operator.op == "RELU" else -128
        return found.mapped(lambda b: np.clip(b, least, 127))

    def relu(self, operator: Operator) -> Bounds | None:
        source, bounds = self.operand(operator)
        if source.dtype is DType.FLOAT32:
            top = 6.0 if operator.op == "RELU6" else np.inf
            return bounds.mapped(lambda b: np.clip(b, 0.0, top))
        if operator.op == "RELU":
            return self.rescale(operator)
        output = self.output(operator)
        if not is_int8(source) or source.quantization != output.quantization:
            return None
        least, most = _affine(source)[1], min(127, quantize_value(6.0, *_affine(source)))
        return bounds.mapped(lambda b: np.clip(_wide(b), least, max(-128, most)))

    def add(self, operator: Operator) -> Bounds | None:
        (first, one), (second, other) = (self.operand(operator, i) for i in (0, 1))
        output, options = self.output(operator), operator.options
        if not isinstance(options, ElementwiseOptions):
            return None
        if not (is_int8(first) and is_int8(second) and is_int8(output)):
            return None
        if not sum_fits((first, second), output):
            return None
        found = self.both(
            lambda rounding: (
                added((_wide(one.low), _wide(other.low)), (first, second), output, rounding),
                added((_wide(one.high), _wide(other.high)), (first, second), output, rounding),
            )
        )
        return self.clamped(found, output, options.activation)

    def multiply(self, operator: Operator) -> Bounds | None:
        (first, one), (second, other) = (self.operand(operator, i) for i in (0, 1))
        output, options = self.output(operator), operator.options
        if not isinstance(options, ElementwiseOptions):
            return None
        if not (is_int8(first) and is_int8(second) and is_int8(output)):
            return None
        (s0, z0), (s1, z1), (s2, z2) = (_affine(t) for t in (first, second, output))
        by = Multipliers.of(s0 * s1 / s2)
        if not by.fits(np.array([255 * 255])).all():
            return None
        corners = np.array(
            [(_wide(a) - z0) * (_wide(b) - z1) for a in _ends(one) for b in _ends(other)]
        )
        low, high = corners.min(axis=0), corners.max(axis=0)
        found = self.both(
            lambda rounding: (
                requantize(low, by, rounding) + z2,
                requantize(high, by, rounding) + z2,
            )
        )
        return self.clamped(found, output, options.activation)


def _extreme(sliding: Sliding, array: Array, which: np.ufunc, fill: int) -> Array:
    """The smallest or largest element in each window; `fill` stands outside."""
    return np.asarray(which.reduce([tap for _, _, tap in sliding.per_tap(_wide(array), fill)]))


def _ends(bounds: Bounds) -> tuple[Array, Array]:
    return bounds.low, bounds.high


def _affine(tensor: Tensor) -> tuple[float, int]:
    assert tensor.quantization is not None
    return tensor.quantization.scale, tensor.quantization.zero_point


_TABLE: dict[str, Callable[[_Rules, Operator], Bounds | None]] = {
    **dict.fromkeys(("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"), _Rules.accumulate),
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), _Rules.rearrange),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), _Rules.pool),
    **dict.fromkeys(("RELU", "RELU6"), _Rules.relu),
    **dict.fromkeys(("PAD", "PADV2"), _Rules.pad),
    "TRANSPOSE": _Rules.transpose,
    "CONCATENATION": _Rules.concatenate,
    "MEAN": _Rules.mean,
    "QUANTIZE": _Rules.rescale,
    "ADD": _Rules.add,
    "MUL": _Rules.multiply,
}
