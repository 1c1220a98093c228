"""Layers with weights as matrices: a convolution or matrix product is `rows @ weights.T + bias`,
one row an output position."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.options import Conv2DOptions
from edge_quantize.graph.shapes import window

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

MATRIX_OPS = ("CONV_2D", "FULLY_CONNECTED")


def weight_matrix(graph: Graph, operator: Operator) -> Doubles:
    """The weights as float64 `[out, features]`; features run as `rows` has them."""
    data = np.asarray(graph.tensors[operator.inputs[1]].data, np.float64)
    return data.reshape(len(data), -1)


def bias_vector(graph: Graph, operator: Operator) -> Doubles:
    """The bias as float64 `[out]`; zeros where there is none."""
    if has_bias(operator):
        return np.asarray(graph.tensors[operator.inputs[2]].data, np.float64)
    return np.zeros(graph.tensors[operator.inputs[1]].shape[0])


def has_bias(operator: Operator) -> bool:
    return len(operator.inputs) > 2 and operator.inputs[2] >= 0


def rows(graph: Graph, operator: Operator, source: Floats) -> Floats:
    """The layer's input `[batch, ...]` as float32 `[batch x positions, features]`.

    A convolution's features are the elements under its window, `[kernel_h, kernel_w, in]`
    flattened, zeros where the window hangs over the border.
    """
    weights = graph.tensors[operator.inputs[1]].shape
    if operator.op == "FULLY_CONNECTED":
        return source.reshape(-1, weights[1])
    options = operator.options
    assert isinstance(options, Conv2DOptions)
    _, taps_h, taps_w, depth = weights
    stride_h, stride_w = options.stride_h, options.stride_w
    if (taps_h, taps_w) == (1, 1):
        return source[:, ::stride_h, ::stride_w].reshape(-1, depth)
    batch, height, width, _ = source.shape
    down = window(height, taps_h, stride_h, options.dilation_h, options.padding)
    across = window(width, taps_w, stride_w, options.dilation_w, options.padding)
    padded = np.pad(
        source, ((0, 0), (down.before, down.after), (across.before, across.after), (0, 0))
    )
    taken = np.empty((batch, down.outputs, across.outputs, taps_h, taps_w, depth), np.float32)
    for tap_h in range(taps_h):
        for tap_w in range(taps_w):
            top, left = tap_h * options.dilation_h, tap_w * options.dilation_w
            taken[:, :, :, tap_h, tap_w] = padded[
                :,
                top : top + (down.outputs - 1) * stride_h + 1 : stride_h,
                left : left + (across.outputs - 1) * stride_w + 1 : stride_w,
            ]
    return taken.reshape(-1, taps_h * taps_w * depth)


def with_weights(
    graph: Graph, operator: Operator, weights: Doubles, bias: Doubles | None = None
) -> Graph:
    """`graph` with other weights `[out, features]` and bias in one layer, of the shapes they have.

    A constant that another layer reads too is left to it; a bias is added where there was none.
    """
    editing = _Constants(graph)
    inputs = list(operator.inputs)
    inputs[1] = editing.put(operator, 1, weights, graph.layer_name(operator) + "/weights")
    if bias is not None:
        inputs += [-1] * (3 - len(inputs))
        inputs[2] = editing.put(operator, 2, bias, graph.layer_name(operator) + "/bias")
    operators = list(graph.operators)
    operators[operator.index] = replace(operator, inputs=tuple(inputs))
    return replace(graph, tensors=tuple(editing.tensors), operators=tuple(operators), sha256="")


class _Constants:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors = list(graph.tensors)

    def put(self, operator: Operator, position: int, values: Doubles, name: str) -> int:
        """Gives the operand new content and returns its tensor's index."""
        old = operator.inputs[position] if position < len(operator.inputs) else -1
        data = values.astype(np.float32)
        if old >= 0:
            data = data.reshape(self.graph.tensors[old].shape)
        data.setflags(write=False)
        if old >= 0 and self._readers(old) == 1:
            self.tensors[old] = replace(self.tensors[old], data=data)
            return old
        index = len(self.tensors)
        self.tensors.append(Tensor(index, name, data.shape, DType.FLOAT32, data=data))
        return index

    def _readers(self, index: int) -> int:
        return sum(operator.inputs.count(index) for operator in self.graph.operators)


def ridge(covariance: Doubles, strength: float) -> Doubles:
    """What is added to a covariance before it is inverted: `strength` of each feature's own
    variance, so that a feature's scale does not matter, and a trace of the mean of all, without
    which a constant feature would leave it singular."""
    variances = np.diag(covariance)
    return np.diag(strength * variances + 1e-9 * max(float(variances.mean()), 1e-30))
