"""Two models side by side, as tables, JSON and a page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from edge_autoglm.measure.figures import Figure
from edge_quantize.quality import guesses

from .quantization import decibels_text, quality_lines
from .summary import (
    Grid,
    Report,
    Stage,
    finite,
    kinds_text,
    quality_figures,
    quality_json,
    report_json,
    short_names,
    value_json,
)

if TYPE_CHECKING:
    from edge_autoglm.measure.pair import LayerPair, Pair
    from edge_autoglm.measure.sides import Side

_COUNTS = (("instructions", "instr."), ("cycles", "cycles"), ("latency_ms", "ms"))


def pair_report(pair: Pair, facts: tuple[tuple[str, str], ...]) -> Report:
    """A report with both sides' figures, outputs and layers."""
    before, after = quality_figures(pair.quality) if pair.quality is not None else ({}, {})
    graph = pair.first.graph
    grids = [grid for grid in (_metrics(pair), _layers(pair), _profile(pair)) if grid.rows]
    names = _names(pair)
    report = Report(
        f"{names[0]} and {names[1]}",
        Stage(names[0], {**pair.first.figures, **before}),
        Stage(names[1], {**pair.second.figures, **after}),
        pair.qualities,
        grids=tuple(grids),
        facts=facts,
        layer_names=short_names(graph) if graph is not None else {},
    )
    return replace(report, notes=tuple(verdict_lines(pair, report)))


def _names(pair: Pair) -> tuple[str, str]:
    one, other = pair.first.name, pair.second.name
    return (f"{one} (A)", f"{other} (B)") if one == other else (one, other)


# As `edge_quantize.output_metrics` defines them.
LEGEND = (
    "Error is B - A: ACC same answer; RMSE root mean square; MAE mean absolute; L2R length "
    "over A's; MEAN, STD of the error; NSE 1 - error / variance of A (1 is best); COS cosine of A "
    "and B; dB SQNR."
)


def verdict_lines(pair: Pair, report: Report) -> list[str]:
    """Sentences: what was lost, what is missing, which limits do not hold."""
    lines = []
    if pair.quality is not None:
        graph = pair.first.graph
        assert graph is not None  # or nothing could have been run
        doubt = guesses(pair.quality, max(2, graph.tensors[graph.outputs[0]].elements))
        lines += [doubt] if doubt else []
        if pair.quality.max_abs == 0:
            lines.append(
                f"outputs are the same, to the last bit, on {pair.quality.samples} samples"
            )
        else:
            lines += quality_lines(pair.quality, report)
    elif pair.first.graph is not None and pair.second.graph is not None:
        lines.append("no --data: outputs are not compared")
    for whose, missing in (
        (pair.first, [p for p in pair.layers if p.second is None]),
        (pair.second, [p for p in pair.layers if p.first is None]),
    ):
        if missing and whose.graph is not None:
            named = ", ".join(layer.name for layer in missing[:4])
            more = ", ..." if len(missing) > 4 else ""
            lines.append(f"in {whose.path} alone: {len(missing)} layers, {named}{more}")
    lines += pair.notes
    lines += [f"FAILED: {failure}" for failure in pair.failures]
    return lines


def _metrics(pair: Pair) -> Grid:
    def short(value: float | None) -> str:
        return "-" if value is None else f"{value:.2g}"  # all in 80 columns

    return Grid(
        "Outputs",
        (
            "~output", ">ACC", ">RMSE", ">MAE", ">L2R", ">MEAN", ">STD", ">NSE", ">COS", ">dB",
        ),
        tuple(
            (
                m.name,
                "-" if m.acc is None else f"{100 * m.acc:.1f}%",
                short(m.rmse),
                short(m.mae),
                short(m.l2r),
                short(m.mean),
                short(m.std),
                "-" if m.nse is None else f"{m.nse:.4f}",
                f"{m.cos:.4f}",
                decibels_text(m.sqnr_db),
            )
            for m in pair.metrics
        ),
        LEGEND,
    )  # fmt: skip


def _number(figures: Mapping[str, Figure | int] | None, key: str) -> float | None:
    value = None if figures is None else figures.get(key)
    return value.value if isinstance(value, Figure) else value


def _both(layer: LayerPair, key: str) -> tuple[str, str]:
    values = (_number(layer.first, key), _number(layer.second, key))
    one, other = ("-" if value is None else f"{value:,.0f}" for value in values)
    return one, other


def _layers(pair: Pair) -> Grid:
    """MACs and weights of both, and what was lost up to there."""
    if pair.first.graph is None or pair.second.graph is None:
        return Grid("", (), ())
    measured = pair.quality is not None
    rows = []
    for layer in pair.layers:
        row: list[object] = [
            layer.name, *_both(layer, "macs"), *_both(layer, "weight_bytes"),
        ]  # fmt: skip
        if measured:
            quality = layer.quality
            row += [
                "-" if quality is None else decibels_text(quality.sqnr_db),
                "hurts" if quality is not None and quality.hurts else "",
            ]
        rows.append(tuple(row))
    columns = ["~layer", ">MACs A", ">MACs B", ">weights A", ">weights B"]
    columns += [">dB", "<"] if measured else []
    return Grid("Layer by layer", tuple(columns), tuple(rows))


def _profile(pair: Pair) -> Grid:
    """Cycles or instructions of both, where both have them."""
    keys = [
        (key, title)
        for key, title in _COUNTS
        if key in pair.first.figures and key in pair.second.figures and pair.first.layers
        and pair.second.layers
    ][:2]  # fmt: skip
    if not keys:
        return Grid("", (), ())
    rows = []
    for layer in pair.layers:
        row: list[object] = [layer.name]
        for key, _ in keys:
            one, other = _number(layer.first, key), _number(layer.second, key)
            row += [*_both(layer, key), _percent(one, other)]
        rows.append(tuple(row))
    kinds = ", ".join(
        f"{title} {kinds_text([pair.first.figures[key], pair.second.figures[key]])}"
        for key, title in keys
    )
    columns = ["~layer"]
    for _, title in keys:
        columns += [f">{title} A", f">{title} B", ">%"]
    return Grid(f"Profiles: {kinds}", tuple(columns), tuple(rows))


def _percent(one: float | None, other: float | None) -> str:
    return f"{100 * (other / one - 1):+.1f}" if one and other is not None else "-"


def pair_json(pair: Pair, report: Report) -> dict[str, Any]:
    """The report's values, with outputs, layers and failures."""
    return {
        **report_json(report),
        "sources": [_side_json(pair.first), _side_json(pair.second)],
        "quality": quality_json(pair.quality) if pair.quality is not None else None,
        "outputs": [
            {key: finite(v) if isinstance(v, float) else v for key, v in vars(metric).items()}
            for metric in pair.metrics
        ],
        "compared_layers": [
            {
                "name": layer.name,
                "op": layer.op,
                "first": _figures_json(layer.first),
                "second": _figures_json(layer.second),
                "sqnr_db": (finite(layer.quality.sqnr_db) if layer.quality is not None else None),
                "equal": layer.quality is not None and layer.quality.sqnr_db == math.inf,
            }
            for layer in pair.layers
        ],
        "failures": list(pair.failures),
        "good": not pair.failures,
    }


def _side_json(side: Side) -> dict[str, Any]:
    sha256 = side.graph.sha256 if side.graph is not None else None
    return {"path": side.path, "kind": side.kind, "board": side.board or None, "sha256": sha256}


def _figures_json(figures: Mapping[str, Figure | int] | None) -> dict[str, Any] | None:
    if figures is None:
        return None
    return {
        key: value_json(value) if isinstance(value, Figure) else {"value": value, "kind": "exact"}
        for key, value in figures.items()
    }
