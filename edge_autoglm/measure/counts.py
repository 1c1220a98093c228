"""Instruction counts: what only a virtual board can tell, and only of profiled inferences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from edge_autoglm.device.messages import BoardInfo
from edge_autoglm.device.ports import Port
from edge_autoglm.errors import SessionError


class Counter:
    """The counting side of the virtual board behind a port: `board` is its name."""

    def __init__(self, board: str) -> None:
        self.board = board
        self._restarts: object = None  # the board's own count, when counting began

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Counts steps, and models cycles, while the context lasts."""
        self._restarts = self._ask({"op": "count", "on": True}).get("restarts")
        try:
            yield
        finally:
            self._ask({"op": "count", "on": False})

    def take(self, steps: int) -> tuple[int, ...]:
        """Instructions of each step of the inference just profiled.

        Raises SessionError when the virtual board was reset since counting began, or counted
        another number of steps.
        """
        answer = self._ask({"op": "counts"})
        counted = answer["steps"]
        if answer.get("restarts") != self._restarts:
            raise SessionError(
                f"virtual {self.board}: it was reset in the middle of a profile; repeat the command"
            )
        if len(counted) != steps:
            raise SessionError(
                f"virtual {self.board}: {len(counted)} steps were counted where the model has "
                f"{steps}; somebody else is using the board, or another image runs on it"
            )
        return tuple(int(step["instructions"]) for step in counted)

    def drop(self) -> None:
        """Forgets what was counted so far; a free run would heap it up without end."""
        self._ask({"op": "counts"})

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        # Only a virtual board needs this, and it brings the emulator's client.
        from edge_boards.virtual import client

        info = client.attach(self.board)
        if info is None:
            raise SessionError(
                f"virtual {self.board}: its process ended; start it again "
                f"(`edge-autoglm virtual start {self.board}`)"
            )
        answer: dict[str, Any] = client.control(info, request)
        return answer


def counter_of(port: Port, info: BoardInfo) -> Counter | None:
    """The counter of the virtual board behind a port; None for a real board, and for one whose own
    counter is of instructions already."""
    if port.virtual is None or info.counts_instructions:
        return None
    return Counter(port.virtual)
