"""TFLM's greedy memory planner: where in the head each buffer of a model lies.

The algorithm of `memory_planner/greedy_memory_planner.cc`, to the same offsets: buffers of a fixed
offset first; then the largest first, of equals the one that was added last; each at the lowest
offset that is free for as long as it lives.
"""

from __future__ import annotations

from bisect import insort_right
from collections.abc import Sequence
from dataclasses import dataclass

NO_OFFSET = -1
"""kOnlinePlannedBuffer: the planner chooses."""


@dataclass(frozen=True)
class Buffer:
    """What has to lie in the head. `size` in bytes, a multiple of the alignment; `first` and
    `last` are the scopes (one an operator, 0 before them) that use it, inclusive."""

    size: int
    first: int
    last: int
    offset: int = NO_OFFSET

    def alive_with(self, other: Buffer) -> bool:
        return self.first <= other.last and other.first <= self.last


def plan(buffers: Sequence[Buffer]) -> tuple[int, ...]:
    """The offset in bytes of each of `buffers`, in their order."""
    fixed = [i for i, b in enumerate(buffers) if b.offset != NO_OFFSET]
    free = [i for i, b in enumerate(buffers) if b.offset == NO_OFFSET]
    # TFLM lists the free ones from the last to the first, then sorts without reordering equals.
    free.sort(key=lambda i: (-buffers[i].size, -i))
    offsets = [b.offset for b in buffers]
    placed: list[tuple[int, int]] = []  # (offset, index), by offset, of equals the older first
    for index in fixed + free:
        if offsets[index] == NO_OFFSET:
            offsets[index] = _gap(buffers, placed, buffers[index])
        insort_right(placed, (offsets[index], index), key=lambda entry: entry[0])
    return tuple(offsets)


def _gap(buffers: Sequence[Buffer], placed: list[tuple[int, int]], wanted: Buffer) -> int:
    """The lowest offset at which `wanted` overlaps nothing that lives when it does."""
    candidate = 0
    for offset, index in placed:
        other = buffers[index]
        if not other.alive_with(wanted):
            continue
        if offset - candidate >= wanted.size:
            break
        candidate = max(candidate, offset + other.size)
    return candidate


def height(buffers: Sequence[Buffer], offsets: Sequence[int]) -> int:
    """Bytes from the head's start to the end of what lies highest."""
    return max((o + b.size for b, o in zip(buffers, offsets, strict=True)), default=0)
