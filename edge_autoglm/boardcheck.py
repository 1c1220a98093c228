"""What a valid board file still lacks to be useful, and what this machine lacks for the board.

`edge_boards` says whether a file is right; here every room is asked what it could do with it:
port, compiler, kernels, programmers, console, virtual board, figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_autoglm.device.usb import ids_of
from edge_autoglm.flash.programmers import PROGRAMMERS, Row
from edge_autoglm.flash.tool import ToolMissingError, dotted, find_tool
from edge_boards.board import Board
from edge_boards.data import data_path
from edge_boards.errors import BoardsError
from edge_boards.ports import known_ports
from edge_boards.schema import FRAMEWORK_PORTS
from edge_boards.toolchain import find_toolchain
from edge_export.kernels.table import KERNELS

OK, MISSING, ABSENT = "ok", "missing", "absent"


@dataclass(frozen=True)
class Finding:
    """One thing that a board can have.

    Attributes:
        subject: what it is about.
        state: "ok"; "missing": the file (or this tool) lacks it; "absent": this machine does.
        detail: what there is, or is not.
        brings: what it would bring, or how to get it; empty where all is well.
    """

    subject: str
    state: str
    detail: str
    brings: str = ""


def findings(board: Board) -> tuple[Finding, ...]:
    """All of them, what the rest hangs on first. Starts compilers to hear their version."""
    return (
        _port(board),
        _compiler(board),
        _kernels(board),
        _reserved(board),
        _console(board),
        *_programmers(board),
        _platformio(board),
        _virtual(board),
        _sectors(board),
        _chip_id(board),
        _timing(board),
        _power(board),
        _sources(board),
    )


def _framework(board: Board) -> bool:
    return board.soc.port in FRAMEWORK_PORTS


def _port(board: Board) -> Finding:
    folder = f"firmware/ports/{board.soc.port}"
    known = known_ports(data_path("firmware", "ports"))
    if board.soc.port not in known:
        return Finding(
            "port",
            MISSING,
            f"no port {folder}; there are {', '.join(known)}",
            "without it nothing can be built: implement firmware/runtime/eag_port.h in it",
        )
    return Finding("port", OK, folder)


def _compiler(board: Board) -> Finding:
    if _framework(board):
        return _tool("compiler", "PlatformIO", PROGRAMMERS["platformio"], "")
    try:
        return Finding("compiler", OK, find_toolchain(board).describe())
    except BoardsError as error:
        return Finding("compiler", ABSENT, f"none for {board.core.name}", str(error))


def _kernels(board: Board) -> Finding:
    usable = [row for row in KERNELS if row.needs <= board.core.features]
    closed = [row for row in KERNELS if not row.needs <= board.core.features]
    operators = len({row.op for row in usable})
    words = f"{len(usable)} of {len(KERNELS)}, for {operators} operators"
    if not closed:
        return Finding("kernels", OK, words)
    needs = ", ".join(sorted({need for row in closed for need in row.needs}))
    return Finding("kernels", OK, f"{words}; the others need {needs}")


def _reserved(board: Board) -> Finding:
    memory = board.ram
    if memory.reserved:
        return Finding("reserved", OK, f"{memory.reserved:,} bytes of {memory.name}")
    return Finding(
        "reserved",
        MISSING,
        f"no bytes of {memory.name} are kept from the planner",
        "room for stack, runtime and the wire's buffers: a model that fills the memory would "
        "leave none, and fail at the linker",
    )


def _console(board: Board) -> Finding:
    link = board.link("console")
    ids = ids_of(board, "console")
    if ids and link.through != "usb":
        return Finding("console", OK, f"through {link.through}, recognised by its USB id")
    if ids:
        names = ", ".join(f"{vendor:04x}:{product:04x}" for vendor, product in ids)
        return Finding("console", OK, f"through {link.through}, recognised by {names}")
    what = "no [[usb]] id with the role console" if link.through == "usb" else "not recognised"
    return Finding(
        "console",
        MISSING,
        f"through {link.through}, {what}",
        "`--port auto` finds the board, and `ports` names it",
    )


def _programmers(board: Board) -> Iterator[Finding]:
    if not board.programmers:
        yield Finding("programmer", MISSING, "no [[programmers]]", "flashing the board itself")
    for entry in board.programmers:
        row = PROGRAMMERS[entry.name]
        yield _tool("programmer", entry.name, row, f"tested: {row.tested}")


def _tool(subject: str, name: str, row: Row, more: str) -> Finding:
    """Whether the program that a row runs is here."""
    if row.tool is None:
        return Finding(subject, OK, ", ".join(filter(None, [name, more])))
    try:
        found = find_tool(row.tool)
    except ToolMissingError as error:
        what, _, install = str(error).partition("; ")
        return Finding(subject, ABSENT, f"{name}: {what}", install or row.tool.install_here)
    words = dotted(found.version) or found.origin
    return Finding(subject, OK, ", ".join(filter(None, [f"{name}, {words}", more])))


def _platformio(board: Board) -> Finding:
    pio = board.platformio
    if pio is None:
        return Finding(
            "PlatformIO",
            MISSING,
            "no table [platformio]",
            "`build --with platformio`, and flashing by PlatformIO's own uploader",
        )
    if _framework(board) and pio.framework is None:
        return Finding(
            "PlatformIO",
            MISSING,
            f"board {pio.board}, but no framework",
            f"port {board.soc.port} is built by one: framework = {board.soc.port!r}",
        )
    return Finding("PlatformIO", OK, f"board {pio.board} of {pio.platform}")


def _virtual(board: Board) -> Finding:
    if board.virtual is not None:
        return Finding("virtual", OK, f"model {board.virtual.model}")
    return Finding(
        "virtual",
        MISSING,
        "no virtual board",
        "trying a model without owning the board, and exact instruction counts",
    )


def _sectors(board: Board) -> Finding:
    flash = board.flash
    if flash.sectors:
        least, most = min(flash.sectors), max(flash.sectors)
        sizes = f"{least:,}" if least == most else f"{least:,} to {most:,}"
        return Finding("sectors", OK, f"{len(flash.sectors):,} of {sizes} bytes")
    return Finding(
        "sectors",
        MISSING,
        f"no erase units of {flash.name}",
        "an emulated flash that is erased as this one is: sectors, or sector_size",
    )


def _chip_id(board: Board) -> Finding:
    if board.soc.chip_id is not None:
        return Finding("chip id", OK, f"0x{board.soc.chip_id:03x}")
    if not board.soc.name.upper().startswith("STM32"):
        return Finding("chip id", OK, "not needed: only STM32s tell one")
    return Finding("chip id", MISSING, "no soc.chip_id", "a wrong chip is refused, not flashed")


def _timing(board: Board) -> Finding:
    if board.timing_pin is not None:
        return Finding("timing pin", OK, board.timing_pin)
    return Finding(
        "timing pin", MISSING, "no pins.timing", "a power instrument sees when an inference runs"
    )


def _power(board: Board) -> Finding:
    if board.power:
        kinds = ", ".join(sorted({figure.kind for figure in board.power}))
        count = len(board.power)
        return Finding("power", OK, f"{count} figure{'s' if count > 1 else ''}, {kinds}")
    return Finding("power", MISSING, "no [[power]] figure", "an energy estimate in reports")


def _sources(board: Board) -> Finding:
    if board.sources:
        count = len(board.sources)
        return Finding("sources", OK, f"{count} document{'s' if count > 1 else ''}")
    return Finding(
        "sources", MISSING, "no documents are named", "others can check the facts of this file"
    )
