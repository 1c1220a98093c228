"""Cycles of a counted run on a Cortex-M7, block by block.

The machine tells the model, in one trace, which basic blocks start and which data addresses behind
the caches are read or written. Tightly coupled memories cost nothing beyond the issue rules and
need not be reported. All sums are kept in half cycles, since a flash line costs 7.5.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge_boards.virtual.native import TRACE_DATA, TRACE_SIZE_MASK, TRACE_WRITE

from .caches import LINE, Cache
from .decode import Decoder, Instruction
from .m7_issue import Cost, schedule

HALVES = 2
_LINE_BITS = LINE.bit_length() - 1
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


@dataclass(slots=True)
class _Block:
    """A basic block, decoded once. `after` holds (half cycles, flags age) by the block before."""

    instructions: tuple[Instruction, ...]
    alone: Cost
    lines: tuple[int, ...]  # code lines behind the instruction cache; empty in TCM
    end: int
    conditional: bool
    indirect: bool
    after: dict[int, tuple[int, int]] = field(default_factory=dict)
    checked: int = -1  # generation of the instruction cache when all lines were last seen there
    taken: int = -1  # two-bit counter of the branch at the end; -1: never seen
    target: int = -1  # last target of an indirect branch


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
        self._blocks: dict[int, _Block] = {}
        self._icache = Cache(CACHE_BYTES, ICACHE_WAYS)
        self._dcache = Cache(CACHE_BYTES, DCACHE_WAYS)
        self._pending: tuple[int, int] | None = None
        self._previous: _Block | None = None
        self._previous_key = 0
        self._flags_age = 0
        self._halves = 0
        self.mispredicted = 0

    @property
    def cycles(self) -> int:
        """Modelled cycles so far, rounded down."""
        return self._halves // HALVES

    def restart(self) -> None:
        """Counting starts anew after a gap: nothing is known of the pipeline; caches stay warm."""
        self._previous = None
        self._pending = None

    def feed(self, words: Sequence[int]) -> None:
        """A piece of a trace: address and what it was, in turns.

        A block is charged when the next begins, since only then is it known whether an interrupt
        cut it short and where its branch went. `finish` charges the last.
        """
        # A million turns a second of modelled time: everything that is looked up stands here.
        resident = self._dcache.resident
        pending = self._pending
        for at in range(0, len(words), 2):
            address, what = words[at], words[at + 1]
            if what < TRACE_DATA:
                if pending is not None:
                    self._run(*pending)
                pending = (address, what)
            elif what & TRACE_DATA:
                size = what & TRACE_SIZE_MASK
                line = address >> _LINE_BITS
                if (
                    line not in resident
                    or (address + size - 1) >> _LINE_BITS != line
                    or (size > 1 and address % min(size, 4))
                ):
                    self._far_data(address, size, bool(what & TRACE_WRITE))
            elif pending is not None:
                # The block was interrupted; what is left of it comes as a block of its own.
                pending = (pending[0], address - pending[0]) if address > pending[0] else None
        self._pending = pending

    def finish(self) -> None:
        """Charges the last block of a trace."""
        if self._pending is not None:
            self._run(*self._pending)
            self._pending = None

    def _run(self, address: int, size: int) -> None:
        """The basic block of `size` bytes at `address` runs."""
        key = address << 16 | size
        block = self._blocks.get(key)
        if block is None:
            block = self._load(address, size)
            self._blocks[key] = block
        previous = self._previous
        if previous is None:
            self._halves += block.alone.cycles * HALVES
            self._flags_age = block.alone.flags_age
        else:
            cost = block.after.get(self._previous_key)
            if cost is None:
                both = schedule(previous.instructions + block.instructions)
                cost = (max(0, both.cycles - previous.alone.cycles) * HALVES, both.flags_age)
                block.after[self._previous_key] = cost
            if previous.conditional or previous.indirect:
                self._branch(previous, address)
            self._halves += cost[0]
            self._flags_age = cost[1]
        if block.checked != self._icache.generation:
            for line in block.lines:
                if self._icache.touch(line):
                    self._halves += FLASH_LINE_HALVES
            block.checked = self._icache.generation
        self._previous = block
        self._previous_key = key

    def _branch(self, block: _Block, target: int) -> None:
        """Charges a wrong guess at the end of `block`."""
        if block.conditional:
            went = target != block.end
            if block.taken < 0:
                block.taken = 2 if target < block.end else 1  # backward taken, forward not
            wrong = (block.taken >= 2) != went
            block.taken = min(3, block.taken + 1) if went else max(0, block.taken - 1)
        else:
            wrong = block.target != target
            block.target = target
        if wrong:
            self.mispredicted += 1
            early = self._flags_age >= FLAGS_EARLY
            self._halves += HALVES * (MISPREDICTED_FLAGS_EARLY if early else MISPREDICTED)

    def _far_data(self, address: int, size: int, write: bool) -> None:
        """An access that is unaligned, or to a line that may be missing.

        A write allocates its line too, but the store buffer hides what that costs.
        """
        first, last = address >> _LINE_BITS, (address + size - 1) >> _LINE_BITS
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
            alone=schedule(instructions),
            lines=tuple(lines),
            end=address + size,
            conditional=last is not None and last.conditional_branch,
            indirect=last is not None and last.indirect,
        )
