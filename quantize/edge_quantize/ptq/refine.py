"""Layer by layer through the integer model: weights and biases that make up for what the layers
before and the rounding itself changed.

- Bias correction: the mean of each output channel, before its activation, is brought back to the
  float model's on the calibration samples (Nagel et al. 2019, arXiv:1906.04721, section 4.2, the
  empirical form).
- Adaptive rounding: see `fitting` and `rounding`.

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
from .fitting import Inputs, Start, fit, fit_bias_only
from .patches import from_rows, weight_rows
from .plan import Layer
from .recipe import Recipe
from .rules import RULES, Kind
from .single import last_readers, run_operator
from .weights import quantize_bias


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
        source, weights, *rest = (self.tensors[i] for i in operator.inputs)
        assert source.quantization is not None
        assert weights.quantization is not None
        inputs = Inputs(
            self.floating,
            original,
            real(self.values[source.index], source.quantization),
            real(self.reals[original.inputs[0]], None),
        )
        start = self.start(layer, weights)
        if self.recipe.adaptive_rounding:
            integers, bias = fit(inputs, start)
            data = from_rows(original, integers.astype(np.int8), weights.shape)
            self.tensors[weights.index] = _holding(weights, data)
        else:
            bias = fit_bias_only(inputs, start)
        if rest and self.recipe.correct_bias:
            scales = np.asarray(weights.quantization.scales, np.float64)
            steps, _ = quantize_bias(bias, source.quantization.scale, scales, rest[0].dtype)
            self.tensors[rest[0].index] = _holding(rest[0], steps)

    def start(self, layer: Layer, weights: Tensor) -> Start:
        indices = layer.operator.inputs
        assert weights.quantization is not None
        rows = weight_rows(
            layer.operator, np.asarray(self.floating.tensors[indices[1]].data, np.float64)
        )
        bias = np.zeros(len(rows))
        if len(indices) > 2 and indices[2] >= 0:
            bias = np.asarray(self.floating.tensors[indices[2]].data, np.float64)
        scales = np.broadcast_to(np.asarray(weights.quantization.scales, np.float64), len(rows))
        integers = weight_rows(layer.operator, np.asarray(weights.data)).astype(np.int64)
        most = 7 if weights.dtype is DType.INT4 else 127
        return Start(rows, bias, scales, integers, most)


def _holding(tensor: Tensor, data: npt.NDArray[np.generic]) -> Tensor:
    data.setflags(write=False)
    return replace(tensor, data=data)


def _forget(
    values: dict[int, npt.NDArray[np.generic]], last: dict[int, int], operator: Operator
) -> None:
    for index in [i for i in values if last.get(i, -1) <= operator.index]:
        del values[index]
