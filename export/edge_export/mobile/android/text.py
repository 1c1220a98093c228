"""Text of a model (names, labels, messages) inside Kotlin and Markdown."""

from __future__ import annotations

import textwrap

import numpy as np

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
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line.replace("*/", "* /").replace("/*", "/ *").replace("@", "(at)")


def paragraph(text: str, prefix: str, width: int = 100) -> str:
    """`text` wrapped to lines of `width`, each beginning with `prefix`."""
    lines = textwrap.wrap(text, width - len(prefix), break_long_words=False, break_on_hyphens=False)
    return "\n".join(f"{prefix}{line}" for line in lines)


def float_literal(value: float) -> str:
    """The shortest Kotlin literal that is this float32."""
    return f"{np.float32(value)}f"
