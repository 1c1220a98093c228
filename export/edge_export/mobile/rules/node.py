"""One operator as a delegate looks at it, before it decides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.options import Activation, SchemaOptions

COMPARING = frozenset({"EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"})


@dataclass(frozen=True)
class Node:
    """An operator with its tensors; None for an optional operand that is left out."""

    operator: Operator
    operands: tuple[Tensor | None, ...]
    results: tuple[Tensor, ...]
    # Of a comparison's result: the operators that read it, and what they make.
    readers: tuple[tuple[str, DType], ...] = ()

    @cached_property
    def runtime(self) -> tuple[Tensor, ...]:
        """The operands that are computed while running."""
        return tuple(t for t in self.operands if t is not None and not t.is_constant)

    @cached_property
    def constants(self) -> tuple[Tensor, ...]:
        return tuple(t for t in self.operands if t is not None and t.is_constant)

    def operand(self, position: int) -> Tensor | None:
        return self.operands[position] if position < len(self.operands) else None

    def option(self, key: str, default: Any = 0) -> Any:
        """An option by the schema's name in lower case, or by its own name where it has a class."""
        options = self.operator.options
        if isinstance(options, SchemaOptions):
            return options.values.get(key, default)
        return getattr(options, key, default)

    @property
    def activation(self) -> Activation:
        found = self.option("activation", None)
        if isinstance(found, Activation):
            return found
        number = int(self.option("fused_activation_function", 0))
        return list(Activation)[number] if 0 <= number < len(Activation) else Activation.NONE

    def integers(self, position: int) -> tuple[int, ...] | None:
        """The numbers of a constant operand; None where it is none, or of another kind."""
        tensor = self.operand(position)
        if tensor is None or tensor.data is None or tensor.dtype.opaque or tensor.encoding:
            return None
        if tensor.data.dtype.kind not in "iu":
            return None
        return tuple(int(value) for value in tensor.data.ravel())


def float16_constants(graph: Graph) -> Mapping[int, Tensor]:
    """What a DEQUANTIZE makes of a float16 constant -> that constant: the delegates read the
    constant itself, wherever such a result is read."""
    return {
        operator.outputs[0]: source
        for operator in graph.operators
        if operator.op == "DEQUANTIZE" and operator.outputs and operator.inputs
        for source in [graph.tensors[operator.inputs[0]]]
        if source.is_constant and source.dtype is DType.FLOAT16
    }


def node_of(graph: Graph, operator: Operator, float16: Mapping[int, Tensor]) -> Node:
    """The node of one operator of `graph`; `float16` is `float16_constants(graph)`."""
    operands = tuple(None if i < 0 else float16.get(i, graph.tensors[i]) for i in operator.inputs)
    readers: tuple[tuple[str, DType], ...] = ()
    if operator.op in COMPARING:  # of no other operator it matters who reads the result
        readers = tuple(
            (other.op, graph.tensors[other.outputs[0]].dtype)
            for other in graph.operators
            if operator.outputs and other.outputs and operator.outputs[0] in other.inputs
        )
    return Node(operator, operands, graph.results(operator), readers)


def elements(shape: tuple[int, ...]) -> int:
    return math.prod(shape)
