"""platformio.ini, made from the board files.

One environment a board, named after it. Paths are relative to the project, whose folders are those
of `firmware/`; `platformio/NAME` holds what is made for a board: eag_board.h and, where no
framework brings a linker script, image.ld.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from edge_boards.board import Board, PlatformIO
from edge_boards.errors import ToolchainError
from edge_boards.ports import port_folders
from edge_boards.schema import FRAMEWORK_PORTS
from edge_boards.toolchain.gcc import target_flags
from edge_boards.toolchain.toolchain import COMMON_FLAGS

APP = "profile"
SCRIPT = "platformio/eag_build.py"
# GCC 12.3, the one nearest to what our figures are from; the platform's own default is GCC 7.
_TOOLCHAIN = "platformio/toolchain-gccarmnoneeabi@~1.120301.0"
# A compiler of another version may find something new to warn of: no reason not to build.
_LEFT_OUT = ("-Werror", "-g0")
_MADE = "platformio/$PIOENV"
_MAP = "-Wl,-Map=$BUILD_DIR/firmware.map"
_LINK = ("-nostdlib", "-nostartfiles", "-Wl,--nmagic", "-Wl,--build-id=none")


def by_framework(board: Board) -> bool:
    """Whether a framework brings startup, linker script and stack."""
    return board.soc.port in FRAMEWORK_PORTS


def platformio_of(board: Board) -> PlatformIO:
    """The board's PlatformIO names. Raises `ToolchainError` where it has none."""
    if board.platformio is None:
        raise ToolchainError(
            f"{board.path.name} has no table [platformio], so PlatformIO cannot build for "
            f"{board.name}; docs/boards.md says what goes into one"
        )
    return board.platformio


def app_source(board: Board) -> str:
    """The app's one source: a sketch for a framework, else a program of its own."""
    return f"apps/{APP}/{'sketch.cpp' if by_framework(board) else 'main.c'}"


def source_folders(firmware: Path, board: Board) -> tuple[str, ...]:
    """Folders of `firmware/` that are compiled for the board, the app's apart.

    Raises `ToolchainError` where its port's are missing.
    """
    ports = port_folders(firmware / "ports", board.soc.port)
    return ("runtime", *(f"ports/{folder.name}" for folder in ports))


def _common(firmware: Path, boards: Sequence[Board]) -> Iterator[str]:
    """The sections that environments extend: [arduino], and [bare] for images that we link."""
    sketch = next((board for board in boards if by_framework(board)), None)
    if sketch is not None:
        folders = source_folders(firmware, sketch)
        yield "[arduino]"
        yield "framework = arduino"
        yield from _sources(folders, sketch)
        yield "build_flags ="
        yield from _wrapped((*(f"-I{folder}" for folder in (_MADE, *folders)), _MAP))
        yield ""
    if not all(by_framework(board) for board in boards):
        yield "[bare]"
        yield f"platform_packages = {_TOOLCHAIN}"
        yield f"board_build.ldscript = {_MADE}/image.ld"
        yield "build_flags ="
        yield from _wrapped((*(f for f in COMMON_FLAGS if f not in _LEFT_OUT), "-Os"))
        yield from _wrapped((*_LINK, _MAP, f"-I{_MADE}"))
        yield ""


def _sources(folders: Sequence[str], board: Board) -> Iterator[str]:
    yield "build_src_filter = -<*>"
    yield from _wrapped((*(f"+<{folder}/>" for folder in folders), f"+<{app_source(board)}>"))


def _environment(firmware: Path, board: Board) -> Iterator[str]:
    names = platformio_of(board)
    common = "arduino" if by_framework(board) else "bare"
    yield f"[env:{board.name}]"
    yield f"extends = {common}"
    yield f"platform = {names.platform}"
    yield f"board = {names.board}"
    flags: list[str] = []
    libraries: list[str] = []
    beside = {"build_flags": flags, "lib_deps": libraries}  # ours, not in their place
    for line in names.options:
        key, _, value = line.partition("=")
        if key.strip() in beside:
            beside[key.strip()].append(value.strip())
        else:
            yield line
    if libraries:
        yield "lib_deps = ${env.lib_deps}"
        yield from (f"  {library}" for library in libraries)
    if not by_framework(board):
        folders = source_folders(firmware, board)
        yield from _sources(folders, board)
        flags += [*target_flags(board.core), *(f"-I{folder}" for folder in folders)]
    if flags:
        yield f"build_flags = ${{{common}.build_flags}}"
        yield from _wrapped(flags)
    yield ""


def _wrapped(words: Iterable[str], width: int = 96) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(f"  {word}")
    return lines


def project_ini(
    firmware: Path, boards: Sequence[Board], *, model: str, comment: str, settings: Sequence[str]
) -> str:
    """The whole file. `model` is the exported folder as PlatformIO is to find it, `settings` are
    further lines of `[platformio]`.

    Raises `ToolchainError` where PlatformIO does not know one of the boards.
    """
    lines = [
        *(f"; {line}".rstrip() for line in comment.splitlines()),
        "[platformio]",
        "src_dir = .",
        "include_dir = platformio",
        *settings,
        "",
        "[model]",
        f"folder = {model}",
        "",
        "[env]",
        "custom_model = ${model.folder}",
        "lib_deps = symlink://${model.folder}",
        f"extra_scripts = pre:{SCRIPT}",
        "",
        *_common(firmware, boards),
    ]
    for board in boards:
        lines += _environment(firmware, board)
    return "\n".join(lines)
