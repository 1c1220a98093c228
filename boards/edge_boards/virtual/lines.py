"""Between the USARTs' pins and the links' far ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from edge_boards.board import Serial
from edge_boards.virtual.links import Link
from edge_boards.virtual.peripherals.gpio import Gpio
from edge_boards.virtual.peripherals.usart import Usart
from edge_boards.virtual.soc.description import Pins

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine


class SerialLines:
    """The board's links by name. A byte passes only where the pin is set up for its USART."""

    def __init__(self, machine: Machine, serial: Sequence[Serial]) -> None:
        self._machine = machine
        self._uarts = {uart.name: uart for uart in machine.soc.uarts}
        self.links = {s.name: Link(s, self._fed) for s in serial}

    def reset(self) -> None:
        """What is on the way to the board is lost."""
        for link in self.links.values():
            link.to_board.clear()
            self._usart(link).incoming.clear()

    def _usart(self, link: Link) -> Usart:
        return cast(Usart, self._machine.bus.peripherals[link.serial.peripheral])

    def _connected(self, pin: str | None, signal: Pins) -> bool:
        """Whether a pin is set up for a signal that it can carry."""
        if pin is None or pin not in signal:
            return False
        gpio = cast(Gpio, self._machine.bus.peripherals[f"GPIO{pin[1]}"])
        return gpio.function(int(pin[2:])) == signal[pin]

    def _fed(self, link: Link) -> None:
        """Bytes of the host go onto the line; without a receiver they are lost, as on a wire."""
        if self._machine.bootrom is not None or not link.to_board:
            return
        uart = self._usart(link)
        if self._connected(link.serial.rx, self._uarts[uart.name].rx):
            uart.incoming.extend(link.to_board)
            uart.line_in()
        link.to_board.clear()

    def sent(self, uart: str, byte: int) -> None:
        """A byte has left a transmitter: every link on a pin that is set up for it sees it."""
        pins = self._uarts[uart].tx
        for link in self.links.values():
            if link.serial.peripheral == uart and self._connected(link.serial.tx, pins):
                link.to_host.append(byte)

    def backlog(self, link: Link) -> int:
        """Bytes fed that the board has not seen yet."""
        return len(self._usart(link).incoming) + len(link.to_board)
