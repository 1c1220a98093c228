"""Set-associative caches by line numbers: hit or miss, nothing else is kept.

Replacement is first in, first out. Silicon's is pseudo-random; FIFO is as blind to use, and makes
the same image cost the same each time.
"""

from __future__ import annotations

LINE = 32  # bytes, both caches of a Cortex-M7


class Cache:
    """`size` bytes in `ways` ways; `touch(line)` tells whether a line was missing."""

    def __init__(self, size: int, ways: int) -> None:
        self._sets = size // LINE // ways
        self._ways = ways
        self.resident: set[int] = set()
        self._order: list[list[int]] = [[] for _ in range(self._sets)]
        self.misses = 0
        self.generation = 0  # changes whenever any line does

    def touch(self, line: int) -> bool:
        """Brings `line` (address // 32) in. True if it was not there."""
        if line in self.resident:
            return False
        order = self._order[line % self._sets]
        if len(order) == self._ways:
            self.resident.discard(order.pop(0))
        order.append(line)
        self.resident.add(line)
        self.misses += 1
        self.generation += 1
        return True

    def clear(self) -> None:
        self.resident.clear()
        for order in self._order:
            order.clear()
        self.generation += 1
