"""RESHAPE by a shape that is computed while running from shapes that are fixed all the same.

Keras' Reshape layer asks for the batch size: SHAPE, STRIDED_SLICE, PACK. No such chain depends on
the model's input, and its operators are otherwise of no use on a board.
"""

from __future__ import annotations

import numpy as np

from edge_quantize.graph.edit import Rewrite
from edge_quantize.graph.model import DType, Graph

from .result import NOTHING, Change, Edit, Settings

# What such chains are made of, apart from SHAPE: pure, and integers throughout.
_ON_SHAPES = frozenset(
    {
        *("STRIDED_SLICE", "SLICE", "PACK", "UNPACK", "GATHER", "CONCATENATION", "CAST"),
        *("ADD", "SUB", "MUL", "FLOOR_DIV", "MAXIMUM", "MINIMUM", "REDUCE_PROD"),
        *("RESHAPE", "SQUEEZE", "EXPAND_DIMS"),
    }
)


def settle_shapes(graph: Graph, _: Settings) -> Edit:
    """Name the target of such a RESHAPE by a constant."""
    fixed = {tensor.index for tensor in graph.constants()}
    for operator in graph.operators:
        # Those that write operands come first.
        if operator.op == "SHAPE" or (
            operator.op in _ON_SHAPES and fixed.issuperset(operator.inputs)
        ):
            fixed.update(operator.outputs)
    rewrite = Rewrite(graph)
    changes = []
    for operator in graph.operators:
        if operator.op != "RESHAPE" or len(operator.inputs) != 2 or operator.inputs[1] < 0:
            continue
        source, wanted = (graph.tensors[i] for i in operator.inputs)
        output = graph.tensors[operator.outputs[0]]
        if wanted.is_constant or source.elements != output.elements or wanted.index not in fixed:
            continue
        shape = np.array(output.shape, np.int32)
        constant = rewrite.constant(f"{output.name}/shape", shape, DType.INT32)
        rewrite.set_input(operator.index, 1, constant)
        what = f"RESHAPE to {list(output.shape)}, which was computed while running"
        proof = "computed from fixed shapes alone"
        changes.append(Change("shapes", graph.layer_name(operator), what, proof))
    return (rewrite.graph(), tuple(changes)) if changes else (graph, NOTHING)
