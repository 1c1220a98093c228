"""When every buffer is alive, which may share an address, and the least RAM that can do.

Buffers tied by `alias_of` become one `Storage`. Two storages conflict when some step has both
alive; a `Sharing` is the one exception: there the result may lie over the dying operand, starting
exactly where it starts (in place) or far enough before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edge_export.errors import PlanError

from .program import Buffer, Program


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


@dataclass(frozen=True)
class Sharing:
    """Leave for a result to lie over an operand that dies in the step that makes the result."""

    operand: str
    result: str
    in_place: bool  # at the very same start
    distance: int | None  # or starting at least so many bytes before it

    def allows(self, operand_start: int, result_start: int) -> bool:
        before = operand_start - result_start
        if before == 0 and self.in_place:
            return True
        return self.distance is not None and before >= self.distance


@dataclass(frozen=True)
class Liveness:
    """Storages in order of first use, who may share, and the bound in bytes."""

    storages: tuple[Storage, ...]
    sharings: tuple[Sharing, ...]
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


def _sharings(
    program: Program, by_name: Mapping[str, Storage], roots: Mapping[str, str]
) -> list[Sharing]:
    """All leaves to share. The operand must die in the step, the result be born there, and every
    position that reads the operand must give the leave."""
    found = []
    for step in program.steps:
        if not step.results:
            continue
        result = by_name[roots[step.results[0]]]
        distances = dict(step.overlap)
        for name in dict.fromkeys(roots[operand] for operand in step.operands):
            operand = by_name[name]
            if (
                operand.name == result.name
                or operand.is_output
                or not operand.last_step == step.index == result.first_step
            ):
                continue
            positions = [i for i, read in enumerate(step.operands) if roots[read] == name]
            in_place = result.size <= operand.size and all(p in step.in_place for p in positions)
            distance = None
            if all(p in distances for p in positions):
                distance = max(0, *(distances[p] for p in positions))
            if in_place or distance is not None:
                found.append(Sharing(operand.name, result.name, in_place, distance))
    return found


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
    sharings = _sharings(program, by_name, roots)
    bound, peak = _bound(len(program.steps), storages, sharings, by_name)
    return Liveness(tuple(storages), tuple(sharings), bound, peak)


def _bound(
    steps: int,
    storages: list[Storage],
    sharings: list[Sharing],
    by_name: Mapping[str, Storage],
) -> tuple[int, int]:
    """The largest sum of sizes alive in one step, less what its result may share."""
    shared: dict[int, int] = {}
    for sharing in sharings:
        operand, result = by_name[sharing.operand], by_name[sharing.result]
        step = result.first_step
        shared[step] = shared.get(step, 0) + _most_shared(sharing, operand.size, result.size)
        # Operands do not overlap each other: the result cannot save more than itself.
        shared[step] = min(shared[step], result.size)
    change = [0] * (max(steps, 1) + 1)
    for storage in storages:
        change[storage.first_step] += storage.size
        change[storage.last_step + 1] -= storage.size
    best, peak, alive = 0, 0, 0
    for step in range(max(steps, 1)):
        alive += change[step]
        need = alive - shared.get(step, 0)
        if need > best:
            best, peak = need, step
    return best, peak


def _most_shared(sharing: Sharing, operand: int, result: int) -> int:
    """Bytes that an operand and a result of these sizes can have in common."""
    if sharing.in_place:
        return min(operand, result)
    if sharing.distance is None:
        return 0
    return max(0, min(operand, result - sharing.distance))
