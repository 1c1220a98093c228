"""How far a board's outputs are from what was expected."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_export.verify import max_abs_diff

Array = npt.NDArray[np.generic]


class Distance:
    """Over all inferences that were added.

    `relative`: of what is computed in floating point, where compilers may add in another order,
    the difference is taken by the largest expected output.
    """

    def __init__(self, relative: bool = False) -> None:
        self._relative = relative
        self.largest = 0.0
        self.none = True

    def add(self, expected: Sequence[Array], raw: Sequence[bytes]) -> bool:
        """Adds one inference's outputs; whether they are the same, byte for byte."""
        same = True
        for wanted, content in zip(expected, raw, strict=True):
            found = np.frombuffer(content, wanted.dtype).reshape(wanted.shape)
            difference = max_abs_diff(wanted, found)
            if self._relative and difference:
                largest = float(np.abs(wanted.astype(np.float64)).max())
                difference = difference / largest if largest else float("inf")
            self.largest = max(self.largest, difference)
            # Bytes, not values: 0.0 equals -0.0, and no NaN equals itself.
            same &= np.ascontiguousarray(wanted).tobytes() == content
        self.none &= same
        return same
