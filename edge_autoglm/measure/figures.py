"""A figure and where it comes from. The two are never parted, and kinds are never mixed."""

from __future__ import annotations

import enum
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from edge_quantize.graph import Graph
from edge_quantize.graph.analysis import analyse


class Kind(enum.Enum):
    """Where a figure comes from."""

    MEASURED = "measured"  # read from a board's own counter, or this machine's clock
    EXACT = "exact"  # counted, without error: instructions on a virtual board, MACs
    MODELLED = "modelled"  # a virtual board's cycles, and what follows from them
    DATASHEET = "datasheet"  # computed with a figure somebody published


@dataclass(frozen=True)
class Figure:
    """`value` is the median where there were several runs; then `low` and `high` are the
    extremes of them."""

    value: float
    kind: Kind
    low: float | None = None
    high: float | None = None

    def scaled(self, factor: float, kind: Kind | None = None) -> Figure:
        """The figure times `factor`; `kind` where the factor is of a weaker one."""
        return Figure(
            self.value * factor,
            kind or self.kind,
            None if self.low is None else self.low * factor,
            None if self.high is None else self.high * factor,
        )

    @property
    def spread(self) -> float:
        """Highest less lowest, in units of the value; 0 for one run."""
        return 0.0 if self.low is None or self.high is None else self.high - self.low


def median(values: Sequence[int], kind: Kind) -> Figure:
    """The median of whole counts, with the extremes where there are several."""
    middle = statistics.median_low(values)
    if len(values) == 1:
        return Figure(middle, kind)
    return Figure(middle, kind, min(values), max(values))


def model_figures(graph: Graph, file_bytes: int | None = None) -> dict[str, Figure]:
    """What a model alone tells: MACs, bytes of weights and biases, bytes of activations alive at
    once, and the file's where they are given; all exact."""
    analysis = analyse(graph)
    found = {
        "weight_bytes": analysis.parameter_bytes,
        "macs": analysis.macs,
        "activation_bytes": analysis.memory_bound,
    }
    if file_bytes is not None:
        found["file_bytes"] = file_bytes
    return {key: Figure(value, Kind.EXACT) for key, value in found.items()}
