"""What a float model's activations are over samples: their bounds, and histograms within them.

Two runs over the samples: the first finds the bounds, the second fills histograms whose bins the
bounds give. So nothing is kept but counts, however many samples there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_quantize.data.samples import Samples
from edge_quantize.errors import InputDataError
from edge_quantize.graph.model import DType, Graph
from edge_quantize.run import Floats, activations

BINS = 2048

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Bounds:
    """Smallest and largest value seen."""

    low: float
    high: float

    def __or__(self, other: Bounds) -> Bounds:
        return Bounds(min(self.low, other.low), max(self.high, other.high))


@dataclass(frozen=True, eq=False)
class Histogram:
    """`counts` of values in equal bins from `low` to `high` (float64, sums may be weighted)."""

    low: float
    high: float
    counts: npt.NDArray[np.float64]

    @property
    def centres(self) -> npt.NDArray[np.float64]:
        edges = np.linspace(self.low, self.high, len(self.counts) + 1)
        return (edges[:-1] + edges[1:]) / 2


@dataclass(frozen=True, eq=False)
class Calibration:
    """A histogram of every float activation, by tensor index; and over how many samples."""

    histograms: Mapping[int, Histogram]
    samples: int

    def bounds(self, index: int) -> Bounds:
        histogram = self.histograms[index]
        return Bounds(histogram.low, histogram.high)


def calibrate(graph: Graph, samples: Samples, progress: Progress | None = None) -> Calibration:
    """Runs a float graph over `samples`, twice.

    Raises InputDataError for values that are no numbers, naming the first layer that has some.
    """
    bounds = _find_bounds(graph, samples, progress)
    return Calibration(_fill(graph, samples, bounds, progress), len(samples))


def _find_bounds(graph: Graph, samples: Samples, progress: Progress | None) -> dict[int, Bounds]:
    found: dict[int, Bounds] = {}
    for number, values in enumerate(_floats(graph, samples)):
        for index, array in values.items():
            low, high = float(array.min()), float(array.max())
            if not np.isfinite(low) or not np.isfinite(high):
                raise InputDataError(
                    f"{samples.source or 'samples'}: sample {number} gives NaN or infinity in "
                    f"'{graph.tensors[index].name}'"
                )
            bounds = Bounds(low, high)
            found[index] = found[index] | bounds if index in found else bounds
        if progress is not None:
            progress(number + 1, len(samples), "finding ranges")
    return found


def _fill(
    graph: Graph, samples: Samples, bounds: Mapping[int, Bounds], progress: Progress | None
) -> dict[int, Histogram]:
    counts = {index: np.zeros(BINS) for index in bounds}
    for number, values in enumerate(_floats(graph, samples)):
        for index, array in values.items():
            limits = bounds[index]
            counts[index] += _counted(array, limits)
        if progress is not None:
            progress(number + 1, len(samples), "filling histograms")
    return {i: Histogram(bounds[i].low, bounds[i].high, c) for i, c in counts.items()}


def _counted(values: Floats, limits: Bounds) -> npt.NDArray[np.float64]:
    counts = np.zeros(BINS)
    if limits.high <= limits.low:
        counts[0] = values.size
        return counts
    # numpy.histogram sorts nothing with equal bins, but checks more than this does.
    place = (values.ravel().astype(np.float64) - limits.low) * (BINS / (limits.high - limits.low))
    bins = np.minimum(place.astype(np.intp), BINS - 1)
    return np.bincount(bins, minlength=BINS).astype(np.float64)


def merged(histograms: Sequence[Histogram]) -> Histogram:
    """One histogram over all bounds; counts go to the bins that their centres fall in."""
    if len(histograms) == 1:
        return histograms[0]
    low, high = min(h.low for h in histograms), max(h.high for h in histograms)
    if high <= low:
        return Histogram(low, high, np.sum([h.counts for h in histograms], axis=0))
    counts = np.zeros(BINS)
    for histogram in histograms:
        filled, _ = np.histogram(histogram.centres, BINS, (low, high), weights=histogram.counts)
        counts += filled
    return Histogram(low, high, counts)


def _floats(graph: Graph, samples: Samples) -> Iterator[Mapping[int, Floats]]:
    if not len(samples):
        raise InputDataError(f"{samples.source or 'samples'}: there are none to calibrate with")
    wanted = {t.index for t in graph.tensors if t.dtype is DType.FLOAT32 and not t.is_constant}
    for values in activations(graph, samples):
        yield {i: v for i, v in values.items() if i in wanted and v.size}
