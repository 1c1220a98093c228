"""Errors of `edge_boards`.

BoardsError              base; the CLI prints it as one line and exits 1
+-- UnknownBoardError    no such board; nearest names offered
+-- BoardFileError       a board file is wrong: file, line, key, what is allowed
+-- ToolchainError       no compiler, or it failed: its own words are carried
+-- ImageTooBigError     the image cannot fit a memory; largest contributors named
+-- ImageError           an ELF that must not be flashed (f64 code, wrong address, ...)
+-- VirtualBoardError    the virtual board cannot start, stopped, or met what it does not model
"""

from __future__ import annotations


class BoardsError(Exception):
    """Base of every error that this package raises on purpose."""


class UnknownBoardError(BoardsError):
    """No board of that name in any catalogue."""


class BoardFileError(BoardsError):
    """A board file is wrong."""


class ToolchainError(BoardsError):
    """No usable compiler, or the compiler failed."""


class ImageTooBigError(BoardsError):
    """The image does not fit one of the board's memories."""


class ImageError(BoardsError):
    """An image that must not be flashed."""


class VirtualBoardError(BoardsError):
    """The virtual board cannot start, has stopped, or met what it does not model."""
