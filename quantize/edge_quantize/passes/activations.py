"""RELU and its like, taken into the operator before."""

from __future__ import annotations

from dataclasses import replace

from edge_quantize.graph.edit import Rewrite, fused_activation, readers, with_activation, writers
from edge_quantize.graph.model import DType, Graph, Operator
from edge_quantize.graph.options import Activation

from .bounds import is_int8
from .result import NOTHING, Change, Edit, Settings

_ACTIVATIONS = {
    "RELU": Activation.RELU,
    "RELU6": Activation.RELU6,
    "RELU_N1_TO_1": Activation.RELU_N1_TO_1,
}
# One clamp after another, where the two are one of those there are.
_AFTER = {
    **{(Activation.NONE, a): a for a in _ACTIVATIONS.values()},
    **{(a, a): a for a in _ACTIVATIONS.values()},
    (Activation.RELU, Activation.RELU6): Activation.RELU6,
    (Activation.RELU6, Activation.RELU): Activation.RELU6,
}
_PRODUCERS = frozenset(
    {
        *("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "AVERAGE_POOL_2D", "MAX_POOL_2D"),
        *("ADD", "SUB", "MUL"),
    }
)


def fuse_activations(graph: Graph, _: Settings) -> Edit:
    """Give a layer the activation that alone reads its output.

    On int8 tensors only where both have one quantization: the activation is then a clamp, the same
    that the fused one does, while between two quantizations it rounds a second time.
    """
    read, written = readers(graph), writers(graph)
    rewrite = Rewrite(graph)
    changes = []
    for operator in graph.operators:
        producer = written.get(operator.inputs[0]) if operator.op in _ACTIVATIONS else None
        if (
            producer is None
            or producer.op not in _PRODUCERS
            or len(read[operator.inputs[0]]) != 1
            or operator.inputs[0] in graph.outputs
            or not _clamps(graph, operator)
        ):
            continue
        before = fused_activation(producer) or Activation.NONE
        fused = _AFTER.get((before, _ACTIVATIONS[operator.op]))
        if fused is None:
            continue
        # The producer may have changed already, as the reader of another.
        current = replace(rewrite.operator(producer.index), outputs=operator.outputs)
        rewrite.replace(with_activation(current, fused))
        rewrite.drop(operator.index)
        what = f"{operator.op} fused into the {producer.op} before it"
        changes.append(
            Change("activations", graph.layer_name(operator), what, "the same clamp, done once")
        )
    return (rewrite.graph(), tuple(changes)) if changes else (graph, NOTHING)


def _clamps(graph: Graph, operator: Operator) -> bool:
    source, output = graph.tensors[operator.inputs[0]], graph.tensors[operator.outputs[0]]
    if source.dtype is DType.FLOAT32:
        return output.dtype is DType.FLOAT32
    return is_int8(source) and is_int8(output) and source.quantization == output.quantization
