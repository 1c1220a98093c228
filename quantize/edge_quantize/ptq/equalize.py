"""Cross-layer equalization: channels between two layers brought to like ranges.

Source: Nagel et al. 2019, arXiv:1906.04721, section 4.1. For f(s x) = s f(x), s > 0, as RELU and
NONE have it, the outputs of one layer can be divided by s, channel by channel, and the next
layer's weights multiplied by it, with the same result. With r1, r2 the largest weights of a
channel on either side, s = sqrt(r1 / r2) makes them equal.

Two things are different here. A channel is never blown up past the widest of its tensor, as the
calibration samples show it: a channel with small weights and a large bias would take the range of
all others (the paper's answer, moving biases on, only helps where a bias is large and positive).
And there is no scaling through RELU6 and other clamps, which are no such functions; that no sample
reaches the clamp does not say that no input does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_quantize.data.samples import Samples
from edge_quantize.graph.model import DType, Graph, Operator
from edge_quantize.graph.options import Activation
from edge_quantize.layer_quality import SCALED_LAYERS
from edge_quantize.run import activations

from .rules import RULES, Kind

Array = npt.NDArray[np.float64]

_SWEEPS = 20
_CONVERGED = 1.01  # the largest factor of a sweep, below which it ends
_MOST = 1e3  # that a channel is scaled by altogether
_DEAD = 1e-6  # of the largest channel's weights
# What stands between two layers and scales with its input, channel by channel.
_THROUGH = {"AVERAGE_POOL_2D", "MAX_POOL_2D", "PAD", "RELU", "MEAN"}
_FLATTENS = {"RESHAPE", "SQUEEZE", "EXPAND_DIMS"}
_HOMOGENEOUS = {Activation.NONE, Activation.RELU}


@dataclass(frozen=True)
class Pair:
    """Two weighted operators, each of whose channels meets one of the other's; `between` is the
    first one's result, `scaled` has that and what the steps to the second make of it."""

    first: Operator
    second: Operator
    between: int
    scaled: tuple[int, ...]


def equalize(graph: Graph, samples: Samples) -> Graph:
    """The float graph with its pairs equalized until little changes; it computes the same up to
    float rounding. Its metadata name the layers whose results are scaled, which cannot be compared
    with the original's any more. The graph itself when there are no pairs."""
    found = pairs(graph)
    if not found:
        return graph
    ranges = _channel_ranges(graph, samples, found)
    values = {
        index: np.asarray(graph.tensors[index].data, np.float64)
        for pair in found
        for operator in (pair.first, pair.second)
        for index in operator.inputs[1:3]
        if index >= 0
    }
    total = {pair.between: np.ones(len(ranges[pair.between])) for pair in found}
    for _ in range(_SWEEPS):
        changes = [_scale(pair, values, total[pair.between], ranges) for pair in found]
        if max(changes) < _CONVERGED:
            break
    tensors = list(graph.tensors)
    for index, array in values.items():
        data = array.astype(np.float32)
        data.setflags(write=False)
        tensors[index] = replace(tensors[index], data=data)
    lines = [
        f"{_digest(total[pair.between])} {graph.tensors[index].name}"
        for pair in found
        for index in pair.scaled
    ]
    metadata = {**graph.metadata, SCALED_LAYERS: "\n".join(lines).encode()}
    return replace(graph, tensors=tuple(tensors), metadata=metadata)


def pairs(graph: Graph) -> tuple[Pair, ...]:
    """Weighted operators that follow each other with nothing but channel-wise, homogeneous steps
    between, results that nobody else reads, and weights that are no one else's."""
    return tuple(_Pairs(graph).found())


class _Pairs:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.readers: dict[int, list[Operator]] = {}
        for operator in graph.operators:
            for index in operator.inputs:
                self.readers.setdefault(index, []).append(operator)

    def found(self) -> Iterator[Pair]:
        for operator in self.graph.operators:
            if not self.weighted(operator) or not _homogeneous(operator):
                continue
            last = operator.outputs[0]
            scaled = [last]
            following = self.alone(last)
            while following is not None and self.passes(following):
                last = following.outputs[0]
                scaled.append(last)
                following = self.alone(last)
            if following is None or following.inputs[0] != last or not self.weighted(following):
                continue
            if self.channels_meet(operator, following):
                yield Pair(operator, following, operator.outputs[0], tuple(scaled))

    def alone(self, tensor: int) -> Operator | None:
        """The only one who reads it."""
        who = self.readers.get(tensor, [])
        return who[0] if len(who) == 1 and tensor not in self.graph.outputs else None

    def weighted(self, operator: Operator) -> bool:
        rule = RULES.get(operator.op)
        if rule is None or rule.kind is not Kind.WEIGHTED:
            return False
        tensors = self.graph.tensors
        return all(
            tensors[i].is_constant
            and tensors[i].dtype is DType.FLOAT32
            and len(self.readers[i]) == 1
            for i in operator.inputs[1:]
            if i >= 0
        )

    def passes(self, operator: Operator) -> bool:
        source = self.graph.tensors[operator.inputs[0]]
        result = self.graph.tensors[operator.outputs[0]]
        if not source.shape or not result.shape or source.shape[-1] != result.shape[-1]:
            return False
        if operator.op in _FLATTENS:
            # Only where nothing but the channels is left.
            return source.shape[-1] == source.elements
        return operator.op in _THROUGH and _homogeneous(operator)

    def channels_meet(self, first: Operator, second: Operator) -> bool:
        tensors = self.graph.tensors
        channels = tensors[first.outputs[0]].shape[-1]
        weights = tensors[second.inputs[1]]
        # A depth multiplier, groups, or a matrix over more than the channels are left alone.
        return tensors[second.inputs[0]].shape[-1] == channels == weights.shape[-1]


def _digest(factors: Array) -> str:
    """The same for the same factors: layers that are scaled alike can be compared."""
    return hashlib.sha256(factors.astype(np.float32).tobytes()).hexdigest()[:8]


def _homogeneous(operator: Operator) -> bool:
    return getattr(operator.options, "activation", Activation.NONE) in _HOMOGENEOUS


def _channel_ranges(graph: Graph, samples: Samples, found: tuple[Pair, ...]) -> dict[int, Array]:
    """The largest magnitude of each channel."""
    wanted = [pair.between for pair in found]
    ranges = {index: np.zeros(graph.tensors[index].shape[-1]) for index in wanted}
    for values in activations(graph, samples):
        for index in wanted:
            rows = np.abs(values[index]).reshape(-1, values[index].shape[-1])
            ranges[index] = np.maximum(ranges[index], rows.max(axis=0))
    return ranges


def _scale(
    pair: Pair,
    values: dict[int, Array],
    total: Array,
    ranges: Mapping[int, Array],
) -> float:
    """Equalizes one pair in `values` and keeps count in `total`; the largest factor or inverse."""
    first, second = pair.first.inputs, pair.second.inputs
    weights, following = values[first[1]], values[second[1]]
    outputs = RULES[pair.first.op].axis
    inputs = following.ndim - 1
    before, after = _largest(weights, outputs), _largest(following, inputs)
    used = (before > _DEAD * before.max()) & (after > _DEAD * after.max())
    factor = np.ones(len(total))
    factor[used] = np.sqrt(before[used] / after[used])
    seen = ranges[pair.between]
    least = np.maximum(seen / max(float(seen.max()), 1e-30), 1 / _MOST)
    factor = np.clip(factor * total, least, _MOST) / total
    factor[~used] = 1.0
    total *= factor
    values[first[1]] = weights / _along(factor, outputs, weights.ndim)
    if len(first) > 2 and first[2] >= 0:
        values[first[2]] = values[first[2]] / factor
    values[second[1]] = following * _along(factor, inputs, following.ndim)
    return float(max(factor.max(), 1 / factor.min()))


def _largest(weights: Array, axis: int) -> Array:
    rows = np.abs(np.moveaxis(weights, axis, 0)).reshape(weights.shape[axis], -1)
    largest: Array = rows.max(axis=1)
    return largest


def _along(factor: Array, axis: int, rank: int) -> Array:
    shape = [1] * rank
    shape[axis] = -1
    return factor.reshape(shape)
