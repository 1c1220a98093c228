"""The ART accelerator of the STM32L4's flash interface (RM0432 chapter 3): what is at hand.

Flash is read by double words of 64 bits. What was read is kept in lines of four double words, 32
lines for instructions and 8 for constants, the least recently used line replaced. A line is taken
to be filled by what was asked for alone: the manual says that "the line read" is copied, and calls
one read of the flash a line.
"""

from __future__ import annotations

from collections import OrderedDict

DOUBLE_WORD = 8
_WORD_BITS = 3
_LINE_BITS = 5  # 4 double words


class Lines:
    """A cache of `count` lines. Double words are numbered: address // 8."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._lines: OrderedDict[int, int] = OrderedDict()  # line number: bits of double words
        self.generation = 0
        """Changes whenever something is dropped."""

    def touch(self, double_word: int) -> bool:
        """Asks for a double word. True if it was not there; it is now."""
        line = double_word >> _LINE_BITS - _WORD_BITS
        bit = 1 << (double_word & 3)
        held = self._lines.get(line)
        if held is None:
            if len(self._lines) == self._count:
                self._lines.popitem(last=False)
                self.generation += 1
            self._lines[line] = bit
            return True
        self._lines.move_to_end(line)
        if held & bit:
            return False
        self._lines[line] = held | bit
        return True
