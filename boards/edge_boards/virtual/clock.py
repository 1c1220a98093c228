"""Modelled time: core cycles to seconds, through every change of the core clock."""

from __future__ import annotations

from edge_boards.virtual.native import HookState


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
