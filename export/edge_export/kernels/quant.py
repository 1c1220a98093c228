"""Fixed-point numbers of quantized kernels: those of `edge_quantize.fixed_point`, and the twins of
what the kernels do with them."""

from __future__ import annotations

from edge_quantize.fixed_point import (
    activation_range,
    limits,
    quantize_multiplier,
    quantize_value,
    round_half_away,
)

__all__ = [
    "INT8_MAX",
    "INT8_MIN",
    "activation_range",
    "limits",
    "narrow_multiplier",
    "quantize_multiplier",
    "quantize_value",
    "requantize",
    "requantize_s64",
    "round_half_away",
    "rounding_doubling_high_mul",
    "rounding_shift_right",
]

INT8_MIN, INT8_MAX = -128, 127


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
