"""Errors of `edge_boards`.

BoardsError              base; the CLI prints it as one line and exits 1
+-- UnknownBoardError    no such board; nearest names offered
+-- BoardFileError       a board file is wrong: file, line, key, what is allowed
+-- ToolchainError       no compiler, or it failed: its own words are carried
+-- ImageTooBigError     the image cannot fit a memory; largest contributors named
+-- ImageError           an ELF that must not be flashed (f64 code, wrong address, ...)
+-- VirtualBoardError    the virtual board cannot start, stopped, or met what it does not model
    +-- AlreadyRunning   it has a server already (`virtual`)
    +-- MachineStop      why the machine cannot go on (`virtual`)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class BoardsError(Exception):
    """Base of every error that this package raises on purpose."""


class UnknownBoardError(BoardsError):
    """No board of that name in any catalogue."""


@dataclass(frozen=True)
class Fault:
    """One fault of a board file: its line (from 1), its key where it is about one, and words."""

    line: int
    key: str | None
    words: str


class BoardFileError(BoardsError):
    """A board file is wrong; `faults` are all that is wrong with it, where it could be read."""

    def __init__(self, message: str, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


class ToolchainError(BoardsError):
    """No usable compiler, or the compiler failed."""


class ImageTooBigError(BoardsError):
    """The image does not fit one of the board's memories."""


class ImageError(BoardsError):
    """An image that must not be flashed."""


class VirtualBoardError(BoardsError):
    """The virtual board cannot start, has stopped, or met what it does not model."""
