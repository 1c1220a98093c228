"""General-purpose I/O, and which pin carries which function (RM0385 chapter 6, RM0432 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from edge_boards.virtual.peripherals.base import Peripheral, Register

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

MODER, OTYPER, OSPEEDR, PUPDR, IDR, ODR, BSRR, LCKR, AFRL, AFRH = range(0, 0x28, 4)

_ALTERNATE = 2


@dataclass(frozen=True)
class PortReset:
    """What a port's registers read after reset, where that is not 0: debug pins, mostly."""

    moder: int = 0
    ospeedr: int = 0
    pupdr: int = 0


class Gpio(Peripheral):
    """One port. Inputs that nobody drives read their pull resistor, else 0."""

    BYTE_ACCESS = True
    REGISTERS: ClassVar[dict[int, Register]] = {
        MODER: Register("MODER", 0, 0xFFFF_FFFF),
        OTYPER: Register("OTYPER", 0, 0xFFFF),
        OSPEEDR: Register("OSPEEDR", 0, 0xFFFF_FFFF),
        PUPDR: Register("PUPDR", 0, 0xFFFF_FFFF),
        IDR: Register("IDR", 0, 0, 0xFFFF),
        ODR: Register("ODR", 0, 0xFFFF),
        BSRR: Register("BSRR", 0, 0xFFFF_FFFF),
        LCKR: Register("LCKR"),
        AFRL: Register("AFRL", 0, 0xFFFF_FFFF),
        AFRH: Register("AFRH", 0, 0xFFFF_FFFF),
    }

    def __init__(
        self, machine: Machine, name: str, base: int, after_reset: PortReset | None = None
    ) -> None:
        self._after_reset = after_reset or PortReset()
        super().__init__(machine, name, base)

    def reset(self) -> None:
        super().reset()
        after = self._after_reset
        self.values.update({MODER: after.moder, OSPEEDR: after.ospeedr, PUPDR: after.pupdr})
        self.levels = 0
        self.driven = 0

    def drive(self, pin: int, high: bool) -> None:
        """Something outside the chip holds a pin."""
        self.driven |= 1 << pin
        self.levels = self.levels & ~(1 << pin) | int(high) << pin

    def powered(self, pin: int) -> bool:  # noqa: ARG002 - for subclasses
        """Whether a pin has its supply; without it reads 0 and drives nothing."""
        return True

    def announce(self) -> None:
        """The output levels may have changed."""
        levels = self.values[ODR]
        for pin in range(16):
            if not self.powered(pin):
                levels &= ~(1 << pin)
        self.machine.pins_changed(self.name, levels)

    def function(self, pin: int) -> int | None:
        """The alternate function of a pin, None where it has another mode or no supply."""
        if self.values[MODER] >> 2 * pin & 3 != _ALTERNATE or not self.powered(pin):
            return None
        register = AFRL if pin < 8 else AFRH
        return self.values[register] >> 4 * (pin % 8) & 15

    def on_read(self, offset: int) -> int:
        if offset == BSRR:
            return 0
        if offset != IDR:
            return self.values[offset]
        value = 0
        for pin in range(16):
            mode = self.values[MODER] >> 2 * pin & 3
            if mode == 3 or not self.powered(pin):
                level = 0
            elif mode == 1:
                level = self.values[ODR] >> pin & 1
            elif self.driven >> pin & 1:
                level = self.levels >> pin & 1
            else:
                level = int(self.values[PUPDR] >> 2 * pin & 3 == 1)
            value |= level << pin
        return value

    def on_write(self, offset: int, value: int) -> None:
        if offset == BSRR:
            self.values[ODR] = self.values[ODR] & ~(value >> 16) | value & 0xFFFF
            self.announce()
        else:
            self.store(offset, value)
            if offset == ODR:
                self.announce()
