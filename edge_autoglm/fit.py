"""Whether a model can be compiled, and whether a board can hold it: all reasons, not the first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edge_boards import Board
from edge_export.aot.package import compile_model
from edge_export.errors import ExportError
from edge_quantize.check import check_supported
from edge_quantize.graph import Graph


@dataclass(frozen=True)
class Fit:
    """The outcome of a look at a model. `arena` and `constants` are bytes by region."""

    board: str | None
    problems: tuple[str, ...]
    arena: tuple[tuple[str, int], ...] = ()
    constants: tuple[tuple[str, int], ...] = ()

    @property
    def lines(self) -> list[str]:
        """For people."""
        if self.problems:
            return ["Not possible:", *(f"  - {problem}" for problem in self.problems)]
        if self.board is None:
            return ["Every operator is supported."]
        arena = ", ".join(f"{name} {count:,} B" for name, count in self.arena)
        constants = ", ".join(f"{name} {count:,} B" for name, count in self.constants)
        return [f"Fits {self.board}: arena {arena}; constants {constants}; code comes on top."]

    def json(self) -> dict[str, Any]:
        return {
            "board": self.board,
            "problems": list(self.problems),
            "arena": dict(self.arena),
            "constants": dict(self.constants),
        }


def fit(graph: Graph, board: Board | None) -> Fit:
    """Checks every operator; with a board, lowers and plans the model for it as well."""
    name = board.name if board else None
    problems = tuple(str(problem) for problem in check_supported(graph))
    if problems or board is None:
        return Fit(name, problems)
    try:
        compiled = compile_model(graph, board)
    except ExportError as error:
        # An error with a list has the same reasons in its message.
        return Fit(name, getattr(error, "problems", ()) or (str(error),))
    constants: dict[str, int] = {}
    for placement in compiled.plan.placements:
        if placement.kind in ("weights", "table"):
            constants[placement.region] = constants.get(placement.region, 0) + placement.size
    return Fit(name, (), compiled.plan.arena, tuple(sorted(constants.items())))
