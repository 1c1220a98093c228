"""ADD, MUL and everything with one operand that is computed: pooling, MEAN, SOFTMAX, QUANTIZE."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from edge_quantize.fixed_point import ADD_LEFT_SHIFTS
from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.options import SoftmaxOptions

from .parts import (
    ACTIVATIONS,
    CLAMPS,
    LARGEST_MULTIPLIER,
    Fault,
    Rule,
    activations,
    affine,
    element_type,
    ends,
    faults_of,
    fused_activation,
    operand_count,
    quantized,
    rescale,
    result_shape,
    symmetric,
    unary,
)

# int16 products fill 31 bits and can be shifted no further up.
_JUST_BELOW_ONE = 1 - 2.0**-31  # from here on a 31-bit multiplier is rounded up to one
_LARGEST_PRODUCT = {DType.INT8: LARGEST_MULTIPLIER, DType.INT16: _JUST_BELOW_ONE}
_SOFTMAX_INTEGER_BITS = 5
_SOFTMAX_STEPS = 65535 / 10.0  # of the int16 kernel's table of exponentials, in one real unit
# 1 / scale and zero point of results, by the types of input and output.
_SOFTMAX_RESULTS = {
    (DType.INT8, DType.INT8): (256, -128),
    (DType.INT8, DType.INT16): (65536, -32768),
    (DType.INT16, DType.INT16): (32768, 0),
}
_SATURATING_RESULTS = {
    ("LOGISTIC", DType.INT8): (256, -128),
    ("TANH", DType.INT8): (128, 0),
    ("LOGISTIC", DType.INT16): (32768, 0),
    ("TANH", DType.INT16): (32768, 0),
}
# Input scales whose multipliers the reference's fixed point can hold.
_SATURATING_SCALES = {DType.INT8: (2.0**-27, 2.0**30), DType.INT16: (2.0**-40, 2.0)}


def binary(graph: Graph, operator: Operator) -> Iterator[Fault]:
    faults = faults_of(operand_count(operator, 2, 2))
    yield from faults
    if faults:
        return
    first, second = graph.operands(operator)
    (output,) = graph.results(operator)
    assert first is not None
    assert second is not None
    yield from fused_activation(graph, operator, CLAMPS)
    yield from result_shape(graph, operator)
    faults = activations(first, second, output)
    faults += faults_of(*(symmetric(tensor) for tensor in (first, second, output)))
    yield from faults
    if faults:
        return
    scales = [t.quantization.scale for t in (first, second, output) if t.quantization]
    if operator.op in ("ADD", "SUB"):
        multiplier = 2 * max(scales[:2]) / (2 ** ADD_LEFT_SHIFTS[output.dtype] * scales[2])
        if multiplier >= _JUST_BELOW_ONE:
            yield output.name, f"has scale {scales[2]:g}, too small for operands of {scales[:2]}"
    elif scales[0] * scales[1] / scales[2] >= _LARGEST_PRODUCT[output.dtype]:
        yield output.name, f"has scale {scales[2]:g}, too small for operands of {scales[:2]}"


def pool(graph: Graph, operator: Operator) -> Iterator[Fault]:
    faults = faults_of(operand_count(operator, 1, 1))
    yield from faults
    if faults:
        return
    yield from unary(graph, operator, same_quantization=True)
    yield from fused_activation(graph, operator, CLAMPS)
    for tensor in graph.operands(operator):
        if tensor is not None and tensor.shape[:1] not in ((1,), ()):
            yield tensor.name, f"has batch {tensor.shape[0]}; only batch 1 is supported"


def requantizing(most: int, only_symmetric: bool = False) -> Rule:
    """One operand that is rescaled; `only_symmetric`: int16 has to have zero points of 0."""

    def rule(graph: Graph, operator: Operator) -> Iterator[Fault]:
        faults = faults_of(unary(graph, operator, most))
        if not faults and only_symmetric:
            faults = faults_of(*(symmetric(tensor) for tensor in ends(graph, operator)))
        yield from faults
        if not faults:
            yield from rescale(graph, operator)

    return rule


def softmax(graph: Graph, operator: Operator) -> Iterator[Fault]:
    faults = faults_of(operand_count(operator, 1, 1))
    yield from faults
    if faults:
        return
    source, output = ends(graph, operator)
    yield from result_shape(graph, operator)
    faults = faults_of(quantized(source, *ACTIVATIONS))
    results = (DType.INT16,) if source.dtype is DType.INT16 else ACTIVATIONS
    faults += faults_of(quantized(output, *results), symmetric(source))
    yield from faults
    if faults:
        return
    assert source.quantization is not None
    yield from _fixed_result(output, *_SOFTMAX_RESULTS[source.dtype, output.dtype])
    beta = operator.options.beta if isinstance(operator.options, SoftmaxOptions) else 1.0
    scaled = beta * source.quantization.scale
    if source.dtype is DType.INT8:
        small = scaled * 2.0 ** (31 - _SOFTMAX_INTEGER_BITS) <= 1
        large = not math.isfinite(scaled)
    else:
        # The differences, up to 65535, are shifted within 32 bits.
        small = scaled * _SOFTMAX_STEPS <= 2.0**-31
        large = not scaled * _SOFTMAX_STEPS < 2.0**15 - 1
    if small or large:
        what = "small" if small else "large"
        yield "", f"beta {beta:g} is too {what} for input scale {source.quantization.scale:g}"


def _fixed_result(output: Tensor, steps: int, zero_point: int) -> Iterator[Fault]:
    """A result whose quantization the function dictates."""
    assert output.quantization is not None
    if (output.quantization.scale, output.quantization.zero_point) != (1 / steps, zero_point):
        yield output.name, f"must have scale 1/{steps} and zero point {zero_point}"


def saturating(graph: Graph, operator: Operator) -> Iterator[Fault]:
    """LOGISTIC and TANH."""
    faults = faults_of(unary(graph, operator))
    if not faults:
        faults = faults_of(*(symmetric(tensor) for tensor in ends(graph, operator)))
    yield from faults
    if faults:
        return
    source, output = ends(graph, operator)
    assert source.quantization is not None
    yield from _fixed_result(output, *_SATURATING_RESULTS[operator.op, output.dtype])
    least, most = _SATURATING_SCALES[output.dtype]
    if not least <= source.quantization.scale <= most:
        yield (
            source.name,
            f"has scale {source.quantization.scale:g}, not within {least:g} to {most:g}",
        )


# What QUANTIZE converts: TensorFlow Lite Micro's pairs without int32.
QUANTIZES = {
    DType.FLOAT32: (DType.INT8, DType.INT16),
    DType.INT8: (DType.INT8, DType.UINT8, DType.INT16),
    DType.UINT8: (DType.INT8,),
    DType.INT16: (DType.INT8, DType.INT16),
}
DEQUANTIZES = dict.fromkeys((DType.INT8, DType.UINT8, DType.INT16), (DType.FLOAT32,))


def conversion(pairs: Mapping[DType, tuple[DType, ...]]) -> Rule:
    """QUANTIZE and DEQUANTIZE."""

    def rule(graph: Graph, operator: Operator) -> Iterator[Fault]:
        faults = faults_of(operand_count(operator, 1, 1))
        yield from faults
        if faults:
            return
        source = graph.operands(operator)[0]
        (output,) = graph.results(operator)
        assert source is not None
        yield from result_shape(graph, operator)
        faults = faults_of(element_type(source, *pairs))
        faults += faults_of(element_type(output, *pairs.get(source.dtype, (output.dtype,))))
        for tensor in (source, output):
            if not faults and tensor.dtype is not DType.FLOAT32:
                faults += faults_of(affine(tensor))
        yield from faults
        if not faults and DType.FLOAT32 not in (source.dtype, output.dtype):
            yield from rescale(graph, operator)

    return rule
