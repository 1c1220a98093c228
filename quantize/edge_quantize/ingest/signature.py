"""The names that a converter's signature gives to inputs and outputs, which tell their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from ai_edge_litert import schema_py_generated as schema

from edge_quantize.errors import ConversionError
from edge_quantize.graph.model import Graph


def in_order(
    graph: Graph,
    content: bytes,
    inputs: Sequence[str],
    outputs: Sequence[str],
    plain: Callable[[str], str] = str,
) -> Graph:
    """`graph`, just read from `content`, with its inputs and outputs in the order of these names.

    Names are compared after `plain`. Raises ConversionError when one is not in the signature: the
    converter left out what is not used.
    """
    model = schema.Model.GetRootAs(content)
    if model.SignatureDefsLength() != 1:
        raise ConversionError(f"{graph.name}: the converter wrote no signature")
    signature = model.SignatureDefs(0)

    def found(kind: str, names: Sequence[str]) -> tuple[int, ...]:
        entry, count = getattr(signature, kind), getattr(signature, f"{kind}Length")()
        places = {plain(entry(i).Name().decode()): entry(i).TensorIndex() for i in range(count)}
        missing = [name for name in names if plain(name) not in places]
        if missing or len(places) != len(names):
            raise ConversionError(
                f"{graph.name}: the converter kept {count} of {len(names)} {kind.lower()} "
                f"({', '.join(names)}); is one of them unused?"
            )
        return tuple(places[plain(name)] for name in names)

    return replace(graph, inputs=found("Inputs", inputs), outputs=found("Outputs", outputs))
