"""The ROM bootloader's USART protocol (ST AN3155), done by the machine itself.

The chip's ROM is ST's code and is not shipped here; what a programmer sees on the line is
modelled instead: synchronisation, commands, checksums, ACK and NACK, read-out and write protection.
Bytes pass without regard to the baud rate (the ROM measures it from the first 0x7F).
"""

from __future__ import annotations

import struct
from collections.abc import Generator
from functools import reduce
from operator import xor
from typing import TYPE_CHECKING

from edge_boards.virtual.links import Link

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

SYNC, ACK, NACK = 0x7F, 0x79, 0x1F
GET, GET_VERSION, GET_ID, READ, GO, WRITE = 0x00, 0x01, 0x02, 0x11, 0x21, 0x31
EXTENDED_ERASE, WRITE_PROTECT, WRITE_UNPROTECT = 0x44, 0x63, 0x73
READOUT_PROTECT, READOUT_UNPROTECT = 0x82, 0x92
COMMANDS = (
    *(GET, GET_VERSION, GET_ID, READ, GO, WRITE, EXTENDED_ERASE),
    *(WRITE_PROTECT, WRITE_UNPROTECT, READOUT_PROTECT, READOUT_UNPROTECT),
)
_NEEDS_READOUT = frozenset({READ, GO, WRITE, EXTENDED_ERASE, WRITE_PROTECT, WRITE_UNPROTECT})
_SPECIAL_ERASE = 0xFFF0
"""Extended Erase: from here on a count is a code that names no sector."""

Conversation = Generator[int, list[int], None]


class BootRom:
    """One run of the bootloader, from reset to Go. Reads and answers on the bootloader link."""

    TIMEOUT_S = 2.0
    """A command that stalls this long is given up, so that a programmer can start anew."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._link = _bootloader_link(machine)
        self._synchronised = False
        self._talk: Conversation | None = None
        self._wanted = 0
        self._quiet_s = 0.0

    def work(self) -> None:
        """Answers all bytes that have come in."""
        line = self._link.to_board
        while line and self._machine.bootrom is self:
            self._quiet_s = 0.0
            if not self._synchronised:
                self._synchronise(line.pop(0))
                continue
            if self._talk is None:
                self._talk = self._command()
                self._wanted = next(self._talk)
            if len(line) < self._wanted:
                return
            data = list(line[: self._wanted])
            del line[: self._wanted]
            try:
                self._wanted = self._talk.send(data)
            except StopIteration:
                self._talk = None

    def quiet(self, seconds: float) -> None:
        """So much real time has passed without a byte."""
        self._quiet_s += seconds
        if self._quiet_s >= self.TIMEOUT_S and self._talk is not None:
            self._talk = None
            self._link.to_board.clear()

    def _synchronise(self, byte: int) -> None:
        if byte == SYNC:
            self._synchronised = True
            self._send(ACK)

    def _send(self, *data: int) -> None:
        self._link.to_host += bytes(data)

    def _answer(self, good: bool) -> bool:
        self._send(ACK if good else NACK)
        return good

    # -- the conversation: each `yield n` waits for n bytes

    def _command(self) -> Conversation:
        code, complement = yield 2
        # A programmer that starts over sends 0x7F again; the ROM answers NACK to it as to any
        # command it does not have.
        if code ^ complement != 0xFF or code not in COMMANDS:
            self._send(NACK)
            return
        protected = self._machine.protection.readout
        if not self._answer(not (protected and code in _NEEDS_READOUT)):
            return
        if code == GET:
            version = self._machine.bootloader_version >> 4 << 4 | 1
            self._send(len(COMMANDS), version, *COMMANDS, ACK)
        elif code == GET_VERSION:
            self._send(self._machine.bootloader_version >> 4 << 4 | 1, 0, 0, ACK)
        elif code == GET_ID:
            self._send(1, *self._machine.chip_id.to_bytes(2, "big"), ACK)
        elif code == READ:
            yield from self._read()
        elif code == GO:
            yield from self._go()
        elif code == WRITE:
            yield from self._write()
        elif code == EXTENDED_ERASE:
            yield from self._erase()
        else:
            yield from self._protect(code)

    def _address(self) -> Generator[int, list[int], int | None]:
        data = yield 5
        if _checksum(data) != 0:
            self._send(NACK)
            return None
        return int.from_bytes(bytes(data[:4]), "big")

    def _read(self) -> Conversation:
        address = yield from self._address()
        if address is None or not self._answer(self._machine.memory.find(address) is not None):
            return
        count, complement = yield 2
        data = self._machine.memory.read(address, count + 1)
        if self._answer(count ^ complement == 0xFF and data is not None):
            self._send(*(data or b""))

    def _go(self) -> Conversation:
        address = yield from self._address()
        if address is None:
            return
        words = self._machine.memory.read(address, 8)
        stack, entry = struct.unpack("<II", words) if words else (0, 0)
        runs = self._machine.memory.find(entry & ~1) is not None and bool(entry & 1)
        stacks = self._machine.memory.find((stack - 4) & 0xFFFF_FFFF) is not None
        if self._answer(words is not None and runs and stacks):
            self._machine.start_at(address)

    def _write(self) -> Conversation:
        address = yield from self._address()
        if address is None:
            return
        memory = self._machine.memory
        flash = memory.flash
        region = memory.find(address)
        in_flash = region is not None and region.host == flash.host
        own = self._machine.soc.rom.ram
        in_ram = region is not None and region.writable
        in_ram = in_ram and not any(first <= address < end for first, end in own)
        if not self._answer((in_flash or in_ram) and address % 4 == 0):
            return
        (count,) = yield 1
        data = yield count + 2
        good = _checksum([count, *data]) == 0 and (count + 1) % 4 == 0
        content = bytes(data[:-1])
        assert region is not None
        fits = region.contains(address, len(content))
        if not good or not fits:
            self._send(NACK)
            return
        if in_flash:
            offset = address - region.base
            if self._machine.protection.covers(self._machine.sectors, offset, len(content)):
                self._send(NACK)
                return
            if not self._program(offset, content):
                self._send(NACK)
                return
        else:
            memory.write(address, content)
        self._send(ACK)

    def _program(self, offset: int, content: bytes) -> bool:
        """Programs flash as silicon does; False where it cannot."""
        memory, unit = self._machine.memory, self._machine.soc.rom.write_unit
        flash = memory.flash.view
        if unit == 1:
            old = bytes(flash[offset : offset + len(content)])
            # Programming only clears bits: what was not erased first comes out as the AND.
            memory.program(offset, bytes(a & b for a, b in zip(old, content, strict=True)))
            return True
        before, after = offset % unit, -(offset + len(content)) % unit
        first, padded = offset - before, b"\xff" * before + content + b"\xff" * after
        if any(byte != 0xFF for byte in flash[first : first + len(padded)]):
            return False  # its check bits were written with it
        memory.program(first, padded)
        return True

    def _erase(self) -> Conversation:
        head = yield 2
        count = int.from_bytes(bytes(head), "big")
        protection, sectors = self._machine.protection, self._machine.sectors
        if count >= _SPECIAL_ERASE:
            (check,) = yield 1
            erased = self._machine.soc.rom.mass_erases.get(count)
            good = _checksum([*head, check]) == 0 and erased is not None
            if self._answer(good and not protection.write) and erased is not None:
                for number in erased:
                    self._erase_sector(number)
            return
        data = yield 2 * (count + 1) + 1
        numbers = [data[i] << 8 | data[i + 1] for i in range(0, len(data) - 1, 2)]
        good = _checksum([*head, *data]) == 0
        good = good and all(n < len(sectors) and n not in protection.write for n in numbers)
        if good:
            for number in numbers:
                self._erase_sector(number)
        self._send(ACK if good else NACK)

    def _erase_sector(self, number: int) -> None:
        offset, size = self._machine.sectors[number]
        self._machine.memory.program(offset, b"\xff" * size)

    def _protect(self, code: int) -> Conversation:
        protection, machine = self._machine.protection, self._machine
        if code == WRITE_PROTECT:
            (count,) = yield 1
            data = yield count + 2
            numbers = set(data[:-1])
            good = _checksum([count, *data]) == 0
            if not self._answer(good and all(n < len(machine.sectors) for n in numbers)):
                return
            protection.write = numbers
        elif code == WRITE_UNPROTECT:
            protection.write = set()
            self._send(ACK)
        elif code == READOUT_PROTECT:
            protection.readout = True
            self._send(ACK)
        else:
            protection.readout = False
            for number in range(len(machine.sectors)):
                self._erase_sector(number)
            self._send(ACK)
        # Each of these ends in a system reset, from which the ROM starts anew.
        self._synchronised = False


class Protection:
    """Option bytes as far as the bootloader sets them. They survive reset, not power-off."""

    def __init__(self) -> None:
        self.readout = False
        self.write: set[int] = set()

    def covers(self, sectors: tuple[tuple[int, int], ...], offset: int, size: int) -> bool:
        """Whether any of these flash bytes is write-protected."""
        return any(
            sectors[n][0] < offset + size and offset < sectors[n][0] + sectors[n][1]
            for n in self.write
        )


def _checksum(data: list[int]) -> int:
    return reduce(xor, data, 0)


def _bootloader_link(machine: Machine) -> Link:
    for link in machine.links.values():
        if link.serial.protocol == "an3155":
            return link
    return next(iter(machine.links.values()))
