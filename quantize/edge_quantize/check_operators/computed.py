"""ADD, MUL and everything with one operand that is computed: pooling, MEAN, SOFTMAX, QUANTIZE."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from edge_quantize.graph.model import DType, Graph, Operator
from edge_quantize.graph.options import SoftmaxOptions

from .parts import (
    CLAMPS,
    LARGEST_MULTIPLIER,
    Fault,
    Rule,
    affine,
    element_type,
    faults_of,
    fused_activation,
    int8,
    operand_count,
    rescale,
    result_shape,
    unary,
)

_ADD_LEFT_SHIFT = 20
_SOFTMAX_INTEGER_BITS = 5


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
    faults = faults_of(int8(first), int8(second), int8(output))
    yield from faults
    if faults:
        return
    scales = [t.quantization.scale for t in (first, second, output) if t.quantization]
    if operator.op == "ADD":
        multiplier = 2 * max(scales[:2]) / (2**_ADD_LEFT_SHIFT * scales[2])
        if multiplier >= 1:
            yield output.name, f"has scale {scales[2]:g}, too small for operands of {scales[:2]}"
    elif scales[0] * scales[1] / scales[2] >= LARGEST_MULTIPLIER:
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


def requantizing(most: int) -> Rule:
    def rule(graph: Graph, operator: Operator) -> Iterator[Fault]:
        faults = faults_of(unary(graph, operator, most))
        yield from faults
        if not faults:
            yield from rescale(graph, operator)

    return rule


def softmax(graph: Graph, operator: Operator) -> Iterator[Fault]:
    faults = faults_of(unary(graph, operator, results=(DType.INT8, DType.INT16)))
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
