"""The same rows on the CPU and on the GPU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .expected import Outputs
from .probe import Row


@dataclass(frozen=True, eq=False)
class Runs:
    """What both sides computed: one tuple of outputs a row, in the model's order. `again` is the
    GPU's answer to the first row, asked for once more after all others."""

    rows: tuple[Row, ...]
    cpu: tuple[Outputs, ...]
    gpu: tuple[Outputs, ...]
    again: Outputs

    def farthest(self, count: int) -> list[int]:
        """The rows on which the two sides are farthest apart, the worst first."""

        def apart(number: int) -> float:
            sides = zip(self.cpu[number], self.gpu[number], strict=True)
            with np.errstate(invalid="ignore", over="ignore"):
                found = [np.abs(a.astype(np.float64) - b.astype(np.float64)) for a, b in sides]
            return max(float(np.nan_to_num(d, nan=np.inf).max(initial=0.0)) for d in found)

        return sorted(range(len(self.rows)), key=apart, reverse=True)[:count]
