"""Graphs from graphs: what every pass needs to leave a sound one behind."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from .model import Graph, Operator, Tensor


def compacted(graph: Graph) -> Graph:
    """The graph without tensors that nothing reads or writes; tensors and operators renumbered.

    Order and names stay. An input that no operator reads is part of the model's interface and
    stays too. Returns `graph` itself when nothing is to be done.
    """
    used = {*graph.inputs, *graph.outputs}
    for operator in graph.operators:
        used.update(i for i in (*operator.inputs, *operator.outputs) if i >= 0)
    numbers = {old: new for new, old in enumerate(sorted(used))}
    numbers[-1] = -1
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
                inputs=tuple(numbers[i] for i in operator.inputs),
                outputs=tuple(numbers[i] for i in operator.outputs),
            )
            for index, operator in enumerate(graph.operators)
        ),
        inputs=tuple(numbers[i] for i in graph.inputs),
        outputs=tuple(numbers[i] for i in graph.outputs),
        sha256="",
    )


def with_operators(
    graph: Graph, operators: Iterable[Operator], tensors: Iterable[Tensor] | None = None
) -> Graph:
    """The graph with other operators (in execution order) and perhaps other tensors, compacted."""
    found = graph.tensors if tensors is None else tuple(tensors)
    edited = replace(graph, operators=tuple(operators), tensors=found, sha256="")
    return compacted(edited)


def with_data(tensor: Tensor, data: npt.NDArray[np.generic]) -> Tensor:
    """A constant of other content (and shape), read-only, of the same type and quantization."""
    content = np.ascontiguousarray(data, tensor.dtype.numpy)
    if content is data:
        content = data.copy()
    content.setflags(write=False)
    return replace(tensor, shape=content.shape, data=content, shape_signature=())
