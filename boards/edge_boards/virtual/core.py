"""Exceptions of the Cortex-M7: priorities, entry, return, faults (DDI 0403E, B1.5).

Simplifications, none of which firmware can see in its results: FP registers are stacked at entry
and not lazily; a pending exception after a return is entered anew instead of tail-chained; entry
and return cost 12 cycles each.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from edge_boards.virtual.faults import FaultKind

if TYPE_CHECKING:  # the machine owns the core
    from edge_boards.virtual.machine import Machine

RESET, NMI, HARD_FAULT, MEM_MANAGE, BUS_FAULT, USAGE_FAULT = 1, 2, 3, 4, 5, 6
SVCALL, DEBUG_MONITOR, PENDSV, SYSTICK = 11, 12, 14, 15
FIRST_IRQ = 16
IRQS = 98  # STM32F746 (RM0385, table 46)
PRIORITY_BITS = 4
EXCEPTION_CYCLES = 12
THREAD_PRIORITY = 256

_XPSR_IT = 0x0600_FC00
_FPCCR_ASPEN = 1 << 31

HFSR_VECTTBL, HFSR_FORCED, HFSR_DEBUGEVT = 1 << 1, 1 << 30, 1 << 31
_ENABLE_BITS = {MEM_MANAGE: 16, BUS_FAULT: 17, USAGE_FAULT: 18}
MMARVALID, BFARVALID = 1 << 7, 1 << 15


class Core:
    """Exception state. Numbers are exception numbers: IRQ n is 16 + n."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        engine = machine.engine
        self._frame = engine.batch("R0", "R1", "R2", "R3", "R12", "LR", "XPSR", "SP", "CONTROL")
        self._entry = engine.batch("CONTROL", "SP", "XPSR", "LR")
        self._masks = engine.batch("PRIMASK", "FAULTMASK", "BASEPRI")
        self._floats = engine.batch(*(f"S{n}" for n in range(16)), "FPSCR")
        self._restore = engine.batch("R0", "R1", "R2", "R3", "R12", "LR")
        self.reset()

    def reset(self) -> None:
        self.vtor = 0
        self.priorities = [0] * (FIRST_IRQ + IRQS)
        self.enabled = [False] * (FIRST_IRQ + IRQS)
        for number in (NMI, HARD_FAULT, SVCALL, DEBUG_MONITOR, PENDSV, SYSTICK):
            self.enabled[number] = True
        self.pending: set[int] = set()
        self.lines: set[int] = set()
        self.active: list[int] = []
        self.prigroup = 0
        self.cfsr = 0
        self.hfsr = 0
        self.mmfar = 0
        self.bfar = 0
        self.shcsr_enables = 0
        self.ccr = 0x0004_0200  # STKALIGN, BP
        self.scr = 0
        self.fpccr = 0xC000_0000
        self.fpcar = 0
        self.fpdscr = 0
        self.sleeping = False
        self.handler_instructions = 0
        self._handler_since = 0

    # -- pending and priorities

    def pend(self, number: int) -> None:
        self.pending.add(number)
        if self.enabled[number]:
            self._machine.interrupt_changed()

    def unpend(self, number: int) -> None:
        self.pending.discard(number)

    def set_line(self, irq: int, high: bool) -> None:
        """An interrupt line of a peripheral. A level: it pends again as long as it stays high."""
        number = FIRST_IRQ + irq
        if high and number not in self.lines:
            self.lines.add(number)
            if number not in self.active:
                self.pend(number)
        elif not high:
            self.lines.discard(number)

    def set_enabled(self, number: int, on: bool) -> None:
        self.enabled[number] = on
        if on and number in self.pending:
            self._machine.interrupt_changed()

    def priority(self, number: int) -> int:
        if number == NMI:
            return -2
        if number == HARD_FAULT:
            return -1
        return self.priorities[number]

    def _group(self, priority: int) -> int:
        if priority < 0:
            return priority
        return priority & ~((2 << self.prigroup) - 1)

    def execution_priority(self, *, ignore_primask: bool = False) -> int:
        level = THREAD_PRIORITY
        for number in self.active:
            level = min(level, self._group(self.priority(number)))
        primask, faultmask, basepri = self._masks.read()
        if basepri & 0xFF:
            level = min(level, self._group(basepri & 0xFF))
        if primask & 1 and not ignore_primask:
            level = min(level, 0)
        if faultmask & 1:
            level = min(level, -1)
        return level

    def next_exception(self, *, ignore_primask: bool = False) -> int | None:
        """The pending, enabled exception that may run now."""
        ready = [n for n in self.pending if self.enabled[n]]
        if not ready:
            return None
        best = min(ready, key=lambda n: (self.priority(n), n))
        if self._group(self.priority(best)) < self.execution_priority(
            ignore_primask=ignore_primask
        ):
            return best
        return None

    def waiting(self) -> bool:
        """Whether an enabled exception is pending, masked or not."""
        return any(self.enabled[n] for n in self.pending)

    # -- entry and return

    def enter(self, number: int, return_address: int) -> int:
        """Stacks a frame and starts the handler; the new PC."""
        machine = self._machine
        self.pending.discard(number)
        fault = self._stack(return_address)
        if fault is not None and number not in (NMI, HARD_FAULT):
            # A stacking fault: the handler of the fault is entered in its place (B1.5.8).
            self.cfsr |= fault.bit
            self.pending.add(number)
            number = self._escalate(fault.exception)
            self.pending.discard(number)
        if not self.active:
            self._handler_since = machine.engine.state.instructions
        self.active.append(number)
        machine.engine.write("IPSR", number)
        vector = machine.memory.read(self.vtor + 4 * number, 4)
        if vector is None:
            machine.halt("vector table outside memory", address=self.vtor + 4 * number)
        target = struct.unpack("<I", vector)[0]
        if not target & 1:
            machine.halt(f"vector {number} is not a Thumb address: 0x{target:08x}")
        machine.engine.state.cycles += EXCEPTION_CYCLES
        machine.engine.state.it_start = machine.engine.state.it_end = 0
        return int(target & ~1)

    def _stack(self, return_address: int) -> FaultKind | None:
        machine = self._machine
        r0, r1, r2, r3, r12, lr, xpsr, sp, control = self._frame.read()
        extended = bool(control & 4)
        size = 0x68 if extended else 0x20
        aligned = (sp & 4) >> 2 if self.ccr & 0x200 else 0
        frame = (sp - size) & (~4 if self.ccr & 0x200 else ~0) & 0xFFFF_FFFF
        words = struct.pack(
            "<8I",
            *(v & 0xFFFF_FFFF for v in (r0, r1, r2, r3, r12, lr)),
            return_address & 0xFFFF_FFFF,
            (xpsr & 0xFFFF_FDFF) | aligned << 9,
        )
        if extended:
            floats = [v & 0xFFFF_FFFF for v in self._floats.read()]
            words += struct.pack("<18I", *floats, 0)
            self.fpcar = frame + 0x20
        fault = None
        if not machine.mpu.allows(frame, native_write=True) or not machine.mpu.allows(
            frame + size - 4, native_write=True
        ):
            fault = FaultKind.MSTKERR
        elif not machine.memory.write(frame, words):
            fault = FaultKind.STKERR
        if self.active:
            exc_return = 0xFFFF_FFE1 if extended else 0xFFFF_FFF1
        else:
            exc_return = 0xFFFF_FFE9 if extended else 0xFFFF_FFF9
            if control & 2:
                exc_return |= 4
        # The stacked SP belongs to the stack in use; CONTROL then selects MSP, without FP context.
        engine = machine.engine
        engine.write("SP", frame)
        engine.write("CONTROL", control & 1)
        engine.write("XPSR", xpsr & ~_XPSR_IT & 0xF80F_01FF | 0x0100_0000)
        engine.write("LR", exc_return)
        return fault

    def leave(self, exc_return: int) -> int:
        """Unstacks; the PC that execution goes on from."""
        machine = self._machine
        engine = machine.engine
        if not self.active:
            machine.halt(f"exception return 0x{exc_return:08x} outside any handler")
        number = self.active.pop()
        if number != NMI:
            engine.write("FAULTMASK", 0)
        if not self.active:
            self.handler_instructions += engine.state.instructions - self._handler_since
        if number in self.lines:
            self.pending.add(number)
        to_thread = bool(exc_return & 8)
        process_stack = bool(exc_return & 4)
        if exc_return & 0xFFFF_FFE0 != 0xFFFF_FFE0 or to_thread == bool(self.active):
            return self.fault(FaultKind.INVPC, exc_return)
        extended = not exc_return & 0x10
        stack = "PSP" if process_stack else "MSP"
        frame = engine.read(stack)
        raw = machine.memory.read(frame, 0x68 if extended else 0x20)
        if raw is None:
            return self.fault(FaultKind.UNSTKERR, exc_return)
        words = struct.unpack_from("<8I", raw)
        xpsr = words[7]
        engine.write(
            "XPSR", xpsr & ~_XPSR_IT & 0xF90F_0000 | (self.active[-1] if self.active else 0)
        )
        if extended:
            self._floats.write(*struct.unpack_from("<17I", raw, 0x20))
        sp = frame + (0x68 if extended else 0x20)
        if xpsr & 0x200 and self.ccr & 0x200:
            sp |= 4
        engine.write(stack, sp)
        control = engine.read("CONTROL") & 1
        engine.write("CONTROL", control | (4 if extended else 0) | (2 if process_stack else 0))
        self._restore.write(*words[:6])
        engine.state.cycles += EXCEPTION_CYCLES
        if to_thread and self.scr & 2:
            self.sleeping = True
        self._machine.interrupt_changed()
        return int(words[6] & ~1)

    # -- faults

    def fault(self, kind: FaultKind, pc: int, address: int | None = None) -> int:
        """Takes a fault caused by the instruction at `pc`; the handler's PC."""
        self.cfsr |= kind.bit
        if address is not None and kind is FaultKind.DACCVIOL:
            self.mmfar = address
            self.cfsr |= MMARVALID
        if address is not None and kind is FaultKind.PRECISERR:
            self.bfar = address
            self.cfsr |= BFARVALID
        number = self._escalate(kind.exception, kind)
        return self.enter(number, pc)

    def _escalate(self, number: int, kind: FaultKind | None = None) -> int:
        enable = _ENABLE_BITS.get(number)
        allowed = number != HARD_FAULT and (
            enable is None or bool(self.shcsr_enables >> enable & 1)
        )
        level = self.execution_priority()
        if allowed and self._group(self.priority(number)) < level:
            return number
        if level <= -1:
            words = kind.name if kind is not None else f"exception {number}"
            self._machine.halt(f"lockup: {words} inside a HardFault or NMI handler")
        self.hfsr |= HFSR_DEBUGEVT if kind is FaultKind.BREAKPOINT else HFSR_FORCED
        return HARD_FAULT
