"""Text of a model (names, labels, messages) inside Kotlin and Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np

from edge_export.mobile.wording import one_line

_ESCAPES = {
    "\\": "\\\\",
    '"': '\\"',
    "$": "\\$",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}


def literal(text: str) -> str:
    """A Kotlin string literal. What does not print (control and direction marks) is escaped."""
    return '"' + "".join(_ESCAPES.get(each) or _printable(each) for each in text) + '"'


def _printable(character: str) -> str:
    if character.isprintable():
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


def comment(text: str) -> str:
    """One line that neither ends nor opens a comment (Kotlin's nest), and is no KDoc tag."""
    line = one_line(text)
    return line.replace("*/", "* /").replace("/*", "/ *").replace("@", "(at)")


def paragraph(text: str, prefix: str = "", rest: str | None = None, width: int = 100) -> str:
    """`text` wrapped to lines of `width` that begin with `prefix`, from the second on `rest`."""
    return textwrap.fill(
        text,
        width,
        initial_indent=prefix,
        subsequent_indent=prefix if rest is None else rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def call(head: str, arguments: Sequence[str], tail: str = "", width: int = 80) -> list[str]:
    """The lines of a call: one where it fits, else one an argument."""
    line = f"{head}({', '.join(arguments)}){tail}"
    if len(line) <= width:
        return [line]
    return [f"{head}(", *(f"    {argument}," for argument in arguments), f"){tail}"]


def float_literal(value: float) -> str:
    """The shortest Kotlin literal that is this float32."""
    return str(np.float32(value)) + "f"
