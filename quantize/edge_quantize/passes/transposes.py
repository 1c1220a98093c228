"""TRANSPOSE in front of a flattened row: the weights that read the row take its order.

Models with channels first flatten in that order, so that a converter to channels last puts a
TRANSPOSE before the RESHAPE. A fully connected layer sums over the row in whatever order.
"""

from __future__ import annotations

import numpy as np

from edge_quantize.graph.edit import Rewrite, readers, writers
from edge_quantize.graph.model import Graph, Operator

from .result import NOTHING, Change, Edit, Settings


def fold_flatten_order(graph: Graph, _: Settings) -> Edit:
    """Let RESHAPEs to a row read past a TRANSPOSE, where FULLY_CONNECTED layers alone read them."""
    read, written = readers(graph), writers(graph)
    for operator in graph.operators:
        transpose = written.get(operator.inputs[0]) if operator.op == "RESHAPE" else None
        if transpose is None or transpose.op != "TRANSPOSE":
            continue
        layers = read[operator.outputs[0]]
        places = _places(graph, transpose, operator)
        if places is None or not layers or operator.outputs[0] in graph.outputs:
            continue
        if not all(_takes(graph, layer, operator.outputs[0], len(places)) for layer in layers):
            continue
        rewrite = Rewrite(graph)
        rewrite.set_input(operator.index, 0, transpose.inputs[0])
        for layer in layers:
            weights = graph.tensors[layer.inputs[1]]
            assert weights.data is not None
            columns = np.empty_like(weights.data)
            columns[:, places] = weights.data
            constant = rewrite.constant(weights.name, columns, weights.dtype, weights.quantization)
            rewrite.set_input(layer.index, 1, constant)
        change = Change(
            "transposes",
            graph.layer_name(transpose),
            f"TRANSPOSE done by the order of the weights of '{graph.layer_name(layers[0])}'",
            "the same products, added in another order",
        )
        return rewrite.graph(), (change,)
    return graph, NOTHING


def _places(graph: Graph, transpose: Operator, reshape: Operator) -> np.ndarray | None:
    """Where each element of the row lies in a row made without the TRANSPOSE, int64[elements]."""
    source, order = (graph.tensors[i] for i in transpose.inputs)
    row = graph.tensors[reshape.outputs[0]]
    if order.data is None or source.is_constant or row.shape != (1, source.elements):
        return None
    places = np.arange(source.elements).reshape(source.shape)
    return np.transpose(places, [int(axis) for axis in order.data.reshape(-1)]).reshape(-1)


def _takes(graph: Graph, layer: Operator, row: int, length: int) -> bool:
    weights = graph.tensors[layer.inputs[1]] if len(layer.inputs) > 1 else None
    return (
        layer.op == "FULLY_CONNECTED"
        and layer.inputs[0] == row
        and weights is not None
        and weights.data is not None
        and not weights.encoding
        and weights.shape[1:] == (length,)
        and (
            weights.quantization is None
            or not weights.quantization.per_channel
            or weights.quantization.axis == 0
        )
    )
