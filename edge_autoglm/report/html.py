"""A report as one HTML file that opens offline: no script, no font, nothing loaded.

It is XML too (every element closed), so that any tool reads it. Same report, same bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from edge_autoglm.files import write_whole
from edge_quantize.quality import HURTS_DB

from .plots import bars, joined, printable, scatter, whisker, whiskers
from .quantization import skipped_text
from .summary import (
    QUANTITIES,
    Bar,
    Bars,
    Grid,
    Report,
    Stage,
    comparable,
    interval_text,
    kinds_text,
    value_text,
)
from .tables import written

_HURTS = "the first that hurts"
_SCATTER = (
    "Filled: no other point is better in everything. Ringed: the one chosen. Numbers are those of "
    "the table."
)
_LINE = " The line joins the best of these two figures."
_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c2024; --soft: #565f68;
  --rule: #d5dae0; --bar: #2f6f9f; --mark: #b3261e; --other: #7d8790; --shade: #f3f5f7; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e6e9ec; --soft: #a5afb8;
  --rule: #3a4149; --bar: #6fb1e0; --mark: #ff8a80; --other: #87929c; --shade: #1e2328; } }
@media print { :root { color-scheme: light; --paper: #ffffff; --ink: #000000; --soft: #444444;
  --rule: #bbbbbb; --bar: #2f6f9f; --mark: #b3261e; --other: #777777; --shade: #f3f3f3; }
  figure, tr { break-inside: avoid; } h2 { break-after: avoid; } main { max-width: none; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 1rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; margin: 0 0 1rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
p, li { max-width: 45rem; } ul { padding-left: 1.2rem; }
figure { margin: 1rem 0; } figcaption { color: var(--soft); font-size: .9rem; margin: 0 0 .5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
caption { text-align: left; color: var(--soft); padding: 0 0 .4rem; }
th, td { padding: .3rem .7rem .3rem 0; border-bottom: 1px solid var(--rule); text-align: left;
  vertical-align: top; white-space: nowrap; }
th { color: var(--soft); font-weight: 600; white-space: normal; vertical-align: bottom; }
td.name { white-space: normal; overflow-wrap: anywhere; min-width: 7rem; }
td.number { white-space: normal; }
.number { text-align: right; font-variant-numeric: tabular-nums; }
tr.marked td { background: var(--shade); font-weight: 600; }
svg { display: block; overflow: visible; } svg text { fill: var(--ink); }
svg .soft { fill: var(--soft); } svg .strong { font-weight: 600; }
.bar { fill: var(--bar); } .mark { fill: var(--mark); } .faint { opacity: .35; }
.dot { fill: var(--bar); } .other { fill: none; stroke: var(--other); stroke-width: 1.5; }
.ring { fill: none; stroke: var(--mark); stroke-width: 2.5; }
.grid { stroke: var(--rule); } .range { stroke: var(--bar); stroke-width: 2; }
.front { stroke: var(--bar); stroke-width: 1.5; stroke-dasharray: 5 4; }
.limit { stroke: var(--mark); stroke-dasharray: 4 4; }
"""


def write_html(path: Path | None, report: Report) -> None:
    """Writes the page to `path`, whole or not at all; nothing for None. Raises OSError."""
    if path is not None:
        write_whole(path, html(report).encode("utf-8", "replace"))


def html(report: Report) -> str:
    """The page."""
    parts = [f"<h1>{printable(report.title)}</h1>"]
    if report.facts:
        pairs = "".join(
            f"<dt>{printable(name)}</dt><dd>{printable(text)}</dd>\n" for name, text in report.facts
        )
        parts.append(f"<dl>\n{pairs}</dl>")
    parts += _before_and_after(report.before, report.after)
    parts += _points(report)
    for number, chart in enumerate(report.charts):
        parts += _section(chart.title, _figure(bars(chart, f"chart{number}"), chart.text))
    parts += _layers(report)
    for grid in report.grids:
        parts += _section(grid.title, _grid(grid))
    if report.notes:
        items = "\n".join(f"<li>{printable(note)}</li>" for note in report.notes)
        parts += _section("Notes", f"<ul>\n{items}\n</ul>")
    body = "\n".join(parts)
    return (
        '<!DOCTYPE html>\n<html lang="en" xmlns="http://www.w3.org/1999/xhtml">\n<head>\n'
        '<meta charset="utf-8"/>\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\"/>\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>\n'
        f"<title>{printable(report.title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )


def _section(title: str, *content: str) -> list[str]:
    return [f"<section>\n<h2>{printable(title)}</h2>", *content, "</section>"]


def _figure(svg: str, caption: str = "") -> str:
    said = f"<figcaption>{printable(caption)}</figcaption>\n" if caption else ""
    return f"<figure>\n{said}{svg}\n</figure>"


def _before_and_after(before: Stage | None, after: Stage | None) -> list[str]:
    stages = [stage for stage in (before, after) if stage is not None]
    keys = [key for key in QUANTITIES if any(key in stage.figures for stage in stages)]
    if not keys:
        return []
    content = []
    if before is not None and after is not None:
        ratios = _ratios(before, after)
        if ratios.bars:
            caption = f"{after.name} in percent of {before.name}; shorter is smaller or faster"
            content.append(_figure(bars(ratios, "ratios"), caption))
    for key in ("accuracy", "target_error", "error", "drop"):
        rows = [
            row
            for stage in stages
            if key in stage.figures
            and (row := whisker(stage.name, key, stage.figures[key])) is not None
        ]
        if rows:
            title = QUANTITIES[key].named
            content.append(_figure(whiskers(title, rows, key), f"{title}, with 95 % intervals"))
    names = [stage.name for stage in stages]
    rows_of_table = [
        (
            QUANTITIES[key].named,
            *(_with_interval(key, stage) for stage in stages),
            _change(key, before, after),
            kinds_text([stage.figures.get(key) for stage in stages]),
        )
        for key in keys
    ]
    columns = ("~figure", *(f">{name}" for name in names), ">change", "<kind")
    content.append(_table(columns, rows_of_table, "The same as a table"))
    return _section("Before and after" if len(stages) == 2 else "Figures", *content)


def _with_interval(key: str, stage: Stage) -> str:
    value = stage.figures.get(key)
    between = interval_text(key, value)
    return value_text(key, value) + (f" ({between})" if between else "")


def _change(key: str, before: Stage | None, after: Stage | None) -> str:
    if before is None or after is None:
        return ""
    one, other = before.figures.get(key), after.figures.get(key)
    if one is None or other is None or QUANTITIES[key].kind == "share" or not one.value:
        return ""
    if not comparable(one, other):
        return ""
    return f"{100 * (other.value / one.value - 1):+.1f} %"


def _ratios(before: Stage, after: Stage) -> Bars:
    found = []
    for key, quantity in QUANTITIES.items():
        one, other = before.figures.get(key), after.figures.get(key)
        costs = quantity.lower_is_better and (quantity.kind == "count" or key == "latency_ms")
        if one is None or other is None or not costs or not one.value:
            continue
        if not comparable(one, other):
            continue
        note = f"{value_text(key, one)} to {value_text(key, other)} {quantity.unit}".strip()
        found.append(Bar(quantity.title, 100 * other.value / one.value, note))
    return Bars("What is left", "%", tuple(found), (100.0, f"{before.name} = 100 %"))


def _layers(report: Report) -> list[str]:
    layers, called = report.layers, report.called
    if not layers:
        return []
    first = next((layer for layer in layers if layer.hurts), None)
    text = (
        f"The first layer that hurts is {called(first.name)}: its noise is over a tenth of its "
        f"signal{skipped_text(first)}."
        if first is not None
        else f"No layer is under {HURTS_DB:g} dB, noise of a tenth of the signal (SOFTMAX aside, "
        "which stretches both)."
    )
    chart = Bars(
        "SQNR layer by layer",
        "dB",
        tuple(
            Bar(called(layer.name), layer.sqnr_db, _HURTS * layer.hurts, layer.hurts)
            for layer in layers
        ),
        (HURTS_DB, f"{HURTS_DB:g} dB"),
    )
    rows = [
        (
            number,
            called(layer.name),
            layer.op,
            f"{layer.sqnr_db:.2f}" if abs(layer.sqnr_db) != float("inf") else "equal",
            f"{layer.rmse:.4g}",
            f"{layer.cosine:.6f}",
        )
        for number, layer in enumerate(layers)
    ]
    marked = {number for number, layer in enumerate(layers) if layer.hurts}
    columns = (">#", "~layer", "<op", ">SQNR, dB", ">RMSE", ">cosine")
    return _section(
        chart.title,
        _figure(bars(chart, "layers"), text),
        _table(columns, rows, "The same as a table", marked),
    )


def _points(report: Report) -> list[str]:
    if not report.points:
        return []
    content = [
        _figure(
            scatter(report.points, x, y, f"scatter{number}"),
            _SCATTER + (_LINE if len(joined(report.points, x, y)) > 1 else ""),
        )
        for number, (x, y) in enumerate(report.axes)
    ]
    keys = [key for key in QUANTITIES if any(key in point.figures for point in report.points)]
    kinds = {key: kinds_text([point.figures.get(key) for point in report.points]) for key in keys}
    rows = [
        (
            number,
            point.name + (" (chosen)" if point.chosen else ""),
            *(value_text(key, point.figures.get(key)) for key in keys),
        )
        for number, point in enumerate(report.points, 1)
    ]
    marked = {number for number, point in enumerate(report.points) if point.chosen}
    columns = (">#", "~point", *(f">{QUANTITIES[key].heading} ({kinds[key]})" for key in keys))
    content.append(_table(columns, rows, report.points_text, marked))
    return _section("Candidates", *content)


def _grid(grid: Grid) -> str:
    legend = f"\n<p>{printable(grid.legend)}</p>" if grid.legend else ""
    return _table(grid.columns, grid.rows) + legend


def _table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    caption: str = "",
    marked: set[int] | None = None,
) -> str:
    css = {">": ' class="number"', "~": ' class="name"', "<": ""}
    heads = "".join(
        f'<th scope="col"{css[column[0]]}>{printable(column[1:])}</th>' for column in columns
    )
    lines = []
    for number, row in enumerate(rows):
        cells = "".join(
            f"<td{css[column[0]]}>{printable(written(value))}</td>"
            for column, value in zip(columns, row, strict=True)
        )
        here = ' class="marked"' if marked and number in marked else ""
        lines.append(f"<tr{here}>{cells}</tr>")
    said = f"<caption>{printable(caption)}</caption>\n" if caption else ""
    body = "\n".join(lines)
    return (
        f'<div class="wide">\n<table>\n{said}<thead><tr>{heads}</tr></thead>\n<tbody>\n{body}\n'
        "</tbody>\n</table>\n</div>"
    )
