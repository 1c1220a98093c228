"""Fixed-point numbers of quantized kernels, computed as TensorFlow Lite Micro computes them.

A real multiplier becomes a Q0.31 mantissa in [2^30, 2^31) and a power of two:
`real = mantissa * 2^(shift - 31)`; positive shifts go left. Scales are float32 values, their
quotients are taken in double precision.
"""

from __future__ import annotations

import math

import numpy as np

from edge_quantize.graph import DType, Tensor
from edge_quantize.graph.options import Activation

INT8_MIN, INT8_MAX = -128, 127


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


def round_half_away(value: float) -> int:
    """C's `round`: to nearest, halves away from zero."""
    return math.floor(value + 0.5) if value >= 0 else -math.floor(-value + 0.5)


def rounding_doubling_high_mul(a: int, b: int) -> int:
    """round(a * b / 2^31), halves up: the twin of `eag_rounding_doubling_high_mul`."""
    return (a * b + (1 << 30)) >> 31


def rounding_shift_right(x: int, shift: int) -> int:
    """round(x / 2^shift), halves away from zero: the twin of `eag_rounding_shift_right`."""
    if shift == 0:
        return x
    mask = (1 << shift) - 1
    return (x >> shift) + int((x & mask) > (mask >> 1) + int(x < 0))


def requantize(x: int, multiplier: int, shift: int) -> int:
    """The twin of `eag_requantize`."""
    product = rounding_doubling_high_mul(x << max(shift, 0), multiplier)
    return rounding_shift_right(product, max(-shift, 0))


def narrow_multiplier(multiplier: int) -> int:
    """A Q0.31 multiplier as the Q0.15 one that 64-bit sums are multiplied by: rounded, and cut off
    below one."""
    return (multiplier + (1 << 15)) >> 16 if multiplier < 0x7FFF0000 else 0x7FFF


def requantize_s64(x: int, multiplier: int, shift: int) -> int:
    """The twin of `eag_requantize_s64`; the multiplier is a narrow one."""
    right = 15 - shift
    return (x * multiplier + (1 << (right - 1))) >> right


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
