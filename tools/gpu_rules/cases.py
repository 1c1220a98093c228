"""Every operator of the schema in the forms that decide whether a GPU takes it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from edge_quantize.graph.model import Graph

_MOST_VERSION = 12


@dataclass(frozen=True)
class Case:
    """One question to the backend. `name`: the operator, then what is particular about it."""

    name: str
    graph: Graph


def cases() -> Iterator[Case]:
    """All of them, in a fixed order; names are unique."""
    from . import arithmetic, moved, reduced, sizes, unknown, weighted

    first: dict[tuple[str, str], Case] = {}
    for module in (arithmetic, weighted, moved, reduced, unknown, sizes):
        for name, graph in module.cases():
            case = Case(name, graph)
            op, dtype = name.split()[:2]
            if "version" not in name:
                first.setdefault((op, dtype), case)
            yield case
    # Which versions are taken: of each operator in float, and in int8 where it has that.
    for (op, dtype), case in first.items():
        if dtype in ("f32", "i8", "bool"):
            for version in range(1, _MOST_VERSION + 1):
                yield Case(f"{op} {dtype} as version {version}", _renewed(case.graph, version))


def _renewed(graph: Graph, version: int) -> Graph:
    (operator,) = graph.operators
    return replace(graph, operators=(replace(operator, version=version),))
