"""On which line a key of a TOML text stands: tomllib parses, but keeps no positions.

The text is known to be valid TOML. The scanner follows table headers and the starts of
assignments, skips strings and arrays that run over lines, and does not look into inline tables:
a key in one is said to stand where the table starts.
"""

from __future__ import annotations

import re

KeyPath = tuple[str | int, ...]

_PART = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([A-Za-z0-9_-]+))\s*""")


class Lines:
    """The line numbers (from 1) of a TOML text's keys."""

    def __init__(self, text: str) -> None:
        self._lines: dict[KeyPath, int] = {}
        self._scan(text)

    def of(self, key: KeyPath) -> int:
        """The key's line; where it is absent, that of the nearest table around it, else 1."""
        for length in range(len(key), 0, -1):
            line = self._lines.get(key[:length])
            if line is not None:
                return line
        return 1

    def _note(self, key: KeyPath, line: int) -> None:
        for length in range(1, len(key) + 1):
            self._lines.setdefault(key[:length], line)

    def _scan(self, text: str) -> None:
        table: KeyPath = ()
        counts: dict[KeyPath, int] = {}
        waiting = _Value()
        for number, line in enumerate(text.split("\n"), start=1):
            if waiting.open:
                waiting.feed(line)
                continue
            stripped = line.strip()
            if stripped.startswith("[["):
                name = _dotted(stripped[2:])
                index = counts.get(name, -1) + 1
                counts[name] = index
                table = (*name, index)
                self._note(table, number)
            elif stripped.startswith("["):
                table = _within(_dotted(stripped[1:]), counts)
                self._note(table, number)
            elif stripped and not stripped.startswith("#"):
                name, rest = _assignment(stripped)
                if name:
                    self._note((*table, *name), number)
                    waiting = _Value()
                    waiting.feed(rest)


def _within(name: KeyPath, counts: dict[KeyPath, int]) -> KeyPath:
    """A header under an array of tables belongs to the array's last table."""
    path: KeyPath = ()
    plain: KeyPath = ()
    for part in name:
        path, plain = (*path, part), (*plain, part)
        if plain in counts:
            path = (*path, counts[plain])
    return path


def _dotted(text: str) -> KeyPath:
    return _assignment(text)[0]


def _assignment(text: str) -> tuple[KeyPath, str]:
    """The dotted key at the start of the text, and what comes after its `=` (or `]`)."""
    parts: list[str] = []
    at = 0
    while match := _PART.match(text, at):
        parts.append(next(g for g in match.groups() if g is not None))
        at = match.end()
        if text[at : at + 1] != ".":
            break
        at += 1
    return tuple(parts), text[at + 1 :]


class _Value:
    """Whether a value that started on an earlier line is still open."""

    def __init__(self) -> None:
        self._depth = 0
        self._quote = ""

    @property
    def open(self) -> bool:
        return self._depth > 0 or bool(self._quote)

    def feed(self, line: str) -> None:
        at = 0
        while at < len(line):
            if self._quote:
                if line[at] == "\\" and self._quote[0] == '"':
                    at += 2
                elif line.startswith(self._quote, at):
                    at += len(self._quote)
                    self._quote = ""
                else:
                    at += 1
                continue
            char = line[at]
            if char == "#":
                break
            if char in "\"'":
                self._quote = char * 3 if line.startswith(char * 3, at) else char
                at += len(self._quote)
                continue
            self._depth += (char in "[{") - (char in "]}")
            at += 1
        if len(self._quote) == 1:  # a one-line string ends with its line
            self._quote = ""
