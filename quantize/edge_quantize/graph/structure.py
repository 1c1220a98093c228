"""Whether a graph hangs together: indices, producers, order.

These are faults of the file, whatever operators a tool supports; see `check` for those.
"""

from __future__ import annotations

from collections.abc import Iterator

from .model import Graph, Operator


def structure_problems(graph: Graph) -> Iterator[str]:
    """Every fault, each a line naming operator, tensor and reason; none when sound."""
    faults = _index_problems(graph)
    first = next(faults, None)
    if first is None:
        yield from _flow_problems(graph)
        return
    # Without valid indices there are no tensors to follow.
    yield first
    yield from faults


def _where(operator: Operator) -> str:
    return f"operator {operator.index} {operator.op}"


def _index_problems(graph: Graph) -> Iterator[str]:
    count = len(graph.tensors)
    missing = f"which does not exist (there are {count})"
    for role, indices in (("input", graph.inputs), ("output", graph.outputs)):
        if not indices:
            yield f"the model has no {role}"
        for position, index in enumerate(indices):
            if not 0 <= index < count:
                yield f"the model's {role} {position} is tensor {index}, {missing}"
    for operator in graph.operators:
        where = _where(operator)
        if not operator.outputs:
            yield f"{where}: has no output"
        for position, index in enumerate(operator.inputs):
            # -1 stands for an optional input left out.
            if not -1 <= index < count:
                yield f"{where}: input {position} is tensor {index}, {missing}"
        for position, index in enumerate(operator.outputs):
            if not 0 <= index < count:
                yield f"{where}: output {position} is tensor {index}, {missing}"
        for position, index in enumerate(operator.intermediates):
            if not -1 <= index < count:
                yield f"{where}: intermediate {position} is tensor {index}, {missing}"


def _flow_problems(graph: Graph) -> Iterator[str]:
    def named(index: int) -> str:
        return f"tensor {index} '{graph.tensors[index].name}'"

    # `written` maps a tensor to the operator that writes it; -1 is the caller.
    written: dict[int, int] = {}
    for index in graph.inputs:
        if graph.tensors[index].is_constant:
            yield f"{named(index)}: is an input of the model and a constant"
        if index in written:
            yield f"{named(index)}: is an input of the model twice"
        written[index] = -1
    for operator in graph.operators:
        for index in operator.outputs:
            if graph.tensors[index].is_constant:
                yield f"{_where(operator)}: writes the constant {named(index)}"
            elif index in written:
                other = written[index]
                first = "the model's caller" if other < 0 else f"operator {other}"
                yield f"{_where(operator)}: writes {named(index)}, which {first} writes too"
            else:
                written[index] = operator.index

    for operator in graph.operators:
        for index in sorted(set(operator.inputs) - {-1}):
            tensor = graph.tensors[index]
            if tensor.is_constant or tensor.is_variable:
                continue
            producer = written.get(index)
            if producer is None:
                yield (
                    f"{_where(operator)}: reads {named(index)}, which nothing writes "
                    "and which has no content"
                )
            elif producer >= operator.index:
                yield (
                    f"{_where(operator)}: reads {named(index)}, which operator {producer} "
                    "writes only later (a cycle, or operators out of order)"
                )
    for index in graph.outputs:
        tensor = graph.tensors[index]
        if index not in written and not tensor.is_constant and not tensor.is_variable:
            yield f"{named(index)}: is an output of the model that nothing writes"
