"""The board's serial links as byte queues: what a host would hold the other end of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edge_boards.board import Serial
from edge_boards.errors import VirtualBoardError


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

    def __post_init__(self) -> None:
        self.tx_pin = _pin(self.serial, self.serial.tx)
        self.rx_pin = _pin(self.serial, self.serial.rx)


def _pin(link: Serial, name: str | None) -> tuple[str, int]:
    """ "PA9" -> ("A", 9)."""
    if name is None:
        raise VirtualBoardError(f"serial link {link.name}: {link.peripheral} is not modelled")
    return name[1], int(name[2:])
