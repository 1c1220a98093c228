"""The generated C on this machine against the host reference, down to the first layer that differs.

What is compared and how far apart it may be is said in words: bit-exact, within N LSB, or the
layer where the two part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_quantize.graph import Graph, Tensor
from edge_quantize.reference import Reference

from .host import HostModel

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Difference:
    """The first layer whose output differs, with its first differing element."""

    input_number: int
    layer: int
    name: str
    op: str
    element: tuple[int, ...]  # index into the layer's output
    expected: float
    actual: float


@dataclass(frozen=True)
class HostVerdict:
    """How far the generated C is from the reference. Differences are in units of the output."""

    reference: str
    inputs: int
    bit_exact: bool
    max_abs_diff: float
    first_difference: Difference | None

    def __str__(self) -> str:
        many = "1 input" if self.inputs == 1 else f"{self.inputs} inputs"
        if self.bit_exact:
            return f"bit-exact to {self.reference} on {many}"
        text = f"within {self.max_abs_diff:g} LSB of {self.reference} on {many}"
        first = self.first_difference
        if first is not None:
            text += (
                f"; first differing layer {first.name} ({first.op}), element "
                f"{list(first.element)}: {first.expected:g} there, {first.actual:g} here"
            )
        return text


def verify_host(
    graph: Graph,
    model: HostModel,
    reference: Reference,
    inputs: Iterable[Sequence[Array]],
    progress: Callable[[int], None] | None = None,
) -> HostVerdict:
    """Runs every input through both. `progress` is called with the number done.

    `reference` must keep its intermediate tensors (`preserve=True`); they are compared only for
    the first input whose output differs. Only equality with a reference that is bit-exact itself
    counts as bit-exact.
    """
    count, largest, exact = 0, 0.0, True
    first: Difference | None = None
    for arrays in inputs:
        wanted = reference.run(arrays)
        found = model.run(arrays)
        worst = max((max_abs_diff(a, b) for a, b in zip(wanted, found, strict=True)), default=0.0)
        if not _same(wanted, found):
            exact = False
            largest = max(largest, worst)
            if first is None:
                first = first_difference(graph, model, reference, arrays, count)
        count += 1
        if progress is not None:
            progress(count)
    return HostVerdict(reference.name, count, exact and reference.bit_exact, largest, first)


def _same(wanted: Sequence[Array], found: Sequence[Array]) -> bool:
    return len(wanted) == len(found) and all(
        np.ascontiguousarray(a).tobytes() == np.ascontiguousarray(b).tobytes()
        for a, b in zip(wanted, found, strict=True)
    )


def max_abs_diff(a: Array, b: Array) -> float:
    """The largest absolute difference of two arrays of one size; NaN against a number is inf."""
    if a.size == 0:
        return 0.0
    left = a.reshape(-1).astype(np.float64)
    right = b.reshape(-1).astype(np.float64)
    difference = np.abs(left - right)
    difference[np.isnan(left) & np.isnan(right)] = 0.0
    return float(np.nan_to_num(difference, nan=np.inf).max())


def first_difference(
    graph: Graph,
    model: HostModel,
    reference: Reference,
    arrays: Sequence[Array],
    input_number: int = 0,
) -> Difference | None:
    """The first layer, in execution order, whose output differs from the reference's."""
    reference.run(arrays)
    tensors = reference.tensors()
    for output in model.run_steps(arrays):
        tensor = graph.results(graph.operators[output.layer])[0]
        expected = tensors.get(tensor.index)
        if expected is None:
            continue
        place = _first_element(tensor, expected, output.content)
        if place is not None:
            index, wanted, found = place
            return Difference(
                input_number, output.layer, output.name, output.op, index, wanted, found
            )
    return None


def _first_element(
    tensor: Tensor, expected: Array, content: bytes
) -> tuple[tuple[int, ...], float, float] | None:
    wanted = np.ascontiguousarray(expected).reshape(-1)
    found = np.frombuffer(content, wanted.dtype)[: wanted.size]
    # Compared as bytes: two NaNs of one pattern are the same, 0.0 and -0.0 are not.
    width = wanted.dtype.itemsize
    bits_wanted = np.frombuffer(wanted.tobytes(), np.uint8).reshape(-1, width)
    bits_found = np.frombuffer(found.tobytes(), np.uint8).reshape(-1, width)
    where = np.flatnonzero((bits_wanted != bits_found).any(axis=1))
    if where.size == 0:
        return None
    place = int(where[0])
    index = tuple(int(i) for i in np.unravel_index(place, tensor.shape or (1,)))
    return index, float(wanted[place].item()), float(found[place].item())
