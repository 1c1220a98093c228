"""The board that a search aims at, with what it is told by: code sizes and costs of kernels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_boards import Board
from edge_quantize.graph import Graph
from edge_quantize.passes import PassResult, lossless

from .budget import Budget
from .codesize import CodeSizes, code_sizes
from .footprint import Footprint, footprint
from .latency import CostModel, Latency, cost_model, read_table
from .shapes import overrides

_DSP_CHANNELS = 4
"""The DSP kernels take so many channels at a time; others are slower for an odd number."""


@dataclass(frozen=True, eq=False)
class Costs:
    """What a graph takes of the board. `latency` is None for a core without a model."""

    footprint: Footprint
    latency: Latency | None


@dataclass(frozen=True, eq=False)
class Target:
    """A board and the models of what costs what there. `cost_model` is None for a core whose
    kernels were never measured."""

    board: Board
    sizes: CodeSizes
    cost_model: CostModel | None
    fuse_ops: bool = True

    @classmethod
    def of(cls, board: Board, budget: Budget, fuse_ops: bool = True) -> Target:
        """Raises UsageError where the budget limits a latency that nothing tells, ToolchainError
        where neither the table nor a compiler knows the code's size."""
        known = board.core.name in read_table()
        model = cost_model(board) if known or budget.latency_ms is not None else None
        return cls(board, code_sizes(board), model, fuse_ops)

    def costs(self, graph: Graph, kernels: Mapping[str, str] | None = None) -> Costs:
        """The footprint and the modelled latency of an integer graph; `kernels` are rows of the
        kernel table by operator.

        Raises LoweringError where no kernel takes a layer, PlanError where the board itself is too
        small."""
        rows = overrides(graph, self.board, kernels or {})
        found = footprint(graph, self.board, self.sizes, rows, self.fuse_ops)
        model = self.cost_model
        return Costs(found, model.predict(found.program) if model is not None else None)

    def lossless(self, graph: Graph) -> PassResult:
        """`graph` after the lossless passes, dead channels kept up to a multiple of four where that
        is faster on this core. Raises LosslessError."""
        plain = lossless(graph)
        if "dsp" not in self.board.core.features or not plain.changes or not self.cost_model:
            return plain
        aligned = lossless(graph, align=_DSP_CHANNELS)
        slower, faster = self.costs(plain.graph).latency, self.costs(aligned.graph).latency
        assert slower is not None
        assert faster is not None
        return aligned if faster.cycles < slower.cycles else plain
