"""Repair without training: what removed channels said is said by those that stay.

Layer by layer, from the input on, the weights and bias of each layer behind a removed channel are
fitted so that its output on the calibration data is again what the original's was: least squares
with a ridge towards the weights that were left (He, Zhang and Sun 2017, arXiv:1707.06168, eq. 4;
ThiNet, arXiv:1707.06342). Since each fit sees the layer's input in the pruned and already repaired
graph, it makes up for errors of the layers before it too. The mean of what is gone ends in the
bias.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_quantize.data.samples import Samples
from edge_quantize.graph.channels import ChannelGroup, Role
from edge_quantize.graph.model import Graph, Operator
from edge_quantize.run import Progress, activations

from .layers import (
    MATRIX_OPS,
    Doubles,
    Floats,
    bias_vector,
    has_bias,
    ridge,
    rows,
    weight_matrix,
    with_weights,
)

Mask = npt.NDArray[np.bool_]

# Strengths of the ridge; the one that predicts data it has not seen best is taken. The last stands
# for no change of the weights at all.
_RIDGES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, np.inf)
_FOLDS = 4


@dataclass(frozen=True)
class Repair:
    """One layer's fit. Errors are mean squares of its output before the activation, against the
    original's, on the data it was fitted to; `ridge` is relative, infinite where only the bias
    changed."""

    operator: int
    name: str
    error_before: float
    error_after: float
    ridge: float


def behind(graph: Graph, changed: Iterable[int]) -> tuple[Operator, ...]:
    """Layers with weights that see any of the tensors in `changed`, through whatever is between."""
    seen = set(changed)
    found = []
    for operator in graph.operators:
        if seen.intersection(operator.inputs):
            seen.update(operator.outputs)
            if operator.op in MATRIX_OPS and graph.tensors[operator.inputs[1]].is_constant:
                found.append(operator)
    return tuple(found)


def repair(
    original: Graph,
    pruned: Graph,
    samples: Samples,
    keep: Mapping[ChannelGroup, Mask],
    progress: Progress | None = None,
) -> tuple[Graph, tuple[Repair, ...]]:
    """`pruned`, which is `original` with only the channels that `keep` marks, with every layer
    behind a removed channel fitted.

    The mean squared error of no layer's output over `samples` grows by its own fit.
    """
    layers = behind(pruned, _narrowed(original, pruned))
    own = _own_outputs(original, keep)
    done = []
    for number, layer in enumerate(layers):
        # The operator as it stands now: earlier fits may have given it other constants.
        layer = pruned.operators[layer.index]
        fit = _Fit(pruned, layer)
        for fold, found, wanted in _pairs(original, pruned, layer, samples, own):
            fit.add(fold, found, wanted)
        weights, bias, report = fit.solved()
        done.append(report)
        with_bias = bias if has_bias(layer) or np.any(bias) else None
        pruned = with_weights(pruned, layer, weights, with_bias)
        if progress is not None:
            progress(number + 1, len(layers))
    return pruned, tuple(done)


def _pairs(
    original: Graph,
    pruned: Graph,
    layer: Operator,
    samples: Samples,
    own: Mapping[int, Mask],
) -> Iterator[tuple[int, Floats, Floats]]:
    """(fold, the layer's rows in the pruned graph, its wanted outputs) sample by sample."""
    first = original.operators[layer.index]
    weights = weight_matrix(original, first).astype(np.float32)
    bias = bias_vector(original, first).astype(np.float32)
    if first.index in own:
        weights, bias = weights[own[first.index]], bias[own[first.index]]
    there = activations(_until(original, first), samples)
    here = activations(_until(pruned, layer), samples)
    for number, (one, other) in enumerate(zip(there, here, strict=True)):
        wanted = rows(original, first, one[first.inputs[0]]) @ weights.T + bias
        yield number * _FOLDS // len(samples), rows(pruned, layer, other[layer.inputs[0]]), wanted


def _narrowed(original: Graph, pruned: Graph) -> set[int]:
    """Activations of `pruned` that have fewer channels than they had."""
    pairs = zip(original.operators, pruned.operators, strict=True)
    return {
        here.outputs[0]
        for there, here in pairs
        if pruned.results(here)[0].shape != original.results(there)[0].shape
    }


def _own_outputs(original: Graph, keep: Mapping[ChannelGroup, Mask]) -> dict[int, Mask]:
    """Which of a layer's outputs are still there, by operator."""
    found: dict[int, Mask] = {}
    for group, mask in keep.items():
        for member in group.of(Role.PRODUCER):
            if member.position == 1 and original.operators[member.operator].op in MATRIX_OPS:
                stays = np.where(member.channels < 0, True, mask[member.channels])
                found[member.operator] = found.get(member.operator, np.True_) & stays
    return found


def _until(graph: Graph, operator: Operator) -> Graph:
    """The graph up to an operator's input."""
    source = operator.inputs[0]
    if source in graph.inputs:
        return graph
    return replace(graph, operators=graph.operators[: operator.index], outputs=(source,))


class _Fit:
    """Sums of one layer by fold: of inputs `x` (and a one for the bias) and what is missing `r`."""

    def __init__(self, graph: Graph, layer: Operator) -> None:
        self.layer, self.name = layer, graph.layer_name(layer)
        self.weights, self.bias = weight_matrix(graph, layer), bias_vector(graph, layer)
        outputs, features = self.weights.shape
        self.xx = np.zeros((_FOLDS, features + 1, features + 1))
        self.xr = np.zeros((_FOLDS, features + 1, outputs))
        self.rr = np.zeros(_FOLDS)
        self.count = np.zeros(_FOLDS)

    def add(self, fold: int, found: Floats, wanted: Floats) -> None:
        missing = wanted - (found @ self.weights.T + self.bias)
        # One sample's sums in float32, all samples' in float64.
        extended = np.concatenate([found, np.ones((len(found), 1), np.float32)], axis=1)
        self.xx[fold] += extended.T @ extended
        self.xr[fold] += extended.T @ missing.astype(np.float32)
        self.rr[fold] += float(np.square(missing).sum())
        self.count[fold] += len(found)

    def solved(self) -> tuple[Doubles, Doubles, Repair]:
        strength = min(_RIDGES, key=self._unseen_error)
        everything = np.ones(_FOLDS, bool)
        delta = self._solution(everything, strength)
        elements = float(self.count.sum()) * len(self.weights)
        before = float(self.rr.sum()) / elements
        after = self._error(everything, delta) / elements
        if after > before:  # only by rounding, where there was nothing to repair
            delta, after = np.zeros_like(delta), before
        report = Repair(self.layer.index, self.name, before, after, strength)
        return self.weights + delta[:-1].T, self.bias + delta[-1], report

    def _solution(self, folds: np.ndarray, strength: float) -> Doubles:
        """The change d `[features + 1, out]` for which |r - x d|^2 and a ridge on d are least; the
        bias is free."""
        xx, xr = self.xx[folds].sum(0), self.xr[folds].sum(0)
        count = max(xx[-1, -1], 1.0)
        mean_x, mean_r = xx[:-1, -1] / count, xr[-1] / count
        delta: Doubles = np.zeros_like(xr)
        if np.isfinite(strength):
            covariance = xx[:-1, :-1] - count * np.outer(mean_x, mean_x)
            cross = xr[:-1] - count * np.outer(mean_x, mean_r)
            delta[:-1] = np.linalg.solve(covariance + ridge(covariance, strength), cross)
        delta[-1] = mean_r - mean_x @ delta[:-1]
        return delta

    def _error(self, folds: np.ndarray, delta: Doubles) -> float:
        """|r - x d|^2 over some folds."""
        xx, xr, rr = self.xx[folds].sum(0), self.xr[folds].sum(0), float(self.rr[folds].sum())
        return max(rr - 2 * float((xr * delta).sum()) + float(((xx @ delta) * delta).sum()), 0.0)

    def _unseen_error(self, strength: float) -> float:
        total = 0.0
        for fold in range(_FOLDS):
            rest = np.arange(_FOLDS) != fold
            if self.count[fold] and self.count[rest].any():
                total += self._error(~rest, self._solution(rest, strength))
        return total
