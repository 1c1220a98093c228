"""Samples: inputs of a model, with labels where there are any."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import InputDataError

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, eq=False)
class Samples:
    """`inputs` has one array for each input of the model, in its order; axis 0 counts the samples,
    the other axes are the input's own without its batch of 1. `labels` has the same axis 0: class
    indices (integers, 1-D), or targets of the output's shape."""

    inputs: tuple[Array, ...]
    labels: Array | None = None
    source: str = ""  # where they come from, as reports say it
    notes: tuple[str, ...] = ()  # what is odd about them and no error, a line each

    def __post_init__(self) -> None:
        counts = {len(array) for array in self.inputs}
        if self.labels is not None:
            counts.add(len(self.labels))
        if len(counts) != 1:
            raise InputDataError(
                f"{self.source or 'samples'}: inputs and labels differ in number: {sorted(counts)}"
            )

    def __len__(self) -> int:
        return len(self.inputs[0])

    def take(self, rows: slice | npt.NDArray[np.integer] | list[int]) -> Samples:
        """Some of the samples, in the order given."""
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, inputs=tuple(array[rows] for array in self.inputs), labels=labels)

    def rows(self) -> Iterator[tuple[Array, ...]]:
        """The samples one by one, each array with a batch of 1 in front."""
        for index in range(len(self)):
            yield tuple(array[index : index + 1] for array in self.inputs)

    def split(self, held_back: float, seed: int = 0) -> tuple[Samples, Samples]:
        """(the larger part, the part held back), disjoint and shuffled by `seed`.

        With class labels each class is split by itself. Raises InputDataError when a part would be
        empty.
        """
        random = np.random.default_rng(seed)
        order = random.permutation(len(self))
        if self.labels is not None and self.labels.ndim == 1 and self.labels.dtype.kind in "iu":
            last: list[int] = []
            for label in np.unique(self.labels):
                members = order[self.labels[order] == label]
                last += members[: round(held_back * len(members))].tolist()
        else:
            last = order[: round(held_back * len(order))].tolist()
        back = np.asarray(sorted(last), np.intp)
        first = np.setdiff1d(np.arange(len(self)), back)
        if not len(first) or not len(back):
            raise InputDataError(
                f"{self.source or 'samples'}: {len(self)} samples are too few to hold back "
                f"{held_back:.0%} of them"
            )
        return self.take(first), self.take(back)
