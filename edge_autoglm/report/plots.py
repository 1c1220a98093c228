"""Plots as inline SVG: no script, no font, no file beside.

Widths are percentages and heights pixels, so that a plot fills its column and its text keeps its
size on a narrow screen and on paper. Colours are classes; the page's style gives them, for a light
and a dark screen. Each plot has a title and a description for those who do not see it, and the page
has its numbers as a table.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from .summary import QUANTITIES, Bars, Point, Value, number_text

_ROW = 34  # pixels a bar takes with its label
_TEXT = 13
_LONGEST = 32  # characters of a bar's label, on a narrow screen
_LEFT, _RIGHT = 15.0, 97.0  # percent, of a scatter plot's area
_TOP, _HEIGHT, _FOOT = 28, 250, 44  # pixels


def printable(text: object) -> str:
    """Safe inside HTML: a model's names may hold anything."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(text))
    return escape(plain, quote=True)


@dataclass(frozen=True)
class Whisker:
    """A share or an error with its interval."""

    label: str
    value: float
    low: float
    high: float
    text: str


def whisker(label: str, key: str, value: Value) -> Whisker | None:
    """A figure with its interval as a row of `whiskers`; None without an interval."""
    if value.low is None or value.high is None:
        return None
    quantity = QUANTITIES[key]
    middle, low, high = (
        number_text(number, quantity.kind) for number in (value.value, value.low, value.high)
    )
    unit = f" {quantity.unit}" if quantity.unit else ""
    return Whisker(label, value.value, value.low, value.high, f"{middle}{unit} ({low} to {high})")


def bars(chart: Bars, name: str) -> str:
    """Horizontal bars, label above each; `name` is unique on the page."""
    known = [bar.value for bar in chart.bars if bar.value is not None and math.isfinite(bar.value)]
    edges = known + ([chart.line[0]] if chart.line else [])
    low, high = min([0.0, *edges]), max([0.0, *edges])
    span = (high - low) * 1.02 or 1.0

    def place(value: float) -> float:
        return 100 * (value - low) / span

    parts = []
    for number, bar in enumerate(chart.bars):
        top = number * _ROW
        shown = "not known" if bar.value is None else _bar_text(bar.value, chart.unit)
        label = f"{_cut(bar.label)}: {shown}" + (f" ({bar.note})" if bar.note else "")
        parts.append(_text("0", top + 12, label, css="strong" if bar.marked else ""))
        if bar.value is None or bar.value == -math.inf:
            continue
        endless = math.isinf(bar.value)
        start, end = (0.0, 100.0) if endless else sorted((place(0.0), place(bar.value)))
        css = ("mark" if bar.marked else "bar") + (" faint" if endless else "")
        parts.append(
            f'<rect class="{css}" x="{start:.2f}%" y="{top + 17}" '
            f'width="{max(end - start, 0.2):.2f}%" height="11"/>'
        )
    height = len(chart.bars) * _ROW + 4
    if chart.line is not None:
        at = place(chart.line[0])
        parts.append(_line("limit", f"{at:.2f}%", 0, f"{at:.2f}%", height))
        anchor = "end" if at > 50 else "start"
        parts.append(_text(f"{at:.2f}%", height + 12, chart.line[1], anchor, "soft"))
        height += 18
    said = f"{len(chart.bars)} bars" + (f" in {chart.unit}." if chart.unit else ".")
    marked = [bar.label for bar in chart.bars if bar.marked]
    if marked:
        said += f" Marked: {', '.join(marked)}."
    return _svg(name, chart.title, said, height, parts)


def whiskers(title: str, rows: Sequence[Whisker], name: str) -> str:
    """A dot with its interval in each row, all on one scale."""
    low, high = min(row.low for row in rows), max(row.high for row in rows)
    span = (high - low) or 1.0

    def place(value: float) -> str:
        return f"{3 + 94 * (value - low) / span:.2f}%"

    parts = []
    for number, row in enumerate(rows):
        middle = number * _ROW + 22
        parts.append(_text("0", number * _ROW + 12, f"{row.label}: {row.text}"))
        parts.append(_line("range", place(row.low), middle, place(row.high), middle))
        for end in (row.low, row.high):
            parts.append(_line("range", place(end), middle - 5, place(end), middle + 5))
        parts.append(f'<circle class="dot" cx="{place(row.value)}" cy="{middle}" r="5"/>')
    said = "; ".join(f"{row.label} {row.text}" for row in rows)
    return _svg(name, title, f"95 % intervals: {said}", len(rows) * _ROW + 4, parts)


@dataclass(frozen=True)
class _Place:
    number: int
    point: Point
    x: float
    y: float


def scatter(points: Sequence[Point], x: str, y: str, name: str) -> str:
    """Points over two quantities; the best of the two are joined, the chosen one ringed."""
    across, up = QUANTITIES[x], QUANTITIES[y]
    title = f"{up.named} over {across.named}"
    known = _places(points, x, y)
    if not known:
        return _svg(name, title, "No point has both figures.", 20, [_text("0", 14, "no points")])
    across_ticks = _ticks([place.x for place in known])
    up_ticks = _ticks([place.y for place in known])

    def left(value: float) -> float:
        share = (value - across_ticks[0]) / (across_ticks[-1] - across_ticks[0])
        return round(_LEFT + share * (_RIGHT - _LEFT), 2)

    def top(value: float) -> float:
        share = (value - up_ticks[0]) / (up_ticks[-1] - up_ticks[0])
        return round(_TOP + (1 - share) * _HEIGHT, 1)

    bottom = _TOP + _HEIGHT
    parts = [_text("0", 12, up.named)]
    for tick in up_ticks:
        parts.append(_line("grid", f"{_LEFT}%", top(tick), f"{_RIGHT}%", top(tick)))
        text = number_text(tick, up.kind)
        parts.append(_text(f"{_LEFT - 1}%", top(tick) + 4, text, "end", "soft"))
    for position, tick in enumerate(across_ticks):
        parts.append(_line("grid", f"{left(tick)}%", _TOP, f"{left(tick)}%", bottom))
        # Every other one: five of six digits do not fit a narrow screen.
        if position % 2 == 0:
            text = number_text(tick, across.kind)
            parts.append(_text(f"{left(tick)}%", bottom + 16, text, "middle", "soft"))
    parts.append(_text(f"{_RIGHT}%", bottom + 36, across.named, "end"))
    for one_end, other in itertools.pairwise(joined(points, x, y)):
        ends = (f"{left(one_end.x)}%", top(one_end.y), f"{left(other.x)}%", top(other.y))
        parts.append(_line("front", *ends))
    labels: list[_Label] = []
    for place in sorted(known, key=lambda place: not place.point.chosen):
        at, height = left(place.x), top(place.y)
        parts += _dot(place, at, height, (x, y))
        _add_label(labels, place, at, height)
    parts += [label.text() for label in labels]
    chosen = [f"{place.number} {place.point.name}" for place in known if place.point.chosen]
    said = f"{len(known)} points." + (f" Chosen: {', '.join(chosen)}." if chosen else "")
    return _svg(name, title, said, bottom + _FOOT, parts)


def _dot(place: _Place, at: float, height: float, keys: tuple[str, str]) -> list[str]:
    """One point, ringed where it is chosen."""
    point = place.point
    shown = [
        f"{number_text(value, QUANTITIES[key].kind)} {QUANTITIES[key].unit}".rstrip()
        for key, value in zip(keys, (place.x, place.y), strict=True)
    ]
    about = printable(f"{place.number} {point.name}: {', '.join(shown)}")
    css = "dot" if point.front or point.chosen else "other"
    where = f'cx="{at}%" cy="{height:g}"'
    parts = [f'<circle class="{css}" {where} r="4.5"><title>{about}</title></circle>']
    if point.chosen:
        parts.append(f'<circle class="ring" {where} r="9"/>')
    return parts


@dataclass
class _Label:
    """Numbers of points, beside the first of them."""

    at: float  # percent
    baseline: float
    names: list[str]

    def text(self) -> str:
        anchor, shift = ("end", -12) if self.at > 80 else ("start", 12)
        said = ", ".join(self.names)
        return _text(f"{self.at}%", self.baseline, said, anchor, "strong", shift)


def _add_label(labels: list[_Label], place: _Place, at: float, height: float) -> None:
    """Above the point, or below it; where neither has room, a label there takes its number."""
    name = f"{place.number}" + (" chosen" if place.point.chosen else "")
    for baseline in (height - 6, height + 16):
        near = [
            label
            for label in labels
            if abs(at - label.at) < 7 and abs(baseline - label.baseline) < 15
        ]
        if not near:
            labels.append(_Label(at, baseline, [name]))
            return
    near[0].names.append(name)


def _places(points: Sequence[Point], x: str, y: str) -> list[_Place]:
    """The points that have both figures."""
    found = []
    for number, point in enumerate(points, 1):
        one, two = point.figures.get(x), point.figures.get(y)
        if one is not None and two is not None and math.isfinite(one.value + two.value):
            found.append(_Place(number, point, one.value, two.value))
    return found


def joined(points: Sequence[Point], x: str, y: str) -> list[_Place]:
    """Those that no other is better than in one figure and as good in the other, by x; a line
    joins them."""
    less_x, less_y = QUANTITIES[x].lower_is_better, QUANTITIES[y].lower_is_better

    def cost(place: _Place) -> tuple[float, float]:
        return (place.x if less_x else -place.x, place.y if less_y else -place.y)

    found: list[_Place] = []
    for place in sorted(_places(points, x, y), key=cost):
        if not found or cost(place)[1] < cost(found[-1])[1]:
            found.append(place)
    return found


def _cut(label: str) -> str:
    """Out of the middle, so that it fits a narrow screen."""
    half = _LONGEST // 2
    return label if len(label) <= _LONGEST else f"{label[:half]}…{label[-half:]}"


def _bar_text(value: float, unit: str) -> str:
    if math.isinf(value):
        return "equal" if value > 0 else "nothing left"
    return f"{value:,.{1 if abs(value) < 10000 else 0}f} {unit}".rstrip()


def _ticks(values: Sequence[float]) -> list[float]:
    """Round values from below the least to above the most, 2 to 8 of them."""
    low, high = min(values), max(values)
    if high - low <= abs(high) * 1e-9:
        high = low + (abs(low) or 1.0) * 0.1
    rough = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [number * step for number in range(first, max(last, first + 1) + 1)]


def _line(css: str, x1: str, y1: float, x2: str, y2: float) -> str:
    return f'<line class="{css}" x1="{x1}" y1="{y1:g}" x2="{x2}" y2="{y2:g}"/>'


def _text(x: str, y: float, text: str, anchor: str = "start", css: str = "", shift: int = 0) -> str:
    extra = f' class="{css}"' if css else ""
    if anchor != "start":
        extra += f' text-anchor="{anchor}"'
    if shift:
        extra += f' dx="{shift}"'
    return f'<text x="{x}" y="{y:g}"{extra}>{printable(text)}</text>'


def _svg(name: str, title: str, description: str, height: float, parts: Sequence[str]) -> str:
    inner = "\n".join(parts)
    return (
        f'<svg role="img" aria-labelledby="{name}-title {name}-desc" width="100%" '
        f'height="{height:g}" font-size="{_TEXT}">\n'
        f'<title id="{name}-title">{printable(title)}</title>\n'
        f'<desc id="{name}-desc">{printable(description)}</desc>\n{inner}\n</svg>'
    )
