"""The control socket's requests: JSON lines in, JSON lines out, one answer a request."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge_boards.errors import BoardsError, VirtualBoardError

if TYPE_CHECKING:
    from edge_boards.virtual.process import BoardProcess

_MAX_READ = 1 << 20


def answer(board: BoardProcess, line: bytes) -> bytes:
    """The answer line for a request line. A bad request is answered with {"error": ...}."""
    try:
        request = json.loads(line)
        if not isinstance(request, dict) or request.get("op") not in _OPERATIONS:
            raise VirtualBoardError(
                f"a control request is a JSON object whose op is one of {', '.join(_OPERATIONS)}"
            )
        result = _OPERATIONS[request["op"]](board, request)
    except BoardsError as error:
        result = {"error": str(error)}
    except (ValueError, RecursionError):
        result = {"error": "a control request is one line of JSON"}
    return json.dumps(result).encode() + b"\n"


def _status(board: BoardProcess, _request: dict[str, Any]) -> dict[str, Any]:
    machine = board.machine
    image = machine.image
    return {
        "board": board.name,
        "pid": board.pid,
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


def _reset(board: BoardProcess, request: dict[str, Any]) -> dict[str, Any]:
    board.reset(bool(request.get("boot0", False)))
    return {"state": board.state}


def _stop(board: BoardProcess, _request: dict[str, Any]) -> dict[str, Any]:
    board.stopping = True
    return {"state": "stopping"}


def _count(board: BoardProcess, request: dict[str, Any]) -> dict[str, Any]:
    on = bool(request.get("on", True))
    board.machine.count(on)
    if on:
        board.machine.counter.take()
    return {"counting": board.machine.counter.on}


def _counts(board: BoardProcess, _request: dict[str, Any]) -> dict[str, Any]:
    steps = board.machine.counter.take()
    return {
        "steps": [
            {"function": s.function, "instructions": s.instructions, "cycles": s.cycles}
            for s in steps
        ]
    }


def _time(board: BoardProcess, _request: dict[str, Any]) -> dict[str, Any]:
    machine = board.machine
    return {
        "cycles": machine.cycles,
        "instructions": machine.instructions,
        "seconds": machine.seconds,
        "clock_hz": machine.rcc.hclk,
    }


def _memory(board: BoardProcess, request: dict[str, Any]) -> dict[str, Any]:
    address, size = _number(request, "address"), _number(request, "size")
    data = board.machine.memory.read(address, size) if 0 < size <= _MAX_READ else None
    if data is None:
        raise VirtualBoardError(f"no memory of {size} bytes at 0x{address:08x}")
    return {"address": address, "data": data.hex()}


def _symbols(board: BoardProcess, request: dict[str, Any]) -> dict[str, Any]:
    board.load_symbols(Path(str(request.get("elf", ""))))
    return {"symbols": True}


def _speed(board: BoardProcess, request: dict[str, Any]) -> dict[str, Any]:
    if "skip_idle" in request:
        board.skip_idle = bool(request["skip_idle"])
    return {"skip_idle": board.skip_idle}


def _number(request: dict[str, Any], key: str) -> int:
    value = request.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise VirtualBoardError(f"the control request needs {key}, a number")
    return value


_OPERATIONS: dict[str, Callable[[BoardProcess, dict[str, Any]], dict[str, Any]]] = {
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
