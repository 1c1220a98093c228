"""What a reduction did, as one value that the console, JSON and HTML are all made from.

`quantize`, `prune`, `optimize`, `compare` and `sensitivity` fill a Report; `quantization.py` prints
it, `report_json` and `html.py` write it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from edge_autoglm.measure.figures import Figure, Kind, model_figures
from edge_export.aot.names import short_names as short_names
from edge_quantize.graph.model import Graph
from edge_quantize.intervals import Interval
from edge_quantize.quality import LayerQuality, Quality

SCHEMA = 1


@dataclass(frozen=True)
class Quantity:
    """How a figure is called and written. `kind` "share" is 0..1, shown in percent."""

    title: str
    unit: str = ""
    kind: str = "count"  # count, share, points (of percent), real
    lower_is_better: bool = True
    short: str = ""  # with its unit, above a narrow column

    @property
    def heading(self) -> str:
        return self.short or self.named

    @property
    def named(self) -> str:
        return f"{self.title}, {self.unit}" if self.unit else self.title


# By the key that figures have in reports, in the order of the table.
QUANTITIES = {
    "file_bytes": Quantity("model file", "B"),
    "weight_bytes": Quantity("weights and biases", "B"),
    "macs": Quantity("MACs"),
    "flash": Quantity("flash, whole image", "B", short="flash, B"),
    "ram": Quantity("RAM, static and stack", "B", short="RAM, B"),
    "arena": Quantity("arena", "B"),
    "constants": Quantity("constants for kernels", "B"),
    "activation_bytes": Quantity("activations alive", "B"),
    "instructions": Quantity("instructions"),
    "cycles": Quantity("cycles"),
    "latency_ms": Quantity("latency", "ms", "real"),
    "accuracy": Quantity("accuracy", "%", "share", lower_is_better=False),
    "agreement": Quantity("same answer", "%", "share", lower_is_better=False, short="same, %"),
    "drop": Quantity("accuracy lost", "points", "points", short="lost, points"),
    "error": Quantity("RMSE to reference", "", "real"),
    "target_error": Quantity("RMSE to targets", "", "real"),
    "sqnr_db": Quantity("SQNR", "dB", "real", lower_is_better=False),
}

Value = Figure | Interval


@dataclass(frozen=True)
class Stage:
    """One side: a model as it was, or as it became. Keys of `figures` are those of QUANTITIES."""

    name: str
    figures: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class Bar:
    """One row of a bar chart; `value` None is "not known", infinite a full bar."""

    label: str
    value: float | None
    note: str = ""
    marked: bool = False


@dataclass(frozen=True)
class Bars:
    """A bar chart. `line` is a value to draw a line at, with what it means."""

    title: str
    unit: str
    bars: tuple[Bar, ...]
    line: tuple[float, str] | None = None
    text: str = ""  # what to see in it


@dataclass(frozen=True)
class Point:
    """One candidate of a search; keys of `figures` are those of QUANTITIES."""

    name: str
    figures: Mapping[str, Value]
    chosen: bool = False
    front: bool = False  # no other point is better in everything


@dataclass(frozen=True)
class Grid:
    """A further table; columns are written "<left", ">right" or "~shrinking", as in `tables`."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    legend: str = ""  # what the columns are, under the table


@dataclass(frozen=True)
class Report:
    """Everything that is shown of one run.

    `axes` are pairs of keys (x, y) that the points are plotted over. `facts` are (what, which):
    model, data, board, command. `notes` are sentences, a line each.
    """

    title: str
    before: Stage | None = None
    after: Stage | None = None
    layers: tuple[LayerQuality, ...] = ()
    points: tuple[Point, ...] = ()
    axes: tuple[tuple[str, str], ...] = ()
    charts: tuple[Bars, ...] = ()
    grids: tuple[Grid, ...] = ()
    facts: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    # What layers are called for people, by their names in the model; others by these names.
    layer_names: Mapping[str, str] = field(default_factory=dict)
    points_text: str = "All points"  # which the points are

    def called(self, layer: str) -> str:
        return self.layer_names.get(layer, layer)


def graph_figures(graph: Graph, file_bytes: int | None = None) -> dict[str, Value]:
    """As `model_figures`, with room for intervals."""
    return {**model_figures(graph, file_bytes)}


def quality_figures(quality: Quality) -> tuple[dict[str, Value], dict[str, Value]]:
    """(the reference's, the candidate's) part of a quality."""
    before: dict[str, Value] = {}
    after: dict[str, Value] = {}
    if math.isfinite(quality.sqnr_db):
        after["sqnr_db"] = quality.sqnr or Figure(quality.sqnr_db, Kind.MEASURED)
    for key, one, other in (
        ("accuracy", quality.reference_accuracy, quality.accuracy),
        ("drop", None, quality.paired_drop),
        ("agreement", None, quality.agreement),
        ("target_error", quality.reference_target_error, quality.target_error),
        ("error", None, quality.error if quality.agreement is None else None),
    ):
        if one is not None:
            before[key] = one
        if other is not None:
            after[key] = other
    return before, after


def comparable(one: Value, other: Value) -> bool:
    """Whether their ratio says something of the models: what was measured, set against what was
    modelled, says as much of the model's error."""
    kinds = {value.kind for value in (one, other) if isinstance(value, Figure)}
    return not (Kind.MODELLED in kinds and len(kinds) > 1)


def finite(value: float) -> float | None:
    """JSON has no infinity: an SQNR without noise is null."""
    return value if math.isfinite(value) else None


def value_json(value: Value | None) -> dict[str, Any] | None:
    """A figure with its kind, or an interval with its confidence."""
    if value is None:
        return None
    if isinstance(value, Interval):
        return {"value": value.value, "low": value.low, "high": value.high, "confidence": 0.95}
    found: dict[str, Any] = {"value": finite(value.value), "kind": value.kind.value}
    if value.low is not None and value.high is not None:
        found |= {"low": value.low, "high": value.high}
    return found


def quality_json(quality: Quality) -> dict[str, Any]:
    """A quality; shares are 0..1, infinite decibels null."""
    return {
        "samples": quality.samples,
        "sqnr_db": finite(quality.sqnr_db),
        "rmse": quality.rmse,
        "max_abs": quality.max_abs,
        "cosine": quality.cosine,
        **{
            name: value_json(getattr(quality, name))
            for name in (
                "agreement", "accuracy", "reference_accuracy", "paired_drop", "error",
                "target_error", "reference_target_error", "target_rise", "sqnr",
            )
        },
    }  # fmt: skip


def layer_json(layer: LayerQuality, called: str) -> dict[str, Any]:
    return {
        "name": called,
        "tensor": layer.name,
        "op": layer.op,
        "sqnr_db": finite(layer.sqnr_db),
        "rmse": layer.rmse,
        "max_abs": layer.max_abs,
        "cosine": layer.cosine,
        "hurts": layer.hurts,
        "not_compared_before": layer.skipped,
    }


def _stage_json(stage: Stage | None) -> dict[str, Any] | None:
    if stage is None:
        return None
    figures = {key: value_json(value) for key, value in stage.figures.items()}
    return {"name": stage.name, "figures": figures}


def report_json(report: Report) -> dict[str, Any]:
    """The report's values under the keys of its dataclasses."""
    return {
        "schema": SCHEMA,
        "title": report.title,
        "facts": dict(report.facts),
        "before": _stage_json(report.before),
        "after": _stage_json(report.after),
        "layers": [layer_json(layer, report.called(layer.name)) for layer in report.layers],
        "points": [
            {
                "name": point.name,
                "chosen": point.chosen,
                "front": point.front,
                "figures": {key: value_json(value) for key, value in point.figures.items()},
            }
            for point in report.points
        ],
        "notes": list(report.notes),
    }


def value_text(key: str, value: Value | None) -> str:
    """A figure as tables write it, without its unit."""
    if value is None:
        return "-"
    kind = QUANTITIES[key].kind
    return number_text(value.value, kind)


def number_text(value: float, kind: str) -> str:
    """One number: counts with thousands separators, shares in percent, reals in four digits."""
    if math.isinf(value):
        return "equal" if value > 0 else "-"
    if kind == "count":
        return f"{value:,.0f}"
    if kind in ("share", "points"):
        return f"{100 * value:.2f}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def interval_text(key: str, value: Value | None) -> str:
    """The interval of a figure, or the extremes; empty without."""
    if value is None or value.low is None or value.high is None:
        return ""
    kind = QUANTITIES[key].kind
    return f"{number_text(value.low, kind)}..{number_text(value.high, kind)}"


def kinds_text(values: Sequence[Value | None]) -> str:
    """Where figures come from, one word where they agree; of an interval, what it is."""
    kinds = [
        "95 % conf." if isinstance(value, Interval) else value.kind.value
        for value in values
        if value is not None
    ]
    return "/".join(dict.fromkeys(kinds))
