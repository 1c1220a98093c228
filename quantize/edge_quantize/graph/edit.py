"""Graphs from graphs: what every pass needs to leave a sound one behind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .model import DType, Graph, Operator, Quantization, Tensor
from .options import Activation


def compacted(graph: Graph) -> Graph:
    """The graph without tensors that nothing reads or writes; tensors and operators renumbered.

    Order and names stay. An input that no operator reads is part of the model's interface and
    stays too. Returns `graph` itself when nothing is to be done.
    """
    used = {*graph.inputs, *graph.outputs}
    for operator in graph.operators:
        used.update(operator.inputs, operator.outputs, operator.intermediates)
    used.discard(-1)
    numbers = {old: new for new, old in enumerate(sorted(used))} | {-1: -1}

    def numbered(indices: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(numbers[i] for i in indices)

    in_order = all(o.index == i for i, o in enumerate(graph.operators))
    if in_order and len(used) == len(graph.tensors):
        return graph
    return replace(
        graph,
        tensors=tuple(replace(graph.tensors[i], index=numbers[i]) for i in sorted(used)),
        operators=tuple(
            replace(
                operator,
                index=index,
                inputs=numbered(operator.inputs),
                outputs=numbered(operator.outputs),
                intermediates=numbered(operator.intermediates),
            )
            for index, operator in enumerate(graph.operators)
        ),
        inputs=numbered(graph.inputs),
        outputs=numbered(graph.outputs),
        sha256="",
    )


def readers(graph: Graph) -> Mapping[int, list[Operator]]:
    """The operators that read each tensor, in order; a model's output counts for none."""
    found: dict[int, list[Operator]] = defaultdict(list)
    for operator in graph.operators:
        for index in dict.fromkeys(operator.inputs):
            if index >= 0:
                found[index].append(operator)
    return found


def writers(graph: Graph) -> Mapping[int, Operator]:
    """The operator that writes each activation; inputs of the model have none."""
    return {index: operator for operator in graph.operators for index in operator.outputs}


def with_data(tensor: Tensor, data: npt.NDArray[np.generic]) -> Tensor:
    """A constant of other content (and shape), read-only, of the same type and quantization."""
    content = np.array(data, tensor.dtype.numpy)
    content.setflags(write=False)
    return replace(tensor, shape=content.shape, data=content, shape_signature=())


def permutation(order: Tensor) -> tuple[int, ...] | None:
    """The axes that a TRANSPOSE's second operand names, none negative; None for no constant.

    LiteRT counts negative axes from the end; TensorFlow Lite Micro refuses them.
    """
    if order.data is None:
        return None
    return tuple(int(axis) % order.elements for axis in order.data.reshape(-1))


def fused_activation(operator: Operator) -> Activation | None:
    """The operator's fused activation; None where it can have none."""
    return getattr(operator.options, "activation", None)


def with_activation(operator: Operator, activation: Activation) -> Operator:
    """The operator with another fused activation, which its options must have a place for."""
    options: Any = operator.options
    return replace(operator, options=replace(options, activation=activation))


class Rewrite:
    """Changes of one graph, collected and then made at once by `graph()`.

    Operators are named by their index in the old graph.
    """

    def __init__(self, graph: Graph) -> None:
        self.old = graph
        self._tensors = list(graph.tensors)
        self._operators: dict[int, Operator] = {o.index: o for o in graph.operators}
        self._dropped: set[int] = set()

    @property
    def changed(self) -> bool:
        return (
            bool(self._dropped)
            or len(self._tensors) != len(self.old.tensors)
            or any(self._operators[o.index] is not o for o in self.old.operators)
        )

    def operator(self, index: int) -> Operator:
        """An operator as changed so far."""
        return self._operators[index]

    def replace(self, operator: Operator) -> None:
        """`operator` takes the place of the one with its index."""
        self._operators[operator.index] = operator

    def drop(self, index: int) -> None:
        self._dropped.add(index)

    def constant(
        self,
        name: str,
        data: npt.NDArray[np.generic],
        dtype: DType,
        quantization: Quantization | None = None,
    ) -> int:
        """A new constant's index."""
        content = np.array(data, dtype.numpy)
        content.setflags(write=False)
        index = len(self._tensors)
        self._tensors.append(Tensor(index, name, content.shape, dtype, quantization, content))
        return index

    def set_input(self, index: int, position: int, tensor: int) -> None:
        """Input `position` of an operator is another tensor; positions up to it come into being."""
        operator = self._operators[index]
        inputs = [*operator.inputs, *[-1] * (position + 1 - len(operator.inputs))]
        inputs[position] = tensor
        self.replace(replace(operator, inputs=tuple(inputs)))

    def bypass(self, index: int) -> bool:
        """Drop an operator whose output is its first input, which its readers then read.

        False, and nothing done, where the caller sees both of them under their own names.
        """
        operator = self._operators[index]
        source, output = operator.inputs[0], operator.outputs[0]
        if output in self.old.outputs:
            if (
                source in {*self.old.inputs, *self.old.outputs}
                or self.old.tensors[source].is_constant
            ):
                return False
            source, output = output, source
        self.drop(index)
        for other in self._operators.values():
            if output in other.inputs or output in other.outputs:
                self.replace(
                    replace(
                        other,
                        inputs=tuple(source if i == output else i for i in other.inputs),
                        outputs=tuple(source if i == output else i for i in other.outputs),
                    )
                )
        return True

    def graph(self) -> Graph:
        """The changed graph, compacted; the old one itself where nothing changed."""
        if not self.changed:
            return self.old
        operators = tuple(
            self._operators[o.index] for o in self.old.operators if o.index not in self._dropped
        )
        return compacted(
            replace(self.old, tensors=tuple(self._tensors), operators=operators, sha256="")
        )
