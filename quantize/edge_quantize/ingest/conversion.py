"""What a way in gives back, and how far it is from the model that went in."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import UnsoundResultError
from edge_quantize.graph.model import Graph
from edge_quantize.reference import LiteRtReference

Arrays = tuple[npt.NDArray[Any], ...]
Say = Callable[[str], None]
"""Called with what is about to take a while."""

# float32 sums in another order differ by less in every model tried; a wrong layout, a dropped layer
# or a wrong padding by far more.
TOLERANCE = 1e-4
SAMPLES = 4


@dataclass(frozen=True)
class Comparison:
    """The converted model against its source, on pseudo-random inputs.

    `max_relative` is the largest difference of any output, over the largest magnitude that this
    output has in the source framework.
    """

    against: str
    samples: int
    max_relative: float
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class Conversion:
    """A float model as a graph of batch 1, compared with what it was made from."""

    graph: Graph
    kind: str  # what the source is: "Keras file", "SavedModel", ...
    framework: str  # what read it, with its version
    notes: tuple[str, ...]  # what was specialised, renamed or laid out in another way
    comparison: Comparison


@dataclass(frozen=True)
class Request:
    """What is asked of a way in, beside the model."""

    example_input: Any = None  # arrays or tensors: fixes open dimensions, and is what torch traces
    signature: str | None = None  # of a SavedModel
    say: Say = lambda _: None


def random_inputs(graph: Graph, samples: int = SAMPLES, seed: int = 0) -> list[Arrays]:
    """Standard normal and uniform 0..1 in turn; 0 and 1 for integers, which may be indices."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(samples):
        row = []
        for tensor in (graph.tensors[i] for i in graph.inputs):
            if tensor.dtype.numpy.kind == "f":
                draw = random.standard_normal if number % 2 == 0 else random.random
                values = np.asarray(draw(tensor.shape))
            else:
                values = np.asarray(random.integers(0, 2, tensor.shape))
            row.append(values.astype(tensor.dtype.numpy))
        rows.append(tuple(row))
    return rows


def compared(
    graph: Graph, run: Callable[[Arrays], Sequence[npt.NDArray[Any]]], against: str
) -> Comparison:
    """`graph` in LiteRT against `run`, the source framework on the same inputs.

    Raises UnsoundResultError when they are further apart than the tolerance.
    """
    rows = random_inputs(graph)
    return compared_pairs(graph, ((row, tuple(run(row))) for row in rows), against)


def compared_pairs(
    graph: Graph, pairs: Iterable[tuple[Arrays, Arrays]], against: str
) -> Comparison:
    """`graph` against recorded (inputs, outputs) of the source. Raises as `compared` does."""
    keeps_state = any(tensor.is_variable for tensor in graph.tensors)
    reference = LiteRtReference(graph)
    columns: list[tuple[list[Any], list[Any]]] = [([], []) for _ in graph.outputs]
    samples = 0
    for inputs, expected in pairs:
        samples += 1
        if keeps_state and samples > 1:
            reference = LiteRtReference(graph)  # the source starts each sample anew
        for column, ours, theirs in zip(columns, reference.run(inputs), expected, strict=True):
            if ours.shape != theirs.shape:
                raise UnsoundResultError(
                    f"the converted model's output has shape {list(ours.shape)}, {against} gives "
                    f"{list(theirs.shape)}"
                )
            column[0].append(ours)
            column[1].append(theirs)
    worst = 0.0
    for index, (made, wanted) in zip(graph.outputs, columns, strict=True):
        apart = relative_difference(np.stack(made), np.stack(wanted))
        if not apart <= TOLERANCE:
            raise UnsoundResultError(
                f"the converted model is not the same: output '{graph.tensors[index].name}' "
                f"differs from {against} by {apart:.2g} of its largest value (at most "
                f"{TOLERANCE:g} is allowed); nothing was written"
            )
        worst = max(worst, apart)
    return Comparison(against, samples, worst)


def relative_difference(ours: npt.NDArray[Any], theirs: npt.NDArray[Any]) -> float:
    """Largest |difference| over the largest |value| of `theirs`; infinite where only one of the two
    is finite."""
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    finite = np.isfinite(theirs)
    if not np.array_equal(ours[~finite], theirs[~finite], equal_nan=True):
        return float("inf")
    if not np.all(np.isfinite(ours[finite])):
        return float("inf")
    scale = float(np.max(np.abs(theirs[finite]), initial=0.0))
    apart = float(np.max(np.abs(ours[finite] - theirs[finite]), initial=0.0))
    return 0.0 if apart == 0 else apart / scale if scale else float("inf")
