"""The check behind every lossless result: both graphs run, and their outputs compared.

The passes rest on proofs; this is for mistakes in them. Inputs are pseudo-random and structured
ones: extremes, flat fields, checkerboards, single dots in corners and middle, where borders show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from edge_quantize.check import check_supported
from edge_quantize.errors import LosslessError
from edge_quantize.graph.analysis import operator_macs
from edge_quantize.graph.model import DType, Graph, Tensor
from edge_quantize.inputs import lcg_inputs
from edge_quantize.reference import LiteRtReference, Reference, TflmReference, tflm_available

Array = npt.NDArray[np.generic]
Arrays = tuple[Array, ...]
RANDOM_RUNS = 8
_LEAST_RUNS = 4
_MOST_MACS = 2_000_000_000  # in all: the reference kernels do some hundred million a second
TOLERANCE = 1e-6  # of float outputs, relative to the output's largest magnitude


def check_same(
    before: Graph,
    after: Graph,
    progress: Callable[[int, int, str], None] | None = None,
    random_runs: int = RANDOM_RUNS,
) -> str:
    """Compare two graphs' outputs; returns what was found, in words.

    Integer outputs must be equal, float ones within TOLERANCE. Runs tflite_micro where it takes
    both graphs, else LiteRT.

    Raises LosslessError where they differ, ReferenceRuntimeError or UnsupportedModelError when no
    runtime takes the graphs.
    """
    first, second = _runtimes(before, after)
    batches = [*random_batches(before, random_runs), *structured_batches(before)]
    macs = sum(operator_macs(before, operator) for operator in before.operators)
    # Of a large model fewer: random and structured ones by turns.
    affordable = max(_LEAST_RUNS, _MOST_MACS // max(1, macs))
    batches = batches[:: -(-len(batches) // affordable)]
    worst = 0.0
    for number, batch in enumerate(batches):
        if progress is not None:
            progress(number, len(batches), "checking")
        for index, one, other in zip(
            before.outputs, first.run(batch), second.run(batch), strict=True
        ):
            worst = max(worst, _difference(before.tensors[index], one, other))
    inputs = f"on {len(batches)} random and structured inputs in {first.name}"
    if worst == 0.0:
        return f"checked: outputs bit-identical {inputs}"
    return f"checked: outputs equal within {worst:.1e} of their largest {inputs}"


def _runtimes(before: Graph, after: Graph) -> tuple[Reference, Reference]:
    if tflm_available() and not check_supported(before) and not check_supported(after):
        return TflmReference(before, checked=True), TflmReference(after, checked=True)
    return LiteRtReference(before), LiteRtReference(after)


def _difference(
    tensor: Tensor, one: npt.NDArray[np.generic], other: npt.NDArray[np.generic]
) -> float:
    """How far a float output moved, relative to its largest magnitude; 0 for an integer one."""
    where = f"output '{tensor.name}'"
    if tensor.dtype is not DType.FLOAT32:
        if np.array_equal(one, other):
            return 0.0
        most = int(np.abs(one.astype(np.int64) - other.astype(np.int64)).max())
        raise LosslessError(
            f"{where}: differs by up to {most} after the lossless passes: a mistake of this tool; "
            "please report the model, and go on with --level 0"
        )
    a, b = one.astype(np.float64), other.astype(np.float64)
    finite = np.isfinite(a)
    if not np.array_equal(finite, np.isfinite(b)):
        raise LosslessError(f"{where}: NaN or infinity on one side only after the lossless passes")
    if not finite.any():
        return 0.0
    largest = float(np.abs(a[finite]).max())
    moved = float(np.abs(a[finite] - b[finite]).max()) / (largest or 1.0)
    if moved > TOLERANCE:
        raise LosslessError(
            f"{where}: moved by {moved:.1e} of its largest after the lossless passes, more than "
            f"{TOLERANCE:.0e}"
        )
    return moved


def random_batches(graph: Graph, count: int) -> Iterator[Arrays]:
    """Pseudo-random inputs, the same ones for the same graph."""
    state = 2
    for _ in range(count):
        arrays, state = lcg_inputs(graph, state)
        yield arrays


def structured_batches(graph: Graph) -> Iterator[Arrays]:
    """Inputs in whose outputs borders, extremes and single elements show."""
    tensors = [graph.tensors[index] for index in graph.inputs]
    for pattern in _PATTERNS:
        yield tuple(_scaled(tensor, pattern(tensor.shape)) for tensor in tensors)


def _scaled(tensor: Tensor, levels: npt.NDArray[np.float64]) -> npt.NDArray[np.generic]:
    """Levels 0..1 as the whole range of an element type."""
    if tensor.dtype is DType.FLOAT32:
        return (2.0 * levels - 1.0).astype(np.float32)
    dtype = tensor.dtype.numpy
    if dtype.kind == "b":
        return levels > 0.5
    limits = np.iinfo(dtype.name) if dtype.itemsize <= 2 else np.iinfo("int8")
    low, high = float(limits.min), float(limits.max)
    return np.rint(low + levels * (high - low)).astype(dtype)


def _places(shape: Sequence[int]) -> npt.NDArray[np.float64]:
    """The sum of each element's coordinates, the last dimension's left out where there are more."""
    grid = np.indices(tuple(shape))
    return np.asarray(grid[: max(1, len(shape) - 1)].sum(axis=0), np.float64)


def _dot(shape: tuple[int, ...], at: float) -> npt.NDArray[np.float64]:
    levels = np.zeros(shape)
    levels[tuple(round(at * (n - 1)) for n in shape)] = 1.0
    return levels


def _checkered(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    return _places(shape) % 2


def _ramp(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    places = _places(shape)
    return places / max(1.0, float(places.max(initial=0.0)))


def _frame(shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    levels = np.ones(shape)
    levels[tuple(slice(1, -1) if n > 2 else slice(None) for n in shape[:-1])] = 0.0
    return levels


_PATTERNS: tuple[Callable[[tuple[int, ...]], npt.NDArray[np.float64]], ...] = (
    np.zeros,
    np.ones,
    lambda shape: np.full(shape, 0.5),
    _checkered,
    lambda shape: 1.0 - _checkered(shape),
    _ramp,
    lambda shape: 1.0 - _ramp(shape),
    _frame,
    lambda shape: 1.0 - _frame(shape),
    lambda shape: _dot(shape, 0.0),
    lambda shape: _dot(shape, 0.5),
    lambda shape: _dot(shape, 1.0),
    lambda shape: 1.0 - _dot(shape, 0.0),
    lambda shape: 1.0 - _dot(shape, 1.0),
)
