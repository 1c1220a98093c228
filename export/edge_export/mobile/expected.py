"""What the CPU computes of a model: the side that a GPU's result is compared with."""

from __future__ import annotations

from edge_quantize.errors import UnsupportedModelError
from edge_quantize.graph import DType, Graph, Operator
from edge_quantize.ptq.prepare import float_graph
from edge_quantize.reference import LiteRtReference, Reference

_FLOATS = frozenset({DType.FLOAT32, DType.FLOAT16})
_INTEGERS = frozenset({DType.INT4, DType.INT8, DType.UINT8, DType.INT16})
# These read integers and give floats by definition, and quantize nothing.
_EXACT = frozenset({"DEQUANTIZE", "GATHER", "EMBEDDING_LOOKUP", "CAST"})


def hybrid(graph: Graph) -> tuple[Operator, ...]:
    """The layers of "dynamic range": float activations, integer weights, no DEQUANTIZE between.

    LiteRT's CPU kernels quantize the activations of such a layer to int8 while they run; GPU
    backends turn its weights into floats. Each is a legitimate reading of the file, and they differ
    by per cents.
    """
    return tuple(
        operator
        for operator in graph.operators
        if operator.op not in _EXACT
        and graph.tensors[operator.outputs[0]].dtype in _FLOATS
        and any(
            t is not None and t.is_constant and t.dtype in _INTEGERS and t.quantization is not None
            for t in graph.operands(operator)
        )
    )


def spelt_out(graph: Graph) -> Graph:
    """`graph` with the weights of its hybrid layers as the floats that they stand for: what a GPU is
    to compute. The graph itself where there is none, or where its weights cannot be read."""
    if not hybrid(graph):
        return graph
    try:
        return float_graph(graph)
    except UnsupportedModelError:
        return graph


def cpu(graph: Graph, preserve: bool = False, *, content: bytes | None = None) -> Reference:
    """LiteRT on the CPU; `content` is the graph's file, for what a Graph cannot be written from.
    Float models take its optimized kernels, which sum in another order and
    round no worse; quantized ones its plain kernels, since the optimized ones round integers in a
    way of their own.

    Raises ReferenceRuntimeError when LiteRT refuses the model.
    """
    exact = spelt_out(graph)
    results = {graph.tensors[i].dtype for o in exact.operators for i in o.outputs}
    source = content if content is not None and exact is graph else exact
    return LiteRtReference(source, preserve, optimized=_FLOATS.issuperset(results))


def kernels(graph: Graph) -> str:
    """Which of LiteRT's kernels `cpu` takes, in words."""
    results = {graph.tensors[i].dtype for o in graph.operators for i in o.outputs}
    return "optimized kernels" if _FLOATS.issuperset(results) else "reference kernels"
