"""Text templates of the packages. Their marks, `@{name}`, mean nothing in Kotlin, Gradle, XML,
Swift, Ruby or Markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files

_MARK = re.compile(r"@\{(\w+)\}")
_ALONE = re.compile(r"( *)@\{(\w+)\}")


def load(platform: str, name: str) -> str:
    """The template `name` of `platform`, the package beside this module that has them."""
    folder = files(__package__).joinpath(platform, "templates")
    return folder.joinpath(name).read_text(encoding="utf-8")


def fill(template: str, values: Mapping[str, str]) -> str:
    """The template with its marks replaced. Raises KeyError for one without a value.

    A mark alone on its line stands for a block: every line of the value gets the mark's own
    indentation, and an empty value leaves no line, nor two blank lines where it stood.
    """
    lines: list[str] = []
    dropped = False
    for line in template.splitlines():
        alone = _ALONE.fullmatch(line)
        if alone:
            block = values[alone[2]].splitlines()
            lines += [f"{alone[1]}{each}".rstrip() for each in block]
            dropped = not block
        elif line or not dropped or (lines and lines[-1]):
            lines.append(_MARK.sub(lambda mark: values[mark[1]], line))
            dropped = False
    return "\n".join(lines) + "\n"
