"""One layer's integer weights, fitted to what its output should be.

How far weights may move from the float model's to make up for the layers before depends on how
much the samples tell: a ridge says so. It is chosen by samples that the fit does not see, and plain
rounding is among the choices, so that a layer that calibration cannot improve stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.model import Graph, Operator
from edge_quantize.graph.options import Activation

from .patches import Array, Floats, Moments, Sums, patches, sums
from .rounding import Factor, Integers, compensated, damped, descend, factors, shifted

_DAMPING = 0.01  # of the mean of H's diagonal, as GPTQ has it
_RIDGES = (0.01, 0.3, 10.0, None)  # likewise; None leaves the float weights where they are
_BLOCKS = 8  # neighbours in a recording are alike: whole blocks of it are held back
_HELD_BACK = (1, 5)
_LEAST_SAMPLES = 16
_MOST_POSITIONS = 8192  # that a choice is judged by

_CLAMPS = {
    Activation.RELU: (0.0, np.inf),
    Activation.RELU6: (0.0, 6.0),
    Activation.RELU_N1_TO_1: (-1.0, 1.0),
}


@dataclass(frozen=True, eq=False)
class Inputs:
    """`given` is the layer's input as the integer model has it, `floating` as the float model has
    it: both real numbers, `[samples, ...]`."""

    graph: Graph  # the float graph
    operator: Operator
    given: Floats
    floating: Floats


@dataclass(frozen=True, eq=False)
class Start:
    """What is known before the fit: float weights as rows, their bias, scales and rounding."""

    rows: Array  # [channels, K]
    bias: Array  # [channels]
    scales: Array  # [channels]
    integers: Integers  # [channels, K], to the nearest
    most: int  # 127 or 7


def fitted_bias(start: Start, integers: Integers, found: Moments) -> Array:
    """bias + E[float output] - E[output], both before the activation."""
    used = integers * start.scales[:, None]
    lost = (start.rows * found.float_mean).sum(axis=1) - (used * found.mean).sum(axis=1)
    total: Array = start.bias + lost
    return total


def fit_bias_only(inputs: Inputs, start: Start) -> Array:
    """The bias that plain rounding needs."""
    found = sums(inputs.graph, inputs.operator, inputs.given, inputs.floating).moments()
    return fitted_bias(start, start.integers, found)


def fit(inputs: Inputs, start: Start) -> tuple[Integers, Array]:
    """(integers, bias) with the least error of the layer's output on samples held back."""
    held, kept = _split(len(inputs.given))
    if not len(held):
        found = _sums(inputs, kept).moments()
        integers = _Rounding(start, found).integers(_RIDGES[1])
        return integers, fitted_bias(start, integers, found)
    first, second = _sums(inputs, kept), _sums(inputs, held)
    judge = _Judge(inputs, start, held)
    found = first.moments()
    rounding = _Rounding(start, found)
    candidates = [rounding.integers(ridge) for ridge in _RIDGES]
    errors = [judge.error(c, fitted_bias(start, c, found)) for c in candidates]
    plain = judge.error(start.integers, fitted_bias(start, start.integers, found))
    best = int(np.argmin(errors))
    whole = (first + second).moments()
    if plain <= errors[best]:
        integers = start.integers
    else:
        integers = _Rounding(start, whole).integers(_RIDGES[best])
    return integers, fitted_bias(start, integers, whole)


class _Rounding:
    """Weights rounded by the moments of the layer's inputs, with any ridge."""

    def __init__(self, start: Start, found: Moments) -> None:
        self.start, self.found = start, found
        self.hessian = damped(found.hessian, _DAMPING)
        self.factors: tuple[Factor, ...] = factors(self.hessian)

    def integers(self, ridge: float | None) -> Integers:
        start, found = self.start, self.found
        target = start.rows
        if ridge is not None:
            added = damped(found.hessian, ridge) - found.hessian
            target = shifted(start.rows, found.hessian, found.cross, added)
        integers = compensated(target, start.scales, self.factors, start.most)
        return descend(integers, target, start.scales, self.hessian, start.most)


def _split(count: int) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp]]:
    """(held back, kept)."""
    everything = np.arange(count)
    if count < _LEAST_SAMPLES:
        return everything[:0], everything
    block = everything * _BLOCKS // count
    back = np.isin(block, _HELD_BACK)
    return everything[back], everything[~back]


def _sums(inputs: Inputs, rows: npt.NDArray[np.intp]) -> Sums:
    return sums(inputs.graph, inputs.operator, inputs.given[rows], inputs.floating[rows])


class _Judge:
    """The layer's output, activation included, on samples held back."""

    def __init__(self, inputs: Inputs, start: Start, held: npt.NDArray[np.intp]) -> None:
        self.start = start
        activation = getattr(inputs.operator.options, "activation", Activation.NONE)
        self.clamp = _CLAMPS.get(activation, (-np.inf, np.inf))
        each = inputs.graph.tensors[inputs.operator.outputs[0]].elements // len(start.rows)
        most = max(1, _MOST_POSITIONS // max(1, each))
        held = held[:: -(-len(held) // most)]
        self.x = patches(inputs.graph, inputs.operator, inputs.given[held])
        floating = patches(inputs.graph, inputs.operator, inputs.floating[held])
        self.wanted = self.output(floating, start.rows, start.bias)

    def output(self, x: Floats, rows: Array, bias: Array) -> Array:
        if x.ndim == 2:
            total = x @ rows.T + bias
        else:
            total = np.einsum("cpk,ck->pc", x, rows) + bias
        clamped: Array = np.clip(total, *self.clamp)
        return clamped

    def error(self, integers: Integers, bias: Array) -> float:
        rows = integers * self.start.scales[:, None]
        return float(((self.output(self.x, rows, bias) - self.wanted) ** 2).sum())
