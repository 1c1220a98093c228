"""The GPIO ports of the STM32L4R5 (RM0432 chapter 8): analogue after reset; and PG2 to PG15, which
have a supply of their own (VDDIO2) that the firmware must declare valid (PWR_CR2.IOSV)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from edge_boards.virtual.peripherals.base import Register
from edge_boards.virtual.peripherals.gpio import ODR, Gpio, PortReset

from .power import Pwr

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

BRR = 0x28
AFTER_RESET = {
    "A": PortReset(moder=0xABFF_FFFF, ospeedr=0x0C00_0000, pupdr=0x6400_0000),
    "B": PortReset(moder=0xFFFF_FEBF, pupdr=0x0000_0100),
    "I": PortReset(moder=0x00FF_FFFF),
}
_ANALOGUE = PortReset(moder=0xFFFF_FFFF)
_OF_VDDIO2 = range(2, 16)


class L4Gpio(Gpio):
    """One port. What IOSV does not let through reads 0 and drives nothing."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        **Gpio.REGISTERS,
        BRR: Register("BRR", 0, 0xFFFF),
    }

    def __init__(self, machine: Machine, name: str, base: int) -> None:
        super().__init__(machine, name, base, AFTER_RESET.get(name[-1], _ANALOGUE))

    def powered(self, pin: int) -> bool:
        if self.name != "GPIOG" or pin not in _OF_VDDIO2:
            return True
        return cast(Pwr, self.machine.bus.peripherals["PWR"]).vddio2

    def on_read(self, offset: int) -> int:
        return 0 if offset == BRR else super().on_read(offset)

    def on_write(self, offset: int, value: int) -> None:
        if offset == BRR:
            self.values[ODR] &= ~value & 0xFFFF
            self.announce()
        else:
            super().on_write(offset, value)
