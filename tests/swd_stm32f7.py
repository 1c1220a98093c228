"""An STM32F746 as a debug probe sees it: memory, the core's debug registers, the flash controller.

Enough for a flashing tool: it may halt the core, put a program into RAM and run it there (Unicorn
does), and drive the flash controller, from outside or by that program. Registers after RM0385 (3.7,
FLASH) and the Armv7-M manual (C1.6, debug). Firmware in flash is not run here: tests hand what was
flashed to a virtual board.
"""

from __future__ import annotations

import struct

from unicorn import UC_ARCH_ARM, UC_HOOK_INTR, UC_MODE_MCLASS, UC_MODE_THUMB, Uc
from unicorn.arm_const import (
    UC_ARM_REG_LR,
    UC_ARM_REG_PC,
    UC_ARM_REG_R0,
    UC_ARM_REG_R12,
    UC_ARM_REG_SP,
    UC_CPU_ARM_CORTEX_M7,
)

FLASH, FLASH_SIZE = 0x0800_0000, 1 << 20
SECTORS = (*[32 << 10] * 4, 128 << 10, *[256 << 10] * 3)
RAM, RAM_SIZE = 0x2000_0000, 0x50000
CONTROLLER = 0x4002_3C00
_KEYS = (0x4567_0123, 0xCDEF_89AB)
_KEYR, _SR, _CR = 0x04, 0x0C, 0x10
_PG, _SER, _STRT, _LOCK = 1 << 0, 1 << 1, 1 << 16, 1 << 31
_PGSERR, _ERSERR = 1 << 6, 1 << 7

AIRCR, DHCSR, DEMCR = 0xE000_ED0C, 0xE000_EDF0, 0xE000_EDFC
_C_DEBUGEN, _C_HALT, _C_STEP = 1 << 0, 1 << 1, 1 << 2
_S_REGRDY, _S_HALT, _S_RESET = 1 << 16, 1 << 17, 1 << 25
_VC_CORERESET = 1 << 0
_SYSRESETREQ = 1 << 2
_SLICE = 200_000  # instructions between two looks of the probe

_FIXED = {
    0xE000_ED00: 0x411F_C271,  # CPUID: Cortex-M7 r1p1
    0xE000_1000: 0x4000_0000,  # DWT_CTRL: four comparators
    0xE000_2000: 0x1000_0080,  # FP_CTRL: eight comparators
    0x1FF0_F440: FLASH_SIZE >> 10 << 16,  # the flash's size in KB, in the upper half
}
_UC_REGISTERS = (*range(UC_ARM_REG_R0, UC_ARM_REG_R12 + 1), UC_ARM_REG_SP, UC_ARM_REG_LR)
_PC, _XPSR = 15, 16


class Chip:
    """The chip; `flash` is its content, `erased` counts erasures by sector."""

    def __init__(self, device_id: int = 0x449) -> None:
        self.flash = bytearray(b"\xff" * FLASH_SIZE)
        self.erased = [0] * len(SECTORS)
        self.registers = [0] * 21
        self.halted = False
        self._words: dict[int, int] = {**_FIXED, 0xE004_2000: 0x1000_0000 | device_id}
        self._status, self._control, self._keys = 0, _LOCK, 0
        self._was_reset = False
        self._uc = Uc(UC_ARCH_ARM, UC_MODE_THUMB | UC_MODE_MCLASS)
        self._uc.ctl_set_cpu_model(UC_CPU_ARM_CORTEX_M7)
        self._uc.mem_map(RAM, RAM_SIZE)
        self._uc.mmio_map(FLASH, FLASH_SIZE, self._read_flash, None, self._write_flash, None)
        page = CONTROLLER & ~0xFFF
        self._uc.mmio_map(page, 0x1000, self._read_page, None, self._write_page, None)
        self._uc.hook_add(UC_HOOK_INTR, self._interrupt)
        self.reset()

    @property
    def entry(self) -> int:
        """Where the program in flash begins."""
        return int(struct.unpack_from("<I", self.flash, 4)[0])

    def reset(self) -> None:
        stack, entry = struct.unpack_from("<II", self.flash)
        self.registers = [0] * 21
        self.registers[13], self.registers[_PC], self.registers[_XPSR] = stack, entry & ~1, 1 << 24
        self._uc.reg_write(UC_ARM_REG_PC, entry)
        self._status, self._control, self._keys = 0, _LOCK, 0
        self._was_reset = True
        debugged = self._words.get(DHCSR, 0) & _C_DEBUGEN
        self.halted = bool(debugged and self._words.get(DEMCR, 0) & _VC_CORERESET)

    def work(self) -> None:
        """Lets the core run a while, where it runs a program in RAM."""
        if self.halted or not RAM <= self._uc.reg_read(UC_ARM_REG_PC) < RAM + RAM_SIZE:
            return
        self._uc.emu_start(self._uc.reg_read(UC_ARM_REG_PC) | 1, 0xFFFF_FFFF, count=_SLICE)

    def read(self, address: int, size: int) -> bytes | None:
        """What a probe reads; None is a fault on the bus."""
        if address >= RAM and address + size <= RAM + RAM_SIZE:
            return bytes(self._uc.mem_read(address, size))
        if address >= FLASH and address + size <= FLASH + FLASH_SIZE:
            return bytes(self.flash[address - FLASH : address - FLASH + size])
        if address < 0x1FF0_0000:
            return None
        first = address & ~3
        words = [self._word(each) for each in range(first, address + size, 4)]
        return b"".join(w.to_bytes(4, "little") for w in words)[address - first :][:size]

    def write(self, address: int, data: bytes) -> bool:
        """What a probe writes; False is a fault on the bus."""
        if address >= RAM and address + len(data) <= RAM + RAM_SIZE:
            self._uc.mem_write(address, data)
            return True
        if address >= FLASH and address + len(data) <= FLASH + FLASH_SIZE:
            self._program(address - FLASH, data)
            return True
        if address < 0x1FF0_0000 or address % 4 or len(data) % 4:
            return address >= 0x4000_0000
        for at in range(0, len(data), 4):
            self._set(address + at, int.from_bytes(data[at : at + 4], "little"))
        return True

    def _word(self, address: int) -> int:
        if address == DHCSR:
            value = self._words.get(DHCSR, 0) & 0xFFFF | _S_REGRDY
            value |= (_S_HALT if self.halted else 0) | (_S_RESET if self._was_reset else 0)
            self._was_reset = False
            return value
        if CONTROLLER <= address < CONTROLLER + 0x20:
            return self._controller(address - CONTROLLER)
        return self._words.get(address, 0)

    def _set(self, address: int, value: int) -> None:
        if address in _FIXED:
            return
        if CONTROLLER <= address < CONTROLLER + 0x20:
            self._control_write(address - CONTROLLER, value)
        elif address == AIRCR:
            if value >> 16 == 0x05FA and value & _SYSRESETREQ:
                self.reset()
        elif address == DHCSR:
            if value >> 16 == 0xA05F:
                self._words[DHCSR] = value & 0xFFFF
                self._debug(value)
        else:
            self._words[address] = value

    def _debug(self, value: int) -> None:
        if value & _C_HALT and not self.halted:
            self._halt()
        elif self.halted and not value & _C_HALT:
            self._resume()
            if value & _C_STEP:
                self._uc.emu_start(self.registers[_PC] | 1, 0xFFFF_FFFF, count=1)
                self._halt()

    def _halt(self) -> None:
        self.halted = True
        if RAM <= self._uc.reg_read(UC_ARM_REG_PC) < RAM + RAM_SIZE:
            for number, name in enumerate(_UC_REGISTERS):
                self.registers[number] = self._uc.reg_read(name)
            self.registers[_PC] = self._uc.reg_read(UC_ARM_REG_PC)

    def _resume(self) -> None:
        self.halted = False
        # What is in RAM now may be another program than the one that was translated.
        self._uc.ctl_flush_tb()
        for number, name in enumerate(_UC_REGISTERS):
            self._uc.reg_write(name, self.registers[number])
        self._uc.reg_write(UC_ARM_REG_PC, self.registers[_PC] | 1)

    def _interrupt(self, uc: Uc, _number: int, _data: object) -> None:
        """BKPT, which is how a program in RAM says that it is done."""
        uc.emu_stop()
        self._halt()

    # -- the flash and its controller

    def _read_flash(self, _uc: Uc, offset: int, size: int, _data: object) -> int:
        return int.from_bytes(self.flash[offset : offset + size], "little")

    def _write_flash(self, _uc: Uc, offset: int, size: int, value: int, _data: object) -> None:
        self._program(offset, value.to_bytes(size, "little"))

    def _read_page(self, _uc: Uc, offset: int, _size: int, _data: object) -> int:
        return self._word((CONTROLLER & ~0xFFF) + offset)

    def _write_page(self, _uc: Uc, offset: int, _size: int, value: int, _data: object) -> None:
        self._set((CONTROLLER & ~0xFFF) + offset, value)

    def _program(self, offset: int, data: bytes) -> None:
        """Clears bits, as programming does, where the controller was told to."""
        if self._control & _LOCK or not self._control & _PG:
            self._status |= _PGSERR
            return
        old = self.flash[offset : offset + len(data)]
        self.flash[offset : offset + len(data)] = bytes(
            a & b for a, b in zip(old, data, strict=True)
        )

    def _controller(self, register: int) -> int:
        if register == _SR:
            return self._status
        return self._control if register == _CR else 0xFF00_AAED if register == 0x14 else 0

    def _control_write(self, register: int, value: int) -> None:
        if register == _KEYR:
            self._keys = self._keys + 1 if value == _KEYS[self._keys % 2] else 0
            if self._keys == 2:
                self._control, self._keys = self._control & ~_LOCK, 0
        elif register == _SR:
            self._status &= ~value
        elif register == _CR and not self._control & _LOCK:
            self._control = value & ~_STRT
            if value & _STRT and value & _SER:
                self._erase(value >> 3 & 0xF)

    def _erase(self, sector: int) -> None:
        if sector >= len(SECTORS):
            self._status |= _ERSERR
            return
        start = sum(SECTORS[:sector])
        self.flash[start : start + SECTORS[sector]] = b"\xff" * SECTORS[sector]
        self.erased[sector] += 1
