"""What the control socket of a board that this package emulates answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_boards.errors import VirtualBoardError
from edge_boards.virtual.requests import MAX_READ, Operation, number

if TYPE_CHECKING:
    from edge_boards.virtual.machine_process import MachineProcess


def operations(board: MachineProcess) -> Mapping[str, Operation]:
    """The operations by name, each on `board`."""
    return {name: partial(operation, board) for name, operation in _OPERATIONS.items()}


def _status(board: MachineProcess, _request: dict[str, Any]) -> dict[str, Any]:
    machine = board.machine
    image = machine.image
    return {
        "board": board.name,
        "pid": board.pid,
        "software": board.software,
        "links": list(machine.links),
        "state": board.state,
        "stopped": board.problem,
        "boot0": machine.boot0,
        "build_id": image.build_id.hex() if image is not None else None,
        "cycles": machine.cycles,
        "instructions": machine.instructions,
        "counting": machine.counter.on,
        "pc": machine.pc,
        "skip_idle": board.skip_idle,
    }


def _reset(board: MachineProcess, request: dict[str, Any]) -> dict[str, Any]:
    board.reset(bool(request.get("boot0", False)))
    return {"state": board.state}


def _stop(board: MachineProcess, _request: dict[str, Any]) -> dict[str, Any]:
    board.stopping = True
    return {"state": "stopping"}


def _count(board: MachineProcess, request: dict[str, Any]) -> dict[str, Any]:
    on = bool(request.get("on", True))
    board.machine.count(on)
    if on:
        board.machine.counter.take()
    return {"counting": board.machine.counter.on, "restarts": board.machine.restarts}


def _counts(board: MachineProcess, _request: dict[str, Any]) -> dict[str, Any]:
    steps = board.machine.counter.take()
    return {
        "steps": [
            {"function": s.function, "instructions": s.instructions, "cycles": s.cycles}
            for s in steps
        ],
        "restarts": board.machine.restarts,
    }


def _time(board: MachineProcess, _request: dict[str, Any]) -> dict[str, Any]:
    machine = board.machine
    return {
        "cycles": machine.cycles,
        "instructions": machine.instructions,
        "seconds": machine.seconds,
        "clock_hz": machine.rcc.hclk,
    }


def _memory(board: MachineProcess, request: dict[str, Any]) -> dict[str, Any]:
    address, size = number(request, "address"), number(request, "size")
    data = board.machine.memory.read(address, size) if 0 < size <= MAX_READ else None
    if data is None:
        raise VirtualBoardError(f"no memory of {size} bytes at 0x{address:08x}")
    return {"address": address, "data": data.hex()}


def _symbols(board: MachineProcess, request: dict[str, Any]) -> dict[str, Any]:
    board.load_symbols(Path(str(request.get("elf", ""))))
    return {"symbols": True}


def _speed(board: MachineProcess, request: dict[str, Any]) -> dict[str, Any]:
    if "skip_idle" in request:
        board.skip_idle = bool(request["skip_idle"])
    return {"skip_idle": board.skip_idle}


_OPERATIONS: dict[str, Callable[[MachineProcess, dict[str, Any]], dict[str, Any]]] = {
    "status": _status,
    "reset": _reset,
    "stop": _stop,
    "count": _count,
    "counts": _counts,
    "time": _time,
    "memory": _memory,
    "symbols": _symbols,
    "speed": _speed,
}
