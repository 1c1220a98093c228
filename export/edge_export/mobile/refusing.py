"""What the rules refuse of a graph: single operators, or all of it."""

from __future__ import annotations

from edge_quantize.graph.model import Graph

from .dynamic import first_dynamic
from .rules import Refused, RuleSet, float16_constants, node_of, refused

# Custom operators that LiteRT and TensorFlow Lite bring a CPU kernel for.
KNOWN_CUSTOM = frozenset(
    {"AudioSpectrogram", "Mfcc", "NumericVerify", "TFLite_Detection_PostProcess"}
)


def refused_whole(graph: Graph) -> dict[int, Refused]:
    """A reason for every operator where the model is refused as a whole; else empty."""
    customs = [o.op.removeprefix("CUSTOM:") for o in graph.operators if o.op.startswith("CUSTOM:")]
    unknown = next((name for name in customs if name not in KNOWN_CUSTOM), None)
    if unknown is not None:
        return {
            position: refused(
                "no-kernel" if operator.op == f"CUSTOM:{unknown}" else "not-loaded", name=unknown
            )
            for position, operator in enumerate(graph.operators)
        }
    dynamic = first_dynamic(graph)
    if dynamic is None:
        return {}
    reason = refused("dynamic", tensor=dynamic.tensor.name, op=dynamic.operator.op)
    return dict.fromkeys(range(len(graph.operators)), reason)


def refused_operators(graph: Graph, rules: RuleSet) -> dict[int, Refused]:
    """Position in `graph.operators` -> why it is refused by itself."""
    float16 = float16_constants(graph)
    found = {}
    for position, operator in enumerate(graph.operators):
        if operator.op == "DEQUANTIZE" and operator.outputs and operator.outputs[0] in float16:
            continue
        reason = rules.refusal(node_of(graph, operator, float16))
        if reason is not None:
            found[position] = reason
    return found
