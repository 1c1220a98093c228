"""PAD, RESHAPE and its like, CONCATENATION, RELU6: bytes move or are cut off, none is computed."""

from __future__ import annotations

from collections.abc import Iterator

from edge_quantize.graph.model import Graph, Operator
from edge_quantize.graph.options import Activation

from .parts import (
    ACTIVATIONS,
    Fault,
    Rule,
    activations,
    clamp_fits,
    ends,
    equal_quantization,
    faults_of,
    fused_activation,
    operand_count,
    quantized,
    result_shape,
    symmetric,
    unary,
)


def same(most: int) -> Rule:
    return lambda graph, operator: unary(graph, operator, most, same_quantization=True)


def relu6(graph: Graph, operator: Operator) -> Iterator[Fault]:
    faults = faults_of(unary(graph, operator, same_quantization=True))
    yield from faults or faults_of(clamp_fits(ends(graph, operator)[1], Activation.RELU6))


def symmetric_same(most: int) -> Rule:
    """`same`, where int16 has to have a zero point of 0."""

    def rule(graph: Graph, operator: Operator) -> Iterator[Fault]:
        faults = faults_of(unary(graph, operator, most, same_quantization=True))
        yield from faults or faults_of(symmetric(ends(graph, operator)[1]))

    return rule


def pad_value(graph: Graph, operator: Operator) -> Iterator[Fault]:
    """PADV2: the third operand is the constant to pad with."""
    faults = faults_of(operand_count(operator, 3, 3))
    faults = faults or faults_of(unary(graph, operator, most=3, same_quantization=True))
    value = graph.operands(operator)[2] if not faults else None
    if value is not None:
        faults = activations(graph.results(operator)[0], value)
        if value.data is None or value.elements != 1:
            faults.append((value.name, "must be one constant to pad with"))
        faults = faults or faults_of(equal_quantization(graph.results(operator)[0], value))
    yield from faults


def concatenation(graph: Graph, operator: Operator) -> Iterator[Fault]:
    faults = faults_of(operand_count(operator, 2, 8))
    faults += [("", f"input {i} is left out") for i, t in enumerate(operator.inputs) if t < 0]
    yield from faults
    if faults:
        return
    (output,) = graph.results(operator)
    yield from fused_activation(graph, operator, {Activation.NONE})
    yield from result_shape(graph, operator)
    faults = faults_of(quantized(output, *ACTIVATIONS), symmetric(output))
    yield from faults
    if faults:
        return
    for source in graph.operands(operator):
        assert source is not None
        faults = activations(output, source)
        yield from faults
        if not faults:
            yield from equal_quantization(output, source)
