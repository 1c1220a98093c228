"""Every operator of the schema in the forms that decide whether a GPU takes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edge_quantize.graph.model import Graph


@dataclass(frozen=True)
class Case:
    """One question to the backend. `name`: the operator, then what is particular about it."""

    name: str
    graph: Graph


def cases() -> Iterator[Case]:
    """All of them, in a fixed order; names are unique."""
    from . import arithmetic, moved, reduced, unknown, weighted

    for module in (arithmetic, weighted, moved, reduced, unknown):
        for name, graph in module.cases():
            yield Case(name, graph)
