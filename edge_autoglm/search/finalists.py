"""Finalists, really built and measured: image size, stack, time on a virtual board."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_autoglm import pipeline
from edge_autoglm.flash import flash_image
from edge_autoglm.measure.builds import remember
from edge_autoglm.measure.figures import Figure
from edge_autoglm.measure.own_board import virtual_board_of_our_own
from edge_autoglm.measure.run import run_profile
from edge_boards import Board
from edge_export import ExportResult, export_model
from edge_export.aot.names import layer_name, unique
from edge_quantize.graph import Graph

from .budget import Budget, Excess
from .shapes import overrides


@dataclass(frozen=True)
class Measured:
    """One model in a real image. `stack` and `latency` are None where no virtual board runs it;
    `static_ram` is all RAM beside the stack. `matches` says whether its outputs are the host
    reference's."""

    flash: int
    static_ram: int
    stack: int | None
    latency: Figure | None
    instructions: Figure | None
    matches: bool | None
    compiler: str

    def ram(self, stack: int) -> int:
        """Static RAM plus the stack; `stack` is the estimate where none was measured."""
        return self.static_ram + (self.stack if self.stack is not None else stack)

    def excesses(self, budget: Budget, stack: int) -> tuple[Excess, ...]:
        """What of the budget the image breaks."""
        found = []
        if budget.ram is not None and self.ram(stack) > budget.ram:
            found.append(Excess("RAM", self.ram(stack), budget.ram, "measured"))
        if budget.flash is not None and self.flash > budget.flash:
            found.append(Excess("flash", self.flash, budget.flash, "measured"))
        limit = budget.latency_ms
        if limit is not None and self.latency is not None and self.latency.value > limit:
            where = f"{self.latency.kind.value} on the virtual board"
            found.append(Excess("latency", self.latency.value, limit, where))
        return tuple(found)

    def json(self) -> dict[str, Any]:
        def figure(value: Figure | None) -> dict[str, Any] | None:
            return None if value is None else {"value": value.value, "kind": value.kind.value}

        return {
            "flash": self.flash,
            "static_ram": self.static_ram,
            "stack": self.stack,
            "latency_ms": figure(self.latency),
            "instructions": figure(self.instructions),
            "outputs_match_reference": self.matches,
            "compiler": self.compiler,
        }


def export_to(
    folder: Path,
    graph: Graph,
    board: Board,
    kernels: Mapping[str, str],
    fuse_ops: bool = True,
) -> ExportResult:
    """The generated C of a graph, with rows of the kernel table by operator."""
    rows = overrides(graph, board, kernels)
    if not rows:
        return export_model(graph, board, folder, fuse_ops=fuse_ops)
    names = unique([layer_name(graph, operator) for operator in graph.operators])
    chosen = [{"layer": names[index], "kernel": row} for index, row in rows.items()]
    with tempfile.TemporaryDirectory(prefix="edge-plan-") as scratch:
        plan = Path(scratch) / "plan.json"
        plan.write_text(json.dumps({"schema": 1, "kernels": chosen}), encoding="utf-8")
        return export_model(graph, board, folder, plan=plan, fuse_ops=fuse_ops)


def measure(exported: ExportResult, board: Board, model: Path) -> Measured:
    """Builds `exported` and, where there is a virtual board, runs it there; `model` is its file.

    Raises ToolchainError and its kin, SessionError and its kin.
    """
    built = pipeline.build(exported, board)
    sizes = built.image.sizes
    found = Measured(
        flash=sizes.flash,
        static_ram=sizes.static_ram + sizes.arena + (sizes.rings or 0),
        stack=None,
        latency=None,
        instructions=None,
        matches=None,
        compiler=built.toolchain,
    )
    if board.virtual is None:
        return found
    with virtual_board_of_our_own(board):
        remember(built.image, model)
        flashed = flash_image(board, built.image, "virtual")
        profile, _ = run_profile(board, flashed.port, runs=1, warmup=1)
    return replace(
        found,
        stack=profile.memory.stack,
        latency=profile.latency_ms,
        instructions=profile.instructions,
        matches=None if profile.verdict is None else profile.verdict.good,
    )
