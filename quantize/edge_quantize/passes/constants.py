"""Operators that compute from constants alone, and activations that are constant all the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.check import check_supported
from edge_quantize.errors import QuantizeError
from edge_quantize.graph.edit import Rewrite, readers
from edge_quantize.graph.model import Graph, Operator, Tensor
from edge_quantize.reference import LiteRtReference, TflmReference, tflm_available

from .bounds import is_int8, tensor_bounds
from .result import NOTHING, Change, Edit, Settings

# Other numbers at each run, whatever their operands.
RANDOM = frozenset(
    {"RANDOM_UNIFORM", "RANDOM_STANDARD_NORMAL", "MULTINOMIAL", "STABLEHLO_RNG_BIT_GENERATOR"}
)
# Takes constants as operands on every runtime here, and is worth having one.
_TAKE_CONSTANTS = ("ADD", "MUL")


def evaluate_constants(graph: Graph, _: Settings) -> Edit:
    """Replace operators whose operands are all constants by what a reference runtime computes.

    Weights that are dequantized stay as they are: how small they are stored was somebody's choice,
    and their floats would take two to four times the room.
    """
    for operator in graph.operators:
        operands = [t for t in graph.operands(operator) if t is not None]
        if (
            not operands
            or not all(t.is_constant for t in operands)
            or len(operator.outputs) != 1
            or operator.outputs[0] in graph.outputs
            or operator.op == "DEQUANTIZE"
            or operator.op in RANDOM
        ):
            continue
        value = _evaluated(graph, operator)
        if value is None:
            continue
        change = Change(
            "constants",
            graph.layer_name(operator),
            f"{operator.op} computed beforehand",
            "all its operands are constants",
        )
        return _as_constant(graph, operator.outputs[0], value), (change,)
    return graph, NOTHING


def _evaluated(graph: Graph, operator: Operator) -> npt.NDArray[Any] | None:
    """The operator's result, its first operand fed as an input; None where no runtime takes it."""
    used = [*dict.fromkeys(i for i in operator.inputs if i >= 0), *operator.outputs]
    first = used[0]
    numbers = {old: new for new, old in enumerate(used)}
    tensors = tuple(
        replace(
            graph.tensors[old],
            index=new,
            data=None if old == first else graph.tensors[old].data,
        )
        for old, new in numbers.items()
    )
    alone = Operator(
        0,
        operator.op,
        tuple(numbers.get(i, -1) for i in operator.inputs),
        tuple(numbers[i] for i in operator.outputs),
        operator.options,
        operator.version,
    )
    small = Graph("constant", tensors, (alone,), (0,), alone.outputs)
    data = graph.tensors[first].data
    assert data is not None
    try:
        if tflm_available() and not check_supported(small):
            (value,) = TflmReference(small, checked=True).run([data])
        else:
            (value,) = LiteRtReference(small).run([data])
    except QuantizeError:
        return None
    # What is known of the tensors behind rests on the shape in the file.
    result = graph.tensors[operator.outputs[0]]
    return value if (value.shape, value.dtype) == (result.shape, result.dtype.numpy) else None


def _as_constant(graph: Graph, index: int, value: npt.NDArray[Any]) -> Graph:
    """The graph in which an activation is a constant and its operator is gone."""
    content = np.array(value)
    content.setflags(write=False)
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], data=content, shape=content.shape, shape_signature=())
    rewrite = Rewrite(replace(graph, tensors=tuple(tensors)))
    for operator in graph.operators:
        if index in operator.outputs:
            rewrite.drop(operator.index)
    return rewrite.graph()


def settle_constant_activations(graph: Graph, _: Settings) -> Edit:
    """Replace an int8 activation that is constant for every input by that constant, where only
    operators read it that take one: a branch multiplied by zero, say."""
    computed = [
        (operator, graph.results(operator)[0])
        for operator in graph.operators
        if len(operator.outputs) == 1
        and operator.outputs[0] not in graph.outputs
        and is_int8(graph.results(operator)[0])
    ]
    read = readers(graph)
    wanted = [
        (operator, tensor)
        for operator, tensor in computed
        if read[tensor.index] and all(_may_take(graph, o, tensor) for o in read[tensor.index])
    ]
    if not wanted:
        return graph, NOTHING
    bounds = tensor_bounds(graph)
    for operator, tensor in wanted:
        found = bounds[tensor.index]
        if found.constant.all():
            change = Change(
                "constants",
                graph.layer_name(operator),
                f"{operator.op} replaced by a constant",
                "the same for every input",
            )
            return _as_constant(graph, tensor.index, _narrowed(found.low)), (change,)
    return graph, NOTHING


def _may_take(graph: Graph, operator: Operator, tensor: Tensor) -> bool:
    """Whether an operator may have that operand as a (broadcast) constant."""
    others = [graph.tensors[i] for i in operator.inputs if i != tensor.index]
    return (
        operator.op in _TAKE_CONSTANTS
        and len(others) == 1
        and not others[0].is_constant
        and others[0].shape == graph.results(operator)[0].shape
    )


def _narrowed(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The smallest array of the same rank that broadcasts to these values."""
    narrow = values
    for axis in range(values.ndim):
        first = np.take(narrow, [0], axis=axis)
        if (narrow == first).all():
            narrow = first
    return narrow
