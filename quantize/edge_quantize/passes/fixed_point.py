"""The integer arithmetic of quantized layers, on whole arrays.

Sources: the TensorFlow Lite quantization specification, gemmlowp's description of fixed-point
output pipelines, and TensorFlow Lite Micro's int8 kernels, whose order of operations is kept. A
real multiplier is a mantissa in [2^30, 2^31) and a power of two:
`real = mantissa * 2^(shift - 31)`.

Every function from integers to integers here is monotone: larger in, not smaller out. That is what
lets bounds be carried through a layer by computing with the bounds alone.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.model import Tensor
from edge_quantize.graph.options import Activation

Ints = npt.NDArray[np.int64]
ADD_LEFT_SHIFT = 20
_ACCUMULATOR_LIMIT = 1 << 31


class Rounding(enum.Enum):
    """How a product is brought back to 8 bits; the runtimes differ in it."""

    DOUBLE = "double"  # at bit 31, then at the shift: tflite_micro, and the kernels here
    SINGLE = "single"  # once: LiteRT's FULLY_CONNECTED, builds with TFLITE_SINGLE_ROUNDING


@dataclass(frozen=True, eq=False)
class Multipliers:
    """Mantissas and shifts, int64, broadcast along the last axis of what they scale."""

    mantissa: Ints
    shift: Ints

    @classmethod
    def of(cls, reals: npt.ArrayLike) -> Multipliers:
        pairs = [quantize_multiplier(float(real)) for real in np.atleast_1d(reals)]
        return cls(*(np.array(column, np.int64) for column in zip(*pairs, strict=True)))

    def fits(self, bound: Ints) -> npt.NDArray[np.bool_]:
        """Whether accumulators of that magnitude go through without leaving int32."""
        left = np.clip(self.shift, 0, 31)
        return (self.shift <= 30) & ((bound << left) < _ACCUMULATOR_LIMIT)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """(mantissa, shift) of a non-negative multiplier; zero and what underflows give (0, 0)."""
    if real == 0.0:
        return 0, 0
    if not math.isfinite(real):
        return 1 << 30, 1 << 10  # a shift past what any kernel takes
    fraction, shift = math.frexp(real)
    mantissa = round_half_away(fraction * (1 << 31))
    if mantissa == 1 << 31:
        mantissa //= 2
        shift += 1
    return (0, 0) if shift < -31 else (mantissa, shift)


def mean_multiplier(ratio: float, count: int) -> tuple[int, int]:
    """Mantissa and shift of a mean of `count` elements; `ratio` is input over output scale.

    The runtimes divide the quantized multiplier, shifted up as far as `count` allows.
    """
    mantissa, shift = quantize_multiplier(ratio)
    up = min(count.bit_length() - 1, 32, 31 + shift)
    return (mantissa << up) // count, shift - up


def round_half_away(value: float) -> int:
    """C's `round`: to nearest, halves away from zero."""
    return math.floor(value + 0.5) if value >= 0 else -math.floor(-value + 0.5)


def requantize(x: Ints, by: Multipliers, rounding: Rounding = Rounding.DOUBLE) -> Ints:
    """round(x * mantissa * 2^(shift - 31)) as the runtimes round it; |x| << shift within int32."""
    if rounding is Rounding.SINGLE:
        total = np.maximum(31 - by.shift, 1)
        half: Ints = np.left_shift(1, total - 1, dtype=np.int64)
        rounded: Ints = np.right_shift(x * by.mantissa + half, total)
        return rounded
    left, right = np.maximum(by.shift, 0), np.maximum(-by.shift, 0)
    high = ((x << left) * by.mantissa + (1 << 30)) >> 31
    mask = (np.int64(1) << right) - 1
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))


def activation_range(output: Tensor, activation: Activation) -> tuple[int, int] | None:
    """(min, max) that a fused activation allows an int8 output; None where it is not a range."""
    bounds: dict[Activation, tuple[float | None, float | None]] = {
        Activation.NONE: (None, None),
        Activation.RELU: (0.0, None),
        Activation.RELU6: (0.0, 6.0),
        Activation.RELU_N1_TO_1: (-1.0, 1.0),
    }
    if activation not in bounds or output.quantization is None:
        return None
    low, high = bounds[activation]
    least = -128 if low is None else quantized_value(low, output)
    most = 127 if high is None else quantized_value(high, output)
    return max(-128, least), min(127, most)


def quantized_value(real: float, tensor: Tensor) -> int:
    """A real number in a tensor's quantization, not clamped; divided in float32 as in TFLM."""
    assert tensor.quantization is not None
    scale = np.float32(tensor.quantization.scale)
    return tensor.quantization.zero_point + round_half_away(float(np.float32(real) / scale))


def added(
    operands: tuple[Ints, Ints],
    tensors: tuple[Tensor, Tensor],
    output: Tensor,
    rounding: Rounding = Rounding.DOUBLE,
) -> Ints:
    """What ADD makes of int8 operands that broadcast, before its clamp.

    Both operands are rescaled to a common scale with 20 bits more, added, and rescaled again.
    """
    scales, zeros = zip(*(_affine(t) for t in (*tensors, output)), strict=True)
    twice_largest = 2.0 * max(scales[0], scales[1])
    total: Ints = np.zeros((), np.int64)
    for x, scale, zero in zip(operands, scales[:2], zeros[:2], strict=True):
        shifted = (x - zero) << ADD_LEFT_SHIFT
        total = total + requantize(shifted, Multipliers.of(scale / twice_largest), rounding)
    last = Multipliers.of(twice_largest / ((1 << ADD_LEFT_SHIFT) * scales[2]))
    result: Ints = requantize(total, last, rounding) + zeros[2]
    return result


def _affine(tensor: Tensor) -> tuple[float, int]:
    assert tensor.quantization is not None
    return tensor.quantization.scale, tensor.quantization.zero_point


def divided_half_away(total: Ints, count: Ints) -> Ints:
    """AVERAGE_POOL_2D's division: to nearest, halves away from zero."""
    half = count // 2
    quotient: Ints = np.where(total > 0, (total + half) // count, -((half - total) // count))
    return quotient
