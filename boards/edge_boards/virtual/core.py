"""Exceptions of ARMv7-M: priorities, entry, return, faults (DDI 0403E, B1.5).

Stacking and unstacking are C (native/exceptions.c). Simplifications, none of which firmware can
see in its results: FP registers are stacked at entry and not lazily; a pending exception after a
return is entered anew instead of tail-chained; entry and return cost 12 cycles each.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from edge_boards.virtual import native
from edge_boards.virtual.faults import FaultKind

if TYPE_CHECKING:  # the machine owns the core
    from edge_boards.virtual.machine import Machine

RESET, NMI, HARD_FAULT, MEM_MANAGE, BUS_FAULT, USAGE_FAULT = 1, 2, 3, 4, 5, 6
SVCALL, DEBUG_MONITOR, PENDSV, SYSTICK = 11, 12, 14, 15
FIRST_IRQ = 16
THREAD_PRIORITY = 256

HFSR_VECTTBL, HFSR_FORCED, HFSR_DEBUGEVT = 1 << 1, 1 << 30, 1 << 31
_ENABLE_BITS = {MEM_MANAGE: 16, BUS_FAULT: 17, USAGE_FAULT: 18}
MMARVALID, BFARVALID = 1 << 7, 1 << 15
_CCR_STKALIGN = 1 << 9
_SCR_SLEEPONEXIT = 1 << 1


class Core:
    """Exception state. Numbers are exception numbers: IRQ n is 16 + n."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._engine = machine.engine
        self._state = machine.engine.state
        self._masks = machine.engine.batch("PRIMASK", "FAULTMASK", "BASEPRI")
        self.reset()

    def reset(self) -> None:
        self.vtor = 0
        numbers = FIRST_IRQ + self._machine.soc.irqs
        self.priorities = [0] * numbers
        self.enabled = [False] * numbers
        for number in (NMI, HARD_FAULT, SVCALL, DEBUG_MONITOR, PENDSV, SYSTICK):
            self.enabled[number] = True
        self.pending: set[int] = set()
        self.prigroup = 0
        self.cfsr = 0
        self.hfsr = 0
        self.mmfar = 0
        self.bfar = 0
        self.shcsr_enables = 0
        self.fpccr = 0xC000_0000
        self.fpdscr = 0
        self.sleeping = False
        state = self._state
        state.active_depth = 0
        state.handler_instructions = 0
        state.fp_context_address = 0
        for i in range(len(state.lines)):
            state.lines[i] = 0
        self.set_ccr(self._machine.soc.core.ccr_reset)
        self.set_scr(0)

    def set_ccr(self, value: int) -> None:
        self.ccr = value
        self._state.align_stack = int(bool(value & _CCR_STKALIGN))

    def set_scr(self, value: int) -> None:
        self.scr = value
        self._state.sleep_on_exit = int(bool(value & _SCR_SLEEPONEXIT))

    @property
    def active(self) -> list[int]:
        """The handlers running, outermost first."""
        return list(self._state.active[: self._state.active_depth])

    # -- pending and priorities

    def pend(self, number: int) -> None:
        self.pending.add(number)
        if self.enabled[number]:
            self._machine.interrupt_changed()

    def unpend(self, number: int) -> None:
        self.pending.discard(number)

    def line_is_high(self, number: int) -> bool:
        """Whether a peripheral holds this exception's interrupt line."""
        irq = number - FIRST_IRQ
        return irq >= 0 and bool(self._state.lines[irq // 32] >> irq % 32 & 1)

    def set_line(self, irq: int, high: bool) -> None:
        """An interrupt line of a peripheral. A level: it pends again as long as it stays high."""
        lines, bit = self._state.lines, 1 << irq % 32
        was_high = bool(lines[irq // 32] & bit)
        if high == was_high:
            return
        lines[irq // 32] ^= bit
        if high and FIRST_IRQ + irq not in self.active:
            self.pend(FIRST_IRQ + irq)

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
        best = min(
            (n for n in self.pending if self.enabled[n]),
            key=lambda n: (self.priority(n), n),
            default=None,
        )
        if best is None:
            return None
        level = self.execution_priority(ignore_primask=ignore_primask)
        return best if self._group(self.priority(best)) < level else None

    def waiting(self) -> bool:
        """Whether an enabled exception is pending, masked or not."""
        return any(self.enabled[n] for n in self.pending)

    # -- entry and return

    def enter(self, number: int, return_address: int) -> int:
        """Stacks a frame and starts the handler; the new PC."""
        self.pending.discard(number)
        level = self.execution_priority()
        stacking = self._engine.enter(number, return_address)
        if stacking != native.STACKED:
            # There is no frame to return to. A HardFault is entered all the same; in place of
            # anything else the handler of this fault is (DDI 0403E B1.5.8, B1.5.15).
            kind = FaultKind.MSTKERR if stacking == native.STACK_PROTECTED else FaultKind.STKERR
            self.cfsr |= kind.bit
            if number not in (NMI, HARD_FAULT):
                self.pending.add(number)
                number = self._escalate(kind.exception, kind, level)
                self.pending.discard(number)
                self._state.active[self._state.active_depth - 1] = number
                self._engine.write("IPSR", number)
        return self._vector(number)

    def _vector(self, number: int) -> int:
        machine = self._machine
        raw = machine.memory.read(self.vtor + 4 * number, 4)
        if raw is None:
            machine.halt("vector table outside memory", address=self.vtor + 4 * number)
        target = int(struct.unpack("<I", raw)[0])
        if not target & 1:
            machine.halt(
                f"the handler of exception {number}, 0x{target:08x}, is not Thumb code",
                address=self.vtor + 4 * number,
            )
        return target & ~1

    def leave(self, exc_return: int) -> int:
        """Unstacks; the PC that execution goes on from."""
        number = self._state.active[max(0, self._state.active_depth - 1)]
        result, pc = self._engine.leave(exc_return)
        if result == native.BAD_RETURN:
            return self.fault(FaultKind.INVPC, exc_return)
        if result == native.UNSTACK_NOWHERE:
            return self.fault(FaultKind.UNSTKERR, exc_return)
        if self.line_is_high(number):
            self.pending.add(number)
        if self._state.active_depth == 0 and self.scr & _SCR_SLEEPONEXIT:
            self.sleeping = True
        return pc

    def call(self, return_address: int) -> int:
        """SVC. Where its priority does not let it run at once it is a HardFault."""
        level = self.execution_priority()
        if self._group(self.priority(SVCALL)) < level:
            return self.enter(SVCALL, return_address)
        if level <= -1:
            self._machine.halt("lockup: SVC inside a HardFault or NMI handler")
        self.hfsr |= HFSR_FORCED
        return self.enter(HARD_FAULT, return_address)

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
        return self.enter(self._escalate(kind.exception, kind, self.execution_priority()), pc)

    def _escalate(self, number: int, kind: FaultKind, level: int) -> int:
        """The exception that a fault is taken as, at execution priority `level`."""
        enable = _ENABLE_BITS.get(number)
        allowed = number != HARD_FAULT and (
            enable is None or bool(self.shcsr_enables >> enable & 1)
        )
        if allowed and self._group(self.priority(number)) < level:
            return number
        if level <= -1:
            self._machine.halt(f"lockup: {kind.name} inside a HardFault or NMI handler")
        self.hfsr |= HFSR_DEBUGEVT if kind is FaultKind.BREAKPOINT else HFSR_FORCED
        return HARD_FAULT
