"""The operators of a model, each fed by itself: cut apart and laid side by side in one graph.

One compilation and one run then show every operator with exactly the inputs that it should have, so
that what one does wrong is not seen in those behind it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from edge_quantize.graph import Graph, Operator, Tensor


@dataclass(frozen=True, eq=False)
class Apart:
    """`graph` holds the operators side by side. Its inputs are values of the tensors `sources` of
    the whole model, its outputs are those of `results`, in order; `operators` are the indices in
    the whole model of the operators that make them."""

    graph: Graph
    sources: tuple[int, ...]
    results: tuple[int, ...]
    operators: tuple[int, ...]


def constant_tensors(graph: Graph) -> frozenset[int]:
    """Constants, and what follows from constants alone (weights behind a DEQUANTIZE)."""
    found = {tensor.index for tensor in graph.tensors if tensor.is_constant}
    for operator in graph.operators:
        if operator.inputs and all(i in found or i < 0 for i in operator.inputs):
            found |= set(operator.outputs)
    return frozenset(found)


def computing(graph: Graph) -> tuple[Operator, ...]:
    """The operators whose results depend on the model's inputs."""
    constant = constant_tensors(graph)
    return tuple(o for o in graph.operators if not constant.issuperset(o.outputs))


def cut_apart(graph: Graph, operators: Iterable[Operator]) -> Apart:
    """Some operators of `graph` side by side; constants are shared."""
    return _Cut(graph, tuple(operators)).apart()


def cut_after(graph: Graph, operator: Operator) -> Graph:
    """The model up to `operator`, whose results are its outputs. Inputs stay, needed or not."""
    needed, kept = set(operator.outputs), list[Operator]()
    for other in reversed(graph.operators[: operator.index + 1]):
        if needed & set(other.outputs):
            kept.append(other)
            needed |= {i for i in other.inputs if i >= 0}
    operators = tuple(replace(o, index=n) for n, o in enumerate(reversed(kept)))
    used = tuple(i for i in graph.inputs if i in needed)
    return replace(
        graph, operators=operators, inputs=used, outputs=operator.outputs, labels=(), sha256=""
    )


class _Cut:
    def __init__(self, graph: Graph, operators: tuple[Operator, ...]) -> None:
        self.graph = graph
        self.wanted = operators
        self.constant = constant_tensors(graph)
        self.makers = {i: o for o in graph.operators for i in o.outputs}
        self.tensors: list[Tensor] = []
        self.operators: list[Operator] = []
        self.shared: dict[int, int] = {}

    def apart(self) -> Apart:
        inputs, outputs = list[int](), list[int]()
        sources, results, made = list[int](), list[int](), list[int]()
        for operator in self.wanted:
            places = {-1: -1}
            for index in dict.fromkeys(operator.inputs):
                if index in self.constant:
                    places[index] = self.constant_place(index)
                elif index >= 0:
                    places[index] = self.copy(index)
                    inputs.append(places[index])
                    sources.append(index)
            written = {index: self.copy(index) for index in operator.outputs}
            outputs += written.values()
            results += written
            made += [operator.index] * len(written)
            self.add(operator, places, written)
        graph = replace(
            self.graph,
            tensors=tuple(self.tensors),
            operators=tuple(self.operators),
            inputs=tuple(inputs),
            outputs=tuple(outputs),
            labels=(),
            metadata={},
            sha256="",
        )
        return Apart(graph, tuple(sources), tuple(results), tuple(made))

    def copy(self, index: int) -> int:
        """The tensor anew: an activation is read and written under other names each time."""
        number = len(self.tensors)
        tensor = self.graph.tensors[index]
        self.tensors.append(replace(tensor, index=number, name=f"{index}_{number}"))
        return number

    def constant_place(self, index: int) -> int:
        if index not in self.shared:
            maker = self.makers.get(index)
            if maker is None:
                self.shared[index] = self.copy(index)
            else:
                places = {i: self.constant_place(i) if i >= 0 else -1 for i in maker.inputs}
                written = {i: self.copy(i) for i in maker.outputs}
                self.add(maker, places, written)
                self.shared |= written
        return self.shared[index]

    def add(self, operator: Operator, places: dict[int, int], written: dict[int, int]) -> None:
        self.operators.append(
            replace(
                operator,
                index=len(self.operators),
                inputs=tuple(places[i] for i in operator.inputs),
                outputs=tuple(written[i] for i in operator.outputs),
            )
        )
