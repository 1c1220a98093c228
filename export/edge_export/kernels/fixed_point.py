"""Exponential, logistic function and hyperbolic tangent in 32-bit fixed point, bit for bit as
gemmlowp computes them (the algorithms and constants are described in its `fixedpoint.h`).

Qm.n: m integer bits, n fraction bits, and the sign. "One" in Q0.31 is 2^31 - 1.
"""

from __future__ import annotations

import math

from .quant import rounding_doubling_high_mul, rounding_shift_right

_ONE = (1 << 31) - 1
# exp(-2^k) in Q0.31 for k = -2..4, the factors of the binary digits of an exponent.
_EXP_POWERS = tuple(round(math.exp(-(2.0**k)) * (1 << 31)) for k in range(-2, 5))
_EXP_EIGHTH = round(math.exp(-0.125) * (1 << 31))
_THIRD = round((1 << 31) / 3)
# Newton-Raphson on 1 / d for d in [1/2, 1]: starts at 48/17 - 32/17 d, in Q2.29.
_START = round(48 / 17 * (1 << 29))
_SLOPE = round(-32 / 17 * (1 << 29))


def exp_on_negative_values(x: int, integer_bits: int = 5) -> int:
    """exp of a number that is not positive, with 4 or 5 integer bits, as Q0.31: a polynomial on
    [-1/4, 0) around -1/8, times a factor for every binary digit above."""
    if x == 0:
        return _ONE
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    low = (x & (quarter - 1)) - quarter
    result = _exp_on_quarter(low << integer_bits)
    rest = low - x
    for bit, factor in zip(range(-2, integer_bits), _EXP_POWERS, strict=False):
        if rest & (1 << (fraction_bits + bit)):
            result = rounding_doubling_high_mul(result, factor)
    return result


def _exp_on_quarter(a: int) -> int:
    """exp of a Q0.31 number in [-1/4, 0)."""
    x = a + (1 << 28)
    x2 = rounding_doubling_high_mul(x, x)
    x3 = rounding_doubling_high_mul(x2, x)
    x4_over_4 = rounding_shift_right(rounding_doubling_high_mul(x2, x2), 2)
    higher = rounding_doubling_high_mul(x4_over_4 + x3, _THIRD) + x2
    return _EXP_EIGHTH + rounding_doubling_high_mul(
        _EXP_EIGHTH, x + rounding_shift_right(higher, 1)
    )


def logistic(x: int) -> int:
    """1 / (1 + exp(-x)) of a Q4.27 number, as Q0.31."""
    if x == 0:
        return 1 << 30
    positive = _shift_left(_twice_reciprocal(exp_on_negative_values(-abs(x), 4)), 1)
    return positive if x > 0 else _ONE - positive


def tanh(x: int) -> int:
    """tanh of a Q4.27 number, as Q0.31: (1 - e) / (1 + e) for e = exp(-2 |x|)."""
    if x == 0:
        return 0
    # Read as Q5.26, the same bits are twice the number.
    positive = _shift_left(_twice_reciprocal(exp_on_negative_values(-abs(x), 5)) - (1 << 29), 2)
    return positive if x > 0 else -positive


def _twice_reciprocal(x: int) -> int:
    """2 / (1 + x) of a Q0.31 number in [0, 1], as Q2.29."""
    half = (x + _ONE + 1) >> 1
    y = _START + rounding_doubling_high_mul(half, _SLOPE)
    for _ in range(3):
        error = (1 << 29) - rounding_doubling_high_mul(half, y)
        y += _shift_left(rounding_doubling_high_mul(y, error), 2)
    return y


def _shift_left(x: int, bits: int) -> int:
    """x * 2^bits, saturated to 32 bits."""
    return max(-(1 << 31), min(_ONE, x << bits))
