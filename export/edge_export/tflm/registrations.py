"""How each operator is registered: where a model computes one in int8 alone, with the registration
that brings no other code along.

TFLM's optimized kernels come with one registration for all element types, and with others for
one type (`Register_CONV_2D_INT8` in `micro/kernels/conv.h`). The latter run the same int8 code,
and leave a third of the flash out. In a tree without optimized kernels they are the former.
"""

from __future__ import annotations

from edge_quantize.graph.model import DType, Graph, Operator

from .ops import TFLM_OPS

INT8_OPS = frozenset(
    {
        "ADD",
        "AVERAGE_POOL_2D",
        "CONV_2D",
        "DEPTHWISE_CONV_2D",
        "FULLY_CONNECTED",
        "MAXIMUM",
        "MAX_POOL_2D",
        "MINIMUM",
        "MUL",
        "SOFTMAX",
        "TRANSPOSE_CONV",
    }
)
"""Operators that have a registration for int8, declared by what the op resolver includes."""


def registrations(graph: Graph) -> tuple[tuple[str, str | None], ...]:
    """(method of the resolver, registration function or None for the method's own), by method.

    Raises KeyError for an operator that TFLM lacks.
    """
    found: dict[str, str | None] = {}
    for op in sorted({operator.op for operator in graph.operators}):
        narrow = op in INT8_OPS and all(_int8(graph, o) for o in graph.operators if o.op == op)
        found[TFLM_OPS[op].method] = f"Register_{op}_INT8" if narrow else None
    return tuple(sorted(found.items()))


def _int8(graph: Graph, operator: Operator) -> bool:
    """Whether activations and weights are int8; biases and shapes are of wider types."""
    operands = [t for t in graph.operands(operator) if t is not None]
    wide = {DType.INT32, DType.INT64}
    return all(t.dtype is DType.INT8 or (t.is_constant and t.dtype in wide) for t in operands) and (
        all(t.dtype is DType.INT8 for t in graph.results(operator))
    )
