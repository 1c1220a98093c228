"""A reader of static libraries (`ar` archives as GNU binutils and LLVM write them)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edge_boards.errors import ImageError

_MAGIC, _THIN = b"!<arch>\n", b"!<thin>\n"
_HEADER = 60


@dataclass(frozen=True)
class Member:
    """One file of an archive."""

    name: str
    content: bytes


class Archive:
    """A parsed archive. Raises `ImageError`, naming the file, for anything malformed."""

    def __init__(self, data: bytes, name: str) -> None:
        self._data = data
        self._name = name
        if data.startswith(_THIN):
            raise ImageError(f"{name}: a thin archive, which only points at its objects")
        if not data.startswith(_MAGIC):
            raise ImageError(f"{name}: no static library")
        self._index = b""
        self._names = b""
        self._members = tuple(self._read())

    @classmethod
    def load(cls, path: Path) -> Archive:
        try:
            return cls(path.read_bytes(), str(path))
        except OSError as error:
            raise ImageError(f"{path}: cannot be read: {error.strerror or error}") from error

    def _read(self) -> Iterator[Member]:
        at = len(_MAGIC)
        while at < len(self._data):
            header = self._data[at : at + _HEADER]
            size = header[48:58].strip()
            if len(header) < _HEADER or header[58:] != b"`\n" or not size.isdigit():
                raise ImageError(f"{self._name}: damaged at byte {at}")
            start, end = at + _HEADER, at + _HEADER + int(size)
            if end > len(self._data):
                raise ImageError(f"{self._name}: cut short at byte {len(self._data)}")
            content = self._data[start:end]
            raw = header[:16].rstrip()
            if raw == b"/":
                self._index = content
            elif raw == b"//":
                self._names = content
            else:
                yield Member(self._member_name(raw), content)
            at = end + end % 2

    def _member_name(self, raw: bytes) -> str:
        if raw.startswith(b"/") and raw[1:].isdigit():
            raw = self._names[int(raw[1:]) :].partition(b"\n")[0]
        return raw.removesuffix(b"/").decode("utf-8", "replace")

    @property
    def members(self) -> tuple[Member, ...]:
        """The archive's files, its symbol index left out."""
        return self._members

    @cached_property
    def symbols(self) -> frozenset[str]:
        """The names that its members define, from the index that `ranlib` makes.

        Raises `ImageError` where it has none: a linker could not use it either.
        """
        if len(self._index) < 4:
            raise ImageError(f"{self._name}: has no index; run `arm-none-eabi-ranlib` on it")
        count = int.from_bytes(self._index[:4], "big")
        return frozenset(
            name.decode("utf-8", "replace")
            for name in self._index[4 + 4 * count :].split(b"\0")[:count]
        )
