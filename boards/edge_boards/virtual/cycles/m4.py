"""Cycles of a counted run on a Cortex-M4 that runs from STM32L4 flash, block by block.

The machine tells, in one trace, which basic blocks start and which instructions access flash. RAM
has no wait states and is not reported. Blocks are scheduled one by one: what the pipeline still
holds at a branch overlaps with nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from edge_boards.virtual.native import (
    TRACE_DATA,
    TRACE_PC_BYTES,
    TRACE_PC_SHIFT,
    TRACE_SIZE_MASK,
)

from .art import DOUBLE_WORD, Lines
from .decode import Decoder, Instruction, Unit
from .m4_timing import straight_cycles, taken_cycles

INSTRUCTION_LINES, DATA_LINES = 32, 8
NOTHING = -2  # a double word that none follows


@dataclass(frozen=True)
class FlashSettings:
    """What FLASH_ACR says."""

    wait_states: int
    instruction_cache: bool
    data_cache: bool
    prefetch: bool


@dataclass(slots=True)
class _Block:
    """A basic block, decoded once. `cycles` by which of its instructions access flash."""

    instructions: tuple[Instruction, ...]
    address: int
    end: int
    words: range  # double words of flash that it lies in; empty in RAM
    jumps: bool
    first_size: int
    cycles: dict[tuple[int, ...], int] = field(default_factory=dict)
    checked: int = -1  # generation of the instruction lines when all words were last seen there


class CycleModel:
    """Counts modelled cycles.

    `read_code(address, size)` gives the bytes of a block, `in_flash(address)` whether it lies in
    flash, `settings()` how the flash is set up now.
    """

    def __init__(
        self,
        read_code: Callable[[int, int], bytes],
        in_flash: Callable[[int], bool],
        settings: Callable[[], FlashSettings],
    ) -> None:
        self._read_code = read_code
        self._in_flash = in_flash
        self._settings = settings
        self._decoder = Decoder()
        self._blocks: dict[int, _Block] = {}
        self._instructions = Lines(INSTRUCTION_LINES)
        self._data = Lines(DATA_LINES)
        self._flash = settings()
        self._pending: tuple[int, int] | None = None
        self._far: list[tuple[int, int]] = []  # of the pending block: instruction, data address
        self._previous: _Block | None = None
        self._fetched = NOTHING  # the double word fetched last
        self._cycles = 0

    @property
    def cycles(self) -> int:
        """Modelled cycles so far."""
        return self._cycles

    def restart(self) -> None:
        """Counting starts anew after a gap: nothing is known of the pipeline; caches stay warm."""
        self._flash = self._settings()
        self._previous = None
        self._pending = None
        self._fetched = NOTHING
        self._far.clear()

    def feed(self, words: Sequence[int]) -> None:
        """A piece of a trace: address and what it was, in turns.

        A block is charged when the next begins, since only then is it known whether an interrupt
        cut it short and where its branch went. `finish` charges the last.
        """
        pending, far = self._pending, self._far
        for at in range(0, len(words), 2):
            address, what = words[at], words[at + 1]
            if what < TRACE_DATA:
                if pending is not None:
                    self._run(*pending)
                pending = (address, what)
            elif what & TRACE_DATA:
                if pending is not None:
                    begun = pending[0]
                    offset = (what >> TRACE_PC_SHIFT << 1) - begun & TRACE_PC_BYTES - 1
                    for byte in range(0, what & TRACE_SIZE_MASK, DOUBLE_WORD):
                        far.append((begun + offset, address + byte))
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
            block = self._blocks[key] = self._load(address, size)
        previous = self._previous
        if previous is not None and previous.jumps and address != previous.end:
            self._cycles += taken_cycles(address, block.first_size)
        far = tuple(pc for pc, _ in self._far) if self._far else ()
        cycles = block.cycles.get(far)
        if cycles is None:
            cycles = block.cycles[far] = straight_cycles(block.instructions, frozenset(far))
        self._cycles += cycles
        if self._flash.wait_states:
            self._fetch(block, cycles)
            for _, data in self._far:
                self._read(data)
        self._far.clear()
        self._previous = block

    def _fetch(self, block: _Block, cycles: int) -> None:
        """Charges what the block's instructions wait for the flash.

        With prefetch, the next double word is read while the core works on the one before.
        """
        flash, lines = self._flash, self._instructions
        if not block.words:
            self._fetched = NOTHING
            return
        if flash.instruction_cache and block.checked == lines.generation:
            # Its lines count as used again once something has been dropped.
            self._fetched = block.words[-1]
            return
        share = cycles * DOUBLE_WORD / max(1, block.end - block.address)
        generation = lines.generation
        for word in block.words:
            if word == self._fetched:
                continue  # the current line, still at hand
            follows = word == self._fetched + 1
            self._fetched = word
            if flash.instruction_cache and not lines.touch(word):
                continue
            wait = flash.wait_states
            if flash.prefetch and follows:
                wait = max(0, wait + 1 - round(share))
            self._cycles += wait
        block.checked = generation if generation == lines.generation else -1

    def _read(self, address: int) -> None:
        """A constant in flash."""
        if not self._flash.data_cache or self._data.touch(address // DOUBLE_WORD):
            self._cycles += self._flash.wait_states

    def _load(self, address: int, size: int) -> _Block:
        instructions = self._decoder.block(self._read_code(address, size), address)
        end = address + size
        words = range(0)
        if self._in_flash(address):
            words = range(address // DOUBLE_WORD, (end - 1) // DOUBLE_WORD + 1)
        last = instructions[-1] if instructions else None
        jumps = last is not None and (last.unit is Unit.BRANCH or last.indirect)
        return _Block(
            instructions=instructions,
            address=address,
            end=end,
            words=words,
            jumps=jumps,
            first_size=instructions[0].size if instructions else 2,
        )
