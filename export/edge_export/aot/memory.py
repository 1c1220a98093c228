"""The memory plan: where every buffer and every constant lies, and when it is alive."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Region:
    """A memory of the board as the planner sees it. Sizes in bytes."""

    name: str  # "dtcm", "sram", "flash", ...
    capacity: int  # what the model may use: size less what runtime and stack keep
    writable: bool
    preference: int  # activations go to the lowest number that fits


@dataclass(frozen=True)
class Placement:
    """A buffer's or a constant's place."""

    name: str
    region: str
    offset: int  # from the start of the region's arena (buffers) or section (constants)
    size: int
    alignment: int
    first_step: int  # inclusive; a constant is alive throughout
    last_step: int  # inclusive
    kind: str  # "input", "output", "activation", "scratch", "weights", "table"


@dataclass(frozen=True)
class MemoryPlan:
    """All placements, and the arena they make up: one block a region."""

    model_sha256: str
    board: str
    placements: tuple[Placement, ...]
    arena: tuple[tuple[str, int], ...]  # (region, bytes), regions in use only, by name
    liveness_bound: int  # bytes: the largest sum of buffers alive at one step
    kernels: tuple[tuple[int, str], ...]  # (layer, kernel) of the steps that are no helpers

    @property
    def arena_bytes(self) -> int:
        return sum(size for _, size in self.arena)

    def place(self, name: str) -> Placement:
        return next(p for p in self.placements if p.name == name)
