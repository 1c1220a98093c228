"""Layer by layer through the integer model: weights and biases that make up for what the layers
before and the rounding itself changed.

- Bias correction: the mean of each output channel, before its activation, is brought back to the
  float model's on the calibration samples (Nagel et al. 2019, arXiv:1906.04721, section 4.2, the
  empirical form).
- Adaptive rounding: see `rounding`.

Layers are taken in order, so that each is fitted to the inputs that it will really get.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_quantize.data.samples import Samples
from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.run import quantized, real

from .calibrate import Progress
from .emit import Emission
from .patches import Array, Moments, from_rows, moments, weight_rows
from .plan import Layer
from .recipe import Recipe
from .rounding import compensated, damped, descend, shifted
from .rules import RULES, Kind
from .single import last_readers, run_operator
from .weights import quantize_bias

DAMPING = 0.01  # of the mean of H's diagonal
SHIFT = 0.01


def refine(
    floating: Graph,
    emission: Emission,
    samples: Samples,
    recipe: Recipe,
    progress: Progress | None = None,
) -> Graph:
    """The emitted graph with better weights and biases, as far as `recipe` asks for them.

    `floating` is the float graph that it was emitted from, `samples` are the float model's inputs.
    """
    return _Refiner(floating, emission, samples, recipe).run(progress)


class _Refiner:
    def __init__(
        self, floating: Graph, emission: Emission, samples: Samples, recipe: Recipe
    ) -> None:
        self.floating, self.layers, self.recipe = floating, emission.layers, recipe
        self.graph = emission.graph
        self.tensors = list(emission.graph.tensors)
        # Stacked over the samples, of each graph, by its own tensor indices; only what is alive.
        self.values: dict[int, npt.NDArray[np.generic]] = {}
        self.reals: dict[int, npt.NDArray[np.generic]] = {}
        pairs = zip(floating.inputs, emission.graph.inputs, samples.inputs, strict=True)
        for original, index, array in pairs:
            self.reals[original] = array.astype(floating.tensors[original].dtype.numpy)
            self.values[index] = quantized(array, self.tensors[index])

    def run(self, progress: Progress | None) -> Graph:
        last, float_last = last_readers(self.graph), last_readers(self.floating)
        count = len(self.graph.operators)
        for operator, layer in zip(self.graph.operators, self.layers, strict=True):
            if layer is not None and self.concerns(layer, operator):
                self.layer(layer, operator)
            current = self.current()
            self.values |= run_operator(current, operator, self.values)
            _forget(self.values, last, operator)
            if layer is not None:
                original = layer.operator
                self.reals |= run_operator(self.floating, original, self.reals)
                _forget(self.reals, float_last, original)
            if progress is not None:
                progress(operator.index + 1, count, "fitting layers")
        return self.current()

    def current(self) -> Graph:
        return replace(self.graph, tensors=tuple(self.tensors))

    def concerns(self, layer: Layer, operator: Operator) -> bool:
        """Weighted layers with integer activations; grouped convolutions keep plain rounding."""
        rule = RULES.get(operator.op)
        if rule is None or rule.kind is not Kind.WEIGHTED or layer.dtype is DType.FLOAT32:
            return False
        source, weights = (self.floating.tensors[i] for i in layer.operator.inputs[:2])
        return operator.op != "CONV_2D" or source.shape[3] == weights.shape[3]

    def layer(self, layer: Layer, operator: Operator) -> None:
        original = layer.operator
        source = self.tensors[operator.inputs[0]]
        assert source.quantization is not None
        given = real(self.values[operator.inputs[0]], source.quantization)
        found = moments(self.floating, original, given, self.reals[original.inputs[0]])
        weights = self.tensors[operator.inputs[1]]
        wanted = weight_rows(original, np.asarray(self.floating.tensors[original.inputs[1]].data))
        wanted = wanted.astype(np.float64)
        if self.recipe.adaptive_rounding:
            weights = self.rounded(layer, weights, wanted, found)
            self.tensors[weights.index] = weights
        if self.recipe.correct_bias and len(operator.inputs) > 2:
            self.bias(layer, operator, wanted, found)

    def rounded(self, layer: Layer, weights: Tensor, wanted: Array, found: Moments) -> Tensor:
        assert weights.quantization is not None
        assert weights.data is not None
        most = 7 if weights.dtype is DType.INT4 else 127
        scales = np.broadcast_to(
            np.asarray(weights.quantization.scales, np.float64), (len(wanted),)
        )
        hessian = damped(found.hessian, DAMPING)
        ridge = damped(found.hessian, SHIFT) - found.hessian
        target = shifted(wanted, found.hessian, found.cross, ridge)
        integers = compensated(target, scales, hessian, most)
        integers = descend(integers, target, scales, hessian, most)
        data = from_rows(layer.operator, integers.astype(np.int8), weights.shape)
        data.setflags(write=False)
        return replace(weights, data=data)

    def bias(self, layer: Layer, operator: Operator, wanted: Array, found: Moments) -> None:
        """bias + E[float output] - E[output], both before the activation."""
        source, weights, bias = (self.tensors[i] for i in operator.inputs)
        assert source.quantization is not None
        assert weights.quantization is not None
        original = layer.operator
        integers = weight_rows(original, np.asarray(weights.data, np.float64))
        scales = np.asarray(weights.quantization.scales, np.float64)
        used = integers * (scales[:, None] if len(scales) > 1 else scales)
        float_bias = np.asarray(self.floating.tensors[original.inputs[2]].data, np.float64)
        lost = _outputs(wanted, found.float_mean) - _outputs(used, found.mean)
        steps, quantization = quantize_bias(
            float_bias + lost, source.quantization.scale, scales, bias.dtype
        )
        steps.setflags(write=False)
        self.tensors[bias.index] = replace(bias, data=steps, quantization=quantization)


def _outputs(rows: Array, mean: Array) -> Array:
    """Each output channel's value for the mean patch."""
    total: Array = (rows * mean).sum(axis=1)
    return total


def _forget(
    values: dict[int, npt.NDArray[np.generic]], last: dict[int, int], operator: Operator
) -> None:
    for index in [i for i in values if last.get(i, -1) <= operator.index]:
        del values[index]
