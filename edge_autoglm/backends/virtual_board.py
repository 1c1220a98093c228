"""A virtual board of our own: the very image that would be flashed, with modelled time."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from edge_autoglm.measure.own_board import state_in, why_not_built
from edge_boards import Board
from edge_boards.errors import BoardsError

from .base import Availability, Backend, Judge, Loaded
from .board import BoardLoaded
from .generated_c import no_c
from .model import RunModel


class VirtualBoard(Backend):
    """The very firmware of a board on its virtual counterpart; times are the board's own,
    modelled."""

    judge = Judge.MICRO

    def __init__(self, board: Board) -> None:
        self.name = f"virtual:{board.name}"
        self.title = f"{board.title}, virtual"
        self._board = board

    def available(self) -> Availability:
        return virtual_here(self._board)

    def refuses(self, model: RunModel) -> str:
        return no_c(model)

    def load(self, model: RunModel) -> Loaded:
        return _VirtualLoaded(self.name, self._board, model)


def virtual_here(board: Board) -> Availability:
    """Whether a board has a virtual counterpart, and what runs it is here."""
    # What a virtual board needs is loaded only for one.
    from edge_boards.virtual import client

    why = why_not_built(board)
    try:
        client.check_needs(board)
    except BoardsError as error:
        text, _, mend = str(error).partition(": ")
        return Availability(False, text, mend if mend.startswith("pip") else "")
    if why:
        return Availability(False, why.partition(";")[0], "pip install ziglang")
    model = board.virtual.model if board.virtual else ""
    return Availability(True, f"{model or 'emulator'}; its time is modelled")


class _VirtualLoaded(BoardLoaded):
    """In a state folder of its own, so that the user's virtual board keeps what it runs."""

    def __init__(self, name: str, board: Board, model: RunModel) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="edge-virtual-"))
        # The board is a process that outlives this one: it ends with the program, closed or not.
        self._end = weakref.finalize(self, _end, board.name, self._folder)
        super().__init__(name, board, model, "virtual")

    def place(self) -> AbstractContextManager[None]:
        return state_in(self._folder)

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._end()


def _end(name: str, folder: Path) -> None:
    """Stops the board of a state folder, and removes the folder."""
    from edge_boards import virtual

    try:
        with suppress(BoardsError):  # it never started, or ended by itself
            virtual.stop(name, state_dir=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
