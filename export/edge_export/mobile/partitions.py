"""How a model falls apart into what runs on the GPU and what runs on the CPU.

TensorFlow Lite's way, found in its `graph_info.cc` and seen in LiteRT's counts: a partition takes
every operator of its kind whose inputs are there, in the order of execution and again until none is
left; then the other kind has its turn. So an operator that does not wait for the GPU's next part
goes into the one before, wherever it stands in the file.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from edge_quantize.graph.model import Graph, Operator

from .model import Place, Transfer


def partitions(graph: Graph, on_gpu: Collection[int]) -> tuple[tuple[int, ...], ...]:
    """Positions in `graph.operators`, each once, by partition in order of execution. `on_gpu` are
    the positions of those that the GPU may run; partitions alternate."""
    made = {i for operator in graph.operators for i in operator.outputs}
    waiting = list(range(len(graph.operators)))
    found: list[tuple[int, ...]] = []
    while waiting:
        taken: list[int] = []
        kind: bool | None = None
        went_on = True
        while went_on:
            went_on = False
            for position in tuple(waiting):
                operator = graph.operators[position]
                if not made.isdisjoint(operator.inputs):
                    continue
                kind = (position in on_gpu) if kind is None else kind
                if (position in on_gpu) is not kind:
                    continue
                taken.append(position)
                waiting.remove(position)
                made.difference_update(operator.outputs)
                went_on = True
        if not taken:  # no order in which they could run; the reader refuses such graphs
            return (*found, tuple(waiting))
        found.append(tuple(taken))
    return tuple(found)


def largest(graph: Graph, on_gpu: Collection[int]) -> tuple[int, ...]:
    """The partition that becomes the GPU's: the one with the most operators, the first of equal
    ones; empty where the GPU takes nothing."""
    candidates = [p for p in partitions(graph, on_gpu) if p[0] in on_gpu]
    return max(candidates, key=len, default=())


def transfers(
    graph: Graph,
    parts: Sequence[Sequence[int]],
    places: Sequence[Place],
    unread: Collection[int] = (),
) -> tuple[Transfer, ...]:
    """Tensors that one partition makes and one on the other side reads, in order of making; the
    first that reads it. `places` has one entry a partition; `unread` are tensors in whose stead the
    GPU reads something else."""
    part_of = {
        index: number
        for number, positions in enumerate(parts)
        for position in positions
        for index in graph.operators[position].outputs
    }
    found: dict[tuple[int, Place], Transfer] = {}
    for number, positions in enumerate(parts):
        for position in positions:
            for index in _read(graph.operators[position]):
                source = part_of.get(index, number)
                if places[source] is places[number] or index in unread:
                    continue
                tensor = graph.tensors[index]
                found.setdefault(
                    (index, places[number]),
                    Transfer(tensor.name, tensor.nbytes, source, number, places[number]),
                )
    return tuple(sorted(found.values(), key=lambda each: (each.source, each.to, each.tensor)))


def _read(operator: Operator) -> tuple[int, ...]:
    return tuple(dict.fromkeys(i for i in operator.inputs if i >= 0))
