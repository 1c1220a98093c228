"""Which inputs and outputs of a PyTorch model get their channels last, tried out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from edge_quantize.graph.model import Graph, Operator

from .transposes import transposes

Layout = tuple[frozenset[int], frozenset[int]]
"""The inputs and the outputs whose channels are last in the graph and not in the source."""


def best_layout(
    convert: Callable[[Layout], Graph], tensors: Sequence[Any], results: Sequence[Any]
) -> tuple[Graph, Layout]:
    """The graph with the fewest TRANSPOSEs, and its layout. `convert` makes one of a layout.

    Images are tried with channels last first. Where a TRANSPOSE is at the edge all the same, that
    tensor is tried the other way.
    """
    first: Layout = (
        frozenset(i for i, t in enumerate(tensors) if t.ndim >= 4),
        frozenset(i for i, t in enumerate(results) if t.ndim >= 4),
    )
    graph = convert(first)
    at_inputs, at_outputs = _transposed_edges(graph)
    if not at_inputs and not at_outputs:
        return graph, first
    second: Layout = (first[0] ^ at_inputs, first[1] ^ at_outputs)
    other = convert(second)
    return (other, second) if transposes(other) < transposes(graph) else (graph, first)


def _transposed_edges(graph: Graph) -> Layout:
    """The inputs that are only transposed, the outputs that come from a TRANSPOSE; a RESHAPE
    between (a line as an image of one row) does not count."""
    readers: dict[int, list[Operator]] = {}
    writers: dict[int, Operator] = {}
    for operator in graph.operators:
        for index in operator.inputs:
            readers.setdefault(index, []).append(operator)
        writers |= dict.fromkeys(operator.outputs, operator)

    def transposed_after(index: int) -> bool:
        found = readers.get(index, [])
        if len(found) == 1 and found[0].op == "RESHAPE":
            return transposed_after(found[0].outputs[0])
        return bool(found) and all(o.op == "TRANSPOSE" for o in found)

    def transposed_before(index: int) -> bool:
        writer = writers.get(index)
        if writer is not None and writer.op == "RESHAPE":
            return transposed_before(writer.inputs[0])
        return writer is not None and writer.op == "TRANSPOSE"

    def ranked(index: int) -> bool:
        return len(graph.tensors[index].shape) >= 3

    ins, outs = enumerate(graph.inputs), enumerate(graph.outputs)
    return (
        frozenset(i for i, index in ins if ranked(index) and transposed_after(index)),
        frozenset(i for i, index in outs if ranked(index) and transposed_before(index)),
    )
