"""Toolchains: from C sources to an image for a board, and to libraries for the host."""

from __future__ import annotations

from edge_boards.board import Board
from edge_boards.errors import ToolchainError
from edge_boards.schema import OTHER_CORES
from edge_boards.toolchain.build import BuildRequest, Image, build_image
from edge_boards.toolchain.gcc import find_gcc
from edge_boards.toolchain.host import HostCompiler, find_host_compiler
from edge_boards.toolchain.library import Library
from edge_boards.toolchain.sizes import MemoryUse, ModelSources, SizeReport, check_fits
from edge_boards.toolchain.toolchain import Toolchain
from edge_boards.toolchain.zig import find_zig

__all__ = [
    "BuildRequest",
    "HostCompiler",
    "Image",
    "Library",
    "MemoryUse",
    "ModelSources",
    "SizeReport",
    "Toolchain",
    "build_image",
    "check_fits",
    "find_host_compiler",
    "find_toolchain",
]

_FINDERS = {"gcc": find_gcc, "zig": find_zig}


def find_toolchain(board: Board, prefer: str | None = None) -> Toolchain:
    """The compiler for a board: arm-none-eabi-gcc where there is one, else zig.

    `prefer` ("gcc" or "zig") tries that one only. Raises `ToolchainError`.
    """
    if prefer is not None and prefer not in _FINDERS:
        raise ToolchainError(f"no toolchain {prefer!r}; allowed: {', '.join(_FINDERS)}")
    if board.core.name in OTHER_CORES:
        raise ToolchainError(
            f"{board.core.name} ({board.title}) is compiled by its framework only; "
            "use `edge-autoglm build --with platformio`"
        )
    for name in (prefer,) if prefer else tuple(_FINDERS):
        found = _FINDERS[name](board.core)
        if found is not None:
            return found
    wanted = {
        "gcc": "arm-none-eabi-gcc is neither on PATH nor among PlatformIO's packages; "
        "install gcc-arm-none-eabi, or use --toolchain zig",
        "zig": "the Python package ziglang is not installed; `pip install ziglang`",
    }
    if prefer:
        raise ToolchainError(wanted[prefer])
    raise ToolchainError(
        f"no compiler for {board.core.name}: install arm-none-eabi-gcc, "
        "or run `pip install ziglang`"
    )
