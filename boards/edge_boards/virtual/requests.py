"""The control socket's requests: JSON lines in, JSON lines out, one answer a request."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from edge_boards.errors import BoardsError, VirtualBoardError

Operation = Callable[[dict[str, Any]], dict[str, Any]]
"""From a request to its answer. Raises `BoardsError` with what the client is told."""

MAX_READ = 1 << 20
"""Bytes of memory in one answer."""


def answer(operations: Mapping[str, Operation], line: bytes) -> bytes:
    """The answer line for a request line. A bad request is answered with {"error": ...}."""
    try:
        request = json.loads(line)
    except (ValueError, RecursionError):
        result = {"error": "a control request is one line of JSON"}
    else:
        try:
            result = _run(operations, request)
        except BoardsError as error:
            result = {"error": str(error)}
        except ValueError as error:  # such as a path with a null byte in it
            result = {"error": f"the control request {request['op']} cannot be done: {error}"}
    return json.dumps(result).encode() + b"\n"


def _run(operations: Mapping[str, Operation], request: Any) -> dict[str, Any]:
    op = request.get("op") if isinstance(request, dict) else None
    if not isinstance(op, str) or op not in operations:
        raise VirtualBoardError(
            f"a control request is a JSON object whose op is one of {', '.join(operations)}"
        )
    return operations[op](request)


def number(request: dict[str, Any], key: str) -> int:
    value = request.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise VirtualBoardError(f"the control request needs {key}, a number")
    return value
