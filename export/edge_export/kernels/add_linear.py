"""ADD and SUB as one linear form, where one exists that is exact.

TensorFlow Lite Micro's int8 ADD rescales both operands to a common scale in Q20, adds, and
rescales again: three fixed-point multiplies with three roundings; SUB does likewise. As a function
of two bytes it has only 65536 values, so a cheaper formula can be checked against all of them:

    out = clamp((x * a + y * b + c) >> shift)

With a, b near the real scale ratios (b near the negative one for SUB) in as many bits as 32-bit
sums allow, every pair of operands bounds c from below or above; if the bounds leave room, c is
found. If not, a and b are moved by a few units in the direction in which the two tightest bounds
part.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_quantize.fixed_point import ADD_LEFT_SHIFTS, sum_multipliers
from edge_quantize.graph import DType

_ROUNDS = 64  # of moving a and b; models that have a solution needed under ten


@dataclass(frozen=True)
class AddMultipliers:
    """The reference's parameters. Right shifts are not negative; `sign1` is -1 for SUB."""

    offset0: int
    multiplier0: int
    right_shift0: int
    offset1: int
    multiplier1: int
    right_shift1: int
    multiplier: int
    right_shift: int
    zero_point: int
    min: int
    max: int
    sign1: int = 1

    @property
    def swapped(self) -> AddMultipliers:
        """With operands 0 and 1 exchanged; signs are left alone."""
        return replace(
            self,
            offset0=self.offset1,
            multiplier0=self.multiplier1,
            right_shift0=self.right_shift1,
            offset1=self.offset0,
            multiplier1=self.multiplier0,
            right_shift1=self.right_shift0,
        )


@dataclass(frozen=True)
class LinearAdd:
    a: int
    b: int
    c: int
    shift: int


def add_multipliers(
    op: str,
    dtype: DType,
    scales: tuple[float, float, float],
    zero_points: tuple[int, int, int],
    bounds: tuple[int, int],
) -> AddMultipliers:
    """Parameters of ADD or SUB from scales and zero points of operand 0, operand 1 and output."""
    (first, first_shift), (second, second_shift), (last, last_shift) = sum_multipliers(
        dtype, scales
    )
    return AddMultipliers(
        *(-zero_points[0], first, -first_shift),
        *(-zero_points[1], second, -second_shift),
        *(last, -last_shift, zero_points[2]),
        *bounds,
        sign1=-1 if op == "SUB" else 1,
    )


def add_reference(
    m: AddMultipliers, x: npt.NDArray[np.int64], y: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """What int8 ADD or SUB gives for int64 arrays of operands that broadcast together."""
    left = ADD_LEFT_SHIFTS[DType.INT8]
    first = _rescale((x + m.offset0) << left, m.multiplier0, m.right_shift0)
    second = _rescale((y + m.offset1) << left, m.multiplier1, m.right_shift1)
    total = _rescale(first + m.sign1 * second, m.multiplier, m.right_shift) + m.zero_point
    return np.clip(total, m.min, m.max)


def _rescale(x: npt.NDArray[np.int64], multiplier: int, shift: int) -> npt.NDArray[np.int64]:
    high = (x * multiplier + (1 << 30)) >> 31
    if shift == 0:
        return high
    mask = (1 << shift) - 1
    return (high >> shift) + ((high & mask) > (mask >> 1) + (high < 0))


@functools.cache
def find_linear_add(m: AddMultipliers, ratios: tuple[float, float]) -> LinearAdd | None:
    """The linear form equal to `add_reference` for all 65536 pairs, or None where none was found.

    `ratios` are the operands' scales over the output's.
    """
    ratios = (ratios[0], m.sign1 * ratios[1])
    grid = np.arange(-128, 128, dtype=np.int64)
    x, y = (axis.ravel() for axis in np.meshgrid(grid, grid, indexing="ij"))
    want = add_reference(m, x, y)
    centre = m.zero_point + ratios[0] * m.offset0 + ratios[1] * m.offset1
    largest = 128.0 * (ratios[0] + abs(ratios[1])) + abs(centre) + 2.0
    shift = min(30, 30 - math.frexp(largest)[1])
    if shift < 1:
        return None
    a, b = (round(ratio * (1 << shift)) for ratio in ratios)
    above, below = want > m.min, want < m.max
    if not above.any() or not below.any():
        return None
    floor = np.where(above, want << shift, -(1 << 62))
    ceiling = np.where(below, ((want + 1) << shift) - 1, 1 << 62)
    for _ in range(_ROUNDS):
        base = x * a + y * b
        low_at = int(np.argmax(floor - base))
        high_at = int(np.argmin(ceiling - base))
        low, high = int((floor - base)[low_at]), int((ceiling - base)[high_at])
        if low <= high:
            c = (low + high) // 2
            fits = all(abs(i * a + j * b + c) < 1 << 31 for i in (-128, 127) for j in (-128, 127))
            return LinearAdd(a, b, c, shift) if fits else None
        dx, dy = int(x[low_at] - x[high_at]), int(y[low_at] - y[high_at])
        span = dx * dx + dy * dy
        if span == 0:
            return None
        # The least move of (a, b) that closes the gap between these two bounds.
        gap = low - high
        a += round(gap * dx / span) or int(np.sign(dx))
        b += round(gap * dy / span) or int(np.sign(dy))
    return None
