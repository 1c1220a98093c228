"""A virtual board that is ours alone, beside those that the user runs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge_boards import Board
from edge_boards.errors import BoardsError, ToolchainError
from edge_boards.platformio.ini import by_framework
from edge_boards.virtual.state import ENVIRONMENT


@contextmanager
def state_in(folder: Path) -> Iterator[None]:
    """Virtual boards are looked for and started in `folder`. For one thread: the folder is named
    by the environment."""
    before = os.environ.get(ENVIRONMENT)
    os.environ[ENVIRONMENT] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[ENVIRONMENT]
        else:
            os.environ[ENVIRONMENT] = before


@contextmanager
def virtual_board_of_our_own(board: Board) -> Iterator[None]:
    """A state folder of its own, so that the user's virtual board keeps what it runs; what was
    started there is stopped in the end. For one thread, as `state_in`."""
    with tempfile.TemporaryDirectory(prefix="edge-search-") as folder, state_in(Path(folder)):
        try:
            yield
        finally:
            stop_own(board)


def stop_own(board: Board) -> None:
    """Stops the virtual board of the present state folder, if it is there."""
    from edge_boards import virtual

    with suppress(BoardsError):  # it never started, or ended by itself
        virtual.stop(board.name)


def why_not_built(board: Board) -> str:
    """Why no image of the board can be built and measured here; empty where one can."""
    from edge_boards.toolchain import find_toolchain

    if by_framework(board):
        return f"{board.title} is linked by its Arduino core"
    try:
        find_toolchain(board)
    except ToolchainError as error:
        return str(error)
    return ""
