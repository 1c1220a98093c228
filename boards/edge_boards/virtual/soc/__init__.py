"""The chips that a virtual board can be: one description each, chosen by `virtual.model`."""

from __future__ import annotations

from edge_boards.board import Board
from edge_boards.errors import VirtualBoardError

from .description import Chip
from .stm32f746 import STM32F746
from .stm32l4r5 import STM32L4R5

MODELS: dict[str, Chip] = {soc.name: soc for soc in (STM32F746, STM32L4R5)}


def soc_of(board: Board) -> Chip:
    """The chip of a board. Raises `VirtualBoardError` where there is no model of it, or where
    the board file and the model disagree about its memories."""
    model = board.virtual.model if board.virtual is not None else None
    soc = MODELS.get(model or "")
    if soc is None:
        has = f"its model, {model}, is none of them" if model else "no virtual model"
        raise VirtualBoardError(
            f"board {board.name} has {has}; there are models of {', '.join(sorted(MODELS))}"
        )
    soc.check(board)
    return soc


__all__ = ["MODELS", "Chip", "soc_of"]
