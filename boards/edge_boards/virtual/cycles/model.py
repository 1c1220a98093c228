"""Cycles of a counted run, block by block.

The machine tells the model which basic block starts (`block`) and which data addresses behind the
caches are read or written (`data`). Tightly coupled memories cost nothing beyond the issue rules
and need not be reported. All sums are kept in half cycles, since a flash line costs 7.5.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass

from .caches import LINE, Cache
from .decode import Decoder, Instruction
from .issue import Cost, schedule

HALVES = 2
# Exposed cycles a 32-byte line streamed from flash costs at 216 MHz and 7 wait states, more than
# one from RAM: computed from two published MLPerf Tiny AD results that differ only in where the
# weights lie. What a line of AXI SRAM itself costs is in no public table: not modelled.
FLASH_LINE_HALVES = 15
MISPREDICTED = 8
MISPREDICTED_FLAGS_EARLY = 6  # when the flags were set 3 or more cycles before
FLAGS_EARLY = 3
UNALIGNED = 3  # a load across words within a line; one more across two lines
CACHE_BYTES = 4096  # each, STM32F746 (RM0385)
ICACHE_WAYS, DCACHE_WAYS = 2, 4


class MemoryKind(enum.Enum):
    """How an address is reached."""

    TCM = "tcm"
    FLASH = "flash"
    SRAM = "sram"


@dataclass
class _Block:
    instructions: tuple[Instruction, ...]
    lines: tuple[int, ...]  # code lines behind the instruction cache; empty in TCM
    end: int
    conditional: bool
    indirect: bool
    checked: int  # generation of the instruction cache when all lines were last seen resident


class CycleModel:
    """Counts modelled cycles.

    `read_code(address, size)` gives the bytes of a block; `kind_of(address)` its memory.
    """

    def __init__(
        self, read_code: Callable[[int, int], bytes], kind_of: Callable[[int], MemoryKind]
    ) -> None:
        self._read_code = read_code
        self._kind_of = kind_of
        self._decoder = Decoder()
        self._blocks: dict[tuple[int, int], _Block] = {}
        self._costs: dict[tuple[int, int, int, int], tuple[int, int]] = {}
        self._alone: dict[tuple[int, int], Cost] = {}
        self._icache = Cache(CACHE_BYTES, ICACHE_WAYS)
        self._dcache = Cache(CACHE_BYTES, DCACHE_WAYS)
        self._takes: dict[int, int] = {}  # branch address -> two-bit counter
        self._targets: dict[int, int] = {}  # indirect branch -> last target
        self._previous: tuple[int, int] | None = None
        self._previous_flags_age = 0
        self._halves = 0
        self.mispredicted = 0

    @property
    def cycles(self) -> int:
        """Modelled cycles so far, rounded down."""
        return self._halves // HALVES

    @property
    def flash_lines(self) -> int:
        """Lines that had to come from behind the data cache."""
        return self._dcache.misses

    def restart(self) -> None:
        """Counting starts anew after a gap: nothing is known of the pipeline; caches stay warm."""
        self._previous = None

    def forget_code(self) -> None:
        """The code memory was rewritten."""
        self._blocks.clear()
        self._costs.clear()
        self._alone.clear()
        self._icache.clear()
        self._dcache.clear()
        self._takes.clear()
        self._targets.clear()
        self._previous = None

    def block(self, address: int, size: int) -> None:
        """The basic block of `size` bytes at `address` runs."""
        key = (address, size)
        block = self._blocks.get(key)
        if block is None:
            block = self._load(address, size)
            self._blocks[key] = block
        previous = self._previous
        pair = (*previous, address, size) if previous else (0, 0, address, size)
        cost = self._costs.get(pair)
        if cost is None:
            cost = self._cost(previous, key)
            self._costs[pair] = cost
        halves = cost[0]
        if previous:
            halves += self._branch(previous, address)
        if block.checked != self._icache.generation:
            for line in block.lines:
                if self._icache.touch(line):
                    halves += FLASH_LINE_HALVES
            block.checked = self._icache.generation
        self._halves += halves
        self._previous = key
        self._previous_flags_age = cost[1]

    def data(self, address: int, size: int, *, write: bool) -> None:
        """An access to memory behind the data cache.

        A write allocates its line too, but the store buffer hides what that costs.
        """
        first, last = address // LINE, (address + size - 1) // LINE
        if not write and size > 1 and address % min(size, 4):
            self._halves += HALVES * (UNALIGNED + (first != last))
        for line in range(first, last + 1):
            missing = self._dcache.touch(line)
            if missing and not write and self._kind_of(address) is MemoryKind.FLASH:
                self._halves += FLASH_LINE_HALVES

    def _load(self, address: int, size: int) -> _Block:
        instructions = self._decoder.block(self._read_code(address, size), address)
        cached = self._kind_of(address) is not MemoryKind.TCM
        lines = range(address // LINE, (address + max(size, 1) - 1) // LINE + 1) if cached else ()
        last = instructions[-1] if instructions else None
        return _Block(
            instructions=instructions,
            lines=tuple(lines),
            end=address + size,
            conditional=last is not None and last.conditional_branch,
            indirect=last is not None and last.indirect,
            checked=-1,
        )

    def _cost(self, previous: tuple[int, int] | None, key: tuple[int, int]) -> tuple[int, int]:
        """Half cycles of a block after another: what both take together less the first's own."""
        block = self._blocks[key]
        if previous is None or previous not in self._blocks:
            alone = schedule(block.instructions)
            return alone.cycles * HALVES, alone.flags_age
        before = self._alone.get(previous)
        if before is None:
            before = schedule(self._blocks[previous].instructions)
            self._alone[previous] = before
        both = schedule(self._blocks[previous].instructions + block.instructions)
        return max(0, both.cycles - before.cycles) * HALVES, both.flags_age

    def _branch(self, previous: tuple[int, int], address: int) -> int:
        """Half cycles that a wrong guess at the end of the previous block costs."""
        block = self._blocks.get(previous)
        if block is None:
            return 0
        wrong = False
        if block.conditional:
            taken = address != block.end
            counter = self._takes.get(previous[0] + previous[1], 2 if address < block.end else 1)
            wrong = (counter >= 2) != taken
            counter = min(3, counter + 1) if taken else max(0, counter - 1)
            self._takes[previous[0] + previous[1]] = counter
        elif block.indirect:
            wrong = self._targets.get(block.end) != address
            self._targets[block.end] = address
        if not wrong:
            return 0
        self.mispredicted += 1
        early = self._previous_flags_age >= FLAGS_EARLY
        return HALVES * (MISPREDICTED_FLAGS_EARLY if early else MISPREDICTED)
