"""Keeps what frameworks print away from the terminal, for the message if they fail."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import IO

_MOST_KEPT = 1 << 20


class Heard:
    """What was printed inside a `quiet` block."""

    def __init__(self, file: IO[str]) -> None:
        self._file = file
        self._kept: str | None = None

    @property
    def text(self) -> str:
        return self._read() if self._kept is None else self._kept

    def keep(self) -> None:
        """Holds the text in memory: the file is about to go."""
        self._kept = self._read()

    def _read(self) -> str:
        self._file.flush()
        size = os.fstat(self._file.fileno()).st_size
        # By position: C code writes to the same file through its own descriptor.
        start = max(0, size - _MOST_KEPT)
        return os.pread(self._file.fileno(), size - start, start).decode("utf-8", "replace")


@contextlib.contextmanager
def quiet() -> Iterator[Heard]:
    """Turns stdout and stderr, of Python and of C code, into a temporary file."""
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as file:
        heard = Heard(file)
        with contextlib.ExitStack() as stack:
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(OSError, ValueError, AttributeError):
                    stream.flush()
            for descriptor in (1, 2):
                _redirect(stack, descriptor, file.fileno())
            stack.enter_context(contextlib.redirect_stdout(file))
            stack.enter_context(contextlib.redirect_stderr(file))
            stack.callback(heard.keep)
            yield heard


def _redirect(stack: contextlib.ExitStack, descriptor: int, target: int) -> None:
    try:
        saved = os.dup(descriptor)
    except OSError:
        return  # closed: nobody listens

    def restore() -> None:
        os.dup2(saved, descriptor)
        os.close(saved)

    os.dup2(target, descriptor)
    stack.callback(restore)
