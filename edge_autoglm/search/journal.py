"""A study's journal that a full disk or a killed process does not spoil.

Optuna's reader refuses a journal for good once a line was cut short and another one appended to
it. Here no such line stays: it is taken back where the write fails, and where the file is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

_BLOCK = 1 << 16
_BEGINS = b'{"op_code"'  # every line


class WholeLines(JournalFileBackend):
    """Optuna's journal file, whose last line is whole or gone. Raises OSError with the journal as
    its file; ValueError for a file that holds something else, which stays as it is."""

    def __init__(self, path: Path) -> None:
        if path.exists():
            with path.open("rb") as file:
                begins = file.read(len(_BEGINS))
            if not _BEGINS.startswith(begins):
                raise ValueError("its first line is none of Optuna's")
        self._path, self._guard = path, JournalFileSymlinkLock(str(path))
        super().__init__(str(path), self._guard)
        self._cut()

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        try:
            super().append_logs(logs)
        except OSError as error:
            # Whoever gets this far with a full disk may not even get the lock.
            with suppress(OSError, RuntimeError):
                self._cut()
            error.filename, error.filename2 = str(self._path), None
            raise

    def _cut(self) -> None:
        """Without what follows the last end of a line. Nothing is written where all is whole."""
        if _tail(self._path) == 0:
            return
        with self._locked():
            tail = _tail(self._path)
            if tail:
                os.truncate(self._path, self._path.stat().st_size - tail)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._guard.acquire()
        try:
            yield
        finally:
            self._guard.release()


def _tail(path: Path) -> int:
    """Bytes behind the last end of a line."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        found = 0
        while found < size:
            start = max(0, size - found - _BLOCK)
            file.seek(start)
            block = file.read(size - found - start)
            end = block.rfind(b"\n")
            if end >= 0:
                return found + len(block) - end - 1
            found += len(block)
        return found
