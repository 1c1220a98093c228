"""Tensors whose size is known only while running. With one of them in a model, TensorFlow Lite
hands nothing of it to a GPU, so the whole model is refused.

Which operators make such tensors is from LiteRT's CPU kernels (`SetTensorToDynamic`), which decide
it while they prepare; a model's own shapes do not say it.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge_quantize.graph.model import Graph, Operator, Tensor

# Operands that decide the result's size: with all of them known beforehand, it is known too.
_DECIDE: dict[str, tuple[int, ...]] = {
    "RESHAPE": (1,),
    "TRANSPOSE": (1,),
    "PAD": (1,),
    "PADV2": (1,),
    "MIRROR_PAD": (1,),
    "TILE": (1,),
    "RESIZE_BILINEAR": (1,),
    "RESIZE_NEAREST_NEIGHBOR": (1,),
    "MEAN": (1,),
    "SUM": (1,),
    "REDUCE_MAX": (1,),
    "REDUCE_MIN": (1,),
    "REDUCE_PROD": (1,),
    "REDUCE_ANY": (1,),
    "REDUCE_ALL": (1,),
    "ARG_MAX": (1,),
    "ARG_MIN": (1,),
    "STRIDED_SLICE": (1, 2, 3),
    "SPLIT": (0,),
    "SPLIT_V": (1, 2),
    "EXPAND_DIMS": (1,),
    "BROADCAST_TO": (1,),
    "FILL": (0,),
    "RANGE": (0, 1, 2),
    "ONE_HOT": (1,),
    "TOPK_V2": (1,),
    "SPACE_TO_BATCH_ND": (1, 2),
    "BATCH_TO_SPACE_ND": (1, 2),
    "SCATTER_ND": (2,),
    "SPARSE_TO_DENSE": (1,),
    "TRANSPOSE_CONV": (0,),
    "CONV_3D_TRANSPOSE": (0,),
    "RFFT2D": (1,),
    "SEGMENT_SUM": (0, 1),
    "UNSORTED_SEGMENT_MAX": (1, 2),
    "UNSORTED_SEGMENT_MIN": (1, 2),
    "UNSORTED_SEGMENT_PROD": (1, 2),
    "UNSORTED_SEGMENT_SUM": (1, 2),
    "NON_MAX_SUPPRESSION_V4": (2,),
    "NON_MAX_SUPPRESSION_V5": (2,),
    "RANDOM_STANDARD_NORMAL": (0,),
    "RANDOM_UNIFORM": (0,),
    "MULTINOMIAL": (0, 1),
    "WHERE": (0,),
}
_ALWAYS = frozenset({"UNIQUE"})
# The size of a tensor that is there: known before anything runs.
_SIZES = frozenset({"SHAPE", "RANK"})
# Their kernels compute at once what comes from sizes and constants alone.
_COMPUTED_AT_ONCE = frozenset(
    {
        *("STRIDED_SLICE", "CONCATENATION", "MUL", "GATHER", "RESHAPE", "BROADCAST_ARGS", "TILE"),
        *("REDUCE_PROD", "RANGE"),
    }
)


@dataclass(frozen=True)
class Dynamic:
    """The first tensor of unknown size, and the operator that makes it."""

    operator: Operator
    tensor: Tensor


def first_dynamic(graph: Graph) -> Dynamic | None:
    """None where every size is known before the model runs."""
    known = {tensor.index for tensor in graph.tensors if tensor.is_constant}
    for operator in graph.operators:
        operands = [i for i in operator.inputs if i >= 0]
        deciding = [
            operator.inputs[p]
            for p in _DECIDE.get(operator.op, ())
            if p < len(operator.inputs) and operator.inputs[p] >= 0
        ]
        if operator.op in _ALWAYS or not known.issuperset(deciding):
            return Dynamic(operator, graph.tensors[operator.outputs[0]])
        computed = operator.op in _COMPUTED_AT_ONCE and known.issuperset(operands)
        if operator.op in _SIZES or computed:
            known.update(operator.outputs)
    return None
