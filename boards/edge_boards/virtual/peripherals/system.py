"""The core's own registers on its private bus: SCB, NVIC, FPU, caches.

Sources: DDI 0403E (ARMv7-M); what differs from core to core comes from `cores.CoreModel`.
Registers are looked up by address in one block, as the architecture lays them out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_boards.virtual.core import FIRST_IRQ, NMI, PENDSV, SVCALL, SYSTICK
from edge_boards.virtual.faults import Unmodelled

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

_ICTR = 0xE000_E004
_CACHE_OPERATIONS = frozenset({0xE000_EF50, *range(0xE000_EF58, 0xE000_EF7C, 4)})
_ICIALLU, _ICIMVAU = 0xE000_EF50, 0xE000_EF58
_VECTKEY = 0x05FA
_SHCSR_ENABLES = 0b111 << 16
_CCR_UNMODELLED = 1 << 1 | 1 << 3 | 1 << 4


class SystemRegisters:
    """SCB, NVIC, FPU and cache maintenance."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._model = machine.soc.core
        self._irqs = machine.soc.irqs
        self.reset()

    def reset(self) -> None:
        self._plain = {address: value for address, (value, _) in self._model.plain.items()}
        self._csselr = 0
        self.cpacr = 0
        self._machine.engine.state.fpu_enabled = 0

    # -- reading

    def read(self, address: int) -> int:
        core, machine = self._machine.core, self._machine
        if address == _ICTR:
            return (self._irqs - 1) // 32
        if address in self._model.read_only:
            return self._model.read_only[address]
        if address in self._plain:
            return self._plain[address]
        if 0xE000_E100 <= address < 0xE000_E400:
            return self._read_bits(address)
        if 0xE000_E400 <= address < 0xE000_E400 + self._irqs + 2:
            return self._priorities(FIRST_IRQ + address - 0xE000_E400)
        if 0xE000_ED18 <= address < 0xE000_ED24:
            return self._priorities(4 + address - 0xE000_ED18)
        if address in _CACHE_OPERATIONS and self._model.caches is not None:
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
            case 0xE000_ED80 | 0xE000_ED84 if self._model.caches is not None:
                caches = self._model.caches
                if address == 0xE000_ED84:
                    return self._csselr
                return caches.instructions if self._csselr & 1 else caches.data
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
        numbers = range(first, min(first + 32, FIRST_IRQ + self._irqs))
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
        return sum(
            values[number + i] << 8 * i for i in range(4) if number + i < FIRST_IRQ + self._irqs
        )

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
        if 0xE000_E400 <= address < 0xE000_E400 + self._irqs + 2:
            self._set_priorities(FIRST_IRQ + address - 0xE000_E400, size, value)
            return
        if 0xE000_ED18 <= address < 0xE000_ED24:
            self._set_priorities(4 + address - 0xE000_ED18, size, value)
            return
        if size != 4 or address & 3:
            raise Unmodelled(f"{8 * size}-bit write to a register of the core")
        if address in self._plain:
            writable = self._model.plain[address][1]
            self._plain[address] = self._plain[address] & ~writable | value & writable
        elif 0xE000_E100 <= address < 0xE000_E400:
            self._write_bits(address, value)
        elif address in _CACHE_OPERATIONS and self._model.caches is not None:
            if address in (_ICIALLU, _ICIMVAU):
                self._machine.memory.forget_code()
                self._machine.ask_stop()
        elif address == _ICTR or address in self._model.read_only:
            raise Unmodelled("write of a read-only register of the core")
        else:
            self._write_named(address, value)

    def _set_priorities(self, number: int, size: int, value: int) -> None:
        core = self._machine.core
        for i in range(size):
            if number + i < FIRST_IRQ + self._irqs:
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
            if number >= FIRST_IRQ + self._irqs:
                raise Unmodelled(f"IRQ {number - FIRST_IRQ}: this part has {self._irqs}")
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
                writable = self._model.ccr_writable
                if value & ~(writable | core.ccr):
                    raise Unmodelled("CCR's bits that this core does not have")
                core.set_ccr(core.ccr & ~writable | value & writable)
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
            case 0xE000_ED84 if self._model.caches is not None:
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
