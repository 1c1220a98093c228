"""The flash interface (RM0385 chapter 3): wait states, keys, erase and programming."""

from __future__ import annotations

from typing import ClassVar

from edge_boards.virtual.faults import Unmodelled
from edge_boards.virtual.peripherals.base import Register
from edge_boards.virtual.peripherals.flash_controller import FlashController

ACR, KEYR, OPTKEYR, SR, CR, OPTCR, OPTCR1 = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18
_KEYS = (0x4567_0123, 0xCDEF_89AB)
_PG, _SER, _MER, _STRT, _LOCK = 1, 1 << 1, 1 << 2, 1 << 16, 1 << 31
_EOP, _PGSERR, _ERSERR, _BSY = 1, 1 << 7, 1 << 7, 1 << 16
_PROGRAM_S = 16e-6  # DS10916: a word at x32, typical
_ERASE_S_PER_32K = 250e-3

# HCLK in MHz up to which a number of wait states serves, 2.7 to 3.6 V (RM0385, table 5).
WAIT_STATES = ((30, 0), (60, 1), (90, 2), (120, 3), (150, 4), (180, 5), (210, 6), (216, 7))


def wait_states_for(hclk_hz: int) -> int:
    """Wait states that a core clock needs."""
    for limit, states in WAIT_STATES:
        if hclk_hz <= limit * 1_000_000:
            return states
    return 8


class FlashInterface(FlashController):
    """Registers of the flash, and programming by the width that PSIZE says."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        ACR: Register("ACR", 0, 0x0000_0B0F),
        KEYR: Register("KEYR", 0, 0xFFFF_FFFF),
        OPTKEYR: Register("OPTKEYR"),
        SR: Register("SR", 0, 0, 0xFFFF_FFFF),
        CR: Register("CR", 0x8000_0000, 0x8301_037F),
        OPTCR: Register("OPTCR", 0xC0FF_AAFD),
        OPTCR1: Register("OPTCR1", 0x0040_0080),
    }

    def reset(self) -> None:
        super().reset()
        self._key = 0
        self._dead = False

    @property
    def latency(self) -> int:
        return self.values[ACR] & 15

    def on_read(self, offset: int) -> int:
        if offset in (KEYR, OPTKEYR):
            return 0
        return self.values[offset]

    def on_write(self, offset: int, value: int) -> None:
        if offset == ACR:
            self.store(ACR, value)
            self.machine.check_clock_limits()
        elif offset == KEYR:
            self._unlock(value)
        elif offset == SR:
            self.values[SR] &= ~(value & 0xF3)
        elif offset == CR:
            self._control(value)
        else:
            self.store(offset, value)

    def _unlock(self, value: int) -> None:
        if self._dead or value != _KEYS[self._key]:
            self._dead = True  # until reset, as on silicon
            return
        self._key += 1
        if self._key == len(_KEYS):
            self._key = 0
            self.values[CR] &= ~_LOCK

    def _control(self, value: int) -> None:
        if self.values[CR] & _LOCK:
            raise Unmodelled("FLASH_CR is written while it is locked")
        self.store(CR, value & ~_STRT)
        if not value & _STRT:
            return
        if value & _MER:
            sectors = range(len(self.machine.sectors))
        elif value & _SER:
            number = value >> 3 & 15
            if number >= len(self.machine.sectors):
                self.values[SR] |= _ERSERR
                return
            sectors = range(number, number + 1)
        else:
            self.values[SR] |= _ERSERR
            return
        size = 0
        for number in sectors:
            offset, length = self.machine.sectors[number]
            self.machine.memory.program(offset, b"\xff" * length)
            size += length
        self._busy(_ERASE_S_PER_32K * size / 32768)

    def _busy(self, seconds: float) -> None:
        self.values[SR] |= _BSY

        def done() -> None:
            self.values[SR] = self.values[SR] & ~_BSY | _EOP

        self.machine.after_seconds(seconds, done)

    def store_to_flash(self, offset: int, size: int, value: int) -> None:
        """Bits only fall; PSIZE must be the access's."""
        if not self.values[CR] & _PG or self.values[CR] & _LOCK:
            raise Unmodelled("write to flash outside programming")
        if 1 << (self.values[CR] >> 8 & 3) != size:
            raise Unmodelled(f"{8 * size}-bit write to flash does not fit FLASH_CR's PSIZE")
        old = bytes(self.machine.memory.flash.view[offset : offset + size])
        new = value.to_bytes(size, "little")
        self.machine.memory.program(offset, bytes(a & b for a, b in zip(old, new, strict=True)))
        self._busy(_PROGRAM_S)
