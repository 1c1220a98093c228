"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_quantize.graph.model import DType, Graph, Operator, Tensor, fits_int4
from edge_quantize.graph.options import FullyConnectedOptions

from .parts import (
    CLAMPS,
    LARGEST_MULTIPLIER,
    Fault,
    Rule,
    activations,
    element_type,
    faults_of,
    fused_activation,
    operand_count,
    result_shape,
    symmetric,
)

# TensorFlow Lite's tolerance: bias scale against input scale x weight scale, in output scales.
_BIAS_SCALE_TOLERANCE = 0.02
# 64-bit sums are multiplied by 15 bits, shifted left by at most 7, and stay below 2^47. A
# multiplier nearer to 2^7 than that would be rounded up to it.
_LARGEST_NARROW_MULTIPLIER = 2.0**7 - 2.0**-24
_LARGEST_SUM = 1 << 47


def weighted(axis: int) -> Rule:
    """CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED; output channels lie on `axis`."""

    def rule(graph: Graph, operator: Operator) -> Iterator[Fault]:
        faults = faults_of(operand_count(operator, 2, 3))
        yield from faults
        if faults:
            return
        source, weights, *rest = graph.operands(operator)
        bias = rest[0] if rest else None
        (output,) = graph.results(operator)
        assert source is not None
        assert weights is not None
        options = operator.options
        if operator.op == "DEPTHWISE_CONV_2D" and rest and bias is None:
            yield "", "has a bias marked as left out (-1), which runtimes refuse; write 2 inputs"
        if isinstance(options, FullyConnectedOptions) and options.shuffled_weights:
            yield weights.name, "has the shuffled weights layout; convert the model again"
        yield from fused_activation(graph, operator, CLAMPS)
        yield from result_shape(graph, operator)
        if operator.op != "FULLY_CONNECTED" and source.shape[:1] not in ((1,), ()):
            yield source.name, f"has batch {source.shape[0]}; only batch 1 is supported"
        grouped = len(source.shape) == 4 and source.shape[3:] != weights.shape[3:]
        if operator.op == "CONV_2D" and grouped:
            yield weights.name, "is a grouped convolution's, which is not supported"
        faults = activations(source, output)
        faults += faults_of(symmetric(source), symmetric(output), _weights(weights, axis, source))
        if bias is not None:
            faults += _bias(bias, weights, axis, _bias_types(operator, source))
        yield from faults
        if not faults:
            if source.dtype is DType.INT16:
                yield from _wide_sums(weights, bias, axis)
            yield from _multipliers(source, weights, bias, output)

    return rule


def _weights(weights: Tensor, axis: int, source: Tensor) -> Iterator[Fault]:
    if not weights.is_constant:
        yield weights.name, "are weights computed while running; only constants are supported"
    if weights.dtype not in (DType.INT8, DType.INT4):
        yield from element_type(weights, DType.INT8, DType.INT4)
        return
    if weights.dtype is DType.INT4 and source.dtype is DType.INT16:
        yield weights.name, "is int4; beside int16 activations only int8 is supported"
    data = weights.data
    if weights.dtype is DType.INT4 and data is not None and not fits_int4(data):
        yield weights.name, f"is int4, and runs from {data.min()} to {data.max()}"
    quantization = weights.quantization
    if quantization is None:
        yield weights.name, "has no scale"
        return
    if any(quantization.zero_points):
        yield weights.name, "has a zero point other than 0; weights must be symmetric"
    if min(quantization.scales) <= 0:
        channel = quantization.scales.index(min(quantization.scales))
        yield weights.name, f"has scale {min(quantization.scales)} in channel {channel}"
    if quantization.per_channel and quantization.axis != axis:
        yield weights.name, f"is quantized along axis {quantization.axis} instead of {axis}"


def _bias_types(operator: Operator, source: Tensor) -> tuple[DType, ...]:
    if source.dtype is not DType.INT16:
        return (DType.INT32,)
    if operator.op == "DEPTHWISE_CONV_2D":
        return (DType.INT64,)
    return (DType.INT64, DType.INT32)


def _bias(bias: Tensor, weights: Tensor, axis: int, types: tuple[DType, ...]) -> Iterator[Fault]:
    if not bias.is_constant:
        yield bias.name, "is a bias computed while running; only constants are supported"
    yield from element_type(bias, *types)
    channels = weights.shape[axis] if axis < len(weights.shape) else 0
    if bias.elements != channels:
        yield bias.name, f"has {bias.elements} elements for {channels} output channels"
    if bias.quantization is None:
        return
    if any(bias.quantization.zero_points):
        yield bias.name, "has a zero point other than 0"
    if len(bias.quantization.scales) not in (1, channels):
        yield bias.name, f"has {len(bias.quantization.scales)} scales for {channels} channels"


def _wide_sums(weights: Tensor, bias: Tensor | None, axis: int) -> Iterator[Fault]:
    """64-bit sums of int16 by int8 products, 2^22 at most each."""
    taps = weights.elements // max(1, weights.shape[axis])
    room = _LARGEST_SUM - (taps << 22)
    if room <= 0:
        yield weights.name, f"has {taps} weights a channel; their sums could exceed 47 bits"
    elif bias is not None and bias.data is not None and bias.elements:
        least, most = int(np.min(bias.data)), int(np.max(bias.data))
        if max(-least, most) >= room:
            yield bias.name, f"holds {least} to {most}; with the products, sums exceed 47 bits"


def _multipliers(
    source: Tensor, weights: Tensor, bias: Tensor | None, output: Tensor
) -> Iterator[Fault]:
    assert source.quantization is not None
    assert weights.quantization is not None
    assert output.quantization is not None
    scales = np.asarray(weights.quantization.scales, np.float64) * source.quantization.scale
    largest = float(scales.max()) / output.quantization.scale
    narrow = source.dtype is DType.INT16 and (bias is None or bias.dtype is DType.INT64)
    if largest >= (_LARGEST_NARROW_MULTIPLIER if narrow else LARGEST_MULTIPLIER):
        yield weights.name, f"needs an output multiplier of {largest:g}, which is too large"
    if bias is None or bias.quantization is None:
        return
    off = np.abs(np.asarray(bias.quantization.scales, np.float64) - scales)
    if float(off.max()) > _BIAS_SCALE_TOLERANCE * output.quantization.scale:
        yield bias.name, "has scales that are not those of the input times those of the weights"
