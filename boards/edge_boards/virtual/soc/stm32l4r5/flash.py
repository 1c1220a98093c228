"""The flash interface (RM0432 chapter 3): wait states, keys, page erase, programming by double
words. Two banks of 256 pages of 4 KB, as the chip is delivered (option DBANK)."""

from __future__ import annotations

from typing import ClassVar

from edge_boards.virtual.faults import BusError, Unmodelled
from edge_boards.virtual.peripherals.base import Register
from edge_boards.virtual.peripherals.flash_controller import FlashController

ACR, PDKEYR, KEYR, OPTKEYR, SR, CR, ECCR, OPTR = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x20
PAGE_BYTES, PAGES_PER_BANK = 4096, 256
DOUBLE_WORD = 8
_KEYS = (0x4567_0123, 0xCDEF_89AB)
_ICEN, _DCEN, _ICRST, _DCRST = 1 << 9, 1 << 10, 1 << 11, 1 << 12
_PG, _PER, _MER1, _BKER, _MER2 = 1, 1 << 1, 1 << 2, 1 << 11, 1 << 15
_STRT, _LOCK, _OPTLOCK = 1 << 16, 1 << 31, 1 << 30
_PROGERR, _PGSERR, _BSY = 1 << 3, 1 << 7, 1 << 16
_ERRORS = 0xC3FA
# DS12023: typical.
_PROGRAM_S = 82e-6
_ERASE_S = 22e-3

# HCLK in MHz up to which a number of wait states serves (RM0432, table 13 "number of wait states").
WAIT_STATES = {
    1: ((20, 0), (40, 1), (60, 2), (80, 3), (100, 4), (120, 5)),
    2: ((8, 0), (16, 1), (26, 2)),
}


def wait_states_for(hclk_hz: int, voltage_range: int) -> int:
    """Wait states that a core clock needs in a voltage range (1 or 2)."""
    table = WAIT_STATES[voltage_range]
    for limit, states in table:
        if hclk_hz <= limit * 1_000_000:
            return states
    return table[-1][1] + 1


class FlashInterface(FlashController):
    """Registers of the flash. A double word is programmed by two words, the lower first."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        ACR: Register("ACR", 0x0000_0600, 0x0000_1F0F),
        PDKEYR: Register("PDKEYR"),
        KEYR: Register("KEYR", 0, 0xFFFF_FFFF),
        OPTKEYR: Register("OPTKEYR"),
        SR: Register("SR", 0, 0, 0xFFFF_FFFF),
        CR: Register("CR", _LOCK | _OPTLOCK, 0xC001_8FFF),
        ECCR: Register("ECCR"),
        OPTR: Register("OPTR", 0xFFEF_F8AA),
    }

    def reset(self) -> None:
        super().reset()
        self._key = 0
        self._dead = False
        self._lower: tuple[int, int] | None = None

    @property
    def latency(self) -> int:
        return self.values[ACR] & 15

    @property
    def caches(self) -> tuple[bool, bool, bool]:
        """Whether instruction cache, data cache and prefetch are on."""
        acr = self.values[ACR]
        return bool(acr & _ICEN), bool(acr & _DCEN), bool(acr & 1 << 8)

    def on_read(self, offset: int) -> int:
        return 0 if offset in (KEYR, OPTKEYR, PDKEYR) else self.values[offset]

    def on_write(self, offset: int, value: int) -> None:
        if offset == ACR:
            for reset, enable, name in ((_ICRST, _ICEN, "ICRST"), (_DCRST, _DCEN, "DCRST")):
                if value & reset and self.values[ACR] & enable:
                    raise Unmodelled(f"FLASH_ACR's {name} is set while that cache is on")
            self.store(ACR, value)
            self.machine.check_clock_limits()
        elif offset == KEYR:
            self._unlock(value)
        elif offset == SR:
            self.values[SR] &= ~(value & _ERRORS)
        elif offset == CR:
            self._control(value)
        else:
            self.store(offset, value)

    def _unlock(self, value: int) -> None:
        if self._dead or value != _KEYS[self._key]:
            self._dead = True  # until reset
            raise BusError
        self._key += 1
        if self._key == len(_KEYS):
            self._key = 0
            self.values[CR] &= ~_LOCK

    def _control(self, value: int) -> None:
        if self.values[CR] & _LOCK:
            raise Unmodelled("FLASH_CR is written while it is locked")
        if self.values[SR] & _BSY:
            raise Unmodelled("FLASH_CR is written while the flash is busy")
        self.store(CR, value & ~_STRT)
        if value & _LOCK:
            return
        if value & _STRT:
            self._erase(value)

    def _erase(self, value: int) -> None:
        kinds = value & (_PG | _PER | _MER1 | _MER2)
        if self.values[SR] & _ERRORS or kinds & _PG or not kinds:
            self.values[SR] |= _PGSERR
            return
        pages: list[int] = []
        if kinds & _PER:
            if kinds != _PER:
                self.values[SR] |= _PGSERR
                return
            bank = PAGES_PER_BANK if value & _BKER else 0
            pages.append(bank + (value >> 3 & 255))
        if kinds & _MER1:
            pages += range(PAGES_PER_BANK)
        if kinds & _MER2:
            pages += range(PAGES_PER_BANK, 2 * PAGES_PER_BANK)
        for page in pages:
            self.machine.memory.program(page * PAGE_BYTES, b"\xff" * PAGE_BYTES)
        self._busy(_ERASE_S)

    def _busy(self, seconds: float) -> None:
        self.values[SR] |= _BSY

        def done() -> None:
            self.values[SR] &= ~_BSY

        self.machine.after_seconds(seconds, done)

    def store_to_flash(self, offset: int, size: int, value: int) -> None:
        """The upper word of a double word programs both."""
        if not self.values[CR] & _PG or self.values[CR] & _LOCK:
            raise Unmodelled("write to flash outside programming")
        if size != 4 or offset % 4:
            raise Unmodelled(f"{8 * size}-bit write to flash, which is programmed by double words")
        if self._lower is None:
            if offset % DOUBLE_WORD:
                raise Unmodelled("a double word of flash is written from its upper half on")
            self._lower = (offset, value)
            return
        first, lower = self._lower
        self._lower = None
        if offset != first + 4:
            raise Unmodelled("the second word to flash is not the other half of the first")
        if self.values[SR] & _ERRORS:
            self.values[SR] |= _PGSERR
            return
        new = lower | value << 32
        flash = self.machine.memory.flash.view
        erased = bytes(flash[first : first + DOUBLE_WORD]) == b"\xff" * DOUBLE_WORD
        if new and not erased:
            self.values[SR] |= _PROGERR
            return
        self.machine.memory.program(first, new.to_bytes(DOUBLE_WORD, "little"))
        self._busy(_PROGRAM_S)
