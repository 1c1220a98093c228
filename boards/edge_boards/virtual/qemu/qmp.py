"""QEMU's machine protocol over a socket: JSON lines, one answer a command; events are skipped.

Source: QEMU's documentation, "QEMU Machine Protocol Specification".
"""

from __future__ import annotations

import json
import select
import socket
import time
from collections.abc import Mapping
from typing import Any

from edge_boards.errors import VirtualBoardError

_TIMEOUT_S = 8.0


class Qmp:
    """One conversation. Raises `VirtualBoardError` when QEMU refuses, hangs, or is gone."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()
        self.version: tuple[int, ...] = ()

    def fileno(self) -> int:
        return self._connection.fileno()

    def greet(self) -> None:
        """Waits for QEMU's greeting, which tells its version, and begins."""
        greeting = self._next(time.monotonic() + _TIMEOUT_S, "its greeting")
        try:
            numbers = greeting["QMP"]["version"]["qemu"]
            self.version = tuple(int(numbers[part]) for part in ("major", "minor", "micro"))
        except (KeyError, TypeError, ValueError):
            raise VirtualBoardError(f"QEMU greets with {str(greeting)[:80]}") from None
        self.ask("qmp_capabilities")

    def ask(self, command: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """One command and what it returns."""
        line = json.dumps({"execute": command, "arguments": dict(arguments or {})}) + "\n"
        try:
            self._connection.sendall(line.encode())
        except OSError as error:
            raise VirtualBoardError(f"QEMU is gone ({error.strerror})") from None
        deadline = time.monotonic() + _TIMEOUT_S
        while True:
            message = self._next(deadline, f"{command} is answered")
            if "return" in message:
                return message["return"]
            if "error" in message:
                raise VirtualBoardError(f"QEMU refuses {command}: {message['error'].get('desc')}")

    def look(self) -> bool:
        """Takes what has come unasked; False when QEMU has closed the line."""
        try:
            data = self._connection.recv(65536, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        self._received += data
        while self._line() is not None:
            pass
        return bool(data)

    def _line(self) -> dict[str, Any] | None:
        line, newline, rest = bytes(self._received).partition(b"\n")
        if not newline:
            return None
        self._received[:] = rest
        try:
            message = json.loads(line)
        except ValueError:
            raise VirtualBoardError(f"QEMU says {line[:80]!r}, which is no JSON") from None
        return message if isinstance(message, dict) else {}

    def _next(self, deadline: float, awaited: str) -> dict[str, Any]:
        while True:
            message = self._line()
            if message is not None:
                return message
            wait = deadline - time.monotonic()
            if wait <= 0 or not select.select([self._connection], [], [], wait)[0]:
                raise VirtualBoardError(f"QEMU hangs: nothing came before {awaited}")
            try:
                data = self._connection.recv(65536)
            except OSError:
                data = b""
            if not data:
                raise VirtualBoardError(f"QEMU ended before {awaited}")
            self._received += data
