"""Board files: found, read, checked. Every problem of a file is told, with file, line and key."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from edge_boards.board import (
    Board,
    Clock,
    Core,
    Execution,
    Memory,
    PlatformIO,
    Power,
    Programmer,
    Serial,
    Soc,
    Stack,
    UsbId,
    Virtual,
)
from edge_boards.check import check_document, check_facts
from edge_boards.data import data_path
from edge_boards.errors import BoardFileError, BoardsError, Fault, UnknownBoardError
from edge_boards.tomllines import Lines

BOARDS_VARIABLE = "EDGE_AUTOGLM_BOARDS"
_LARGEST_FILE = 1 << 20


def board_folders(folders: Sequence[Path | str] = ()) -> tuple[Path, ...]:
    """Folders with board files, the first to be asked first.

    Those given, then those of the environment variable EDGE_AUTOGLM_BOARDS (separated as PATH
    is), then the shipped catalogue. Raises `BoardsError` where a user's folder does not exist.
    """
    found: list[Path] = []
    named = [(Path(f).expanduser(), "--boards") for f in folders]
    for text in os.environ.get(BOARDS_VARIABLE, "").split(os.pathsep):
        if text:
            named.append((Path(text).expanduser(), BOARDS_VARIABLE))
    for folder, origin in named:
        if not folder.is_dir():
            raise BoardsError(
                f"{origin}: {folder} is not a folder; it should hold board .toml files"
            )
        found.append(folder)
    found.append(data_path("catalog"))
    return tuple(found)


def load_board(name_or_path: str | Path, folders: Sequence[Path | str] = ()) -> Board:
    """The board of that name or alias, or the one in that .toml file.

    Raises `UnknownBoardError` with the nearest names or what else the path is, `BoardFileError` for
    a bad file.
    """
    text = str(name_or_path)
    if isinstance(name_or_path, Path) or text.endswith(".toml"):
        return read_board(Path(text))
    wanted = text.lower()
    where = board_folders(folders)
    for folder in where:
        path = folder / f"{wanted}.toml"
        if re.fullmatch(r"[a-z0-9_-]{1,100}", wanted) and path.is_file():
            return read_board(path)
    known: dict[str, None] = {}  # names, and aliases behind them
    boards: dict[str, None] = {}
    for path in _files(where):
        names = _names(path)
        if wanted in names:
            return read_board(path)
        known |= dict.fromkeys(names)
        boards[names[0]] = None
    near = [name for name in boards if len(wanted) > 2 and wanted in name][:3]
    near = near or difflib.get_close_matches(wanted, known, n=3, cutoff=0.5)
    if (os.sep in text or not near) and os.path.exists(text):  # noqa: PTH110 - any text is taken
        raise UnknownBoardError(_no_board_file(Path(text)))
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    raise UnknownBoardError(
        f"no board {text!r}; {hint}`edge-autoglm boards` lists all {len(boards)}, "
        f"--boards DIR or {BOARDS_VARIABLE} adds a folder of your own"
    )


def _no_board_file(path: Path) -> str:
    if path.is_dir():
        return (
            f"{path} is a folder, not a board; name one of its .toml files, or add the folder with "
            "--boards DIR"
        )
    return f"{path} is no .toml file, as board files are; `edge-autoglm boards` lists the boards"


def list_boards(folders: Sequence[Path | str] = ()) -> tuple[Board, ...]:
    """Every board by name; a user's board hides a shipped one of the same name."""
    boards: dict[str, Board] = {}
    for path in _files(board_folders(folders)):
        board = read_board(path)
        boards.setdefault(board.name, board)
    return tuple(boards[name] for name in sorted(boards))


def _files(folders: Iterable[Path]) -> list[Path]:
    return [path for folder in folders for path in sorted(folder.glob("*.toml"))]


def _names(path: Path) -> list[str]:
    """A file's names, for the search; a file too broken to have one is found by its stem."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return [path.stem.lower()]
    aliases = data.get("aliases")
    names = [path.stem, *(aliases if isinstance(aliases, list) else [])]
    return [name.lower() for name in names if isinstance(name, str)]


def read_board(path: Path) -> Board:
    """Read and check one board file. Raises `BoardFileError` with every problem, one a line."""
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise BoardFileError(f"{path}: larger than 1 MiB; this is no board file")
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise BoardFileError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BoardFileError(f"{path}: not UTF-8 text (byte {error.start})") from error
    try:
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # ValueError: numbers of thousands of digits
        at = re.search(r"\(at line (\d+), column \d+\)", str(error))
        line = at.group(1) if at else str(text.count("\n") + 1)
        words = re.sub(r"\s*\(at .*\)$", "", str(error))
        raise BoardFileError(
            f"{path}:{line}: not valid TOML: {words}",
            [Fault(int(line), None, f"not valid TOML: {words}")],
        ) from error
    lines = Lines(text)
    problems = check_document(data)
    if not problems:
        board = _board(data, path)
        problems = check_facts(board)
        if not problems:
            return board
    faults = sorted(
        (Fault(lines.of(p.key), p.dotted, p.words) for p in problems), key=lambda fault: fault.line
    )
    raise BoardFileError(
        "\n".join(f"{path}:{each.line}: key {each.key}: {each.words}" for each in faults), faults
    )


def _board(data: dict[str, Any], path: Path) -> Board:
    """The checked document as a `Board`; no value here can be missing or of a wrong type."""
    core, execution, virtual = data["core"], data.get("execution", {}), data.get("virtual")
    platformio, stack = data.get("platformio"), data.get("stack")
    return Board(
        name=data["name"],
        title=data["title"],
        vendor=data.get("vendor", ""),
        aliases=tuple(data.get("aliases", ())),
        tested=data.get("tested", "data only"),
        sources=tuple(data.get("sources", ())),
        platformio=PlatformIO(**_frozen(platformio)) if platformio is not None else None,
        soc=Soc(**data["soc"]),
        core=Core(core["name"], frozenset(core["features"]), core.get("fpu"), core["mpu_regions"]),
        clock=Clock(**data["clock"]),
        execution=Execution(
            execution.get("flash_alias", "axi"),
            execution.get("icache", False),
            execution.get("dcache", False),
        ),
        memories=tuple(
            Memory(
                name,
                m["kind"],
                m["address"],
                m["size"],
                m.get("reserved", 0),
                _sectors(m),
                tuple(m.get("aliases", {}).items()),
            )
            for name, m in data["memories"].items()
        ),
        stack=Stack(**stack) if stack is not None else None,
        serial=tuple(Serial(name, **link) for name, link in data["serial"].items()),
        programmers=tuple(Programmer(**_frozen(p)) for p in data.get("programmers", ())),
        usb=tuple(UsbId(**each) for each in data.get("usb", ())),
        timing_pin=data.get("pins", {}).get("timing"),
        virtual=Virtual(**virtual) if virtual is not None else None,
        power=tuple(Power(**p) for p in data.get("power", ())),
        path=path,
    )


def _sectors(memory: dict[str, Any]) -> tuple[int, ...]:
    """The erase units one by one, whichever way the file gives them."""
    size = memory.get("sector_size")
    if size is None:
        return tuple(memory.get("sectors", ()))
    count: int = memory["size"] // size
    return (int(size),) * count


def _frozen(table: dict[str, Any]) -> dict[str, Any]:
    """A table's keys with its arrays as tuples."""
    return {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
