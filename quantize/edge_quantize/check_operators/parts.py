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

# Element types that whole networks compute in.
ACTIVATIONS = (DType.INT8, DType.INT16)
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


def symmetric(tensor: Tensor) -> Iterator[Fault]:
    """int16 activations have a zero point of 0; int8 ones may have any."""
    if tensor.dtype is DType.INT16 and tensor.quantization and any(tensor.quantization.zero_points):
        yield tensor.name, "is int16 with a zero point other than 0, which its kernels do not take"


def activations(*tensors: Tensor) -> list[Fault]:
    """Operands and results that are all int8 or all int16, quantized per tensor."""
    faults = faults_of(*(quantized(tensor, *ACTIVATIONS) for tensor in tensors))
    types = {tensor.dtype for tensor in tensors}
    if not faults and len(types) > 1:
        wanted, other = tensors[0], next(t for t in tensors if t.dtype is not tensors[0].dtype)
        faults.append(
            (other.name, f"is {other.dtype.value} where '{wanted.name}' is {wanted.dtype.value}")
        )
    return faults


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
    yield from clamp_fits(graph.results(operator)[0], activation)


def clamp_fits(output: Tensor, activation: Activation) -> Iterator[Fault]:
    """Whether the clamp's bounds are numbers the kernels can hold."""
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
) -> Iterator[Fault]:
    """One operand, one result of its type; further operands are constants of the shape rule."""
    faults = faults_of(operand_count(operator, 1, most))
    yield from faults
    if faults:
        return
    source = graph.operands(operator)[0]
    (output,) = graph.results(operator)
    assert source is not None
    yield from result_shape(graph, operator)
    faults = activations(source, output)
    yield from faults
    if not faults and same_quantization:
        yield from equal_quantization(source, output)


def ends(graph: Graph, operator: Operator) -> tuple[Tensor, Tensor]:
    """First operand and result of an operator whose number of operands was checked."""
    source = graph.operands(operator)[0]
    (output,) = graph.results(operator)
    assert source is not None
    return source, output


def rescale(graph: Graph, operator: Operator) -> Iterator[Fault]:
    source = graph.operands(operator)[0]
    (output,) = graph.results(operator)
    if source is None or source.quantization is None or output.quantization is None:
        return
    ratio = source.quantization.scale / output.quantization.scale
    if ratio >= LARGEST_MULTIPLIER:
        yield output.name, f"needs a multiplier of {ratio:g}, which is too large"
