"""Boards: what they are, how C becomes an image for them, and virtual ones.

`load_board("stm32f746").memory("dtcm").size` is a board's fact; `edge_boards.toolchain` builds
images for it; `edge_boards.virtual` runs them. Names are imported when first used, so that a
command that needs no board does not pay for one.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from edge_boards.errors import (
    BoardFileError,
    BoardsError,
    ImageError,
    ImageTooBigError,
    ToolchainError,
    UnknownBoardError,
    VirtualBoardError,
)

if TYPE_CHECKING:
    from edge_boards.board import Board, Memory
    from edge_boards.data import data_path
    from edge_boards.loader import list_boards, load_board

_LAZY = {
    "Board": "edge_boards.board",
    "Memory": "edge_boards.board",
    "data_path": "edge_boards.data",
    "list_boards": "edge_boards.loader",
    "load_board": "edge_boards.loader",
}

__all__ = [
    "Board",
    "BoardFileError",
    "BoardsError",
    "ImageError",
    "ImageTooBigError",
    "Memory",
    "ToolchainError",
    "UnknownBoardError",
    "VirtualBoardError",
    "data_path",
    "list_boards",
    "load_board",
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_LAZY[name]), name)
