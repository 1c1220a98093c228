"""The cycle model beside a machine: listens to its blocks and accesses while a step runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from edge_boards.board import Board

from .model import CycleModel, MemoryKind

_KINDS = {"itcm": MemoryKind.TCM, "dtcm": MemoryKind.TCM, "flash": MemoryKind.FLASH}


class Traced(Protocol):
    """What the model needs of a machine."""

    def read_code(self, address: int, size: int) -> bytes: ...


class Clocked(Protocol):
    """The machine's counters (`native.State`)."""

    cycles: int
    per_instruction: int


class StepCycles:
    """Models the cycles of the code that runs between `begin` and `end`.

    The machine calls `listen` with its trace, in order; entries outside a step are dropped.
    """

    def __init__(self, board: Board, machine: Traced) -> None:
        self._ranges: list[tuple[int, int, MemoryKind]] = []
        for memory in board.memories:
            kind = _KINDS.get(memory.kind, MemoryKind.SRAM)
            self._ranges.append((memory.address, memory.end, kind))
            for _, alias in memory.aliases:
                self._ranges.append((alias, alias + memory.size, kind))
        self._model = CycleModel(machine.read_code, self._kind_of)
        self._state: Clocked | None = None
        self._base = 0
        self._per_instruction = 0

    @property
    def cached_ranges(self) -> Sequence[tuple[int, int]]:
        """(first, last) address of every memory behind the data cache."""
        return [(first, end - 1) for first, end, kind in self._ranges if kind is not MemoryKind.TCM]

    @property
    def model(self) -> CycleModel:
        return self._model

    def begin(self, state: Clocked) -> None:
        """A step is about to run.

        From here to its end time moves only by what the model says, each time the trace is
        handed over, and so never backwards: a handler that reads the cycle counter in between
        would take that for a wrap. Handlers themselves take no time meanwhile.
        """
        self._model.restart()
        self._state = state
        self._per_instruction = state.per_instruction
        self._base = state.cycles - self._model.cycles
        state.per_instruction = 0

    def end(self, state: Clocked) -> None:
        """The step came back."""
        self._model.finish()
        # One instruction of the trampoline, its blx, ran without time.
        state.cycles = self._base + self._model.cycles + self._per_instruction
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
        self._model.feed(entries.tolist())
        self._state.cycles = self._base + self._model.cycles

    def _kind_of(self, address: int) -> MemoryKind:
        for first, end, kind in self._ranges:
            if first <= address < end:
                return kind
        return MemoryKind.SRAM
