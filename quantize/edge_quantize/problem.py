"""One reason why a model cannot be compiled."""

from __future__ import annotations

from dataclasses import dataclass

from .graph.model import Graph, Operator


@dataclass(frozen=True)
class Problem:
    """What is not supported, and where; `str()` is one line."""

    reason: str
    operator: int | None = None
    op: str = ""
    layer: str = ""  # the operator's name in the model
    tensor: str = ""

    def __str__(self) -> str:
        place = []
        if self.operator is not None:
            place.append(f"operator {self.operator} {self.op} '{self.layer}'")
        if self.tensor:
            place.append(f"tensor '{self.tensor}'")
        return ": ".join([*place, self.reason])


def operator_problem(graph: Graph, operator: Operator, reason: str, tensor: str = "") -> Problem:
    return Problem(reason, operator.index, operator.op, graph.layer_name(operator), tensor)
