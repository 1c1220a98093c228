"""What a candidate is worth: its answers on data held back, beside what it takes of the board."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from edge_autoglm.errors import UsageError
from edge_quantize.data import Samples
from edge_quantize.graph import Graph
from edge_quantize.intervals import Interval
from edge_quantize.quality import Quality, classifies, evaluate, logits
from edge_quantize.run import outputs

from .budget import Budget, Excess
from .target import Costs

_LARGE_LOSS = 0.05  # share of samples; far beyond what int8 costs a sound model


class Measure(enum.Enum):
    """What "error" is, in the order of preference."""

    ACCURACY = "accuracy lost against the float model"
    ANSWERS = "share of answers that differ from the float model's"
    OUTPUT = "RMS error of the outputs, relative to the float model's"


@dataclass(frozen=True)
class Worth:
    """Quality of one candidate on the data held back. `error` is what `measure` says, with its
    interval where there is one; it may be negative for accuracy."""

    measure: Measure
    error: Interval
    sqnr_db: float
    samples: int
    accuracy: Interval | None
    reference_accuracy: Interval | None
    agreement: Interval | None

    def json(self) -> dict[str, Any]:
        return {**asdict(self), "measure": self.measure.name.lower()}

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Worth:
        """From `json()`."""

        def interval(name: str) -> Interval | None:
            found = document[name]
            return None if found is None else Interval(**found)

        error = interval("error")
        assert error is not None
        return cls(
            measure=Measure[str(document["measure"]).upper()],
            error=error,
            sqnr_db=float(document["sqnr_db"]),
            samples=int(document["samples"]),
            accuracy=interval("accuracy"),
            reference_accuracy=interval("reference_accuracy"),
            agreement=interval("agreement"),
        )


class Judge:
    """Judges candidates against one float model on samples that nothing was fitted to."""

    def __init__(self, reference: Graph, samples: Samples) -> None:
        self.samples = samples
        self.reference = outputs(logits(reference), samples)
        self.measure = measure_of(reference, samples)

    def worth(self, graph: Graph) -> Worth:
        """Runs `graph` over the samples. Raises QuantizeError."""
        found = evaluate(logits(graph), self.samples, self.reference)
        return Worth(
            measure=self.measure,
            error=_error(self.measure, found),
            sqnr_db=found.sqnr_db,
            samples=found.samples,
            accuracy=found.accuracy,
            reference_accuracy=found.reference_accuracy,
            agreement=found.agreement,
        )


def measure_of(graph: Graph, samples: Samples) -> Measure:
    """What the samples allow to measure."""
    labels = samples.labels
    if labels is not None and labels.ndim == 1 and labels.dtype.kind in "iub":
        return Measure.ACCURACY
    return Measure.ANSWERS if classifies(graph) else Measure.OUTPUT


def check_drop(budget: Budget, graph: Graph, samples: Samples) -> None:
    """Raises UsageError where a drop of accuracy is limited that the data cannot tell."""
    if budget.drop is None or measure_of(graph, samples) is Measure.ACCURACY:
        return
    found = "no labels" if samples.labels is None else "labels that are no classes"
    raise UsageError(
        f"--max-drop: {samples.source or 'the data'} has {found}, and accuracy is asked for; "
        "give class indices as `labels` in a .npz, as subfolders named by class, or as the second "
        "of what a function returns; or leave --max-drop out"
    )


def loss_notes(worth: Worth | None, level: int) -> tuple[str, ...]:
    """A warning where what was chosen answers otherwise than the float model too often."""
    if worth is None or worth.measure is Measure.OUTPUT or worth.error.value <= _LARGE_LOSS:
        return ()
    points = f"{100 * worth.error.value:.1f}"
    lost = (
        f"loses {points} points of accuracy"
        if worth.measure is Measure.ACCURACY
        else f"answers {points} % of the samples otherwise than the float model"
    )
    search = "more --trials" if level >= 3 else "--level 3"
    data = "" if worth.measure is Measure.ACCURACY else "data with labels and --max-drop, "
    limit = "--max-drop to refuse such a loss, " if worth.measure is Measure.ACCURACY else ""
    note = (
        f"the chosen model {lost}; try {search}, a larger budget, {data}{limit}or "
        "`edge-autoglm prune --finetune`, which trains what stays, with labels"
    )
    return (note,)


def _error(measure: Measure, found: Quality) -> Interval:
    if measure is Measure.ACCURACY and found.paired_drop is not None:
        return found.paired_drop
    if measure is Measure.ANSWERS and found.agreement is not None:
        same = found.agreement
        return Interval(1 - same.value, 1 - same.high, 1 - same.low)
    error = 10 ** (-found.sqnr_db / 20)  # sqrt(noise / signal)
    return Interval(error, error, error)


def excesses(costs: Costs, budget: Budget, worth: Worth | None = None) -> tuple[Excess, ...]:
    """Everything of a candidate that is beyond the budget; `worth` where it was judged."""
    found = list(costs.footprint.excesses(budget))
    limit, latency = budget.latency_ms, costs.latency
    if limit is not None and latency is not None and latency.ms > limit:
        found.append(Excess("latency", latency.ms, limit, latency.slowest(costs.footprint.program)))
    if budget.drop is not None and worth is not None and worth.error.value > budget.drop:
        found.append(Excess("accuracy", worth.error.value, budget.drop, worth.measure.value))
    return tuple(found)
