"""Reading flatbuffers from strangers.

The generated accessors check that a read lies inside the file, and nothing else: a vector may
claim four billion elements, and a small file may point a million times at the same vector. So
every access goes through a `Walk`, which turns a read outside the file into a `ModelFileError`
and lets a file pay for what it makes us do: an honest file stores each item once, hence no walk
visits more items or copies more bytes than the file could hold.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import ModelFileError

T = TypeVar("T")

# A table in a vector takes 4 bytes of offset and 4 of its own, at the least.
_LEAST_TABLE_BYTES = 8
_LEAST_SCALAR_BYTES = 4  # what is copied one by one are int32, int64 and float32
# Ceilings however large the file is, to bound time and memory: seconds, and tens of megabytes.
_MOST_TABLES = 100_000
_MOST_SCALARS = 2_000_000
_MOST_NAME = 4096


class Walk:
    """One reading of one file of `size` bytes."""

    def __init__(self, size: int) -> None:
        self._tables = _MOST_TABLES
        self._table_bytes = size
        self._scalars = min(size // _LEAST_SCALAR_BYTES, _MOST_SCALARS)
        self._bytes = size

    def get(self, where: str, accessor: Callable[..., T], *arguments: object) -> T:
        """Call one accessor; raises ModelFileError when it leaves the file."""
        try:
            return accessor(*arguments)
        except (struct.error, TypeError, ValueError, OverflowError) as error:
            # What the accessors raise on an offset outside the file or outside 32 bits.
            raise ModelFileError(
                f"{where}: an offset points outside the file; was it cut short or damaged?"
            ) from error

    def count(
        self, where: str, length: Callable[[], int], table_bytes: int = _LEAST_TABLE_BYTES
    ) -> int:
        """Length of a vector of tables that take at least `table_bytes` each, paid for."""
        count = self.get(where, length)
        self._tables -= count
        self._table_bytes -= count * table_bytes
        if self._tables < 0 or self._table_bytes < 0:
            raise ModelFileError(f"{where}: {count} entries are more than the file can hold")
        return count

    def vector(self, where: str, accessor: Callable[[], Any]) -> npt.NDArray[Any]:
        """A vector of scalars as a view into the file; empty when absent. Costs nothing."""
        found = self.get(where, accessor)
        return found if isinstance(found, np.ndarray) else np.empty(0, np.uint8)

    def scalars(self, where: str, accessor: Callable[[], Any]) -> list[Any]:
        """A vector of scalars as Python numbers, paid for one by one."""
        view = self.vector(where, accessor)
        self._scalars -= view.size
        if self._scalars < 0:
            raise ModelFileError(f"{where}: {view.size} numbers are more than the file can hold")
        return view.tolist()  # type: ignore[no-any-return]

    def skip(self, where: str, length: Callable[[], int]) -> None:
        """Pay for a vector that is not read here, but that other runtimes will copy."""
        self._scalars -= self.get(where, length)
        if self._scalars < 0:
            raise ModelFileError(f"{where}: more entries than the file can hold")

    def integers(self, where: str, accessor: Callable[[], Any]) -> tuple[int, ...]:
        return tuple(self.scalars(where, accessor))

    def text(self, where: str, accessor: Callable[[], bytes | None], most: int = _MOST_NAME) -> str:
        """A string on one line: what is not UTF-8 or not printable is escaped, not refused."""
        raw = self.get(where, accessor) or b""
        if len(raw) > most:
            raise ModelFileError(f"{where}: its name has {len(raw)} bytes")
        self.charge(where, len(raw))
        text = raw.decode("utf-8", "backslashreplace")
        if text.isprintable():
            return text
        return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

    def charge(self, where: str, count: int) -> None:
        """Pay for copying `count` bytes."""
        self._bytes -= count
        if self._bytes < 0:
            raise ModelFileError(f"{where}: more bytes than the file holds")
