"""The cycle model beside a machine: listens to its blocks and accesses while a step runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol


class CycleModel(Protocol):
    """What a core's model does with a trace (`Machine.trace`)."""

    @property
    def cycles(self) -> int:
        """Modelled cycles so far, rounded down."""

    def restart(self) -> None:
        """Counting starts anew after a gap."""

    def feed(self, words: Sequence[int]) -> None:
        """A piece of a trace."""

    def finish(self) -> None:
        """The trace ends here."""


class Clocked(Protocol):
    """The machine's counters (`native.State`)."""

    cycles: int
    per_instruction: int


class StepCycles:
    """Models the cycles of the code that runs between `begin` and `end`.

    The machine calls `listen` with its trace, in order; entries outside a step are dropped.
    `traced` are the address ranges (first, last) whose data accesses the model wants to hear of.
    """

    def __init__(self, model: CycleModel, traced: Sequence[tuple[int, int]]) -> None:
        self.model = model
        self.traced = traced
        self._state: Clocked | None = None
        self._base = 0
        self._per_instruction = 0

    def begin(self, state: Clocked) -> None:
        """A step is about to run.

        From here to its end time moves only by what the model says, each time the trace is
        handed over, and so never backwards: a handler that reads the cycle counter in between
        would take that for a wrap. Handlers themselves take no time meanwhile.
        """
        self.model.restart()
        self._state = state
        self._per_instruction = state.per_instruction
        self._base = state.cycles - self.model.cycles
        state.per_instruction = 0

    def end(self, state: Clocked) -> None:
        """The step came back."""
        self.model.finish()
        # One instruction of the trampoline, its blx, ran without time.
        state.cycles = self._base + self.model.cycles + self._per_instruction
        state.per_instruction = self._per_instruction
        self._state = None

    def abandon(self) -> None:
        """The machine was reset, or counting ends, within a step."""
        if self._state is not None:
            self._state.per_instruction = self._per_instruction
            self._state = None

    def listen(self, entries: memoryview) -> None:
        """Pairs of uint32, see `Machine.trace`."""
        if self._state is None:
            return
        self.model.feed(entries.tolist())
        self._state.cycles = self._base + self.model.cycles
