"""Exact instruction counts of profiled steps.

The profiler calls each step through `eag_step_call`: `push; blx r0; eag_step_return: pop`. A
step's count is what thread mode began between the `blx` and the label, both left out; handlers'
instructions are left out too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge_boards.virtual.cycles import StepCycles
    from edge_boards.virtual.machine import Machine

_BLX_BYTES = 2


@dataclass(frozen=True)
class StepCount:
    """One execution of one step: its first instruction's address, and modelled cycles."""

    function: int
    instructions: int
    cycles: int


class StepCounter:
    """Watches the step trampoline of the image in flash while it is on.

    With the cycle model a step's time is what the model says, and the firmware reads the same
    from its own cycle counter.
    """

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._call = 0
        self._return = 0
        self._cycles: StepCycles | None = None
        self._start: tuple[int, int, int] | None = None
        self.on = False
        self.steps: list[StepCount] = []

    def arm(self, call: int, back: int, *, model_cycles: bool = False) -> None:
        """Counts what runs between `call` (a `blx`) and `back`, from now on."""
        self.disarm()
        self._call, self._return = call, back
        self.on = True
        self.mark()
        if model_cycles:
            machine = self._machine
            self._cycles = machine.soc.cycles(machine)
            # Short pieces: time stands still within one, and bytes on a line must not bunch up.
            machine.trace.start(self._cycles.listen, capacity=2048, data=self._cycles.traced)

    def mark(self) -> None:
        """Sets the marks anew, after code memory changed."""
        if self.on:
            self._machine.memory.mark(self._call)
            self._machine.memory.mark(self._return)

    def disarm(self) -> None:
        if self.on:
            self._machine.memory.unmark(self._call)
            self._machine.memory.unmark(self._return)
            self._machine.trace.stop()
        self._abandon()
        self._cycles = None
        self.on = False

    def restart(self) -> None:
        """The machine was reset, perhaps with another image, perhaps in the middle of a step."""
        self.steps.clear()
        self._abandon()
        image = self._machine.image
        if self.on and image is not None and image.step_return:
            self.arm(*trampoline(image.step_return), model_cycles=self._cycles is not None)

    def _abandon(self) -> None:
        self._start = None
        if self._cycles is not None:
            self._cycles.abandon()

    def take(self) -> tuple[StepCount, ...]:
        """The steps counted since the last call."""
        steps = tuple(self.steps)
        self.steps.clear()
        return steps

    def reached(self, pc: int) -> bool:
        """The machine stands before a marked instruction; whether it is one of these."""
        if not self.on or pc not in (self._call, self._return):
            return False
        machine = self._machine
        state = machine.engine.state
        if pc == self._call:
            if self._cycles is not None:
                machine.trace.drain()
                self._cycles.begin(state)
            function = machine.engine.read("R0") & ~1
            outside = state.handler_instructions
            # The blx itself is counted when it runs, right after this.
            self._start = (function, state.instructions + 1 - outside, state.cycles)
        elif self._start is not None:
            if self._cycles is not None:
                machine.trace.drain()
                self._cycles.end(state)
            function, begun, cycles = self._start
            count = state.instructions - state.handler_instructions - begun
            spent = state.cycles - cycles - state.per_instruction
            self.steps.append(StepCount(function, count, spent))
            self._start = None
        return True


def trampoline(step_return: int) -> tuple[int, int]:
    """The addresses of the `blx` and of the label after it."""
    return step_return - _BLX_BYTES, step_return
