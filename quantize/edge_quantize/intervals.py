"""95 % confidence intervals: of a share, of the difference of two shares, of an error."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
_Z = 1.959963984540054  # the normal distribution's quantile at (1 + CONFIDENCE) / 2
_RESAMPLES = 1000
_SEED = 0

Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Interval:
    """A figure and its 95 % confidence interval."""

    value: float
    low: float
    high: float


def share(hits: int, count: int) -> Interval:
    """The share `hits / count` with Wilson's score interval.

    It stays within 0..1 and has a width even where all or none hit. E. B. Wilson, "Probable
    inference, the law of succession, and statistical inference", JASA 22 (1927) 209-212. Raises
    ValueError for no samples.
    """
    if not 0 <= hits <= count or not count:
        raise ValueError(f"{hits} hits of {count}")
    p, n, square = hits / count, count, _Z * _Z
    middle = (p + square / (2 * n)) / (1 + square / n)
    half = _Z / (1 + square / n) * math.sqrt(p * (1 - p) / n + square / (4 * n * n))
    # Exact at the ends, where rounding would leave a bit of 1e-17.
    low = 0.0 if hits == 0 else max(0.0, middle - half)
    high = 1.0 if hits == count else min(1.0, middle + half)
    return Interval(p, low, high)


def paired_drop(reference: Flags, candidate: Flags) -> Interval:
    """How much the share of hits falls from `reference` to `candidate`, both bool `[n]` over the
    same samples; positive where the candidate is worse.

    R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions
    based on paired data", Statistics in Medicine 17 (1998) 2635-2650, method 10: Wilson's intervals
    of the two shares, put together with their correlation. Being paired makes it narrower than two
    intervals set side by side. Raises ValueError for no samples or unequal lengths.
    """
    if reference.shape != candidate.shape or reference.ndim != 1:
        raise ValueError(f"{reference.shape} against {candidate.shape}")
    n = len(reference)
    both, first = int((reference & candidate).sum()), int((reference & ~candidate).sum())
    second = int((~reference & candidate).sum())
    neither = n - both - first - second
    a, b = share(both + first, n), share(both + second, n)
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    excess = float(both * neither - first * second)
    if excess > 0:  # the paper's continuity correction
        excess = max(0.0, excess - n / 2)
    phi = excess / math.sqrt(product) if product else 0.0

    def joined(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one - 2 * phi * one * other + other * other))

    value = a.value - b.value
    below = joined(a.value - a.low, b.high - b.value)
    above = joined(a.high - a.value, b.value - b.low)
    return Interval(value, max(-1.0, value - below), min(1.0, value + above))


def bootstrap(
    columns: tuple[npt.NDArray[np.float64], ...], statistic: Callable[..., Any]
) -> Interval:
    """A statistic of samples with its percentile bootstrap interval.

    `columns` are float64 `[n]`, a value a sample each; `statistic` takes their means over the
    samples (arrays too, element by element) and returns the figure. Samples are drawn with
    replacement, all columns together, by a fixed seed. B. Efron, R. J. Tibshirani, "An Introduction
    to the Bootstrap" (1993), chapter 13. Of one sample nothing is known: its interval has no width.
    """
    count = len(columns[0])
    value = float(statistic(*(column.mean() for column in columns)))
    random = np.random.default_rng(_SEED)
    means = [np.empty(_RESAMPLES) for _ in columns]
    for turn in range(_RESAMPLES):
        rows = random.integers(0, count, count)
        for mean, column in zip(means, columns, strict=True):
            mean[turn] = column[rows].mean()
    drawn = np.asarray(statistic(*means))
    tail = 100 * (1 - CONFIDENCE) / 2
    # Not interpolated: between two infinite figures that would be NaN.
    low, high = np.percentile(drawn, [tail, 100 - tail], method="inverted_cdf")
    return Interval(value, min(value, float(low)), max(value, float(high)))
