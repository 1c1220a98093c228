"""Boards as tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from .tables import size, table, wrapped

if TYPE_CHECKING:
    from edge_boards import Board
    from edge_boards.board import Programmer


def boards_table(boards: tuple[Board, ...]) -> Table:
    """One row a board; 80 columns hold every shipped one."""
    return table(
        "Boards, flash and RAM in KiB",
        ["~name", "<core", ">MHz", ">flash", ">RAM", "<virtual", "<tested"],
        [
            (
                board.name,
                board.core.name.replace("plus", "+"),  # Arm's own way to write it
                f"{board.clock.hz / 1e6:g}",
                _kib(sum(m.size for m in board.memories if m.kind == "flash")),
                _kib(sum(m.size for m in board.memories if m.writable)),
                board.virtual is not None,
                board.tested,
            )
            for board in boards
        ],
    )


def _kib(count: int) -> str:
    return f"{count // 1024}"


def board_tables(board: Board, programmers_tested: Mapping[str, str]) -> list[Table]:
    """All that a board's file says.

    `programmers_tested` says how far each programmer that there is was tried, by its name.
    """
    made = [
        table(board.title, ["<fact", "~value"], _facts(board)),
        table(
            "Memories",
            ["<name", "<kind", ">address", ">size", ">kept for runtime"],
            [
                (m.name, m.kind, f"0x{m.address:08x}", size(m.size), size(m.reserved))
                for m in board.memories
            ],
        ),
        table(
            "Serial links",
            ["<name", "<peripheral", "<TX", "<RX", ">baud", "<through"],
            [(s.name, s.peripheral, s.tx, s.rx, s.baud, s.through) for s in board.serial],
        ),
    ]
    if board.programmers:
        made.append(
            table(
                "Programmers, the preferred first",
                ["<name", "<tested", "~facts"],
                [
                    (p.name, programmers_tested.get(p.name, "not there yet"), _programmer(p))
                    for p in board.programmers
                ],
            )
        )
    if board.usb:
        made.append(
            table("USB", ["<vendor:product", "<role"], [(each.id, each.role) for each in board.usb])
        )
    if board.power:
        made.append(
            table(
                "Supply current",
                ["<mode", ">mA", ">V", "<kind", "~source"],
                [(p.mode, p.ma, p.v, p.kind, p.source) for p in board.power],
            )
        )
    return made


def _virtual(board: Board) -> str | None:
    if board.virtual is None:
        return None
    machine = board.virtual.machine
    return f"{board.virtual.model}, machine {machine}" if machine else board.virtual.model


def _facts(board: Board) -> list[tuple[str, str | None]]:
    oscillator = f"{board.clock.oscillator} {board.clock.oscillator_hz / 1e6:g} MHz"
    caches = f"I-cache {_on(board.execution.icache)}, D-cache {_on(board.execution.dcache)}"
    chip = f", device id 0x{board.soc.chip_id:03x}" if board.soc.chip_id is not None else ""
    pio = board.platformio
    stack = (
        f"{size(board.stack.size)} in {board.stack.memory}" if board.stack else "the framework's"
    )
    fetch = f"through {board.execution.flash_alias}, {caches}" if board.stack else caches
    return [
        ("vendor", board.vendor or None),
        ("also called", ", ".join(board.aliases) or None),
        ("tested", board.tested),
        ("SoC", f"{board.soc.name}, port {board.soc.port}{chip}"),
        ("core", ", ".join([board.core.name, *sorted(board.core.features)])),
        ("FPU", board.core.fpu),
        ("clock", f"{board.clock.hz / 1e6:g} MHz from {oscillator}"),
        ("code in flash", fetch),
        ("stack", stack),
        ("timing pin", board.timing_pin),
        ("PlatformIO board", pio.board if pio else None),
        ("PlatformIO platform", pio.platform if pio else None),
        ("virtual", _virtual(board)),
        ("file", board.path.name),
    ]


def board_sources(board: Board) -> str:
    """The documents that the facts are from, a line each or more."""
    return "\n".join(["Sources", *(wrapped(f"  {each}", "    ") for each in board.sources)])


def _programmer(programmer: Programmer) -> str:
    """The facts that the board's file gives a programmer, each with its key."""
    facts = asdict(programmer)
    del facts["name"]
    return ", ".join(
        f"{key} {' '.join(value) if isinstance(value, tuple) else value}"
        for key, value in facts.items()
        if value not in (None, ())
    )


def _on(value: bool) -> str:
    return "on" if value else "off"


def board_json(board: Board, programmers_tested: Mapping[str, str]) -> dict[str, Any]:
    """The board as plain values, with how far each programmer was tried; sets as sorted lists."""
    value = asdict(board)
    for programmer in value["programmers"]:
        programmer["tested"] = programmers_tested.get(programmer["name"])
    value["path"] = board.path.name
    value["core"]["features"] = sorted(board.core.features)
    return value
