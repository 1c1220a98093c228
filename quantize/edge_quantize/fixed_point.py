"""Quantized numbers as TensorFlow Lite Micro computes them: multipliers, bounds of activations.

A real multiplier becomes a Q0.31 mantissa in [2^30, 2^31) and a power of two:
`real = mantissa * 2^(shift - 31)`; positive shifts go left. Scales are float32 values, their
quotients are taken in double precision.
"""

from __future__ import annotations

import math

import numpy as np

from edge_quantize.graph import DType, Tensor
from edge_quantize.graph.options import Activation

# Bits that ADD and SUB shift operands up by: int8 and int16 then fill 28 and 31 bits.
ADD_LEFT_SHIFTS = {DType.INT8: 20, DType.INT16: 15}


def limits(dtype: DType) -> tuple[int, int]:
    """(least, most) of an integer element type."""
    info = np.iinfo(dtype.numpy.name)
    return int(info.min), int(info.max)


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
    if shift < -31:
        return 0, 0
    return mantissa, shift


def sum_multipliers(
    dtype: DType, scales: tuple[float, float, float]
) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """Multipliers and shifts of ADD and SUB: of operand 0 and 1, which are shifted up by
    `ADD_LEFT_SHIFTS` first, to twice the larger scale, and from there to the output. The scales are
    those of operand 0, operand 1 and output; a last shift over 0 is beyond what the reference
    takes."""
    twice_largest = 2.0 * max(scales[0], scales[1])
    shifted = (1 << ADD_LEFT_SHIFTS[dtype]) * scales[2]
    return (
        quantize_multiplier(scales[0] / twice_largest),
        quantize_multiplier(scales[1] / twice_largest),
        quantize_multiplier(twice_largest / shifted),
    )


def mean_multiplier(in_scale: float, out_scale: float, count: int) -> tuple[int, int]:
    """Multiplier and shift of a mean of `count` elements.

    The reference does not fold 1/count into the real multiplier: it divides the quantized one,
    shifted up as far as `count` allows, and cuts the quotient off.
    """
    multiplier, shift = quantize_multiplier(in_scale / out_scale)
    up = min(count.bit_length() - 1, 32, 31 + shift)
    return (multiplier << up) // count, shift - up


def round_half_away(value: float) -> int:
    """C's `round`: to nearest, halves away from zero."""
    return math.floor(value + 0.5) if value >= 0 else -math.floor(-value + 0.5)


def quantize_value(real: float, scale: float, zero_point: int) -> int:
    """The quantized value of a bound of an activation, not clamped; divides in float32 as the
    reference does."""
    return zero_point + round_half_away(float(np.float32(real) / np.float32(scale)))


def activation_range(output: Tensor, activation: Activation) -> tuple[int, int]:
    """(min, max) that a fused activation allows an int8 or int16 output. Raises ValueError for
    activations that are not a range."""
    assert output.quantization is not None
    scale, zero_point = output.quantization.scale, output.quantization.zero_point
    bounds: dict[Activation, tuple[float | None, float | None]] = {
        Activation.NONE: (None, None),
        Activation.RELU: (0.0, None),
        Activation.RELU6: (0.0, 6.0),
        Activation.RELU_N1_TO_1: (-1.0, 1.0),
    }
    if activation not in bounds:
        raise ValueError(f"fused activation {activation.value} is not a range")
    low, high = bounds[activation]
    least, most = limits(output.dtype)
    if low is not None:
        least = max(least, quantize_value(low, scale, zero_point))
    if high is not None:
        most = min(most, quantize_value(high, scale, zero_point))
    return least, most
