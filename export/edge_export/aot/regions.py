"""A board's memories as the planner sees them."""

from __future__ import annotations

from edge_boards.board import Board

from .memory import Region

# Activations go to the fastest data memory that fits. Memories from `ON_REQUEST` on take
# something only when a plan file says so: the ITCM is kept for code.
_PREFERENCE = {"dtcm": 0, "sram": 1, "sdram": 2, "itcm": 100, "flash": 200, "qspi": 201}
ON_REQUEST = 100


def regions(board: Board) -> tuple[Region, ...]:
    """The board's memories, most wanted first; capacity is what runtime and stack leave over."""
    found = [
        Region(
            name=memory.name,
            capacity=memory.available,
            writable=memory.writable,
            preference=_PREFERENCE.get(memory.kind, ON_REQUEST - 1),
        )
        for memory in board.memories
    ]
    return tuple(sorted(found, key=lambda region: (region.preference, region.name)))
