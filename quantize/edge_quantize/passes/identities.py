"""Operators that hand on what they are given, and chains that rearrange twice what once will do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from edge_quantize.fixed_point import quantize_value
from edge_quantize.graph.edit import Rewrite, permutation, writers
from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.options import (
    Activation,
    ElementwiseOptions,
    Pool2DOptions,
    ReshapeOptions,
)

from .bounds import Bounds, is_int8, tensor_bounds
from .result import NOTHING, Change, Edit, Settings

RESHAPES = ("RESHAPE", "SQUEEZE", "EXPAND_DIMS")


class _Facts:
    """What the rules look at; bounds are computed when a rule first asks."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.writers = writers(graph)
        self._bounds: dict[int, Bounds] | None = None

    def bounds(self, tensor: int) -> Bounds | None:
        if self._bounds is None:
            self._bounds = tensor_bounds(self.graph)
        return self._bounds.get(tensor)

    def ends(self, operator: Operator) -> tuple[Tensor, Tensor]:
        return self.graph.tensors[operator.inputs[0]], self.graph.tensors[operator.outputs[0]]


def remove_identities(graph: Graph, _: Settings) -> Edit:
    """Drop operators whose output is their (first) input."""
    facts, rewrite = _Facts(graph), Rewrite(graph)
    changes = []
    for operator in graph.operators:
        rule = _RULES.get(operator.op)
        if rule is None or len(operator.outputs) != 1 or operator.inputs[0] < 0:
            continue
        source, output = facts.ends(operator)
        if source.shape != output.shape or source.dtype is not output.dtype:
            continue
        reason = rule(facts, operator)
        if reason and rewrite.bypass(operator.index):
            changes.append(
                Change("identities", graph.layer_name(operator), f"{operator.op} removed", reason)
            )
    return (rewrite.graph(), tuple(changes)) if changes else (graph, NOTHING)


def _same_quantization(facts: _Facts, operator: Operator) -> bool:
    source, output = facts.ends(operator)
    return source.quantization == output.quantization


def _moves_nothing(facts: _Facts, operator: Operator) -> str:
    return "same shape, type and quantization" if _same_quantization(facts, operator) else ""


def _quantize(facts: _Facts, operator: Operator) -> str:
    return "between equal quantizations" if _same_quantization(facts, operator) else ""


def _pad(facts: _Facts, operator: Operator) -> str:
    data = facts.graph.tensors[operator.inputs[1]].data
    empty = data is not None and not np.asarray(data).any()
    return "pads with nothing" if empty and _same_quantization(facts, operator) else ""


def _pool(facts: _Facts, operator: Operator) -> str:
    o = operator.options
    single = isinstance(o, Pool2DOptions) and (
        (o.filter_h, o.filter_w, o.stride_h, o.stride_w, o.activation)
        == (1, 1, 1, 1, Activation.NONE)
    )
    return "windows of one element" if single and _same_quantization(facts, operator) else ""


def _transpose(facts: _Facts, operator: Operator) -> str:
    order = permutation(facts.graph.tensors[operator.inputs[1]])
    if order is None or not _same_quantization(facts, operator):
        return ""
    return "keeps the order" if order == tuple(range(len(order))) else ""


def _concatenation(facts: _Facts, operator: Operator) -> str:
    alone = len(operator.inputs) == 1 and _plain(operator) and _same_quantization(facts, operator)
    return "has one input" if alone else ""


def _plain(operator: Operator) -> bool:
    return getattr(operator.options, "activation", Activation.NONE) is Activation.NONE


def _relu(facts: _Facts, operator: Operator) -> str:
    source, _ = facts.ends(operator)
    bounds = facts.bounds(operator.inputs[0])
    if bounds is None or not _same_quantization(facts, operator):
        return ""
    if source.dtype is DType.FLOAT32:
        low, high = 0.0, 6.0
    elif is_int8(source) and source.quantization is not None:
        low = source.quantization.zero_point
        high = quantize_value(6.0, source.quantization.scale, low)
    else:
        return ""
    within = (bounds.low >= low).all() and (operator.op == "RELU" or (bounds.high <= high).all())
    return "its input always lies in its range" if within else ""


def _with_constant(facts: _Facts, operator: Operator) -> str:
    """ADD, SUB and MUL with a constant of equal elements that changes no value there is."""
    source, output = facts.ends(operator)
    other = facts.graph.tensors[operator.inputs[1]]
    if other.data is None or not _plain(operator) or not _same_quantization(facts, operator):
        return ""
    values = np.unique(other.data)
    if len(values) != 1:
        return ""
    if source.dtype is DType.FLOAT32:
        neutral = 1.0 if operator.op == "MUL" else 0.0
        return f"its constant is {neutral:g}" if values[0] == neutral else ""
    if not is_int8(source):
        return ""
    every = np.arange(-128, 128).astype(np.int8)
    row = (
        replace(source, index=0, shape=every.shape, shape_signature=(), data=None),
        replace(other, index=1, shape=(1,), shape_signature=(), data=values),
        replace(output, index=2, shape=every.shape, shape_signature=()),
    )
    one = Operator(0, operator.op, (0, 1), (2,), ElementwiseOptions())
    image = tensor_bounds(Graph("", row, (one,), (0,), (2,)), {0: Bounds(every, every)})[2]
    same = np.array_equal(image.low, every) and np.array_equal(image.high, every)
    return "every int8 value stays as it is" if same else ""


_RULES: dict[str, Callable[[_Facts, Operator], str]] = {
    **dict.fromkeys(RESHAPES, _moves_nothing),
    **dict.fromkeys(("QUANTIZE", "DEQUANTIZE"), _quantize),
    **dict.fromkeys(("PAD", "PADV2"), _pad),
    **dict.fromkeys(("AVERAGE_POOL_2D", "MAX_POOL_2D"), _pool),
    **dict.fromkeys(("RELU", "RELU6"), _relu),
    **dict.fromkeys(("ADD", "SUB", "MUL"), _with_constant),
    "TRANSPOSE": _transpose,
    "CONCATENATION": _concatenation,
}


def join_chains(graph: Graph, _: Settings) -> Edit:
    """Let one RESHAPE or TRANSPOSE do the work of two, and QUANTIZE undo no DEQUANTIZE."""
    written = writers(graph)
    rewrite = Rewrite(graph)
    changes = []
    for operator in graph.operators:
        first = written.get(operator.inputs[0]) if operator.inputs else None
        joined = first is not None and _join(graph, rewrite, first, operator)
        if joined or _transpose_as_reshape(graph, rewrite, operator):
            what, proof = f"{operator.op} made a RESHAPE", "moves dimensions of size 1 only"
            if joined and first is not None:
                what = f"reads past the {first.op} before it"
                proof = "the two together are one such operator"
            changes.append(Change("chains", graph.layer_name(operator), what, proof))
    return (rewrite.graph(), tuple(changes)) if changes else (graph, NOTHING)


def _join(graph: Graph, rewrite: Rewrite, first: Operator, second: Operator) -> bool:
    start, end = graph.tensors[first.inputs[0]], graph.tensors[second.outputs[0]]
    if first.inputs[0] < 0 or start.is_constant:
        return False
    if first.op in RESHAPES and second.op in RESHAPES:
        _make_reshape(rewrite, second, start, end)
        return True
    if first.op == second.op == "TRANSPOSE":
        orders = [permutation(graph.tensors[o.inputs[1]]) for o in (first, second)]
        if orders[0] is None or orders[1] is None:
            return False
        both = np.array([orders[0][axis] for axis in orders[1]], np.int32)
        name = graph.tensors[second.inputs[1]].name
        rewrite.set_input(second.index, 0, start.index)
        rewrite.set_input(second.index, 1, rewrite.constant(name, both, DType.INT32))
        return True
    if (first.op, second.op) == ("DEQUANTIZE", "QUANTIZE"):
        # At most 16 bits there and back in float32: the rounding errors are far below a half.
        narrow = start.dtype in (DType.INT8, DType.UINT8, DType.INT16)
        if narrow and (start.dtype, start.quantization) == (end.dtype, end.quantization):
            rewrite.set_input(second.index, 0, start.index)
            return True
    return False


def _make_reshape(rewrite: Rewrite, operator: Operator, source: Tensor, output: Tensor) -> None:
    name = f"{output.name}/shape"
    shape = rewrite.constant(name, np.array(output.shape, np.int32), DType.INT32)
    rewrite.replace(
        Operator(
            operator.index,
            "RESHAPE",
            (source.index, shape),
            operator.outputs,
            ReshapeOptions(output.shape),
        )
    )


def _transpose_as_reshape(graph: Graph, rewrite: Rewrite, operator: Operator) -> bool:
    """A TRANSPOSE that leaves the order of the dimensions longer than 1."""
    if operator.op != "TRANSPOSE":
        return False
    source, output = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    order = permutation(graph.tensors[operator.inputs[1]])
    if order is None or source.is_constant:
        return False
    long = [axis for axis in order if source.shape[axis] > 1]
    if long != sorted(long):
        return False
    _make_reshape(rewrite, operator, source, output)
    return True
