"""What a check feeds to a model: a user's samples, or pseudo-random numbers of a fixed seed.

Rows are kept in real numbers wherever an input is quantized, so that every variant of a model,
float or int8, is fed the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_quantize.data import Samples
from edge_quantize.errors import InputDataError
from edge_quantize.graph import DType, Graph, Quantization, Tensor
from edge_quantize.graph.edit import readers
from edge_quantize.run import quantized, real

Array = npt.NDArray[np.generic]
Row = tuple[Array, ...]
SEED = 1
_LOOKS_UP = {"GATHER": (1, 0), "EMBEDDING_LOOKUP": (0, 1)}  # (indices, table) among the operands


@dataclass(frozen=True, eq=False)
class Probe:
    """`rows` has one array for each input, in the model's order and of its shape: real numbers
    (float32) for quantized inputs, the tensor's own type for others. `source` says where they are
    from."""

    rows: tuple[Row, ...]
    source: str

    def fed(self, graph: Graph, number: int) -> Row:
        """Row `number` as the inputs of `graph`, one variant of the model, take it.

        Raises InputDataError when the variant's inputs are others.
        """
        row, tensors = self.rows[number], [graph.tensors[index] for index in graph.inputs]
        if [a.shape for a in row] != [t.shape for t in tensors]:
            raise InputDataError(
                f"{graph.name}: its inputs are {[list(t.shape) for t in tensors]}, the samples "
                f"are {[list(a.shape) for a in row]}"
            )
        return tuple(quantized(a, t) for a, t in zip(row, tensors, strict=True))


def from_samples(graph: Graph, samples: Samples) -> Probe:
    """A user's samples, which were loaded for `graph`."""
    tensors = [graph.tensors[index] for index in graph.inputs]
    rows = tuple(
        tuple(
            (array if array.dtype.kind == "f" else _as_real(array, tensor)).reshape(tensor.shape)
            for array, tensor in zip(row, tensors, strict=True)
        )
        for row in samples.rows()
    )
    return Probe(rows, samples.source)


def pseudo_random(graph: Graph, count: int, seed: int = SEED) -> Probe:
    """Quantized inputs over all of their type, float ones over the range that the model is known to
    take (a QUANTIZE behind them), else normally distributed; indices within their table.

    Raises InputDataError for a type that has no numbers.
    """
    random = np.random.default_rng(seed)
    tensors = [graph.tensors[index] for index in graph.inputs]
    kinds: list[str] = []
    rows = []
    for _ in range(count):
        drawn = [_drawn(graph, tensor, random) for tensor in tensors]
        rows.append(tuple(array for array, _ in drawn))
        kinds = list(dict.fromkeys(kind for _, kind in drawn))
    return Probe(tuple(rows), f"pseudo-random, {' and '.join(kinds)} (seed {seed})")


def _as_real(array: Array, tensor: Tensor) -> Array:
    if tensor.quantization is None:
        return array.astype(tensor.dtype.numpy)
    return real(array, tensor.quantization)


def _drawn(graph: Graph, tensor: Tensor, random: np.random.Generator) -> tuple[Array, str]:
    if tensor.dtype in (DType.FLOAT32, DType.FLOAT16):
        known = _known_range(graph, tensor)
        if known is None:
            normal = random.standard_normal(tensor.shape, np.float32)
            return normal.astype(tensor.dtype.numpy), "normally distributed"
        values = _uniform(known.dtype, tensor.shape, random)
        return real(values, known.quantization), f"over what its {known.dtype.value} holds"
    if tensor.dtype is DType.BOOL:
        return random.integers(0, 2, tensor.shape).astype(np.bool_), "true or false"
    if tensor.dtype.opaque or tensor.dtype.numpy.kind not in "iu":
        raise InputDataError(
            f"input '{tensor.name}' is {tensor.dtype.value}: no pseudo-random data for it; give "
            "samples with --data"
        )
    entries = _table_entries(graph, tensor)
    if entries:
        indices = random.integers(0, entries, tensor.shape)
        return indices.astype(tensor.dtype.numpy), f"indices under {entries}"
    values = _uniform(tensor.dtype, tensor.shape, random)
    return _as_real(values, tensor), f"over all of {tensor.dtype.value}"


def _uniform(dtype: DType, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    limits = np.iinfo(dtype.numpy.name)
    return random.integers(limits.min, limits.max, shape, dtype.numpy, endpoint=True)


@dataclass(frozen=True)
class _Known:
    dtype: DType
    quantization: Quantization


def _known_range(graph: Graph, tensor: Tensor) -> _Known | None:
    """What a QUANTIZE right behind a float input makes of it tells the range it was made for."""
    for operator in readers(graph).get(tensor.index, []):
        result = graph.results(operator)[0]
        if operator.op == "QUANTIZE" and result.quantization is not None:
            return _Known(result.dtype, result.quantization)
    return None


def _table_entries(graph: Graph, tensor: Tensor) -> int:
    """How many entries the smallest table has that `tensor` indexes; 0 where it indexes none."""
    found = []
    for operator in readers(graph).get(tensor.index, []):
        if operator.op in _LOOKS_UP:
            indices, table = (operator.inputs[at] for at in _LOOKS_UP[operator.op])
            axis = 0 if operator.op != "GATHER" else int(getattr(operator.options, "axis", 0) or 0)
            if indices == tensor.index and graph.tensors[table].shape:
                found.append(graph.tensors[table].shape[axis])
    return min(found, default=0)
