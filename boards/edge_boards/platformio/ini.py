"""platformio.ini, made from the board files.

One environment a board, named after it. Paths are relative to the project, whose folders are those
of `firmware/`; `platformio/NAME` holds what is made for a board: eag_board.h and, where no
framework brings a linker script, image.ld.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from edge_boards.board import Board, PlatformIO
from edge_boards.errors import ToolchainError
from edge_boards.schema import FRAMEWORK_PORTS
from edge_boards.toolchain.build import port_folders
from edge_boards.toolchain.gcc import target_flags
from edge_boards.toolchain.toolchain import COMMON_FLAGS

MODEL_VARIABLE = "EDGE_AUTOGLM_MODEL"
SCRIPT = "platformio/eag_build.py"
APP = "profile"
# GCC 12.3, the compiler nearest to what our figures are from; the platform's own default is GCC 7.
_TOOLCHAIN = "platformio/toolchain-gccarmnoneeabi@~1.120301.0"
# A compiler of another version may find something new to warn of: no reason not to build.
_LEFT_OUT = ("-Werror", "-g0")
_LINK = ("-nostdlib", "-nostartfiles", "-Wl,--nmagic", "-Wl,--build-id=none")


def by_framework(board: Board) -> bool:
    """Whether a framework brings startup, linker script and stack."""
    return board.soc.port in FRAMEWORK_PORTS


def platformio_of(board: Board) -> PlatformIO:
    """The board's PlatformIO names. Raises `ToolchainError` where it has none."""
    if board.platformio is None:
        raise ToolchainError(
            f"{board.path}: {board.name} has no table [platformio], so PlatformIO cannot build for "
            "it; docs/boards.md says what goes into one"
        )
    return board.platformio


def app_source(board: Board) -> str:
    """The app's one source: a sketch for a framework, else a program of its own."""
    return f"apps/{APP}/{'sketch.cpp' if by_framework(board) else 'main.c'}"


def source_folders(firmware: Path, board: Board) -> tuple[str, ...]:
    """Folders of `firmware/` that are compiled for the board, the app's apart."""
    ports = port_folders(firmware / "ports", board.soc.port)
    return ("runtime", *(f"ports/{folder.name}" for folder in ports))


def environment(firmware: Path, board: Board) -> str:
    """`[env:NAME]`. Raises `ToolchainError` where PlatformIO does not know the board."""
    names = platformio_of(board)
    folders = source_folders(firmware, board)
    made = f"platformio/{board.name}"
    lines = [f"[env:{board.name}]", f"platform = {names.platform}", f"board = {names.board}"]
    flags: Sequence[str]
    if by_framework(board):
        lines.append(f"framework = {names.framework}")
        flags = ()
    else:
        lines.append(f"platform_packages = {_TOOLCHAIN}")
        lines.append(f"board_build.ldscript = {made}/image.ld")
        flags = (*target_flags(board.core), *(f for f in COMMON_FLAGS if f not in _LEFT_OUT), "-Os")
    lines += names.options
    lines.append("build_src_filter = -<*>")
    lines += [f"  +<{folder}/>" for folder in folders]
    lines += [f"  +<{app_source(board)}>", "build_flags ="]
    lines += _wrapped(flags)
    lines += [f"  -I{folder}" for folder in (made, *folders)]
    if not by_framework(board):
        lines += _wrapped((*_LINK, "-Wl,-Map=$BUILD_DIR/firmware.map"))
    return "\n".join(lines) + "\n"


def _wrapped(flags: Iterable[str], width: int = 96) -> list[str]:
    lines: list[str] = []
    for flag in flags:
        if lines and len(lines[-1]) + 1 + len(flag) <= width:
            lines[-1] += f" {flag}"
        else:
            lines.append(f"  {flag}")
    return lines


def project_ini(
    firmware: Path, boards: Sequence[Board], model: str, *, head: str, settings: Sequence[str] = ()
) -> str:
    """The whole file. `model` is the exported folder as PlatformIO is to find it; `head` is a
    comment, `settings` are further lines of `[platformio]`."""
    text = [
        *(f"; {line}" for line in head.splitlines()),
        "",
        "[platformio]",
        "src_dir = .",
        "include_dir = platformio",
        *settings,
        "",
        "[env]",
        f"custom_model = {model}",
        "lib_deps = symlink://${this.custom_model}",
        f"extra_scripts = pre:{SCRIPT}",
        "",
    ]
    return "\n".join(text) + "\n" + "\n".join(environment(firmware, board) for board in boards)
