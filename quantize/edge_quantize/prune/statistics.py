"""What calibration data says of the layers that read prunable channels: second moments of their
inputs, and how much the model's output minds an error in theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_quantize.data.samples import Samples
from edge_quantize.errors import PruningError
from edge_quantize.graph.channels import ChannelGroup, Role
from edge_quantize.graph.model import Graph, Operator
from edge_quantize.quality import logits
from edge_quantize.run import Progress, activations

from .gradients import backward, require_gradients
from .layers import Doubles, Floats, rows, weight_matrix

# A second-moment matrix of this many features takes 288 MB.
_MOST_FEATURES = 6000
# Outputs up to this many are looked at one by one; of more, random sums are.
_MOST_OUTPUTS = 16
_PROBE_SEED = 0


@dataclass(frozen=True, eq=False)
class Moments:
    """Of one layer over the calibration data; sums run over positions, averages over samples.

    `covariance` float64 `[features, features]`: of the layer's input rows about their mean.
    `sensitivity` float64 `[out]`: mean squared gradient of the model's outputs with respect to
    the layer's own, before its activation; or one over the output's variance, summed alike.
    """

    mean: Doubles
    covariance: Doubles
    sensitivity: Doubles


def readers(graph: Graph, groups: Iterable[ChannelGroup]) -> tuple[Operator, ...]:
    """The layers that sum over channels of any group, in order."""
    found = {index for group in groups for index in group.consumers}
    return tuple(graph.operators[index] for index in sorted(found))


def feature_channels(
    graph: Graph, operator: Operator, group: ChannelGroup
) -> npt.NDArray[np.int64]:
    """For each feature of a layer's rows the channel of `group` that it belongs to, or -1."""
    features = weight_matrix(graph, operator).shape[1]
    found = np.full(features, -1, np.int64)
    for member in group.of(Role.CONSUMER):
        if member.operator == operator.index:
            found = np.tile(member.channels, features // len(member.channels))
    return found


def moments(
    graph: Graph,
    groups: Iterable[ChannelGroup],
    samples: Samples,
    gradients: bool,
    progress: Progress | None = None,
) -> dict[int, Moments]:
    """Moments of each layer that reads a channel of `groups`, by operator.

    With `gradients`, sensitivities are those of the model's outputs (before a final SOFTMAX);
    without, errors count relative to the layer's own variance.

    Raises PruningError where a layer has too many inputs, or (with `gradients`) an operator whose
    gradient is not known.
    """
    layers = readers(graph, groups)
    for layer in layers:
        if weight_matrix(graph, layer).shape[1] > _MOST_FEATURES:
            raise PruningError(
                f"{graph.name}: '{graph.layer_name(layer)}' reads "
                f"{weight_matrix(graph, layer).shape[1]:,} values, too many to weigh by data "
                f"(at most {_MOST_FEATURES:,}); choose magnitude importance, without repair"
            )
    if gradients:
        require_gradients(graph)
    sums = {layer.index: _Sums(graph, layer) for layer in layers}
    probes = _Probes(graph) if gradients else None
    for number, values in enumerate(activations(graph, samples)):
        for layer in layers:
            sums[layer.index].add(rows(graph, layer, values[layer.inputs[0]]))
        if probes is not None:
            for index, gradient in probes.gradients(values).items():
                if index in sums:
                    sums[index].add_gradient(gradient)
        if progress is not None:
            progress(number + 1, len(samples))
    return {index: total.moments(len(samples), gradients) for index, total in sums.items()}


class _Sums:
    def __init__(self, graph: Graph, layer: Operator) -> None:
        self.weights = weight_matrix(graph, layer)
        outputs, features = self.weights.shape
        self.count = 0
        self.total = np.zeros(features)
        self.squares = np.zeros((features, features))
        self.gradients = np.zeros(outputs)
        self.gradient_count = 0

    def add(self, found: Floats) -> None:
        self.count += len(found)
        self.total += found.sum(0, dtype=np.float64)
        self.squares += found.T @ found

    def add_gradient(self, gradient: Floats) -> None:
        """`[probes, ..., out]`: summed over probes, averaged over positions."""
        flat = gradient.reshape(-1, gradient.shape[-1])
        self.gradients += np.square(flat, dtype=np.float64).sum(0)
        self.gradient_count += len(flat) // len(gradient)

    def moments(self, samples: int, gradients: bool) -> Moments:
        mean = self.total / self.count
        covariance = (self.squares - self.count * np.outer(mean, mean)) / samples
        if gradients:
            sensitivity = self.gradients / max(self.gradient_count, 1)
        else:
            variance = np.einsum(
                "of,fg,og->", self.weights, covariance, self.weights, optimize=True
            )
            sensitivity = np.full(len(self.weights), 1 / max(float(variance), 1e-30))
        return Moments(mean, covariance, sensitivity)


class _Probes:
    """Gradients of the outputs: of each by itself, or (of many) of random sums of them, whose mean
    square is the same (Hutchinson's estimator)."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.random = np.random.default_rng(_PROBE_SEED)
        self.ends = logits(graph).outputs

    def gradients(self, values: Mapping[int, Floats]) -> dict[int, Floats]:
        sizes = [values[end].size for end in self.ends]
        total = sum(sizes)
        if total <= _MOST_OUTPUTS:
            probes = np.eye(total, dtype=np.float32)
        else:
            signs = self.random.integers(0, 2, (_MOST_OUTPUTS, total))
            # Each of the 16 sums over all outputs stands for a sixteenth of them.
            probes = ((2 * signs - 1) / np.sqrt(_MOST_OUTPUTS)).astype(np.float32)
        parts = np.split(probes, np.cumsum(sizes)[:-1], axis=1)
        seeds = {
            end: part.reshape(len(probes), *values[end].shape[1:])
            for end, part in zip(self.ends, parts, strict=True)
        }
        return backward(self.graph, values, seeds)[1]
