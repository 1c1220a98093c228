"""Sums of products of CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED, and how far they reach."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.options import Conv2DOptions, DepthwiseConv2DOptions

from .arithmetic import Multipliers
from .windows import Reals, Sliding

_EPSILON = 2.0**-23  # of float32


@dataclass(frozen=True, eq=False)
class Accumulated:
    """Bounds of the finished accumulators, bias included, in the output's shape.

    `magnitude` [channels] bounds every partial sum too, in whatever order the products are added.
    `multipliers` bring integer accumulators to the output's scale; None for a float layer.
    """

    low: Reals
    high: Reals
    magnitude: Reals
    multipliers: Multipliers | None


@dataclass(frozen=True, eq=False)
class Linear:
    """A layer as a linear map: `apply(x, weights)` sums products of inputs with zero points taken
    off, [..inputs..] -> [..outputs..]; padding contributes nothing."""

    source: Tensor
    weights: Tensor
    bias: Tensor | None
    output: Tensor
    zero_point: int
    values: Reals  # of the weights
    channel_axis: int  # of the weights, along which outputs lie
    apply: Callable[[Reals, Reals], Reals]


def linear(graph: Graph, operator: Operator) -> Linear | None:
    """The layer, where its weights are constants and its sums known here: int8 or int4 weights,
    symmetric, with int8 or int16 activations, or float32 throughout."""
    source, weights, *rest = graph.operands(operator)
    bias = rest[0] if rest else None
    (output,) = graph.results(operator)
    if source is None or weights is None or weights.data is None or weights.encoding:
        return None
    if bias is not None and (bias.data is None or bias.elements != output.shape[-1]):
        return None
    options = operator.options
    if source.dtype is DType.FLOAT32:
        kinds = {t.dtype for t in (weights, bias, output) if t is not None}
        if kinds != {DType.FLOAT32}:
            return None
        zero_point = 0
    elif _integer(source, weights, bias, output):
        assert source.quantization is not None
        zero_point = source.quantization.zero_point
    else:
        return None
    values = weights.data.astype(np.float64)
    if operator.op == "FULLY_CONNECTED":
        return Linear(
            *(source, weights, bias, output, zero_point, values, 0),
            lambda x, w: (x.reshape(-1, w.shape[1]) @ w.T).reshape(*output.shape[:-1], -1),
        )
    assert isinstance(options, Conv2DOptions | DepthwiseConv2DOptions)
    taps = (weights.shape[1], weights.shape[2])
    sliding = Sliding.of(source.shape, taps, options)
    if isinstance(options, Conv2DOptions):
        if weights.shape[3] != source.shape[3]:
            return None
        return Linear(*(source, weights, bias, output, zero_point, values, 0), sliding.convolved)
    return Linear(
        *(source, weights, bias, output, zero_point, values, 3),
        lambda x, w: sliding.convolved_depthwise(x, w[0]),
    )


def bias_values(layer: Linear) -> Reals:
    """The bias [channels], zeros where the layer has none."""
    if layer.bias is None or layer.bias.data is None:
        return np.zeros(layer.output.shape[-1])
    return layer.bias.data.reshape(-1).astype(np.float64)


def _integer(source: Tensor, weights: Tensor, bias: Tensor | None, output: Tensor) -> bool:
    activations = (source.quantization, output.quantization)
    scales = weights.quantization
    channels = output.shape[-1]
    wide = source.dtype is DType.INT16
    return (
        source.dtype is output.dtype
        and (wide or source.dtype is DType.INT8)
        and all(q is not None and len(q.scales) == 1 and q.scale > 0 for q in activations)
        and weights.dtype in (DType.INT8, DType.INT4)
        and scales is not None
        and not any(scales.zero_points)
        and len(scales.scales) in (1, channels)
        and (bias is None or bias.dtype is DType.INT32 or (wide and bias.dtype is DType.INT64))
    )


def multipliers(layer: Linear, op: str) -> Multipliers:
    """From accumulator to output scale, one or one a channel.

    TensorFlow Lite Micro multiplies the scales in double precision, except for FULLY_CONNECTED
    with one scale, where the product of input and weight scale is rounded to float32 first.
    """
    assert layer.source.quantization is not None
    assert layer.weights.quantization is not None
    assert layer.output.quantization is not None
    in_scale, out_scale = layer.source.quantization.scale, layer.output.quantization.scale
    scales = np.array(layer.weights.quantization.scales, np.float64)
    if op == "FULLY_CONNECTED" and len(scales) == 1:
        product = np.float32(in_scale) * np.float32(scales[0])
        return Multipliers.of(float(product) / out_scale)
    return Multipliers.of(in_scale * scales / out_scale)


def accumulated(
    graph: Graph, operator: Operator, low: npt.NDArray[Any], high: npt.NDArray[Any]
) -> Accumulated | None:
    """Bounds of a layer's accumulators from those of its input's elements; None when its
    arithmetic is not known here."""
    layer = linear(graph, operator)
    if layer is None:
        return None
    least, most = (b.astype(np.float64) - layer.zero_point for b in (low, high))
    positive, negative = np.maximum(layer.values, 0.0), np.minimum(layer.values, 0.0)
    bias = bias_values(layer)
    apply = layer.apply
    lower = apply(least, positive) + apply(most, negative) + bias
    upper = apply(most, positive) + apply(least, negative) + bias
    over = tuple(axis for axis in range(layer.values.ndim) if axis != layer.channel_axis)
    reach = float(max(np.abs(least).max(initial=0.0), np.abs(most).max(initial=0.0)))
    if layer.source.dtype is DType.FLOAT32:
        # Room for rounding, except where nothing varies: that is exact or the same at every run.
        sizes = apply(np.maximum(np.abs(least), np.abs(most)), np.abs(layer.values)) + abs(bias)
        taps = layer.values[0].size if layer.channel_axis == 0 else layer.values[..., 0].size
        room = np.where(lower == upper, 0.0, (taps + 2) * _EPSILON * sizes)
        lower, upper = lower - room, upper + room
    # The runtimes take products with the zero point off, which reach 255 where bounds do not say.
    magnitude = np.abs(layer.values).sum(axis=over) * max(reach, 255.0) + np.abs(bias)
    factors = None if layer.source.dtype is DType.FLOAT32 else multipliers(layer, operator.op)
    return Accumulated(lower, upper, magnitude, factors)
