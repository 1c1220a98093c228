"""Single weights set to zero, and weights shared by clustering.

Neither makes a model faster: kernels multiply by zero as by anything else. Both make the file
smaller only where it is stored compressed, which is what `stored_int8` measures.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import PruningError
from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.ptq.recipe import Observer
from edge_quantize.ptq.weights import quantize_weights, weight_scales
from edge_quantize.run import Progress

from .structured import require_float

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

WEIGHTED_OPS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
_LEAST_CLUSTERS, _MOST_CLUSTERS = 2, 256
_LLOYD_STEPS = 50


@dataclass(frozen=True)
class Unstructured:
    """Which weights become zero: the smallest.

    `sparsity`: their share, between 0 and 1, of each layer, or of all layers together with
    `everywhere` (weights are then compared by their size relative to their layer's root mean
    square). `pattern` (n, m): instead, of each m weights in a row along a layer's inputs the n
    largest stay; rows that m does not divide keep their tail. Biases stay.
    """

    sparsity: float | None = None
    everywhere: bool = False
    pattern: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if (self.sparsity is None) == (self.pattern is None):
            raise PruningError("give one of sparsity and an N:M pattern, not both")
        if self.sparsity is not None and not 0 < self.sparsity < 1:
            raise PruningError(f"a sparsity of {self.sparsity:g} is not between 0 and 1")
        if self.pattern is not None and not 0 < self.pattern[0] < self.pattern[1]:
            n, m = self.pattern
            raise PruningError(f"a pattern of {n}:{m} is none: of M weights N stay, 0 < N < M")


@dataclass(frozen=True)
class LayerWeights:
    """One layer's weights: how many, how many of them are zero, how many distinct values."""

    name: str
    weights: int
    zeros: int
    distinct: int


@dataclass(frozen=True, eq=False)
class Reweighted:
    """A graph of the same shape with other weights."""

    graph: Graph
    layers: tuple[LayerWeights, ...]

    @property
    def zero_share(self) -> float:
        return sum(la.zeros for la in self.layers) / sum(la.weights for la in self.layers)


@dataclass(frozen=True)
class Stored:
    """Bytes of all layers' weights in one stream: as they are, and deflated (zlib, level 9)."""

    plain: int
    compressed: int


def stored_int8(graph: Graph, per_channel: bool = True) -> Stored:
    """The weights of all layers once they are int8, as `quantize` makes them: symmetric
    scales of least squared error, one an output channel or one in all."""
    parts = []
    for operator, tensor in _weighted(graph):
        axis = 3 if operator.op == "DEPTHWISE_CONV_2D" else 0
        data = _data(tensor)
        scales = weight_scales(data, axis, DType.INT8, per_channel, Observer.MSE)
        parts.append(quantize_weights(data, scales, axis, DType.INT8).tobytes())
    content = b"".join(parts)
    return Stored(len(content), len(zlib.compress(content, 9)))


def prune_weights(graph: Graph, wanted: Unstructured) -> Reweighted:
    """`graph` with its smallest weights zero.

    Raises PruningError: the graph is quantized or has no weights.
    """
    layers = _weighted(graph)
    if wanted.everywhere and wanted.sparsity is not None:
        sizes = [_relative(tensor) for _, tensor in layers]
        flat = np.concatenate([size.ravel() for size in sizes])
        zero = np.zeros(flat.size, np.bool_)
        zero[np.argsort(flat, kind="stable")[: round(wanted.sparsity * flat.size)]] = True
        parts = np.split(zero, np.cumsum([size.size for size in sizes])[:-1])
        masks = [p.reshape(s.shape) for p, s in zip(parts, sizes, strict=True)]
    else:
        masks = [_mask(operator, tensor, wanted) for operator, tensor in layers]
    changed = {
        tensor.index: np.where(mask, np.float32(0), _data(tensor))
        for (_, tensor), mask in zip(layers, masks, strict=True)
    }
    return _reweighted(graph, layers, changed)


def cluster_weights(graph: Graph, clusters: int, progress: Progress | None = None) -> Reweighted:
    """`graph` with at most `clusters` (2 to 256) distinct weights in each layer: k-means in one
    dimension, Lloyd's steps from evenly spread centres (Han, Mao and Dally 2016, arXiv:1510.00149)
    and from quantiles, whichever comes closer. Zeros stay zero.

    Raises PruningError: a wrong number, or the graph is quantized or has no weights.
    """
    if not _LEAST_CLUSTERS <= clusters <= _MOST_CLUSTERS:
        raise PruningError(
            f"{clusters} clusters; {_LEAST_CLUSTERS} to {_MOST_CLUSTERS} can be asked for"
        )
    layers = _weighted(graph)
    changed: dict[int, Floats] = {}
    for number, (_, tensor) in enumerate(layers):
        changed[tensor.index] = _clustered(_data(tensor), clusters)
        if progress is not None:
            progress(number + 1, len(layers))
    return _reweighted(graph, layers, changed)


def _weighted(graph: Graph) -> list[tuple[Operator, Tensor]]:
    require_float(graph)
    found: dict[int, tuple[Operator, Tensor]] = {}
    for operator in graph.operators:
        if operator.op in WEIGHTED_OPS and graph.tensors[operator.inputs[1]].is_constant:
            tensor = graph.tensors[operator.inputs[1]]
            found.setdefault(tensor.index, (operator, tensor))
    if not found:
        raise PruningError(f"{graph.name}: nothing can be pruned: no layer has constant weights")
    return list(found.values())


def _data(tensor: Tensor) -> Floats:
    return np.asarray(tensor.data, np.float32)


def _relative(tensor: Tensor) -> Floats:
    data = np.abs(_data(tensor))
    size = float(np.sqrt(np.mean(np.square(data, dtype=np.float64)))) or 1.0
    return (data / np.float32(size)).astype(np.float32)


def _mask(operator: Operator, tensor: Tensor, wanted: Unstructured) -> npt.NDArray[np.bool_]:
    """True where a weight becomes zero."""
    size = np.abs(_data(tensor))
    if wanted.pattern is None:
        assert wanted.sparsity is not None
        zero = np.zeros(size.size, np.bool_)
        zero[np.argsort(size, axis=None, kind="stable")[: round(wanted.sparsity * size.size)]] = (
            True
        )
        return zero.reshape(size.shape)
    keep, of = wanted.pattern
    # A depthwise output reads its own taps alone: its inputs lie along the window.
    along = np.moveaxis(size, 3, 0) if operator.op == "DEPTHWISE_CONV_2D" else size
    rows = along.reshape(len(along), -1)
    whole = rows.shape[1] // of * of
    zero = np.zeros(rows.shape, np.bool_)
    blocks = rows[:, :whole].reshape(len(rows), -1, of)
    order = np.argsort(blocks, axis=2, kind="stable")[:, :, : of - keep]
    cut = np.zeros(blocks.shape, np.bool_)
    np.put_along_axis(cut, order, True, axis=2)
    zero[:, :whole] = cut.reshape(len(rows), whole)
    shaped = zero.reshape(along.shape)
    return np.moveaxis(shaped, 0, 3) if operator.op == "DEPTHWISE_CONV_2D" else shaped


def _clustered(data: Floats, clusters: int) -> Floats:
    values = data.ravel().astype(np.float64)
    zero = values == 0
    rest = values[~zero]
    # Zero is one of the values where it occurs.
    count = clusters - int(zero.any())
    if len(np.unique(rest)) <= count:
        return data
    starts = (
        np.linspace(rest.min(), rest.max(), count),
        np.quantile(rest, (np.arange(count) + 0.5) / count),
    )
    fits = [_centred(rest, start) for start in starts]
    shared = np.zeros(len(values))
    shared[~zero] = min(fits, key=lambda fit: float(np.square(fit - rest).sum()))
    return shared.astype(np.float32).reshape(data.shape)


def _centred(values: Doubles, centres: Doubles) -> Doubles:
    """Each value's centre, after Lloyd's steps."""
    for _ in range(_LLOYD_STEPS):
        nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
        held = np.bincount(nearest, minlength=len(centres))
        sums = np.bincount(nearest, values, minlength=len(centres))
        moved = np.sort(np.where(held > 0, sums / np.maximum(held, 1), centres))
        if np.array_equal(moved, centres):
            break
        centres = moved
    found: Doubles = centres[np.searchsorted((centres[1:] + centres[:-1]) / 2, values)]
    return found


def _reweighted(
    graph: Graph, layers: Sequence[tuple[Operator, Tensor]], changed: dict[int, Floats]
) -> Reweighted:
    tensors = tuple(
        replace(t, data=_read_only(changed[t.index])) if t.index in changed else t
        for t in graph.tensors
    )
    made = replace(graph, tensors=tensors, sha256="")
    return Reweighted(made, tuple(_reports(made, layers)))


def _read_only(data: Floats) -> Floats:
    kept = data.copy()
    kept.setflags(write=False)
    return kept


def _reports(graph: Graph, layers: Sequence[tuple[Operator, Tensor]]) -> Iterator[LayerWeights]:
    for operator, tensor in layers:
        data = _data(graph.tensors[tensor.index])
        yield LayerWeights(
            graph.layer_name(operator), data.size, int((data == 0).sum()), len(np.unique(data))
        )
