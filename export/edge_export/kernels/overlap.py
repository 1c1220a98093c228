"""How far a window kernel's result must start before its operand so that it may lie over it.

Such a kernel visits output pixels in order, so what it writes and what it has still to read both
move upwards. The result is safe where it stays below the operand's bytes that are still needed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from edge_export.aot.program import FieldValue


@dataclass(frozen=True)
class Windows:
    """The geometry of a convolution or pooling. Sizes in pixels; NHWC."""

    in_h: int
    in_w: int
    in_c: int
    out_h: int
    out_w: int
    out_c: int
    stride_h: int
    stride_w: int
    pad_h: int
    pad_w: int

    @classmethod
    def of(cls, fields: Iterable[tuple[str, FieldValue]]) -> Windows:
        """From the members of a kernel's parameter struct, which go by the same names."""
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{n: v for n, v in fields if n in names and isinstance(v, int)})


def overlap_distance(windows: Windows, tile: int = 1, gathered: bool = False) -> int:
    """Bytes (int8) that the result has to start before the operand; never negative.

    The kernel computes `tile` output pixels at a time, all channels of them. `gathered`: it has
    read a tile's windows before it writes any of the tile.
    """
    g = windows
    rows = np.maximum(np.arange(g.out_h) * g.stride_h - g.pad_h, 0)
    columns = np.maximum(np.arange(g.out_w) * g.stride_w - g.pad_w, 0)
    lowest = ((rows[:, None] * g.in_w + columns[None, :]) * g.in_c).reshape(-1)
    # A later window may reach lower again: those at the upper border all start in row 0.
    needed = np.minimum.accumulate(lowest[::-1])[::-1]
    pixels = lowest.size
    starts = np.arange(0, pixels, tile)
    ends = np.minimum(starts + tile, pixels)
    if gathered:
        # While a tile is written, the first byte still to be read is the next tile's.
        written, read = ends[:-1] * g.out_c, needed[ends[:-1]]
    else:
        written, read = ends * g.out_c, needed[starts]
    return max(0, int(np.max(written - read, initial=0)))
