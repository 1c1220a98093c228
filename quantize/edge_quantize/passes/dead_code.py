"""Operators whose results nobody reads, tensors that nobody uses, equal constants held twice."""

from __future__ import annotations

from dataclasses import replace

from edge_quantize.graph.edit import Rewrite, compacted
from edge_quantize.graph.model import Graph, Tensor

from .result import NOTHING, Change, Edit, Settings

# State kept between runs is written by them; what a custom operator does is not known.
_EFFECTS = ("ASSIGN_VARIABLE", "CALL_ONCE", "VAR_HANDLE", "CUSTOM:")


def remove_dead_operators(graph: Graph, _: Settings) -> Edit:
    """Drop operators from which no output of the model follows."""
    wanted = set(graph.outputs)
    dead = []
    for operator in reversed(graph.operators):
        acts = operator.op.startswith(_EFFECTS) or any(
            i >= 0 and graph.tensors[i].is_variable for i in (*operator.inputs, *operator.outputs)
        )
        if acts or wanted.intersection(operator.outputs):
            wanted.update(operator.inputs)
        else:
            dead.append(operator)
    if not dead:
        return graph, NOTHING
    rewrite = Rewrite(graph)
    for operator in dead:
        rewrite.drop(operator.index)
    changes = tuple(
        Change(
            "dead-operators",
            graph.layer_name(operator),
            f"{operator.op} removed",
            "no output of the model depends on it",
        )
        for operator in reversed(dead)
    )
    return rewrite.graph(), changes


def remove_unread_tensors(graph: Graph, _: Settings) -> Edit:
    """Drop tensors that no operator names, with their content."""
    smaller = compacted(graph)
    if smaller is graph:
        return graph, NOTHING
    used = {i for o in graph.operators for i in (*o.inputs, *o.outputs, *o.intermediates)}
    gone = [t for t in graph.tensors if t.index not in used | {*graph.inputs, *graph.outputs}]
    if not gone:
        return graph, NOTHING
    size = sum(t.nbytes for t in gone if t.is_constant)
    what = f"{len(gone)} unread tensors removed ({size} bytes of content)"
    return smaller, (Change("unread-tensors", graph.name, what, "no operator names them"),)


def share_constants(graph: Graph, _: Settings) -> Edit:
    """Let equal constants be one tensor."""
    first: dict[object, int] = {}
    merged: dict[int, int] = {}
    for tensor in graph.constants():
        if tensor.index in graph.outputs:
            continue
        keeper = first.setdefault(_content(tensor), tensor.index)
        if keeper != tensor.index:
            merged[tensor.index] = keeper
    read = {i for operator in graph.operators for i in operator.inputs}
    merged = {old: new for old, new in merged.items() if old in read and new in read}
    if not merged:
        return graph, NOTHING
    operators = tuple(
        replace(operator, inputs=tuple(merged.get(i, i) for i in operator.inputs))
        for operator in graph.operators
    )
    changes = tuple(
        Change(
            "shared-constants",
            graph.tensors[old].name,
            f"{graph.tensors[old].nbytes} bytes, the same tensor as '{graph.tensors[new].name}'",
            "equal content, type, shape and quantization",
        )
        for old, new in sorted(merged.items())
    )
    return compacted(replace(graph, operators=operators, sha256="")), changes


def _content(tensor: Tensor) -> object:
    data = tensor.data
    return (
        tensor.dtype,
        tensor.shape,
        tensor.quantization,
        tensor.encoding,
        data.tobytes() if data is not None else None,
    )
