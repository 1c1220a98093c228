"""What the reset and clock controllers of these chips have in common: gates, resets, oscillators
that take their time, and reset flags."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from edge_boards.virtual.peripherals.base import Peripheral

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

Gate = tuple[int, int]
"""An enable bit: register offset and bit."""


@dataclass(frozen=True)
class ResetFlags:
    """Where the flags of a reset's causes are, and which."""

    register: int
    all: int
    clear: int
    """The bit that firmware clears them with."""

    power: int
    """Set by power-on; the pin's beside it."""

    pin: int
    software: int


class ClockTree(Peripheral, ABC):
    """An RCC. `sysclk`, `hclk`, `pclk1`, `pclk2` in hertz follow every write."""

    BYTE_ACCESS = True
    GATES: ClassVar[dict[str, Gate]] = {}
    """Enable bits by peripheral name; what is not here always has its clock."""

    RESETS: ClassVar[dict[int, int]] = {}
    """Reset register by enable register."""

    FLAGS: ClassVar[ResetFlags]

    sysclk: int
    hclk: int
    pclk1: int
    pclk2: int

    def __init__(self, machine: Machine, name: str, base: int) -> None:
        self._flags = self.FLAGS.power | self.FLAGS.pin
        self._epoch = 0
        super().__init__(machine, name, base)

    def reset(self) -> None:
        super().reset()
        self._epoch += 1  # start-ups under way are of no use any more
        register = self.FLAGS.register
        self.values[register] = self.values[register] & ~self.FLAGS.all | self._flags
        self._recompute()

    def set_reset_cause(self, *, software: bool, power_on: bool) -> None:
        """Reset flags add up until firmware clears them."""
        flags = self.FLAGS
        if power_on:
            self._flags = flags.power | flags.pin
        else:
            kept = self.values[flags.register] & flags.all
            self._flags = kept | flags.pin | (flags.software if software else 0)

    def clocked(self, name: str) -> bool:
        """Whether the peripheral's gate is open."""
        gate = self.GATES.get(name)
        return gate is None or bool(self.values[gate[0]] >> gate[1] & 1)

    @abstractmethod
    def uart_hz(self, name: str) -> int:
        """The kernel clock of a U(S)ART, hertz; 0 while it is off."""

    @abstractmethod
    def _recompute(self) -> None:
        """Sets the four clocks from the registers, and tells `machine.clock`."""

    def _clear_flags(self, value: int) -> None:
        """A write to the flags' register."""
        flags = self.FLAGS
        self.store(flags.register, value & ~flags.clear)
        if value & flags.clear:
            self.values[flags.register] &= ~flags.all

    def _reset_peripherals(self, offset: int, value: int) -> None:
        """A write to a reset register."""
        self.store(offset, value)
        for name, (enable, bit) in self.GATES.items():
            if self.RESETS[enable] == offset and value >> bit & 1:
                self.machine.reset_peripheral(name)

    def _ready_later(
        self, offset: int, on: int, ready: int, wanted: bool, seconds: float | None
    ) -> None:
        """An oscillator is on (or off) from now; `seconds` None: it never starts."""
        if not wanted:
            self.values[offset] &= ~ready
            return
        if self.values[offset] & ready or seconds is None:
            return
        epoch = self._epoch

        def become_ready() -> None:
            if self._epoch == epoch and self.values[offset] & on:
                self.values[offset] |= ready

        self.machine.after_seconds(seconds, become_ready)

    @staticmethod
    def divided(hertz: int, bits: int) -> int:
        """A bus clock by its 3-bit prescaler field: 1, or 2 to 16."""
        return hertz >> (0 if bits < 4 else bits - 3)

    @staticmethod
    def divided_core(hertz: int, bits: int) -> int:
        """The core clock by HPRE, 4 bits: 1, or 2 to 512 without 32."""
        return hertz >> (0 if bits < 8 else (1, 2, 3, 4, 6, 7, 8, 9)[bits - 8])


def gate_mask(gates: dict[str, Gate], offset: int) -> int:
    """The bits of one enable register that gate something modelled."""
    return sum(1 << bit for at, bit in gates.values() if at == offset)
