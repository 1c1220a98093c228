"""A PlatformIO project around an exported model, which needs nothing else: it can be moved, kept
under version control, opened in an editor, and built where edge-autoglm is not installed."""

from __future__ import annotations

from pathlib import Path

from edge_boards.board import Board
from edge_boards.data import data_path
from edge_boards.errors import ToolchainError
from edge_boards.platformio.ini import (
    SCRIPT,
    app_source,
    by_framework,
    project_ini,
    source_folders,
)
from edge_boards.toolchain.generate import board_header
from edge_boards.toolchain.linker import linker_script

FOLDER = "platformio"
"""The project's folder inside the exported one."""
MODEL_VARIABLE = "EDGE_AUTOGLM_MODEL"

_COMMENT = """\
Made by `edge-autoglm build --with platformio`, which writes this folder anew each time. For changes
of your own take a copy, and let [model] folder name the exported folder.
"""
_FIRMWARE_COMMENT = f"""\
Made from the board files by `python -m edge_boards.platformio`: change those instead. Builds the
profile app around an exported model, for the board that it was exported for:
  {MODEL_VARIABLE}=/path/to/model_stm32f746 pio run -e stm32f746
"""
# Not .pio among the sources: it would count as one of them, and every second build start anew.
WORKSPACE = "../build/platformio"
_WORKSPACE = f"workspace_dir = {WORKSPACE}"
_DEFAULT = "stm32f746"
_SUFFIXES = (".c", ".h", ".S", ".cpp")


def board_files(board: Board) -> dict[str, str]:
    """What is made for a board: path in the project -> text."""
    folder = f"platformio/{board.name}"
    made = {f"{folder}/eag_board.h": board_header(board)}
    if not by_framework(board):
        made[f"{folder}/image.ld"] = linker_script(board)
    return made


def firmware_ini(boards: tuple[Board, ...], firmware: Path) -> str:
    """`firmware/platformio.ini`: all boards that PlatformIO knows."""
    return project_ini(
        firmware,
        [board for board in boards if board.platformio is not None],
        model=f"${{sysenv.{MODEL_VARIABLE}}}",
        comment=_FIRMWARE_COMMENT,
        settings=(_WORKSPACE, f"default_envs = {_DEFAULT}"),
    )


def project_files(board: Board, firmware: Path | None = None) -> dict[str, bytes]:
    """A project for one board: path -> content. The model's folder is the one it lies in.

    Raises `ToolchainError` where PlatformIO does not know the board, or the firmware is not whole.
    """
    root = firmware or data_path("firmware")
    ini = project_ini(root, [board], model="..", comment=_COMMENT, settings=(_WORKSPACE,))
    files = {"platformio.ini": ini.encode()}
    files |= {path: text.encode() for path, text in board_files(board).items()}
    names = [SCRIPT, app_source(board)]
    for folder in source_folders(root, board):
        names += [
            f"{folder}/{path.name}"
            for path in sorted((root / folder).iterdir())
            if path.suffix in _SUFFIXES
        ]
    try:
        return files | {name: (root / name).read_bytes() for name in names}
    except OSError as error:
        raise ToolchainError(f"{error.filename} cannot be read: {error.strerror}") from error


def write_project(board: Board, exported: Path, firmware: Path | None = None) -> Path:
    """Writes the project into `exported`/platformio and gives that folder.

    Files that are as they should be stay untouched, so that nothing is compiled without need; those
    of an earlier version go. Raises `ToolchainError`, also where the folder is somebody else's.
    """
    files = project_files(board, firmware)
    folder = exported / FOLDER
    if folder.exists() and not _is_ours(folder):
        raise ToolchainError(
            f"{folder} was not made by `edge-autoglm build`; move it away, PlatformIO's project "
            "goes there"
        )
    try:
        for name, content in files.items():
            path = folder / name
            if not path.is_file() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
        for top in {name.split("/")[0] for name in files if "/" in name}:
            for path in (folder / top).rglob("*"):
                if path.is_file() and path.relative_to(folder).as_posix() not in files:
                    path.unlink()
    except OSError as error:
        raise ToolchainError(
            f"cannot write PlatformIO's project to {folder}: {error.strerror or error}"
        ) from error
    return folder


def _is_ours(folder: Path) -> bool:
    try:
        if not any(folder.iterdir()):
            return True
        first = (folder / "platformio.ini").read_text(encoding="utf-8").splitlines()[:1]
    except (OSError, UnicodeDecodeError):
        return False
    return first == [f"; {_COMMENT.splitlines()[0]}"]


def firmware_files(boards: tuple[Board, ...], firmware: Path) -> dict[str, str]:
    """What `firmware/` holds for PlatformIO: path in it -> text."""
    made = {"platformio.ini": firmware_ini(boards, firmware)}
    for board in boards:
        if board.platformio is not None:
            made |= board_files(board)
    return made


def update_firmware(boards: tuple[Board, ...], firmware: Path, *, check: bool) -> list[str]:
    """Writes those files, or with `check` leaves them; gives what was out of date or too much."""
    wanted = firmware_files(boards, firmware)
    stale = [n for n, text in wanted.items() if _text(firmware / n) != text]
    extra = [
        path.relative_to(firmware).as_posix()
        for path in sorted((firmware / "platformio").glob("*/*"))
        if path.relative_to(firmware).as_posix() not in wanted
    ]
    if not check:
        for name in stale:
            (firmware / name).parent.mkdir(parents=True, exist_ok=True)
            (firmware / name).write_text(wanted[name], encoding="utf-8", newline="\n")
        for name in extra:
            (firmware / name).unlink()
            if not any((firmware / name).parent.iterdir()):
                (firmware / name).parent.rmdir()
    return [*stale, *extra]


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return None
