"""Tables for a terminal of 80 columns, and how figures are written in them."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table

RIGHT = ">"
LEFT = "<"
SHRINK = "~"  # left-aligned, and cut when the terminal is narrow
_LEAST = 6  # characters that a cut column keeps
_GAP = 2  # between columns: the box's separator and one of padding


def terminal_width() -> int:
    """Columns of the terminal, or of COLUMNS, or 80."""
    return shutil.get_terminal_size((80, 24)).columns


def table(
    title: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    total: Sequence[object] | None = None,
) -> Table:
    """A table whose columns are written "<name", ">name" or "~name" (see the constants).

    `total` is a last row, set apart.

    Rich takes the width it lacks from every column; here only those marked to shrink give way,
    since half a figure is worse than half a name.
    """
    made = Table(
        title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False
    )
    cells = [[written(value) for value in row] for row in rows]
    if total is not None:
        cells.append([written(value) for value in total])
    widths = [
        max([len(column) - 1, *(len(row[index]) for row in cells)])
        for index, column in enumerate(columns)
    ]
    fitted = _fit(columns, widths, terminal_width() - 2 - _GAP * (len(columns) - 1))
    for column, width in zip(columns, fitted, strict=True):
        made.add_column(
            column[1:],
            justify="right" if column[0] == RIGHT else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=width,
        )
    for number, row in enumerate(cells, 1):
        if total is not None and number == len(cells):
            made.add_section()
        made.add_row(*(cut(text, width) for text, width in zip(row, fitted, strict=True)))
    return made


def cut(text: str, width: int) -> str:
    """At most `width` characters: cut out of the middle, since layers of one kind differ in their
    last ones."""
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def _fit(columns: Sequence[str], widths: list[int], room: int) -> list[int]:
    """Takes what is too much from the widest of the columns that may shrink, one by one."""
    fitted = list(widths)
    shrinking = [index for index, column in enumerate(columns) if column[0] == SHRINK]
    while sum(fitted) > room:
        widest = max(shrinking, key=lambda index: fitted[index], default=None)
        if widest is None or fitted[widest] <= _LEAST:
            break
        fitted[widest] -= 1
    return fitted


def wrapped(text: str, indent: str = "") -> str:
    """Prose within the terminal's width, further lines indented."""
    return textwrap.fill(
        text, terminal_width(), subsequent_indent=indent, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def narrowed(text: str, indent: str = "") -> str:
    """`wrapped`, with words cut that are longer than a line: for prose that names tensors, not for
    paths and commands, which a reader copies."""
    lead = text[: len(text) - len(text.lstrip())]
    longest = max(terminal_width() - max(len(indent), len(lead)), _LEAST)
    return wrapped(lead + " ".join(cut(word, longest) for word in text.split()), indent)


def written(value: object) -> str:
    """A cell's text: integers with thousands separators, None as a dash."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    # A model's names may hold anything, a terminal's commands too.
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in str(value))


def size(count: int) -> str:
    """Bytes for people: exact below 10 KiB, then KiB or MiB."""
    if count < 10 * 1024:
        return f"{count:,} B"
    if count < 1024 * 1024:
        return f"{count / 1024:.1f} KiB"
    return f"{count / 1024 / 1024:.2f} MiB"


def plural(count: int, noun: str) -> str:
    """ "1 sample", "2 samples"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.1f}" if whole else "-"
