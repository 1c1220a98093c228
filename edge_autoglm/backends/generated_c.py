"""The generated C on this machine: what a board computes, without the board.

Its kernels are those of the board it is generated for. DSP instructions are computed one by one
here, so its time says nothing about the board's, nor is it meant to be fast.
"""

from __future__ import annotations

from edge_boards import Board, load_board
from edge_boards.errors import BoardsError, ToolchainError
from edge_boards.toolchain import find_host_compiler
from edge_quantize.check import check_supported

from .base import Availability, Backend, BackendRefusedError, Judge, Loaded, on_windows, said_by
from .child import Child, ChildLoaded
from .model import TFLITE, RunModel

DEFAULT_BOARD = "stm32f746"


class GeneratedC(Backend):
    """The ahead-of-time C for a board, built with this machine's compiler and loaded; int8 models
    that the exporter takes. Compared with `tflite_micro`, whose arithmetic it has."""

    name = "c"
    title = "the generated C on this machine"
    judge = Judge.MICRO

    def __init__(self, board: Board | None = None) -> None:
        self._board = board

    def available(self) -> Availability:
        if (elsewhere := on_windows()) is not None:
            return elsewhere
        try:
            compiler = find_host_compiler()
        except (ToolchainError, BoardsError) as error:
            return Availability(False, str(error).partition(";")[0], "pip install ziglang")
        return Availability(True, compiler.describe())

    def refuses(self, model: RunModel) -> str:
        return no_c(model)

    def load(self, model: RunModel) -> Loaded:
        assert model.graph is not None
        with said_by(self.name, BackendRefusedError):
            board = self._board or load_board(DEFAULT_BOARD)
        child = Child(self.name, "c")
        loaded = ChildLoaded(
            child, model.graph, content=model.content, name=model.name, board=board,
            folder=str(child.folder),
        )  # fmt: skip
        loaded.facts = (f"kernels and memory plan of {board.name}; load generates and compiles",)
        return loaded


def no_c(model: RunModel) -> str:
    """Why there is no C of a model; "" where there is."""
    if model.format != TFLITE or model.graph is None:
        return "C is generated from .tflite files"
    problems = check_supported(model.graph)
    if not problems:
        return ""
    rest = len(problems) - 1
    more = f", and {rest} more reason{'s' if rest > 1 else ''}" if rest else ""
    return f"no C is generated for it: {problems[0]}{more}"
