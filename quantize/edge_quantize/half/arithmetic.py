"""float16 arithmetic on float32 arrays: every value in them is one that float16 has.

numpy's own float16 takes five nanoseconds an operation; here it is float32 operations, each
followed by a rounding to 11 bits. A sum, a product or a quotient of two halves is the same bits
that way: float32 has more than twice the bits of a half, so that rounding twice is rounding once.

A multiply-add is rounded once, as phones' GPUs have it: the product, which float32 holds exactly,
is added in float32 and the sum becomes float16. (A fused one without that step in between differs
where the float32 sum falls on the middle of two halves.)
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

LARGEST_HALF = 65504.0
SMALLEST_NORMAL_HALF = 2.0**-14
SMALLEST_HALF = 2.0**-24
_BLOCK = 1 << 15  # floats of one running sum: it stays in a core's cache with its temporaries
_EXPONENT = np.uint32(0x7F800000)
_NORMAL_EXPONENT = np.uint32(0x38800000)  # of 2^-14: below it the grid gets no finer
_TO_MAGIC = np.uint32(
    0x06C00000
)  # from 2^e to 1.5 * 2^(e + 13), where float32's last bit is a half's


def halved(values: npt.NDArray[np.generic]) -> Floats:
    """The nearest float16 values, ties to even, as float32; infinite past 65504 (65520 on)."""
    with np.errstate(over="ignore", invalid="ignore"):
        return values.astype(np.float16).astype(np.float32)


class Sums:
    """Running sums kept in float16: `[rows, columns]`, zero at first.

    `safe` says that no partial sum can pass 65504, which makes it several times faster.
    """

    def __init__(self, rows: int, columns: int, safe: bool) -> None:
        self.values = np.zeros((rows, columns), np.float32)
        self._safe = safe
        self._product = np.empty_like(self.values)
        self._bits = np.empty(self.values.shape, np.uint32)

    def add_product(self, left: Floats, right: Floats) -> None:
        """values += left * right, each broadcast to the shape of the sums, rounded once."""
        np.multiply(left, right, out=self._product)
        self.add(self._product)

    def add(self, terms: Floats) -> None:
        sums = self.values
        if not self._safe:
            with np.errstate(over="ignore", invalid="ignore"):
                sums += terms
            self.values = halved(sums)
            return
        sums += terms
        bits = self._bits
        np.bitwise_and(sums.view(np.uint32), _EXPONENT, out=bits)
        np.maximum(bits, _NORMAL_EXPONENT, out=bits)
        np.add(bits, _TO_MAGIC, out=bits)
        magic = bits.view(np.float32)
        sums += magic
        sums -= magic


def dot(left: Floats, right: Floats) -> Floats:
    """`left[rows, k] @ right[k, columns]`, the products added one after the other, k upwards."""
    rows, depth = left.shape
    columns = right.shape[1]
    if depth == 0 or rows == 0 or columns == 0:
        return np.zeros((rows, columns), np.float32)
    if rows > columns:
        # The longer side lies innermost in memory: numpy's loops run along it.
        return np.ascontiguousarray(dot(right.T, left.T).T)
    result = np.empty((rows, columns), np.float32)
    high = max(1, _BLOCK // columns)
    wide = min(columns, _BLOCK)
    turned = np.ascontiguousarray(left.T)
    for top in range(0, rows, high):
        some = turned[:, top : top + high]
        for start in range(0, columns, wide):
            part = np.ascontiguousarray(right[:, start : start + wide])
            result[top : top + high, start : start + wide] = _dot_block(some, part)
    return result


def _dot_block(left: Floats, right: Floats) -> Floats:
    """`left[k, rows].T @ right[k, columns]`."""
    sums = Sums(left.shape[1], right.shape[1], _safe(left, right))
    for one, other in zip(left, right, strict=True):
        sums.add_product(one[:, None], other[None, :])
    return sums.values


def _safe(left: Floats, right: Floats) -> bool:
    """Whether no partial sum can pass 65504, for all that the magnitudes say."""
    with np.errstate(over="ignore", invalid="ignore"):
        most = float(np.abs(left).max()) * float(np.abs(right).sum(axis=0).max())
        if stays_finite(most, len(left)):
            return True
        return stays_finite(float((np.abs(left).T @ np.abs(right)).max()), len(left))


def safe_sum(terms: Floats, axis: int) -> bool:
    """Whether adding `terms` along `axis` in any order stays within 65504."""
    with np.errstate(over="ignore", invalid="ignore"):
        most = float(np.abs(terms).sum(axis=axis).max(initial=0.0))
    return stays_finite(most, terms.shape[axis])


def stays_finite(most: float, steps: int) -> bool:
    """Whether a running sum in float16 of terms whose magnitudes add up to `most` stays within
    65504, in any order.

    Each step may round upwards: by 2^-11 of the sum, and by 16 at most below 65504. (Both are
    taken a little larger, for the rounding to float32 and that of `most`.)
    """
    growth = math.exp(min(steps / 2000, 700.0))
    return min(most + 17.0 * steps, most * growth) < LARGEST_HALF
