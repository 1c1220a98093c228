"""Boards as tables and as JSON."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from .tables import size, table

if TYPE_CHECKING:
    from edge_boards import Board


def boards_table(boards: tuple[Board, ...]) -> Table:
    """One row a board."""
    return table(
        "Boards",
        ["<name", "~board", "<core", ">MHz", ">flash", ">RAM", "<virtual"],
        [
            (
                board.name,
                board.title,
                board.core.name,
                f"{board.clock.hz / 1e6:g}",
                size(sum(m.size for m in board.memories if m.kind == "flash")),
                size(sum(m.size for m in board.memories if m.writable)),
                board.virtual is not None,
            )
            for board in boards
        ],
    )


def board_tables(board: Board) -> list[Table]:
    """All that a board's file says."""
    oscillator = f"{board.clock.oscillator} {board.clock.oscillator_hz / 1e6:g} MHz"
    clock = f"{board.clock.hz / 1e6:g} MHz from {oscillator}"
    caches = f"I-cache {_on(board.execution.icache)}, D-cache {_on(board.execution.dcache)}"
    fetch = f"through {board.execution.flash_alias}, {caches}"
    facts = [
        ("vendor", board.vendor),
        ("also called", ", ".join(board.aliases) or None),
        ("SoC", f"{board.soc.name}, port {board.soc.port}"),
        ("core", ", ".join([board.core.name, *sorted(board.core.features)])),
        ("FPU", board.core.fpu),
        ("clock", clock),
        ("code in flash", fetch),
        ("stack", f"{size(board.stack.size)} in {board.stack.memory}" if board.stack else None),
        ("PlatformIO", board.platformio.board if board.platformio else None),
        ("virtual", _virtual(board)),
        ("tested", board.tested),
        ("file", board.path.name),
    ]
    made = [
        table(board.title, ["<fact", "<value"], facts),
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
                ["<name", "<needs"],
                [
                    (
                        p.name,
                        f"volume {p.volume}" if p.volume else f"link {p.link}" if p.link else "",
                    )
                    for p in board.programmers
                ],
            )
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


def _on(value: bool) -> str:
    return "on" if value else "off"


def board_json(board: Board) -> dict[str, Any]:
    """The board as plain values; sets become sorted lists."""
    value = asdict(board)
    value["path"] = board.path.name
    value["core"]["features"] = sorted(board.core.features)
    return value
