"""From what was seen to a scale and a zero point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.model import DType, Quantization

from .calibrate import Bounds, Histogram
from .recipe import Observer

_CANDIDATES = 100  # clips tried a side
_ROUNDS = 3  # of the search that moves one side, then the other
_LEAST_SCALE = 1e-8  # a tensor that is always 0 has to have some scale


def limits(dtype: DType) -> tuple[int, int]:
    """Lowest and highest integer that is used. int16 is symmetric, as its kernels ask for; int4
    weights too, so that a sign can be taken."""
    return {
        DType.INT4: (-7, 7),
        DType.INT8: (-128, 127),
        DType.INT16: (-32767, 32767),
    }[dtype]


def affine(bounds: Bounds, dtype: DType) -> Quantization:
    """Scale and zero point of activations within `bounds`, 0 being exactly some integer.

    int8 is asymmetric (Jacob et al. 2018, arXiv:1712.05877, section 3); int16 has zero point 0.
    """
    low, high = min(bounds.low, 0.0), max(bounds.high, 0.0)
    least, most = limits(dtype)
    if dtype is DType.INT16:
        scale = max(-low, high) / most
        return Quantization((_scale(scale),), (0,))
    scale = _scale((high - low) / (most - least))
    zero_point = int(np.clip(np.rint(least - low / scale), least, most))
    return Quantization((scale,), (zero_point,))


def _scale(value: float) -> float:
    """Scales are float32 in the file, and never 0."""
    return float(np.float32(max(value, _LEAST_SCALE)))


def clip(histogram: Histogram, observer: Observer, dtype: DType, percentile: float) -> Bounds:
    """The range to quantize, of what was seen.

    MINMAX keeps all. PERCENTILE keeps `percentile` of 100 values, cutting the same share of both
    tails. MSE takes the bounds with the least squared error of rounding and saturation together.
    """
    bounds = Bounds(histogram.low, histogram.high)
    if observer is Observer.MINMAX or histogram.high <= histogram.low:
        return bounds
    if observer is Observer.PERCENTILE:
        return _percentile(histogram, percentile)
    return _least_error(histogram, dtype)


def _percentile(histogram: Histogram, percentile: float) -> Bounds:
    total = np.cumsum(histogram.counts)
    tail = (1 - percentile / 100) / 2 * total[-1]
    edges = np.linspace(histogram.low, histogram.high, len(histogram.counts) + 1)
    first = int(np.searchsorted(total, tail, side="right"))
    last = int(np.searchsorted(total, total[-1] - tail, side="left"))
    return Bounds(float(edges[first]), float(edges[last + 1]))


def _least_error(histogram: Histogram, dtype: DType) -> Bounds:
    """A search that moves one bound, then the other; a bound at 0 stays, since 0 must remain."""
    values, counts = _occupied(histogram)
    best = Bounds(min(histogram.low, 0.0), max(histogram.high, 0.0))
    least = squared_error(values, counts, affine(best, dtype), dtype)
    shrink = np.linspace(1.0, 0.2, _CANDIDATES)
    full = best
    for _ in range(_ROUNDS):
        before = best
        for side in ("high", "low"):
            for factor in shrink:
                tried = (
                    Bounds(best.low, full.high * factor)
                    if side == "high"
                    else Bounds(full.low * factor, best.high)
                )
                error = squared_error(values, counts, affine(tried, dtype), dtype)
                if error < least:
                    best, least = tried, error
        if best == before:
            break
    return best


def _occupied(histogram: Histogram) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    used = histogram.counts > 0
    values = histogram.centres
    # The bin of 0 is exact: after a RELU most values are there.
    width = (histogram.high - histogram.low) / len(values)
    if histogram.low == 0.0:
        values[0] = 0.0
    values = np.where(np.abs(values) < width / 2, 0.0, values)
    return values[used], histogram.counts[used]


def squared_error(
    values: npt.NDArray[np.float64],
    counts: npt.NDArray[np.float64],
    quantization: Quantization,
    dtype: DType,
) -> float:
    """Sum of squared differences between values and what their integers stand for."""
    least, most = limits(dtype)
    steps = np.clip(np.rint(values / quantization.scale) + quantization.zero_point, least, most)
    error = (steps - quantization.zero_point) * quantization.scale - values
    return float(counts @ (error * error))
