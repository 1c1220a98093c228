"""A short unique name for every layer: what exports, tables and recipes call it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from .model import Graph, Operator

# What Keras calls the layer that becomes an operator; the converter leaves these in tensor names.
_STEMS = {
    "CONV_2D": "conv2d|conv1d|conv",
    "DEPTHWISE_CONV_2D": "depthwise_conv2d|separable_conv2d|depthwise",
    "FULLY_CONNECTED": "dense|logits|predictions|fc|linear",
    "ADD": "add",
    "MUL": "multiply|mul",
    "SOFTMAX": "softmax",
}
# Path components that say what was computed and not where.
_GENERIC = re.compile(
    r"(?:identity|relu6?|biasadd|matmul|conv2d|depthwise|addv?2?|mul|avgpool|maxpool|mean|pad|"
    r"reshape|softmax|concat|fusedbatchnormv?\d*|readvariableop|resource|statefulpartitionedcall|"
    r"int8|float32|unknown|output|\d*)(?:_int8)?\d*(?::\d+)?",
    re.IGNORECASE,
)


def layer_name(graph: Graph, operator: Operator) -> str:
    """The last distinctive component of the output tensor's path; the operator's own name where
    the path says nothing. Not yet unique."""
    path = graph.tensor(operator.outputs[0]).name if operator.outputs else ""
    parts = [part.split("/") for part in path.split(";")]
    stem = _STEMS.get(operator.op)
    if stem is not None:
        wanted = re.compile(rf"(?:{stem})(?:_\d+)?")
        for part in parts:
            # The last component is the TensorFlow op ("depthwise", "add"), not the layer.
            for component in part[:-1] or part:
                if wanted.fullmatch(component):
                    return component
    first = parts[0]
    # The outermost scope is the model's own name, the innermost the TensorFlow op.
    inner = first[1:] if len(first) > 1 else first
    if len(inner) > 1 and re.fullmatch(r"[A-Z][A-Za-z0-9]*", inner[-1]):
        inner = inner[:-1]
    for component in reversed(inner):
        clean = re.sub(r"[^0-9A-Za-z]+", "_", component).strip("_")
        if clean and not _GENERIC.fullmatch(component):
            return clean
    return operator.op.lower()


def unique(names: Sequence[str]) -> tuple[str, ...]:
    """The same names, made different by a number where two are equal."""
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 2
        while candidate in taken:
            candidate = f"{name}_{number}"
            number += 1
        taken.add(candidate)
        result.append(candidate)
    return tuple(result)


def layer_names(graph: Graph) -> tuple[str, ...]:
    """A short name for each operator, in order: what exports, profiles and reports call layers."""
    return unique([layer_name(graph, operator) for operator in graph.operators])


def short_names(graph: Graph) -> dict[str, str]:
    """The same by the names that the graph gives its layers."""
    return dict(zip(map(graph.layer_name, graph.operators), layer_names(graph), strict=True))
