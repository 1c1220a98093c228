"""How far float16 is from float32 in one tensor."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from .arithmetic import SMALLEST_HALF, SMALLEST_NORMAL_HALF

Array = npt.NDArray[np.generic]


class Difference:
    """One tensor: float32, against float16 stacked twice (chained, and from float32 inputs)."""

    def __init__(self, exact: Array, half: Array, over: Array | None) -> None:
        count = max(1, len(half) // 2)
        chained, own = half[:count], half[-count:]
        finite = np.isfinite(exact)
        values = np.where(finite, exact, 0).astype(np.float64)
        magnitude = np.abs(values)
        self.largest = float(magnitude.max(initial=0.0))
        bad = [~np.isfinite(part) & finite for part in (chained, own)]
        if over is not None:
            # An activation may have hidden them.
            bad = [
                b | (o & finite) for b, o in zip(bad, (over[:count], over[-count:]), strict=True)
            ]
        self.chained, self.own = (
            float(np.abs(np.where(np.isfinite(part), part, values) - values).max(initial=0.0))
            for part in (chained, own)
        )
        self.overflowed, self.own_overflowed = (int(np.count_nonzero(b)) for b in bad)
        self.chained_over = bad[0].reshape(len(bad[0]), -1).any(axis=1)
        self.subnormal = self.vanished = 0
        if exact.dtype == np.float32:
            small = (own != 0) & (np.abs(own) < SMALLEST_NORMAL_HALF)
            self.subnormal = int(np.count_nonzero(small))
            gone = (own == 0) & (magnitude > 0) & (magnitude < SMALLEST_HALF)
            self.vanished = int(np.count_nonzero(gone))


def relative(difference: float, largest: float) -> float:
    if largest:
        return difference / largest
    return math.inf if difference else 0.0


def agreement(exact: Array, half: Array) -> float | None:
    """The fraction of samples `[samples, ..., classes]` with the same argmax; None where a sample
    is no vector of two or more reals."""
    classes = exact.shape[-1]
    if exact.dtype != np.float32 or classes < 2 or exact[0].size != classes:
        return None
    known = np.nan_to_num(half, nan=-np.inf)
    return float(np.mean(exact.argmax(axis=-1) == known.argmax(axis=-1)))
