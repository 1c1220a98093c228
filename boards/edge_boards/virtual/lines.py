"""Between the USARTs' pins and the links' far ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from edge_boards.board import Serial
from edge_boards.virtual.links import Link
from edge_boards.virtual.peripherals.gpio import Gpio
from edge_boards.virtual.peripherals.usart import Usart

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

_AF7, _AF8 = 7, 8
_AF8_UARTS = frozenset({"UART4", "UART5", "USART6", "UART7", "UART8"})  # DS10916, table 12


class SerialLines:
    """The board's links by name. A byte passes only where the pin is set up for its USART."""

    def __init__(self, machine: Machine, serial: Sequence[Serial]) -> None:
        self._machine = machine
        self.links = {s.name: Link(s, self._fed) for s in serial}

    def reset(self) -> None:
        """What is on the way to the board is lost."""
        for link in self.links.values():
            link.to_board.clear()
            self._usart(link).incoming.clear()

    def _usart(self, link: Link) -> Usart:
        return cast(Usart, self._machine.bus.peripherals[link.serial.peripheral])

    def _connected(self, uart: str, pin: tuple[str, int]) -> bool:
        port, number = pin
        gpio = cast(Gpio, self._machine.bus.peripherals[f"GPIO{port}"])
        return gpio.function(number) == (_AF8 if uart in _AF8_UARTS else _AF7)

    def _fed(self, link: Link) -> None:
        """Bytes of the host go onto the line; without a receiver they are lost, as on a wire."""
        if self._machine.bootrom is not None or not link.to_board:
            return
        if self._connected(link.serial.peripheral, link.rx_pin):
            uart = self._usart(link)
            uart.incoming.extend(link.to_board)
            uart.line_in()
        link.to_board.clear()

    def sent(self, uart: str, byte: int) -> None:
        """A byte has left a transmitter: every link on a pin that is set up for it sees it."""
        for link in self.links.values():
            if link.serial.peripheral == uart and self._connected(uart, link.tx_pin):
                link.to_host.append(byte)

    def backlog(self, link: Link) -> int:
        """Bytes fed that the board has not seen yet."""
        return len(self._usart(link).incoming) + len(link.to_board)
