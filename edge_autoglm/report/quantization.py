"""A report on the console: before and after, layer by layer, candidates."""

from __future__ import annotations

import math

from rich.table import Table

from edge_quantize.quality import HURTS_DB, LayerQuality, Quality, first_that_hurts

from .summary import (
    QUANTITIES,
    Point,
    Report,
    Stage,
    Value,
    comparable,
    interval_text,
    kinds_text,
    value_text,
)
from .tables import cut, table

_NAME = 15  # characters of a model's name above its column


def report_tables(report: Report) -> list[Table]:
    """The tables of a report, each within 80 columns."""
    found = []
    if report.before is not None or report.after is not None:
        found.append(stages_table(report.title, report.before, report.after))
    if report.points:
        found.append(points_table(report.points))
    if report.layers:
        found.append(layers_table(report))
    found += [table(grid.title, grid.columns, grid.rows) for grid in report.grids]
    return found


def stages_table(title: str, before: Stage | None, after: Stage | None) -> Table:
    """One row a figure, before and after; an interval, or how much is saved, beside them."""
    stages = [stage for stage in (before, after) if stage is not None]
    rows = []
    for key, quantity in QUANTITIES.items():
        values = [stage.figures.get(key) for stage in stages]
        if all(value is None for value in values):
            continue
        rows.append(
            (
                quantity.named,
                *(value_text(key, value) for value in values),
                _about(key, values),
                kinds_text(values),
            )
        )
    names = [f">{cut(stage.name, _NAME)}" for stage in stages]
    return table(title, ["~figure", *names, ">change", "<kind"], rows)


def _about(key: str, values: list[Value | None]) -> str:
    """The last one's interval, or how much it is of the first."""
    last = values[-1]
    between = interval_text(key, last)
    if between:
        return between
    first = values[0]
    if len(values) < 2 or first is None or last is None or not first.value:
        return ""
    if not comparable(first, last):
        return ""
    return f"{100 * (last.value / first.value - 1):+.1f} %"


def layers_table(report: Report) -> Table:
    """SQNR of every layer; the first that hurts is marked."""
    return table(
        "SQNR layer by layer",
        [">#", "~layer", "~op", ">SQNR dB", ">RMSE", ">cosine", "<"],
        [
            (
                number,
                report.called(layer.name),
                layer.op.lower(),
                decibels_text(layer.sqnr_db),
                f"{layer.rmse:.3g}",
                f"{layer.cosine:.5f}",
                "hurts" if layer.hurts else "",
            )
            for number, layer in enumerate(report.layers)
        ],
    )


def points_table(points: tuple[Point, ...]) -> Table:
    """Candidates; the one chosen has an arrow. At most five figures fit."""
    keys = [key for key in QUANTITIES if any(key in point.figures for point in points)][:5]
    return table(
        "Candidates",
        ["<", "~point", *(f">{QUANTITIES[key].heading}" for key in keys)],
        [
            (
                "->" if point.chosen else "",
                point.name,
                *(value_text(key, point.figures.get(key)) for key in keys),
            )
            for point in points
        ],
    )


def decibels_text(value: float) -> str:
    """An SQNR as tables write it."""
    if math.isinf(value):
        return "equal" if value > 0 else "-inf"
    return f"{value:.1f}"


def skipped_text(layer: LayerQuality) -> str:
    """How many layers before it nothing is known of; empty for none."""
    if not layer.skipped:
        return ""
    plural = "s" if layer.skipped > 1 else ""
    return f"; {layer.skipped} layer{plural} before it could not be compared"


def quality_lines(quality: Quality, report: Report | None = None) -> list[str]:
    """Sentences on what was lost, the plainest first; with the first layer that hurts, where the
    report has layers."""
    lines = []
    drop = quality.paired_drop
    if drop is not None and quality.accuracy is not None and quality.reference_accuracy is not None:
        lines.append(
            f"accuracy {100 * quality.reference_accuracy.value:.2f} % -> "
            f"{100 * quality.accuracy.value:.2f} %: {100 * drop.value:.2f} points lost "
            f"(95 % interval {100 * drop.low:.2f} to {100 * drop.high:.2f}), "
            f"{quality.samples} samples"
        )
    if quality.agreement is not None:
        share = quality.agreement
        lines.append(
            f"same answer as the reference on {100 * share.value:.2f} % of {quality.samples} "
            f"samples (95 % interval {100 * share.low:.2f} to {100 * share.high:.2f})"
        )
    if quality.target_error is not None and quality.reference_target_error is not None:
        lines.append(
            f"RMSE against the targets {quality.reference_target_error.value:.4g} -> "
            f"{quality.target_error.value:.4g}"
        )
    lines.append(
        f"SQNR {decibels_text(quality.sqnr_db)} dB, RMSE {quality.rmse:.4g}".replace(
            "equal dB", "without noise"
        )
    )
    if report is not None and report.layers:
        first = first_that_hurts(report.layers)
        lines.append(
            f"the first layer that hurts: {report.called(first.name)} ({first.op}), "
            f"{decibels_text(first.sqnr_db)} dB{skipped_text(first)}"
            if first is not None
            else f"no layer is under {HURTS_DB:g} dB, SOFTMAX aside"
        )
    return lines
