"""The board's serial links as byte queues: what a host would hold the other end of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edge_boards.board import Serial


@dataclass
class Link:
    """One serial link. `feed` is the host sending, `take` the host receiving."""

    serial: Serial
    on_feed: Callable[[Link], None]
    to_board: bytearray = field(default_factory=bytearray)
    to_host: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        """Bytes for the board."""
        self.to_board += data
        self.on_feed(self)

    def take(self) -> bytes:
        """All bytes that the board has sent since."""
        data = bytes(self.to_host)
        self.to_host.clear()
        return data
