"""Checked access to a payload: what is missing from it is the firmware's fault."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from edge_autoglm.device.wiredefs import WIRE
from edge_autoglm.errors import SessionError

Payload = Mapping[str, Any]


@dataclass(frozen=True)
class Answer:
    """An answer's or an event's payload."""

    board: str
    request: str
    payload: Payload = field(default_factory=dict)

    def integer(self, key: str, default: int | None = None) -> int:
        value = self.payload.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self._bad(key, "an integer")
        return value

    def data(self, key: str = "data") -> bytes:
        value = self.payload.get(key)
        if not isinstance(value, bytes):
            raise self._bad(key, "a byte string")
        return value

    def text(self, key: str) -> str:
        value = self.payload.get(key)
        if not isinstance(value, str):
            raise self._bad(key, "text")
        return value

    def integers(self, key: str) -> tuple[int, ...]:
        value = self.payload.get(key)
        if not isinstance(value, list) or not all(isinstance(item, int) for item in value):
            raise self._bad(key, "a list of integers")
        return tuple(value)

    def _bad(self, key: str, kind: str) -> SessionError:
        return SessionError(
            f"{self.board}: the answer to {self.request} has no {key} that is {kind}; "
            f"the firmware does not follow protocol {WIRE.major}.{WIRE.minor}: flash it anew"
        )
