"""The parts that rules are made of: number of operands, shapes, element types, quantization.

A rule yields (tensor name or "", reason) for every fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.options import Activation
from edge_quantize.graph.shapes import ShapeError, infer_shape

Fault = tuple[str, str]
Rule = Callable[[Graph, Operator], Iterator[Fault]]

CLAMPS = {Activation.NONE, Activation.RELU, Activation.RELU_N1_TO_1, Activation.RELU6}
# A fixed-point multiplier is 31 bits and a shift; from 2^31 on it cannot be expressed.
LARGEST_MULTIPLIER = 2.0**31
# A clamp's bound in real numbers; in quantized ones it has to fit an int32.
_BOUNDS = {Activation.RELU6: 6.0, Activation.RELU_N1_TO_1: 1.0}
_MOST_CLAMP = 2.0**31 - 256


def operand_count(operator: Operator, least: int, most: int) -> Iterator[Fault]:
    count = len(operator.inputs)
    if not least <= count <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        yield "", f"has {count} inputs instead of {wanted}"
    if len(operator.outputs) != 1:
        yield "", f"has {len(operator.outputs)} outputs instead of 1"
    for position in range(min(least, count)):
        if operator.inputs[position] < 0:
            yield "", f"input {position} is left out"


def result_shape(graph: Graph, operator: Operator) -> Iterator[Fault]:
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


def element_type(tensor: Tensor, *allowed: DType) -> Iterator[Fault]:
    if tensor.dtype not in allowed:
        wanted = " or ".join(dtype.value for dtype in allowed)
        yield tensor.name, f"is {tensor.dtype.value}; only {wanted} is supported here"


def int8(tensor: Tensor) -> Iterator[Fault]:
    """An int8 activation or operand, quantized per tensor."""
    yield from quantized(tensor, DType.INT8)


def quantized(tensor: Tensor, *allowed: DType) -> Iterator[Fault]:
    if tensor.dtype not in allowed:
        yield from element_type(tensor, *allowed)
    else:
        yield from affine(tensor)


def affine(tensor: Tensor) -> Iterator[Fault]:
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


def fused_activation(graph: Graph, operator: Operator, allowed: set[Activation]) -> Iterator[Fault]:
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


def equal_quantization(source: Tensor, output: Tensor) -> Iterator[Fault]:
    if source.quantization != output.quantization:
        yield output.name, f"must have the scale and zero point of '{source.name}'"


def faults_of(*rules: Iterator[Fault]) -> list[Fault]:
    return [fault for rule in rules for fault in rule]


def unary(
    graph: Graph,
    operator: Operator,
    most: int = 1,
    same_quantization: bool = False,
    results: tuple[DType, ...] = (DType.INT8,),
) -> Iterator[Fault]:
    """One int8 operand, one result; further operands are constants of the shape rule."""
    faults = faults_of(operand_count(operator, 1, most))
    yield from faults
    if faults:
        return
    source = graph.operands(operator)[0]
    (output,) = graph.results(operator)
    assert source is not None
    yield from result_shape(graph, operator)
    faults = faults_of(int8(source), quantized(output, *results))
    yield from faults
    if not faults and same_quantization:
        yield from equal_quantization(source, output)


def rescale(graph: Graph, operator: Operator) -> Iterator[Fault]:
    source = graph.operands(operator)[0]
    (output,) = graph.results(operator)
    if source is None or source.quantization is None or output.quantization is None:
        return
    ratio = source.quantization.scale / output.quantization.scale
    if ratio >= LARGEST_MULTIPLIER:
        yield output.name, f"needs a multiplier of {ratio:g}, which is too large"
