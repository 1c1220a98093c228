"""What a model takes of a board's flash and RAM, from its memory plan alone, in milliseconds.

Flash is the whole image: constants are exact, code is modelled from measured sizes of its parts
(`codesize`). RAM is what the image keeps beside the arena, the arena (exact), and the stack: an
upper estimate here, measured on a board for finalists.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge_boards import Board
from edge_export.aot.describe import compress, describe
from edge_export.aot.emit import ports
from edge_export.aot.liveness import Liveness, analyse
from edge_export.aot.lower import lower
from edge_export.aot.memory import MemoryPlan
from edge_export.aot.names import prefix
from edge_export.aot.planner import plan_memory
from edge_export.aot.program import Program
from edge_export.aot.regions import regions
from edge_quantize.graph import Graph

from .budget import Budget, Excess
from .codesize import CodeSizes

STACK_ESTIMATE = 768
"""Bytes, from above: kernels promise under 256 B, the server above them takes under 512 B. On the
MLPerf models 368 to 504 B were measured."""

_MOST_NAMED = 2


@dataclass(frozen=True, eq=False)
class Footprint:
    """One model on one board, in bytes. `layer` names what alone fixes the arena's size."""

    board: str
    arena: int
    constants: int
    code: int
    static_ram: int
    stack: int
    stack_measured: bool
    peak: str  # the layer in which most is alive, and what is
    largest: str  # the layers with the most constants
    program: Program
    plan: MemoryPlan

    @property
    def flash(self) -> int:
        """The whole image."""
        return self.code + self.constants

    @property
    def ram(self) -> int:
        """Static RAM with the arena, plus the stack."""
        return self.static_ram + self.arena + self.stack

    def excesses(self, budget: Budget) -> tuple[Excess, ...]:
        """What of RAM and flash is beyond the budget."""
        found = []
        if budget.ram is not None and self.ram > budget.ram:
            found.append(Excess("RAM", self.ram, budget.ram, self.ram_words))
        if budget.flash is not None and self.flash > budget.flash:
            found.append(Excess("flash", self.flash, budget.flash, self.flash_words))
        return tuple(found)

    @property
    def ram_words(self) -> str:
        kind = "measured" if self.stack_measured else "estimated"
        return (
            f"{self.peak}; beside the arena of {self.arena:,} B the image keeps "
            f"{self.static_ram:,} B, and its stack takes {self.stack:,} B ({kind})"
        )

    @property
    def flash_words(self) -> str:
        return f"{self.largest}; code takes {self.code:,} B (modelled)"


def footprint(
    graph: Graph,
    board: Board,
    sizes: CodeSizes,
    kernels: dict[int, str] | None = None,
    fuse_ops: bool = True,
) -> Footprint:
    """The footprint of an int8 (or 16x8, or int4) graph; `kernels` and `fuse_ops` as in `lower`.

    Raises LoweringError where no kernel takes a layer, PlanError where the board itself is too
    small.
    """
    symbols = prefix(graph.name, None)
    program = lower(graph, symbols, board.core.features, kernels, fuse_ops)
    plan = plan_memory(program, regions(board), board.name)
    described = describe(graph, program, plan, *ports(graph, program.inputs, program.outputs))
    return Footprint(
        board=board.name,
        arena=plan.arena_bytes,
        constants=sum(constant.nbytes for constant in program.constants),
        code=sizes.code(program, len(compress(described))),
        static_ram=sizes.static_ram,
        stack=STACK_ESTIMATE,
        stack_measured=False,
        peak=peak_words(program, analyse(program)),
        largest=largest_words(program),
        program=program,
        plan=plan,
    )


def smallest_arena(program: Program) -> int:
    """Bytes that no plan of these layers can go below: scratch memory is left out, since another
    kernel may need none."""
    scratch = {step.scratch for step in program.steps if step.scratch}
    bare = replace(
        program, buffers=tuple(replace(b, size=1) if b.name in scratch else b
                               for b in program.buffers)
    )  # fmt: skip
    return analyse(bare).bound


def peak_words(program: Program, liveness: Liveness) -> str:
    """The layer in which most is alive, with its largest buffers."""
    if not program.steps:
        return "its input"
    step = program.steps[liveness.peak_step]
    layer = next(each for each in program.layers if each.index == step.layer)
    alive = sorted(liveness.alive_at(step.index), key=lambda s: (-s.size, s.name))
    named = ", ".join(f"{s.name} {s.size:,} B" for s in alive[:_MOST_NAMED])
    return f"most is alive in layer {layer.name} ({layer.op}): {named}"


def largest_words(program: Program) -> str:
    """The layers with the most constants."""
    by_layer = constants_by_layer(program)
    names = {layer.index: f"{layer.name} ({layer.op})" for layer in program.layers}
    ranked = sorted(by_layer.items(), key=lambda item: (-item[1], item[0]))[:_MOST_NAMED]
    if not ranked:
        return "the model has no constants"
    return "largest: " + ", ".join(f"layer {names[i]} {size:,} B" for i, size in ranked)


def constants_by_layer(program: Program) -> dict[int, int]:
    """{operator: bytes of its constants}; what several share counts for the first."""
    sizes = {constant.name: constant.nbytes for constant in program.constants}
    found: dict[int, int] = {}
    for step in program.steps:
        for _, value in step.params.fields:
            name = getattr(value, "constant", None)
            if name is not None and name in sizes:
                found[step.layer] = found.get(step.layer, 0) + sizes.pop(name)
    return found
