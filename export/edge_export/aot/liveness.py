"""When every buffer is alive, which may share an address, and the least RAM that can do.

Buffers tied by `alias_of` become one `Storage`. Two storages conflict when some step has both
alive; an in-place pair is the one exception: there the result may start exactly where the dying
operand starts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_export.errors import PlanError

from .program import Buffer, Program, Step


@dataclass(frozen=True)
class Storage:
    """Buffers at one address. Sizes in bytes; steps inclusive."""

    name: str  # of the buffer that the others alias
    members: tuple[str, ...]
    size: int
    alignment: int
    first_step: int
    last_step: int
    is_output: bool
    touches: int  # steps that read or write it: what its region's speed weighs

    def overlaps(self, other: Storage) -> bool:
        return self.first_step <= other.last_step and other.first_step <= self.last_step


@dataclass(frozen=True)
class Liveness:
    """Storages in order of first use, in-place pairs (operand, result), and the bound in bytes."""

    storages: tuple[Storage, ...]
    in_place: frozenset[tuple[str, str]]
    bound: int
    peak_step: int

    def alive_at(self, step: int) -> tuple[Storage, ...]:
        return tuple(s for s in self.storages if s.first_step <= step <= s.last_step)


def _roots(program: Program) -> dict[str, str]:
    """Buffer name -> the buffer at the end of its alias chain."""
    by_name = {buffer.name: buffer for buffer in program.buffers}
    if len(by_name) != len(program.buffers):
        raise PlanError(f"{program.name}: two buffers have the same name")
    roots: dict[str, str] = {}
    for buffer in program.buffers:
        seen = {buffer.name}
        current: Buffer = buffer
        while current.alias_of is not None:
            target = by_name.get(current.alias_of)
            if target is None or target.name in seen:
                raise PlanError(f"buffer {buffer.name} aliases {current.alias_of}: no end to it")
            seen.add(target.name)
            current = target
        roots[buffer.name] = current.name
    return roots


def _spans(program: Program) -> dict[str, tuple[int, int, int]]:
    """Buffer name -> (first step, last step, steps touching it).

    Inputs are alive from step 0 on, because they are written before it; outputs until the end.
    """
    end = max(len(program.steps) - 1, 0)
    first: dict[str, int] = dict.fromkeys(program.inputs, 0)
    last: dict[str, int] = dict.fromkeys(program.inputs, 0)
    touches: dict[str, int] = {}
    for position, step in enumerate(program.steps):
        scratch = () if step.scratch is None else (step.scratch,)
        for name in dict.fromkeys((*step.operands, *step.results, *scratch)):
            first.setdefault(name, position)
            last[name] = position
            touches[name] = touches.get(name, 0) + 1
    for name in program.outputs:
        first.setdefault(name, end)
        last[name] = end
    return {name: (first[name], last[name], touches.get(name, 0)) for name in first}


def _may_share(step: Step, operand: Storage, result: Storage, roots: Mapping[str, str]) -> bool:
    """The operand dies in this step, is read only where overwriting is allowed, and is large
    enough; the result is born here."""
    read_at = [i for i, name in enumerate(step.operands) if roots[name] == operand.name]
    return (
        operand.name != result.name
        and not operand.is_output
        and operand.last_step == step.index == result.first_step
        and result.size <= operand.size
        and all(position in step.in_place for position in read_at)
    )


def analyse(program: Program) -> Liveness:
    """Liveness of every buffer of `program`. Raises PlanError for a malformed program."""
    if [step.index for step in program.steps] != list(range(len(program.steps))):
        raise PlanError(f"{program.name}: steps are not numbered in order")
    roots = _roots(program)
    spans = _spans(program)
    members: dict[str, list[Buffer]] = {}
    for buffer in program.buffers:
        members.setdefault(roots[buffer.name], []).append(buffer)
    storages = []
    for root, buffers in members.items():
        alive = [spans[b.name] for b in buffers if b.name in spans]
        if not alive:
            continue  # nothing reads or writes it
        storages.append(
            Storage(
                name=root,
                members=tuple(b.name for b in buffers),
                size=max(b.size for b in buffers),
                alignment=max(b.alignment for b in buffers),
                first_step=min(span[0] for span in alive),
                last_step=max(span[1] for span in alive),
                is_output=any(b.name in program.outputs for b in buffers),
                touches=sum(span[2] for span in alive),
            )
        )
    storages.sort(key=lambda s: (s.first_step, s.name))
    by_name = {storage.name: storage for storage in storages}
    pairs = frozenset(
        (roots[step.operands[position]], roots[step.results[0]])
        for step in program.steps
        for position in step.in_place
        if step.results
        and _may_share(
            step,
            by_name[roots[step.operands[position]]],
            by_name[roots[step.results[0]]],
            roots,
        )
    )
    bound, peak = _bound(len(program.steps), storages, pairs, by_name)
    return Liveness(tuple(storages), pairs, bound, peak)


def _bound(
    steps: int,
    storages: list[Storage],
    pairs: frozenset[tuple[str, str]],
    by_name: Mapping[str, Storage],
) -> tuple[int, int]:
    """The largest sum of sizes alive in one step, an in-place result counted as free."""
    free_at: dict[int, int] = {}
    for _, result in pairs:
        storage = by_name[result]
        free_at[storage.first_step] = storage.size
    best, peak = 0, 0
    for step in range(max(steps, 1)):
        alive = sum(s.size for s in storages if s.first_step <= step <= s.last_step)
        need = alive - free_at.get(step, 0)
        if need > best:
            best, peak = need, step
    return best, peak
