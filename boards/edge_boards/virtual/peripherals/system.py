"""The Cortex-M7's own registers on its private bus: SCB, NVIC, SysTick, DWT, FPU, caches.

Sources: DDI 0403E (ARMv7-M), DDI 0489 (Cortex-M7). Registers are looked up by address in one
block, as the architecture lays them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_boards.virtual.core import FIRST_IRQ, IRQS, NMI, PENDSV, SVCALL, SYSTICK
from edge_boards.virtual.faults import Unmodelled

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

_READ_ONLY = {
    0xE000_E004: 3,  # ICTR: lines 0..127
    0xE000_ED00: 0x410F_C271,  # CPUID: Cortex-M7 r0p1
    0xE000_ED40: 0x0000_0030,  # ID_PFR0
    0xE000_ED44: 0x0000_0200,
    0xE000_ED48: 0x0010_0000,
    0xE000_ED4C: 0x0000_0000,
    0xE000_ED50: 0x0010_0030,
    0xE000_ED54: 0x0000_0000,
    0xE000_ED58: 0x0100_0000,
    0xE000_ED5C: 0x0000_0000,
    0xE000_ED60: 0x0110_1110,  # ID_ISAR0
    0xE000_ED64: 0x0211_2000,
    0xE000_ED68: 0x2023_2231,
    0xE000_ED6C: 0x0111_1131,
    0xE000_ED70: 0x0131_0132,
    0xE000_ED78: 0x0900_0003,  # CLIDR
    0xE000_ED7C: 0x8303_C003,  # CTR: lines of 32 bytes
    0xE000_EF40: 0x1011_0021,  # MVFR0: single precision only
    0xE000_EF44: 0x1100_0011,
    0xE000_EF48: 0x0000_0040,
}
_CCSIDR = {0: 0xF003_E019, 1: 0xF007_E009}  # 4 KB data, 4 ways; 4 KB instructions, 2 ways
_CACHE_OPERATIONS = frozenset({0xE000_EF50, *range(0xE000_EF58, 0xE000_EF7C, 4)})
_ICIALLU, _ICIMVAU = 0xE000_EF50, 0xE000_EF58
# Registers that hold what is written, without an effect on the model: value and writable bits.
_PLAIN = {
    0xE000_E008: (0, 0x1FFF_FC04),  # ACTLR
    0xE000_ED30: (0, 0x1F),  # DFSR
    0xE000_ED3C: (0, 0),  # AFSR
    0xE000_EF90: (0, 0xF),  # ITCMCR
    0xE000_EF94: (0, 0xF),  # DTCMCR
    0xE000_EF98: (0, 0xF),  # AHBPCR
    0xE000_EF9C: (0, 0x7),  # CACR
    0xE000_EFA0: (0x0000_0799, 0xFFFF),  # AHBSCR
}
_VECTKEY = 0x05FA
_SHCSR_ENABLES = 0b111 << 16
_CCR_WRITABLE = 0x0007_031B
_CCR_UNMODELLED = 1 << 1 | 1 << 3 | 1 << 4


class SystemRegisters:
    """SCB, NVIC, FPU and cache maintenance."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.reset()

    def reset(self) -> None:
        self._plain = {address: value for address, (value, _) in _PLAIN.items()}
        self._csselr = 0
        self.cpacr = 0
        self._machine.engine.state.fpu_enabled = 0

    # -- reading

    def read(self, address: int) -> int:
        core, machine = self._machine.core, self._machine
        if address in _READ_ONLY:
            return _READ_ONLY[address]
        if address in self._plain:
            return self._plain[address]
        if 0xE000_E100 <= address < 0xE000_E400:
            return self._read_bits(address)
        if 0xE000_E400 <= address < 0xE000_E400 + IRQS + 2:
            return self._priorities(FIRST_IRQ + address - 0xE000_E400)
        if 0xE000_ED18 <= address < 0xE000_ED24:
            return self._priorities(4 + address - 0xE000_ED18)
        if address in _CACHE_OPERATIONS:
            raise Unmodelled("read of a write-only cache maintenance register")
        match address:
            case 0xE000_ED04:
                return self._read_icsr()
            case 0xE000_ED08:
                return core.vtor
            case 0xE000_ED0C:
                return 0xFA05_0000 | core.prigroup << 8
            case 0xE000_ED10:
                return core.scr
            case 0xE000_ED14:
                return core.ccr
            case 0xE000_ED24:
                return self._read_shcsr()
            case 0xE000_ED28:
                return core.cfsr
            case 0xE000_ED2C:
                return core.hfsr
            case 0xE000_ED34:
                return core.mmfar
            case 0xE000_ED38:
                return core.bfar
            case 0xE000_ED80:
                return _CCSIDR[self._csselr & 1]
            case 0xE000_ED84:
                return self._csselr
            case 0xE000_ED88:
                return self.cpacr
            case 0xE000_EF34:
                return core.fpccr
            case 0xE000_EF38:
                return int(machine.engine.state.fp_context_address)
            case 0xE000_EF3C:
                return core.fpdscr
        raise Unmodelled("read of an unmodelled register of the core")

    def _read_bits(self, address: int) -> int:
        core = self._machine.core
        first = FIRST_IRQ + (address & 0x7F) * 8
        numbers = range(first, min(first + 32, FIRST_IRQ + IRQS))
        block = address & 0xF80
        if block in (0x100, 0x180):
            return sum(1 << n - first for n in numbers if core.enabled[n])
        if block in (0x200, 0x280):
            return sum(1 << n - first for n in numbers if n in core.pending)
        if block == 0x300:
            return sum(1 << n - first for n in numbers if n in core.active)
        raise Unmodelled("read of an unmodelled register of the NVIC")

    def _priorities(self, number: int) -> int:
        values = self._machine.core.priorities
        return sum(values[number + i] << 8 * i for i in range(4) if number + i < FIRST_IRQ + IRQS)

    def _read_icsr(self) -> int:
        core = self._machine.core
        value = core.active[-1] if core.active else 0
        enabled = [n for n in core.pending if core.enabled[n]]
        if enabled:
            value |= min(enabled, key=lambda n: (core.priority(n), n)) << 12
        if any(n >= FIRST_IRQ for n in core.pending):
            value |= 1 << 22
        for number, bit in ((SYSTICK, 26), (PENDSV, 28), (NMI, 31)):
            value |= (number in core.pending) << bit
        return value | (len(core.active) <= 1) << 11

    def _read_shcsr(self) -> int:
        core = self._machine.core
        value = core.shcsr_enables
        active_bits = {4: 0, 5: 1, 6: 3, SVCALL: 7, PENDSV: 10, SYSTICK: 11}
        for number, bit in active_bits.items():
            value |= (number in core.active) << bit
        return value

    # -- writing

    def write(self, address: int, size: int, value: int) -> None:
        if 0xE000_E400 <= address < 0xE000_E400 + IRQS + 2:
            self._set_priorities(FIRST_IRQ + address - 0xE000_E400, size, value)
            return
        if 0xE000_ED18 <= address < 0xE000_ED24:
            self._set_priorities(4 + address - 0xE000_ED18, size, value)
            return
        if size != 4 or address & 3:
            raise Unmodelled(f"{8 * size}-bit write to a register of the core")
        if address in self._plain:
            writable = _PLAIN[address][1]
            self._plain[address] = self._plain[address] & ~writable | value & writable
        elif 0xE000_E100 <= address < 0xE000_E400:
            self._write_bits(address, value)
        elif address in _CACHE_OPERATIONS:
            if address in (_ICIALLU, _ICIMVAU):
                self._machine.memory.forget_code()
                self._machine.ask_stop()
        elif address in _READ_ONLY:
            raise Unmodelled("write of a read-only register of the core")
        else:
            self._write_named(address, value)

    def _set_priorities(self, number: int, size: int, value: int) -> None:
        core = self._machine.core
        for i in range(size):
            if number + i < FIRST_IRQ + IRQS:
                core.priorities[number + i] = value >> 8 * i & 0xF0
        self._machine.interrupt_changed()

    def _write_bits(self, address: int, value: int) -> None:
        core = self._machine.core
        first = FIRST_IRQ + (address & 0x7F) * 8
        block = address & 0xF80
        if block == 0x300:
            raise Unmodelled("write of NVIC_IABR, which is read-only")
        for bit in range(32):
            number = first + bit
            if not value >> bit & 1:
                continue
            if number >= FIRST_IRQ + IRQS:
                raise Unmodelled(f"IRQ {number - FIRST_IRQ}: this part has {IRQS}")
            if block == 0x100:
                core.set_enabled(number, True)
            elif block == 0x180:
                core.set_enabled(number, False)
            elif block == 0x200:
                core.pend(number)
            elif not core.line_is_high(number):
                core.unpend(number)

    def _write_named(self, address: int, value: int) -> None:
        core, machine = self._machine.core, self._machine
        match address:
            case 0xE000_ED04:
                self._write_icsr(value)
            case 0xE000_ED08:
                core.vtor = value & 0xFFFF_FF80
            case 0xE000_ED0C:
                if value >> 16 != _VECTKEY:
                    return
                core.prigroup = value >> 8 & 7
                if value & 4:
                    machine.request_reset()
            case 0xE000_ED10:
                if value & 4:
                    raise Unmodelled("SCR.SLEEPDEEP: stop and standby modes")
                core.set_scr(value & 0x16)
            case 0xE000_ED14:
                if value & _CCR_UNMODELLED:
                    raise Unmodelled("CCR's USERSETMPEND, UNALIGN_TRP and DIV_0_TRP")
                core.set_ccr(core.ccr & ~_CCR_WRITABLE | value & _CCR_WRITABLE)
            case 0xE000_ED24:
                core.shcsr_enables = value & _SHCSR_ENABLES
            case 0xE000_ED28:
                core.cfsr &= ~value
            case 0xE000_ED2C:
                core.hfsr &= ~value
            case 0xE000_ED34:
                core.mmfar = value
            case 0xE000_ED38:
                core.bfar = value
            case 0xE000_ED84:
                self._csselr = value & 1
            case 0xE000_ED88:
                self._write_cpacr(value)
            case 0xE000_EF00:
                core.pend(FIRST_IRQ + (value & 0x1FF))
            case 0xE000_EF34:
                core.fpccr = value & 0xC000_0000
                if not value & 1 << 31:
                    raise Unmodelled("FPCCR.ASPEN = 0")
            case 0xE000_EF38:
                machine.engine.state.fp_context_address = value & ~7
            case 0xE000_EF3C:
                core.fpdscr = value & 0x07C0_0000
            case _:
                raise Unmodelled("write of an unmodelled register of the core")

    def _write_icsr(self, value: int) -> None:
        core = self._machine.core
        if value & 1 << 31:
            core.pend(NMI)
        for number, up, down in ((PENDSV, 28, 27), (SYSTICK, 26, 25)):
            if value >> up & 1:
                core.pend(number)
            elif value >> down & 1:
                core.unpend(number)

    def _write_cpacr(self, value: int) -> None:
        fields = value >> 20 & 15
        if fields not in (0, 0b0101, 0b1111):
            raise Unmodelled("CPACR with CP10 and CP11 different")
        self.cpacr = value & 0x00F0_0000
        self._machine.engine.state.fpu_enabled = int(fields != 0)


class SysTick:
    """The 24-bit system timer."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._event_epoch = 0
        self.reset()

    def reset(self) -> None:
        self._ctrl = 0
        self._load = 0
        self._start = 0
        self._countflag = False
        self._event_epoch += 1

    def _divider(self) -> int:
        return 1 if self._ctrl & 4 else 8

    def _now(self) -> int:
        return self._machine.cycles

    def current(self) -> int:
        """The counter."""
        if not self._ctrl & 1 or self._load == 0:
            return 0
        elapsed = (self._now() - self._start) // self._divider()
        return (self._load - elapsed) % (self._load + 1)

    def read(self, offset: int) -> int:
        if offset == 0:
            flag, self._countflag = self._countflag, False
            return self._ctrl | flag << 16
        if offset == 4:
            return self._load
        if offset == 8:
            return self.current()
        return 0x4000_0000  # CALIB: no exact 10 ms

    def write(self, offset: int, value: int) -> None:
        if offset == 0:
            was_on = self._ctrl & 1
            self._ctrl = value & 7
            if self._ctrl & 1 and not was_on:
                self._start = self._now()
                self._schedule()
            elif not self._ctrl & 1:
                self._event_epoch += 1
        elif offset == 4:
            self._load = value & 0xFF_FFFF
            if self._ctrl & 1:
                self._schedule()
        elif offset == 8:
            self._start = self._now()
            self._countflag = False
            self._schedule()

    def _schedule(self) -> None:
        self._event_epoch += 1
        epoch = self._event_epoch
        if not self._ctrl & 1 or self._load == 0:
            return
        period = (self._load + 1) * self._divider()
        elapsed = self._now() - self._start
        at = self._start + (elapsed // period + 1) * period

        def wrap() -> None:
            if epoch != self._event_epoch:
                return
            self._countflag = True
            if self._ctrl & 2:
                self._machine.core.pend(SYSTICK)
            self._schedule()

        self._machine.at(at, wrap, idle=True)


class Dwt:
    """The cycle counter, with the lock and the enable that silicon has: without TRCENA, or with
    the lock shut, writes do nothing and the counter stands still."""

    LAR_KEY = 0xC5AC_CE55

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.reset()

    def reset(self) -> None:
        self.demcr = 0
        self._unlocked = False
        self._enabled = False
        self._base = 0
        self._held = 0

    def _running(self) -> bool:
        return self._enabled and bool(self.demcr >> 24 & 1)

    def _count(self) -> int:
        if self._running():
            return (self._machine.cycles - self._base) & 0xFFFF_FFFF
        return self._held

    def _set_count(self, value: int) -> None:
        self._held = value
        self._base = self._machine.cycles - value

    def set_demcr(self, value: int) -> None:
        count = self._count()
        self.demcr = value & 0x0100_0000
        self._set_count(count)

    def read(self, offset: int) -> int:
        if offset == 0xFB4:
            return 1 if self._unlocked else 3
        if offset == 0xFB0 or not self.demcr >> 24 & 1:
            return 0
        if offset == 0x000:
            return 0x4000_0000 | int(self._enabled)
        if offset == 0x004:
            return self._count()
        if offset in range(0x008, 0x01C, 4):
            return 0
        raise Unmodelled("read of an unmodelled register of the DWT")

    def write(self, offset: int, value: int) -> None:
        if offset == 0xFB0:
            self._unlocked = value == self.LAR_KEY
            return
        if not self._unlocked or not self.demcr >> 24 & 1:
            return
        if offset == 0x000:
            count = self._count()
            self._enabled = bool(value & 1)
            self._set_count(count)
            if value & ~1 & 0x0FFF_FFFF:
                raise Unmodelled("DWT_CTRL enables other than CYCCNTENA")
        elif offset == 0x004:
            self._set_count(value)
        else:
            raise Unmodelled("write of an unmodelled register of the DWT")
