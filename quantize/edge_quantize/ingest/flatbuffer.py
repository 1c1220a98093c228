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
_BYTES_A_TABLE = 8
# Ceilings however large the file is, to bound the time: some seconds of walking.
_MOST_TABLES = 200_000
_MOST_SCALARS = 16_000_000


class Walk:
    """One reading of one file of `size` bytes."""

    def __init__(self, size: int) -> None:
        self._tables = min(size // _BYTES_A_TABLE + 16, _MOST_TABLES)
        self._scalars = min(size + 16, _MOST_SCALARS)
        self._bytes = size + 16

    def get(self, where: str, accessor: Callable[..., T], *arguments: object) -> T:
        """Call one accessor; raises ModelFileError when it leaves the file."""
        try:
            return accessor(*arguments)
        except (struct.error, TypeError, ValueError, OverflowError) as error:
            # What the accessors raise on an offset outside the file or outside 32 bits.
            raise ModelFileError(f"{where}: an offset points outside the file") from error

    def count(self, where: str, length: Callable[[], int]) -> int:
        """A vector's length, paid for as tables."""
        count = self.get(where, length)
        self._tables -= count
        if self._tables < 0:
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

    def integers(self, where: str, accessor: Callable[[], Any]) -> tuple[int, ...]:
        return tuple(self.scalars(where, accessor))

    def text(self, where: str, accessor: Callable[[], bytes | None]) -> str:
        """A string; bytes that are not UTF-8 are shown escaped rather than refused."""
        raw = self.get(where, accessor) or b""
        self.charge(where, len(raw))
        return raw.decode("utf-8", "backslashreplace")

    def charge(self, where: str, count: int) -> None:
        """Pay for copying `count` bytes."""
        self._bytes -= count
        if self._bytes < 0:
            raise ModelFileError(f"{where}: more bytes than the file holds")
