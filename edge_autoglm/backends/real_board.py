"""A board that is plugged in: it is flashed with the model, and keeps it."""

from __future__ import annotations

from edge_autoglm.device.ports import find_port
from edge_autoglm.errors import FlashError, TransportError
from edge_autoglm.flash.choice import choose_programmer
from edge_boards import Board
from edge_boards.errors import BoardsError

from .base import Availability, Backend, Judge, Loaded
from .board import BoardLoaded
from .generated_c import no_c
from .model import RunModel


class RealBoard(Backend):
    """`port` as `flash --port` takes it."""

    judge = Judge.MICRO

    def __init__(self, board: Board, port: str = "auto") -> None:
        self.name = f"board:{board.name}" + ("" if port == "auto" else f"@{port}")
        self.title = board.title
        self._board, self._port = board, port

    def available(self) -> Availability:
        try:
            choice = choose_programmer(self._board, self._port)
            if self._port == "auto":
                find_port(self._board, "auto")
        except (FlashError, TransportError, BoardsError) as error:
            return Availability(
                False, str(error).partition("; ")[0],
                f"plug it in, or name its port: board:{self._board.name}@PORT",
            )  # fmt: skip
        return Availability(True, choice.describe())

    def refuses(self, model: RunModel) -> str:
        return no_c(model)

    def load(self, model: RunModel) -> Loaded:
        return BoardLoaded(self.name, self._board, model, self._port)
