"""What one chip is to the virtual board: data, and the classes of its own peripherals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edge_boards.board import Board
from edge_boards.errors import VirtualBoardError
from edge_boards.virtual.cores import CoreModel

if TYPE_CHECKING:
    from edge_boards.virtual.cycles import StepCycles
    from edge_boards.virtual.machine import Machine
    from edge_boards.virtual.peripherals.base import Peripheral
    from edge_boards.virtual.peripherals.clock_tree import ClockTree

Pins = Mapping[str, int]
"""Pins that can carry a signal, and the alternate function that makes them: {"PA9": 7}."""

Range = tuple[int, int]
"""Addresses from the first up to, and without, the second."""


@dataclass(frozen=True)
class ChipMemory:
    """One memory of the chip, at its main address."""

    name: str
    address: int
    size: int
    writable: bool


@dataclass(frozen=True)
class Alias:
    """`size` bytes from `of` that also appear at `address`."""

    name: str
    address: int
    of: int
    size: int


@dataclass(frozen=True)
class Factory:
    """The words that ST writes into each chip: where they lie, and what a virtual chip says."""

    base: int
    size: int
    uid: int
    flash_kbytes: int
    words: tuple[tuple[int, int], ...]
    """(address, 16-bit value) of the calibrations."""


@dataclass(frozen=True)
class Uart:
    """A U(S)ART: where its registers and its interrupt are, and which pins it can have."""

    name: str
    base: int
    irq: int
    tx: Pins
    rx: Pins


@dataclass(frozen=True)
class BootLink:
    """A serial port that the ROM bootloader listens on."""

    uart: str
    tx: str
    rx: str


@dataclass(frozen=True)
class Rom:
    """The ROM bootloader (AN2606)."""

    links: tuple[BootLink, ...]
    ram: tuple[Range, ...]
    """RAM that it keeps for itself."""

    mass_erases: Mapping[int, range]
    """Codes of Extended Erase that name no sector: which ones they erase (AN3155 3.8)."""

    write_unit: int = 1
    """Bytes that flash is programmed by; each can be written once after an erase where it is
    more than one."""


@dataclass(frozen=True)
class Chip:
    """One chip. `name` is what board files call it in `virtual.model`."""

    name: str
    title: str
    core: CoreModel
    irqs: int
    """Interrupt lines."""

    revision: int
    """REV_ID of DBGMCU_IDCODE."""

    memories: tuple[ChipMemory, ...]
    """Flash first."""

    aliases: tuple[Alias, ...]
    sectors: tuple[int, ...]
    """The flash's erase units, bytes, in order."""

    factory: Factory
    io: tuple[Range, ...]
    """Where registers are; the core's own are known."""

    unmodelled: tuple[Range, ...]
    """What exists on silicon, and not here. All other addresses without memory are reserved."""

    boot_vectors: int
    """Where the core looks for the vector table at reset with BOOT0 low."""

    uarts: tuple[Uart, ...]
    rom: Rom
    clock_tree: Callable[[Machine], ClockTree]
    peripherals: Callable[[Machine], Sequence[Peripheral]]
    """All but the clock tree and the core's own. One is named FLASH and is a `FlashController`."""

    check_clocks: Callable[[Machine], None]
    """Raises `Unmodelled` where flash, voltage or a bus do not allow the clocks of now."""

    cycles: Callable[[Machine], StepCycles]
    """A new cycle model for this chip."""

    @property
    def flash(self) -> ChipMemory:
        return self.memories[0]

    def uart(self, name: str) -> Uart | None:
        """The U(S)ART of that name."""
        return next((u for u in self.uarts if u.name == name), None)

    def check(self, board: Board) -> None:
        """Raises `VirtualBoardError` where the board file says what this chip is not."""
        for memory in board.memories:
            for address in (memory.address, *dict(memory.aliases).values()):
                if memory.kind in ("sdram", "qspi") or self._holds(address, memory.size):
                    continue
                raise VirtualBoardError(
                    f"board {board.name}: the virtual {self.title} has no memory of "
                    f"{memory.size} bytes at 0x{address:08x} ({memory.name})"
                )
        if board.flash.size != self.flash.size:
            raise VirtualBoardError(
                f"board {board.name}: the virtual {self.title} has {self.flash.size} bytes of "
                f"flash, the board file says {board.flash.size}"
            )
        if board.flash.sectors and board.flash.sectors != self.sectors:
            raise VirtualBoardError(
                f"board {board.name}: the virtual {self.title} has other flash sectors"
            )
        for link in board.serial:
            self._check_link(board, link.name)

    def _holds(self, address: int, size: int) -> bool:
        places = [(m.address, m.size) for m in self.memories]
        places += [(a.address, a.size) for a in self.aliases]
        return any(base <= address and address + size <= base + room for base, room in places)

    def _check_link(self, board: Board, name: str) -> None:
        link = board.link(name)
        where = f"board {board.name}: serial link {name}"
        uart = self.uart(link.peripheral)
        if uart is None:
            have = ", ".join(u.name for u in self.uarts)
            raise VirtualBoardError(
                f"{where}: the virtual {self.title} has no {link.peripheral}; it has {have}"
            )
        for signal, pin, pins in (("TX", link.tx, uart.tx), ("RX", link.rx, uart.rx)):
            if pin not in pins:
                raise VirtualBoardError(
                    f"{where}: {pin} is no {signal} of {uart.name}; that is on {', '.join(pins)}"
                )
        spoken = BootLink(uart.name, str(link.tx), str(link.rx))
        if link.protocol == "an3155" and spoken not in self.rom.links:
            heard = "; ".join(f"{b.uart} {b.tx}/{b.rx}" for b in self.rom.links)
            raise VirtualBoardError(
                f"{where}: the ROM bootloader of the {self.title} does not listen there, but on "
                f"{heard}"
            )
