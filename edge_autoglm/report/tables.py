"""Tables for a terminal of 80 columns, and how figures are written in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table

RIGHT = ">"
LEFT = "<"
SHRINK = "~"  # left-aligned, and the first to be cut when the terminal is narrow


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table whose columns are written "<name", ">name" or "~name" (see the constants)."""
    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        kind, name = column[0], column[1:]
        made.add_column(
            name,
            justify="right" if kind == RIGHT else "left",
            no_wrap=True,
            overflow="ellipsis",
            min_width=None if kind == SHRINK else len(name),
            ratio=None,
        )
    for row in rows:
        made.add_row(*(written(value) for value in row))
    return made


def written(value: object) -> str:
    """A cell's text: integers with thousands separators, None as a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return str(value)


def size(count: int) -> str:
    """Bytes for people: exact below 10 KiB, then KiB or MiB."""
    if count < 10 * 1024:
        return f"{count:,} B"
    if count < 1024 * 1024:
        return f"{count / 1024:.1f} KiB"
    return f"{count / 1024 / 1024:.2f} MiB"


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"
