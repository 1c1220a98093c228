"""How big an image is, by memory and by kind; and whether a model can fit at all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_boards.board import STACK_GUARD_BYTES, Board
from edge_boards.elf import Elf
from edge_boards.errors import ImageTooBigError

_MOST_NAMED = 4


@dataclass(frozen=True)
class ModelSources:
    """One generated model, as the build step sees it. Sizes in bytes.

    `weight_bytes` are the .tflite's own constant bytes; `arena` is (region, bytes) for each
    region in use, `constants` (name, region, bytes) for each constant of the generated C.
    """

    name: str
    sources: tuple[Path, ...]
    include_dirs: tuple[Path, ...]
    weight_bytes: int
    arena: tuple[tuple[str, int], ...] = ()
    constants: tuple[tuple[str, str, int], ...] = ()


@dataclass(frozen=True)
class MemoryUse:
    """Bytes of one memory in use, and in all."""

    name: str
    used: int
    size: int


@dataclass(frozen=True)
class SizeReport:
    """Bytes by memory, and by kind. Flash is `code + weights`; RAM is all the others together.

    code: everything in flash but the weights. weights: the models' constants, at most the
    .tflite's own bytes; what packing adds counts as code. arena: activations and scratch. stack:
    with its guard. rings: the wire's buffers; both None where they are a framework's. static_ram:
    what else the RAMs hold, code and constants that are copied there included; copied: the bytes of
    those.
    """

    memories: tuple[MemoryUse, ...]
    code: int
    weights: int
    arena: int
    stack: int | None
    rings: int | None
    static_ram: int
    copied: int = 0

    @property
    def kinds(self) -> tuple[tuple[str, int | None], ...]:
        """(kind, bytes) in the order of a report."""
        rows = (
            ("code", self.code),
            ("weights", self.weights),
            ("activations", self.arena),
            ("stack", self.stack),
            ("wire rings", self.rings),
            ("other static RAM", self.static_ram),
        )
        # What a plan moved there stands in flash as well, so it is named apart.
        return (*rows, ("copied from flash", self.copied)) if self.copied else rows

    @property
    def flash(self) -> int:
        """Bytes of the image."""
        return self.code + self.weights


def check_fits(board: Board, models: Sequence[ModelSources]) -> None:
    """Refuse, before anything is compiled, models that cannot fit whatever the code's size.

    Raises `ImageTooBigError` naming every memory that is too small and what fills it.
    """
    needs: dict[str, list[tuple[str, int]]] = {m.name: [] for m in board.memories}
    ram, flash = board.ram.name, board.flash.name
    needs[ram].append(("stack", board.own_stack.size + STACK_GUARD_BYTES))
    for model in models:
        placed = [(f"{model.name} arena", region, size) for region, size in model.arena]
        placed += [(f"{model.name} {name}", region, size) for name, region, size in model.constants]
        for what, region, size in placed:
            if region not in needs:
                raise ImageTooBigError(
                    f"{what} is planned in memory {region!r}, which board {board.name} lacks; "
                    f"it has {', '.join(needs)}"
                )
            needs[region].append((what, size))
        for name, region, size in model.constants:
            if board.memory(region).writable:
                needs[flash].append((f"{model.name} {name} (copied to {region})", size))
    problems = [
        too_big(board, memory.name, sum(s for _, s in needs[memory.name]), needs[memory.name])
        for memory in board.memories
        if sum(s for _, s in needs[memory.name]) > memory.size
    ]
    if problems:
        raise ImageTooBigError("; ".join(problems))


def too_big(board: Board, memory: str, needed: int, contributors: Iterable[tuple[str, int]]) -> str:
    """One memory's refusal in words, with its largest contributors."""
    size = board.memory(memory).size
    ranked = sorted(contributors, key=lambda c: (-c[1], c[0]))
    largest = ", ".join(f"{what} {amount:,} B" for what, amount in ranked[:_MOST_NAMED])
    kind = board.memory(memory).kind
    advice = (
        "prune or quantize the model, or choose a board with more flash"
        if kind == "flash"
        else "plan the arena over several memories (--plan), or choose a smaller input or model"
    )
    return (
        f"{memory} of {board.name} has {size:,} B, at least {needed:,} B are needed "
        f"({needed - size:,} B too many); largest: {largest}; {advice}"
    )


def measure(elf: Elf, board: Board, models: Sequence[ModelSources], image_bytes: int) -> SizeReport:
    """The report of a linked image."""
    sizes = {s.name: s.size for s in elf.sections if s.allocated}
    stack = board.own_stack.size + STACK_GUARD_BYTES
    used = {m.name: 0 for m in board.memories}
    used[board.flash.name] = image_bytes
    used[board.ram.name] += stack
    stored = 0  # bytes of weight sections, wherever they run from
    for memory in board.memories:
        name = memory.name
        if memory.writable:
            used[name] += sizes.get(f".load.{name}", 0) + sizes.get(f".arena.{name}", 0)
            start, end = (elf.symbol(f"eag_{name}_weights{tail}").value for tail in ("", "_end"))
            stored += end - start
        else:
            stored += sizes.get(f".weights.{name}", 0)
    arena = sum(sizes.get(f".arena.{m.name}", 0) for m in board.memories)
    rings = sizes.get(".rings", 0)
    runtime = sizes.get(".bss", 0) + sizes.get(".noinit", 0)
    used[board.ram.name] += rings + runtime
    loads = sum(sizes.get(f".load.{m.name}", 0) for m in board.memories)
    weights = min(stored, sum(m.weight_bytes for m in models))
    return SizeReport(
        memories=tuple(MemoryUse(m.name, used[m.name], m.size) for m in board.memories),
        code=image_bytes - weights,
        weights=weights,
        arena=arena,
        stack=stack,
        rings=rings,
        static_ram=runtime + loads,
        copied=loads,
    )
