"""Per operator: what the int8 kernels need of types, shapes, quantization and options.

A rule yields (tensor name or "", reason) for every fault. The bounds are those of TensorFlow Lite
Micro's int8 kernels, whose arithmetic the kernels here reproduce.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from .graph.model import DType, Graph, Operator, Tensor, fits_int4
from .graph.options import Activation, FullyConnectedOptions, SoftmaxOptions
from .graph.shapes import ShapeError, infer_shape

Fault = tuple[str, str]
Rule = Callable[[Graph, Operator], Iterator[Fault]]

_CLAMPS = {Activation.NONE, Activation.RELU, Activation.RELU_N1_TO_1, Activation.RELU6}
# TensorFlow Lite's tolerance: bias scale against input scale x weight scale, in output scales.
_BIAS_SCALE_TOLERANCE = 0.02
# A clamp's bound in real numbers; in quantized ones it has to fit an int32.
_BOUNDS = {Activation.RELU6: 6.0, Activation.RELU_N1_TO_1: 1.0}
_MOST_CLAMP = 2.0**31 - 256
_ADD_LEFT_SHIFT = 20
_SOFTMAX_INTEGER_BITS = 5
# A fixed-point multiplier is 31 bits and a shift; from 2^31 on it cannot be expressed.
_LARGEST_MULTIPLIER = 2.0**31


def _arity(operator: Operator, least: int, most: int) -> Iterator[Fault]:
    count = len(operator.inputs)
    if not least <= count <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        yield "", f"has {count} inputs instead of {wanted}"
    if len(operator.outputs) != 1:
        yield "", f"has {len(operator.outputs)} outputs instead of 1"
    for position in range(min(least, count)):
        if operator.inputs[position] < 0:
            yield "", f"input {position} is left out"


def _shape(graph: Graph, operator: Operator) -> Iterator[Fault]:
    (output,) = graph.results(operator)
    try:
        expected = infer_shape(operator.op, graph.operands(operator), operator.options)
    except ShapeError as error:
        yield "", str(error)
        return
    if expected is not None and expected != output.shape:
        yield (
            output.name,
            f"shape {list(output.shape)} where the operands give {list(expected)}",
        )


def _dtype(tensor: Tensor, *allowed: DType) -> Iterator[Fault]:
    if tensor.dtype not in allowed:
        wanted = " or ".join(dtype.value for dtype in allowed)
        yield tensor.name, f"is {tensor.dtype.value}; only {wanted} is supported here"


def _int8(tensor: Tensor) -> Iterator[Fault]:
    """An int8 activation or operand, quantized per tensor."""
    yield from _quantized(tensor, DType.INT8)


def _quantized(tensor: Tensor, *allowed: DType) -> Iterator[Fault]:
    if tensor.dtype not in allowed:
        yield from _dtype(tensor, *allowed)
    else:
        yield from _affine(tensor)


def _affine(tensor: Tensor) -> Iterator[Fault]:
    quantization = tensor.quantization
    if quantization is None:
        yield tensor.name, "has no scale and zero point"
    elif quantization.per_channel:
        yield tensor.name, "is quantized per channel; only weights may be"
    elif quantization.scale <= 0:
        yield tensor.name, f"has scale {quantization.scale}"
    else:
        kind = np.iinfo(tensor.dtype.value)
        if not kind.min <= quantization.zero_point <= kind.max:
            yield tensor.name, f"has zero point {quantization.zero_point}, outside {kind.dtype}"


def _activation(graph: Graph, operator: Operator, allowed: set[Activation]) -> Iterator[Fault]:
    activation = getattr(operator.options, "activation", Activation.NONE)
    if activation not in allowed:
        yield "", f"fused activation {activation.value} is not supported"
        return
    (output,) = graph.results(operator)
    bound = _BOUNDS.get(activation, 0.0)
    if output.quantization is None or output.quantization.per_channel or not bound:
        return
    scale = output.quantization.scale
    if 0 < scale <= bound / _MOST_CLAMP:
        yield output.name, f"has scale {scale:g}, too small for {activation.value}"


def _same_quantization(source: Tensor, output: Tensor) -> Iterator[Fault]:
    if source.quantization != output.quantization:
        yield output.name, f"must have the scale and zero point of '{source.name}'"


def _faults(*rules: Iterator[Fault]) -> list[Fault]:
    return [fault for rule in rules for fault in rule]


def _weighted(axis: int) -> Rule:
    """CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED; output channels lie on `axis`."""

    def rule(graph: Graph, operator: Operator) -> Iterator[Fault]:
        faults = _faults(_arity(operator, 2, 3))
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
        yield from _activation(graph, operator, _CLAMPS)
        yield from _shape(graph, operator)
        if operator.op != "FULLY_CONNECTED" and source.shape[:1] not in ((1,), ()):
            yield source.name, f"has batch {source.shape[0]}; only batch 1 is supported"
        grouped = len(source.shape) == 4 and source.shape[3:] != weights.shape[3:]
        if operator.op == "CONV_2D" and grouped:
            yield weights.name, "is a grouped convolution's, which is not supported"
        faults = _faults(_int8(source), _int8(output), _weights(weights, axis))
        if bias is not None:
            faults += _bias(bias, weights, axis)
        yield from faults
        if not faults:
            yield from _multipliers(source, weights, bias, output)

    return rule


def _weights(weights: Tensor, axis: int) -> Iterator[Fault]:
    if not weights.is_constant:
        yield weights.name, "are weights computed while running; only constants are supported"
    if weights.dtype not in (DType.INT8, DType.INT4):
        yield from _dtype(weights, DType.INT8, DType.INT4)
        return
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


def _bias(bias: Tensor, weights: Tensor, axis: int) -> Iterator[Fault]:
    if not bias.is_constant:
        yield bias.name, "is a bias computed while running; only constants are supported"
    yield from _dtype(bias, DType.INT32)
    channels = weights.shape[axis] if axis < len(weights.shape) else 0
    if bias.elements != channels:
        yield bias.name, f"has {bias.elements} elements for {channels} output channels"
    if bias.quantization is None:
        return
    if any(bias.quantization.zero_points):
        yield bias.name, "has a zero point other than 0"
    if len(bias.quantization.scales) not in (1, channels):
        yield bias.name, f"has {len(bias.quantization.scales)} scales for {channels} channels"


def _multipliers(
    source: Tensor, weights: Tensor, bias: Tensor | None, output: Tensor
) -> Iterator[Fault]:
    assert source.quantization is not None
    assert weights.quantization is not None
    assert output.quantization is not None
    scales = np.asarray(weights.quantization.scales, np.float64) * source.quantization.scale
    largest = float(scales.max()) / output.quantization.scale
    if largest >= _LARGEST_MULTIPLIER:
        yield weights.name, f"needs an output multiplier of {largest:g}, which is too large"
    if bias is None or bias.quantization is None:
        return
    off = np.abs(np.asarray(bias.quantization.scales, np.float64) - scales)
    if float(off.max()) > _BIAS_SCALE_TOLERANCE * output.quantization.scale:
        yield bias.name, "has scales that are not those of the input times those of the weights"


def _pool(graph: Graph, operator: Operator) -> Iterator[Fault]:
    faults = _faults(_arity(operator, 1, 1))
    yield from faults
    if faults:
        return
    yield from _unary(graph, operator, same_quantization=True)
    yield from _activation(graph, operator, _CLAMPS)
    for tensor in graph.operands(operator):
        if tensor is not None and tensor.shape[:1] not in ((1,), ()):
            yield tensor.name, f"has batch {tensor.shape[0]}; only batch 1 is supported"


def _unary(
    graph: Graph,
    operator: Operator,
    most: int = 1,
    same_quantization: bool = False,
    results: tuple[DType, ...] = (DType.INT8,),
) -> Iterator[Fault]:
    """One int8 operand, one result; further operands are constants of the shape rule."""
    faults = _faults(_arity(operator, 1, most))
    yield from faults
    if faults:
        return
    source = graph.operands(operator)[0]
    (output,) = graph.results(operator)
    assert source is not None
    yield from _shape(graph, operator)
    faults = _faults(_int8(source), _quantized(output, *results))
    yield from faults
    if not faults and same_quantization:
        yield from _same_quantization(source, output)


def _same(most: int) -> Rule:
    return lambda graph, operator: _unary(graph, operator, most, same_quantization=True)


def _pad_value(graph: Graph, operator: Operator) -> Iterator[Fault]:
    """PADV2: the third operand is the constant to pad with."""
    faults = _faults(_arity(operator, 3, 3))
    faults = faults or _faults(_unary(graph, operator, most=3, same_quantization=True))
    value = graph.operands(operator)[2] if not faults else None
    if value is not None:
        faults = _faults(_int8(value))
        if value.data is None or value.elements != 1:
            faults.append((value.name, "must be one constant to pad with"))
        faults = faults or _faults(_same_quantization(graph.results(operator)[0], value))
    yield from faults


def _requantizing(most: int) -> Rule:
    def rule(graph: Graph, operator: Operator) -> Iterator[Fault]:
        faults = _faults(_unary(graph, operator, most))
        yield from faults
        if not faults:
            yield from _rescale(graph, operator)

    return rule


def _rescale(graph: Graph, operator: Operator) -> Iterator[Fault]:
    source = graph.operands(operator)[0]
    (output,) = graph.results(operator)
    if source is None or source.quantization is None or output.quantization is None:
        return
    ratio = source.quantization.scale / output.quantization.scale
    if ratio >= _LARGEST_MULTIPLIER:
        yield output.name, f"needs a multiplier of {ratio:g}, which is too large"


def _binary(graph: Graph, operator: Operator) -> Iterator[Fault]:
    faults = _faults(_arity(operator, 2, 2))
    yield from faults
    if faults:
        return
    first, second = graph.operands(operator)
    (output,) = graph.results(operator)
    assert first is not None
    assert second is not None
    yield from _activation(graph, operator, _CLAMPS)
    yield from _shape(graph, operator)
    faults = _faults(_int8(first), _int8(second), _int8(output))
    yield from faults
    if faults:
        return
    scales = [t.quantization.scale for t in (first, second, output) if t.quantization]
    if operator.op == "ADD":
        multiplier = 2 * max(scales[:2]) / (2**_ADD_LEFT_SHIFT * scales[2])
        if multiplier >= 1:
            yield output.name, f"has scale {scales[2]:g}, too small for operands of {scales[:2]}"
    elif scales[0] * scales[1] / scales[2] >= _LARGEST_MULTIPLIER:
        yield output.name, f"has scale {scales[2]:g}, too small for operands of {scales[:2]}"


def _softmax(graph: Graph, operator: Operator) -> Iterator[Fault]:
    faults = _faults(_unary(graph, operator, results=(DType.INT8, DType.INT16)))
    yield from faults
    if faults:
        return
    source = graph.operands(operator)[0]
    (output,) = graph.results(operator)
    assert source is not None
    assert source.quantization is not None
    assert output.quantization is not None
    steps = 256 if output.dtype is DType.INT8 else 65536
    if (output.quantization.scale, output.quantization.zero_point) != (1 / steps, -steps // 2):
        yield output.name, f"must have scale 1/{steps} and zero point {-steps // 2}"
    beta = operator.options.beta if isinstance(operator.options, SoftmaxOptions) else 1.0
    multiplier = beta * source.quantization.scale * 2.0 ** (31 - _SOFTMAX_INTEGER_BITS)
    if not math.isfinite(multiplier) or multiplier <= 1:
        yield "", f"beta {beta:g} is too small for input scale {source.quantization.scale:g}"


def _concatenation(graph: Graph, operator: Operator) -> Iterator[Fault]:
    faults = _faults(_arity(operator, 2, 8))
    faults += [("", f"input {i} is left out") for i, t in enumerate(operator.inputs) if t < 0]
    yield from faults
    if faults:
        return
    (output,) = graph.results(operator)
    yield from _activation(graph, operator, {Activation.NONE})
    yield from _shape(graph, operator)
    yield from _int8(output)
    for source in graph.operands(operator):
        assert source is not None
        faults = _faults(_int8(source))
        yield from faults
        if not faults:
            yield from _same_quantization(output, source)


# What QUANTIZE converts: TensorFlow Lite Micro's pairs without int32.
_QUANTIZES = {
    DType.FLOAT32: (DType.INT8, DType.INT16),
    DType.INT8: (DType.INT8, DType.UINT8, DType.INT16),
    DType.UINT8: (DType.INT8,),
    DType.INT16: (DType.INT8, DType.INT16),
}
_DEQUANTIZES = dict.fromkeys((DType.INT8, DType.UINT8, DType.INT16), (DType.FLOAT32,))


def _conversion(pairs: Mapping[DType, tuple[DType, ...]]) -> Rule:
    """QUANTIZE and DEQUANTIZE."""

    def rule(graph: Graph, operator: Operator) -> Iterator[Fault]:
        faults = _faults(_arity(operator, 1, 1))
        yield from faults
        if faults:
            return
        source = graph.operands(operator)[0]
        (output,) = graph.results(operator)
        assert source is not None
        yield from _shape(graph, operator)
        faults = _faults(_dtype(source, *pairs))
        faults += _faults(_dtype(output, *pairs.get(source.dtype, (output.dtype,))))
        for tensor in (source, output):
            if not faults and tensor.dtype is not DType.FLOAT32:
                faults += _faults(_affine(tensor))
        yield from faults
        if not faults and DType.FLOAT32 not in (source.dtype, output.dtype):
            yield from _rescale(graph, operator)

    return rule


RULES: dict[str, Rule] = {
    "CONV_2D": _weighted(axis=0),
    "DEPTHWISE_CONV_2D": _weighted(axis=3),
    "FULLY_CONNECTED": _weighted(axis=0),
    "AVERAGE_POOL_2D": _pool,
    "MAX_POOL_2D": _pool,
    "ADD": _binary,
    "MUL": _binary,
    "MEAN": _requantizing(most=2),
    "PAD": _same(most=2),
    "PADV2": _pad_value,
    "RESHAPE": _same(most=2),
    "EXPAND_DIMS": _same(most=2),
    "SQUEEZE": _same(most=1),
    "SOFTMAX": _softmax,
    "CONCATENATION": _concatenation,
    "RELU": _requantizing(most=1),
    "RELU6": _same(most=1),
    "QUANTIZE": _conversion(_QUANTIZES),
    "DEQUANTIZE": _conversion(_DEQUANTIZES),
}
SUPPORTED_OPS = frozenset(RULES)
