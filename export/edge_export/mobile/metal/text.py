"""Words as Swift and Markdown take them: comments, sentences, string literals."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from edge_export.mobile.wording import one_line

WIDTH = 100


def comment(lines: Sequence[str], indent: int = 0) -> str:
    """Documentation lines, wrapped. Nothing in them can end the comment: it is one to a line."""
    start = " " * indent + "///"
    result = []
    for line in lines:
        flat = one_line(line)
        lead = line[: len(line) - len(line.lstrip())]
        hang = "  " if flat.startswith("- ") else ""
        wrapped = textwrap.wrap(flat, WIDTH - len(start) - 1 - len(lead + hang)) or [""]
        for number_of_line, piece in enumerate(wrapped):
            space = lead + (hang if number_of_line else "")
            result.append(f"{start} {space}{piece}".rstrip())
    return "\n".join(result)


def text(value: str) -> str:
    """A string literal of Swift: every character that is not printable ASCII is an escape."""
    pieces = []
    for character in value:
        if character in '"\\':
            pieces.append("\\" + character)
        elif " " <= character <= "~":
            pieces.append(character)
        else:
            pieces.append(f"\\u{{{ord(character):X}}}")
    return f'"{"".join(pieces)}"'
