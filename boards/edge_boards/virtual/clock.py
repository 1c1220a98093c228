"""Modelled time: core cycles to seconds, through every change of the core clock; and the limits
that a clock must keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from edge_boards.virtual.faults import Unmodelled
from edge_boards.virtual.native import HookState
from edge_boards.virtual.peripherals.flash import FlashInterface, wait_states_for
from edge_boards.virtual.peripherals.power import Pwr

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine


class Clock:
    """The core clock of now, and the time that has passed at all clocks so far."""

    def __init__(self, state: HookState) -> None:
        self._state = state
        self._seconds = 0.0
        self._since = 0
        self.hertz = 1

    def change(self, hertz: int) -> None:
        """The core clock is another one from now on."""
        self._seconds = self.seconds
        self._since = self._state.cycles
        self.hertz = max(hertz, 1)

    @property
    def seconds(self) -> float:
        """Since power-on."""
        return self._seconds + (int(self._state.cycles) - self._since) / self.hertz

    def cycles_of(self, seconds: float) -> int:
        """Core cycles in so much time at the clock of now."""
        return round(seconds * self.hertz)


def check_limits(machine: Machine) -> None:
    """Wait states, voltage scale and bus limits at the clocks of now; `Unmodelled` beyond them."""
    flash = cast(FlashInterface, machine.bus.peripherals["FLASH"])
    rcc = machine.rcc
    needed = wait_states_for(rcc.hclk)
    if flash.latency < needed:
        raise Unmodelled(
            f"flash runs with {flash.latency} wait states at {rcc.hclk / 1e6:g} MHz, "
            f"which needs {needed}"
        )
    limits = cast(Pwr, machine.bus.peripherals["PWR"]).limits_mhz()
    clocks = (("HCLK", rcc.hclk), ("PCLK1", rcc.pclk1), ("PCLK2", rcc.pclk2))
    for (name, hertz), limit in zip(clocks, limits, strict=True):
        if hertz > limit * 1_000_000:
            raise Unmodelled(
                f"{name} is {hertz / 1e6:g} MHz; {limit} MHz is allowed at this voltage scale "
                "and over-drive"
            )
