"""Text templates whose marks, `@{name}`, mean nothing in Swift, Ruby or Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

_MARK = re.compile(r"@\{(\w+)\}")


def load(name: str) -> str:
    """A template of this package by its file name."""
    return files(__package__).joinpath("templates", name).read_text(encoding="utf-8")


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its marks replaced. Raises KeyError for one without a value.

    A mark that has a line for itself, unindented, takes the value's lines as they are, and an empty
    value takes the line away, together with a blank one after it.
    """
    lines: list[str] = []
    blank_due = False
    for line in template.splitlines():
        alone = _MARK.fullmatch(line)
        if alone:
            block = values[alone[1]]
            lines += block.splitlines()
            blank_due = not block
        elif blank_due and not line:
            blank_due = False
        else:
            lines.append(_MARK.sub(lambda mark: values[mark[1]], line))
            blank_due = False
    return "\n".join(lines) + "\n"
