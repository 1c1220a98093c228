"""Serial ports as lines and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .tables import wrapped

if TYPE_CHECKING:
    from edge_autoglm.device.attached import AttachedPort, Guess
    from edge_boards.virtual.client import VirtualInfo

_INDENT = " " * 4


def port_lines(port: AttachedPort) -> list[str]:
    """The port with what USB tells of it, then what can be concluded."""
    facts = [
        _usb(port.usb) or "no USB port",
        port.product,
        f"serial number {port.serial_number}" if port.serial_number else None,
        f"socket {port.socket}" if port.socket and not port.serial_number else None,
        f"disk {port.disk}" if port.disk else None,
    ]
    lines = [f"{port.path}  {', '.join(fact for fact in facts if fact)}", _boards(port)]
    if port.holders:
        lines.append(f"held by {', '.join(port.holders)}")
    return [lines[0], *(wrapped(_INDENT + line, _INDENT) for line in lines[1:])]


def _usb(usb: tuple[int, int] | None) -> str | None:
    return f"{usb[0]:04x}:{usb[1]:04x}" if usb is not None else None


def _boards(port: AttachedPort) -> str:
    if port.usb is None:
        return "a board behind a port of this machine's own cannot be recognised"
    if not port.guesses:
        return "no board file has this id: an adapter, or a board that has no file yet"
    if len(port.guesses) == 1:
        return _named(port.guesses[0])
    if {guess.role for guess in port.guesses} == {"console"}:
        return "one of " + ", ".join(guess.board for guess in port.guesses)
    return "one of " + ", ".join(_named(guess) for guess in port.guesses)


def _named(guess: Guess) -> str:
    return guess.board if guess.role == "console" else f"{guess.board} (its {guess.role})"


def virtual_lines(info: VirtualInfo, held: Mapping[Path, tuple[str, ...]]) -> list[str]:
    """A virtual board's ports, each with the link that it is and the programs that hold it."""
    lines = [f"virtual {info.board}, process {info.pid}, {info.state}"]
    for link, path in info.links.items():
        lines.append(f"{_INDENT}{link:11}{path}")
        if held[path]:
            lines.append(f"{_INDENT}{'':11}held by {', '.join(held[path])}")
    return lines


def ports_json(
    ports: Sequence[AttachedPort],
    virtual: Sequence[VirtualInfo],
    held: Mapping[Path, tuple[str, ...]],
) -> dict[str, Any]:
    """The same as plain values."""
    return {
        "schema": 1,
        "ports": [asdict(port) | {"usb": _usb(port.usb)} for port in ports],
        "virtual": [
            {
                "board": info.board,
                "pid": info.pid,
                "state": info.state,
                "links": {
                    name: {"path": str(path), "holders": held[path]}
                    for name, path in info.links.items()
                },
            }
            for info in virtual
        ],
    }
