"""The core's own counters: SysTick (DDI 0403E B3.3) and the cycle counter of its DWT (C1.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_boards.virtual.core import SYSTICK
from edge_boards.virtual.faults import Unmodelled

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine


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
    """The cycle counter, with the enable and, where the core has one, the lock of silicon: without
    TRCENA, or with the lock shut, writes do nothing and the counter stands still."""

    LAR_KEY = 0xC5AC_CE55

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._has_lock = machine.soc.core.debug_lock
        self.reset()

    def reset(self) -> None:
        self.demcr = 0
        self._unlocked = not self._has_lock
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
            return (1 if self._unlocked else 3) if self._has_lock else 0
        if offset == 0xFB0 or not self.demcr >> 24 & 1:
            return 0
        if offset == 0x000:
            return 0x4000_0000 | int(self._enabled)
        if offset == 0x004:
            return self._count()
        raise Unmodelled("read of an unmodelled register of the DWT")

    def write(self, offset: int, value: int) -> None:
        if offset == 0xFB0:
            self._unlocked = value == self.LAR_KEY or not self._has_lock
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
