"""The backends, one row each, and how one is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edge_autoglm.errors import UsageError
from edge_boards import Board, load_board

from .base import Backend
from .generated_c import GeneratedC
from .litert_cpu import LiteRtCpu
from .litert_gpu import LiteRtGpu
from .onnx_cpu import OnnxCpu
from .onnx_cuda import OnnxCuda
from .onnx_rocm import OnnxRocm
from .real_board import RealBoard
from .virtual_board import VirtualBoard

# In the order of reports; of equals "auto" takes the first, so the CPU stands behind the GPUs.
HOST: Mapping[str, Callable[[], Backend]] = {
    "litert-gpu": LiteRtGpu,
    "onnx-cuda": OnnxCuda,
    "onnx-rocm": OnnxRocm,
    "litert-cpu": LiteRtCpu,
    "onnx-cpu": OnnxCpu,
    "c": GeneratedC,
}
VIRTUAL, BOARD = "virtual", "board"
AUTO, ALL = "auto", "all"
FORMS = (*HOST, f"{VIRTUAL}:BOARD", f"{BOARD}:BOARD", f"{BOARD}:BOARD@PORT")

LoadBoard = Callable[[str], Board]


def find_backend(name: str, load: LoadBoard = load_board, board: str | None = None) -> Backend:
    """The backend called `name`: a key of HOST, or `virtual:BOARD`, `board:BOARD` and
    `board:BOARD@PORT`, where `board` stands for a BOARD left out; the generated C is `board`'s too.

    Raises UsageError that lists what there is, UnknownBoardError, BoardFileError.
    """
    kind, colon, rest = name.partition(":")
    if kind in (VIRTUAL, BOARD):  # a bare `virtual` is of `board`
        which, _, port = rest.partition("@")
        which = which or board or ""
        if not which:
            raise UsageError(f"backend {name}: which board? write {kind}:BOARD, or give --board")
        if kind == VIRTUAL and port:
            raise UsageError(f"backend {name}: a virtual board has no port; write {kind}:{which}")
        found = load(which)
        return VirtualBoard(found) if kind == VIRTUAL else RealBoard(found, port or "auto")
    if name not in HOST or colon:
        raise UsageError(f"no backend {name!r}; there are {', '.join(FORMS)}")
    if name == GeneratedC.name and board is not None:
        return GeneratedC(load(board))
    return HOST[name]()


def host_backends() -> tuple[Backend, ...]:
    """Those of this machine, in the table's order."""
    return tuple(make() for make in HOST.values())
