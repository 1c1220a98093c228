"""What a programmer is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_boards.board import Board, Programmer

Progress = Callable[[int, int], None]
"""Called with bytes done and bytes in all; what is read back counts as well as what is written."""


def no_progress(done: int, total: int) -> None:
    """Shows nothing."""


@dataclass(frozen=True)
class Job:
    """One programming of one board.

    Attributes:
        board: the board.
        programmer: the board file's entry, with its volume or link.
        image: the flash's bytes.
        address: of the first one.
        port: a serial port or pty for programmers that need one, else None.
        parity: of that port; None lets the programmer choose.
        progress: told about bytes written and read back.
    """

    board: Board
    programmer: Programmer
    image: bytes
    address: int
    port: str | None
    parity: str | None = None
    progress: Progress = no_progress
