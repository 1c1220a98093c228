"""TRANSPOSEs that a change to channels last leaves behind, folded into what follows.

A source with channels first flattens or averages in that order; with channels last the converter
puts a TRANSPOSE before it, which the operator itself can do without. Only where data moves: no sum
is taken over other numbers.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np

from edge_quantize.graph.edit import compacted
from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.options import ReducerOptions, ReshapeOptions

_REDUCTIONS = frozenset({"MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD"})


def fold_transposes(graph: Graph) -> Graph:
    """The graph without the TRANSPOSEs that need not be; the outputs stay what they are."""
    changed = True
    while changed:
        graph, changed = _one_folded(graph)
    return graph


def transposes(graph: Graph) -> int:
    return sum(operator.op == "TRANSPOSE" for operator in graph.operators)


def _one_folded(graph: Graph) -> tuple[Graph, bool]:
    readers = _Readers(graph)
    for operator in graph.operators:
        order = _order(graph, operator)
        if order is None:
            continue
        folded = (
            _as_reshape(graph, operator, readers)
            or _into_reduction(graph, operator, order, readers)
            or _into_weights(graph, operator, order, readers)
        )
        if folded is not None:
            return compacted(folded), True
    return graph, False


class _Readers:
    """Which operator reads a tensor, where it is the only one and nobody outside does."""

    def __init__(self, graph: Graph) -> None:
        counts = Counter(i for o in graph.operators for i in o.inputs)
        counts.update(graph.outputs)
        self._only = {i: o for o in graph.operators for i in o.inputs if i >= 0 and counts[i] == 1}

    def only(self, operator: Operator) -> Operator | None:
        return self._only.get(operator.outputs[0])


def _order(graph: Graph, operator: Operator) -> tuple[int, ...] | None:
    """The permutation of a TRANSPOSE that is constant."""
    if operator.op != "TRANSPOSE":
        return None
    permutation = graph.tensors[operator.inputs[1]].data
    return None if permutation is None else tuple(int(i) % permutation.size for i in permutation)


def _as_reshape(graph: Graph, operator: Operator, readers: _Readers) -> Graph | None:
    """TRANSPOSEs and RESHAPEs in a row after which every number is where it was."""
    source = graph.tensors[operator.inputs[0]]
    places = np.arange(source.elements).reshape(source.shape)
    passed: list[Operator] = []
    last: Operator | None = operator
    while last is not None and last.op in ("TRANSPOSE", "RESHAPE"):
        order = _order(graph, last)
        if order is not None:
            places = places.transpose(order)
        elif last.op == "RESHAPE":
            places = places.reshape(graph.results(last)[0].shape)
        else:
            return None
        passed.append(last)
        if order is not None and np.array_equal(places.ravel(), np.arange(source.elements)):
            break
        last = readers.only(last)
    else:
        return None
    shape = graph.results(passed[-1])[0].shape
    graph, place = _with_constant(graph, f"{source.name}_shape", np.asarray(shape, np.int32))
    reshape = replace(
        passed[-1],
        op="RESHAPE",
        inputs=(operator.inputs[0], place),
        options=ReshapeOptions(shape),
        version=1,
    )
    return _replaced(graph, {**{o.index: None for o in passed}, passed[-1].index: reshape})


def _into_reduction(
    graph: Graph, operator: Operator, order: tuple[int, ...], readers: _Readers
) -> Graph | None:
    """The mean over rows and columns is over the axes where these lie before the TRANSPOSE.

    A RESHAPE between, which only drops or adds dimensions of 1, is passed over.
    """
    source, turned = graph.tensors[operator.inputs[0]], graph.results(operator)[0]
    reader = readers.only(operator)
    passed = [operator]
    if reader is not None and reader.op == "RESHAPE":
        passed.append(reader)
        reader = readers.only(reader)
    if reader is None or reader.op not in _REDUCTIONS:
        return None
    options, axes = reader.options, graph.tensors[reader.inputs[1]].data
    if not isinstance(options, ReducerOptions) or options.keep_dims or axes is None:
        return None
    shape = graph.tensors[reader.inputs[0]].shape
    # Dimensions of more than 1, in order: the RESHAPE leaves them as they are.
    there = [i for i, n in enumerate(shape) if n != 1]
    here = [order[i] for i, n in enumerate(turned.shape) if n != 1]
    if [shape[i] for i in there] != [source.shape[i] for i in here]:
        return None
    wanted = {int(axis) % len(shape) for axis in np.ravel(axes)}
    reduced = {before for after, before in zip(there, here, strict=True) if after in wanted}
    kept = [before for before in here if before not in reduced]
    # What is left of dimensions of 1 must give the result's shape.
    results = list(graph.results(reader)[0].shape)
    for axis, size in enumerate(source.shape):
        if axis not in reduced and results[:1] == [size]:
            results.pop(0)
        elif axis not in reduced and size == 1:
            reduced.add(axis)
        elif axis not in reduced:
            return None
    if results or kept != sorted(kept):
        return None
    before = np.asarray(sorted(reduced), np.int32)
    graph, place = _with_constant(graph, f"{graph.layer_name(reader)}_axes", before)
    changed = replace(reader, inputs=(operator.inputs[0], place))
    return _replaced(graph, {**{o.index: None for o in passed}, reader.index: changed})


def _into_weights(
    graph: Graph, operator: Operator, order: tuple[int, ...], readers: _Readers
) -> Graph | None:
    """A flattened image in another order is the same to weights in that order."""
    flatten = readers.only(operator)
    if flatten is None or flatten.op != "RESHAPE":
        return None
    dense = readers.only(flatten)
    if dense is None or dense.op != "FULLY_CONNECTED" or dense.inputs[0] != flatten.outputs[0]:
        return None
    turned = graph.results(operator)[0].shape
    weights = graph.tensors[dense.inputs[1]]
    flat = graph.results(flatten)[0].shape
    whole = weights.data is not None and weights.dtype is DType.FLOAT32 and not weights.encoding
    if not whole or turned[0] != 1 or order[0] != 0 or flat != (1, weights.shape[1]):
        return None
    assert weights.data is not None
    back = [order[1:].index(i) + 1 for i in range(1, len(order))]
    rows = weights.data.reshape(weights.shape[0], *turned[1:])
    columns = np.ascontiguousarray(rows.transpose(0, *back).reshape(weights.shape))
    graph, place = _with_constant(graph, f"{weights.name}_channels_last", columns)
    inputs = (operator.inputs[0], *flatten.inputs[1:])
    changed = replace(dense, inputs=(dense.inputs[0], place, *dense.inputs[2:]))
    return _replaced(
        graph,
        {
            operator.index: None,
            flatten.index: replace(flatten, inputs=inputs),
            dense.index: changed,
        },
    )


def _with_constant(
    graph: Graph, name: str, data: np.ndarray[tuple[int, ...], np.dtype[np.generic]]
) -> tuple[Graph, int]:
    place = len(graph.tensors)
    data.setflags(write=False)
    tensor = Tensor(place, name, data.shape, DType(data.dtype.name), data=data)
    return replace(graph, tensors=(*graph.tensors, tensor)), place


def _replaced(graph: Graph, changes: dict[int, Operator | None]) -> Graph:
    """With operators exchanged, or left out where the change is None; numbered anew."""
    kept = [changes.get(o.index, o) for o in graph.operators]
    operators = tuple(replace(o, index=i) for i, o in enumerate(o for o in kept if o is not None))
    return replace(graph, operators=operators)
