"""Program + regions -> MemoryPlan: every buffer and every constant gets a place.

A buffer never straddles regions; buffers alive at the same time never overlap, save for a result
that lies over an operand where its kernel allows that. Constants lie in read-only memory unless a
plan file moves them; those of one kind in one region form one block, in program order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edge_export.errors import PlanError

from .liveness import Liveness, Storage, analyse
from .memory import MemoryPlan, Placement, Region
from .packing import Problem, Space, Spot, Taken, align_up, extents, neighbours, pack
from .program import Constant, Program
from .regions import ON_REQUEST

_CONTRIBUTORS = 5


@dataclass(frozen=True)
class Pin:
    """What a plan file says of one buffer or constant; None leaves it to the planner."""

    region: str | None = None
    offset: int | None = None


@dataclass(frozen=True)
class Pins:
    """All pins of a plan file, by buffer and by constant name."""

    buffers: Mapping[str, Pin] = field(default_factory=dict)
    constants: Mapping[str, Pin] = field(default_factory=dict)


def plan_memory(
    program: Program, regions: Sequence[Region], board: str, pins: Pins | None = None
) -> MemoryPlan:
    """Places everything. Raises PlanError when it does not fit or a pin is not possible."""
    pins = pins or Pins()
    liveness = analyse(program)
    constants = _place_constants(program, regions, pins.constants)
    kept = {region.name: 0 for region in regions}
    for (_, region_name), size in _block_sizes(constants).items():
        kept[region_name] += align_up(size, 4)
    spots = _place_buffers(program, regions, liveness, kept, pins.buffers)
    by_name = {s.name: s for s in liveness.storages}
    arena = extents(by_name, spots)
    buffers = {buffer.name: buffer for buffer in program.buffers}
    placements = []
    for storage in liveness.storages:
        spot = spots[storage.name]
        for member in storage.members:
            buffer = buffers[member]
            placements.append(
                Placement(
                    name=member,
                    region=spot.region,
                    offset=spot.offset,
                    size=buffer.size,
                    alignment=buffer.alignment,
                    first_step=storage.first_step,
                    last_step=storage.last_step,
                    kind=buffer.kind.value,
                )
            )
    return MemoryPlan(
        model_sha256=program.model_sha256,
        board=board,
        placements=(*placements, *constants),
        arena=tuple(sorted((r, align_up(size, 4)) for r, size in arena.items() if size)),
        liveness_bound=liveness.bound,
        kernels=tuple((s.layer, s.kernel) for s in program.steps if not s.helper),
    )


def _region(regions: Iterable[Region], name: str, what: str) -> Region:
    regions = tuple(regions)
    for region in regions:
        if region.name == name:
            return region
    known = ", ".join(region.name for region in regions)
    raise PlanError(f"{what}: no region {name!r} on this board; it has {known}")


# Constants


def _place_constants(
    program: Program, regions: Sequence[Region], pins: Mapping[str, Pin]
) -> tuple[Placement, ...]:
    _refuse_unknown(pins, (c.name for c in program.constants), "constant")
    default = next((r for r in regions if not r.writable), None)
    last = max(len(program.steps) - 1, 0)
    blocks: dict[tuple[str, str], list[tuple[Constant, int | None]]] = {}
    for constant in program.constants:
        pin = pins.get(constant.name, Pin())
        if pin.region is not None:
            region = _region(regions, pin.region, f"constant {constant.name}")
        elif default is not None:
            region = default
        else:
            raise PlanError("the board has no flash memory for the constants; see its memories")
        blocks.setdefault((constant.kind.value, region.name), []).append((constant, pin.offset))
    placed: dict[str, Placement] = {}
    for (kind, region_name), members in blocks.items():
        for constant, offset in _constant_offsets(members, region_name):
            placed[constant.name] = Placement(
                name=constant.name,
                region=region_name,
                offset=offset,
                size=constant.nbytes,
                alignment=constant.alignment,
                first_step=0,
                last_step=last,
                kind=kind,
            )
    _check_constants_fit(program, regions, placed, default)
    return tuple(placed[constant.name] for constant in program.constants)


def _constant_offsets(
    members: Sequence[tuple[Constant, int | None]], region: str
) -> list[tuple[Constant, int]]:
    """Pinned constants where they are pinned, the others in the first holes between them."""
    taken: list[tuple[int, int, str]] = []
    result = []
    for constant, offset in members:
        if offset is None:
            continue
        where = f"constant {constant.name} at {region}{offset:+}"
        if offset < 0:
            raise PlanError(f"{where}: the offset is negative")
        if offset % constant.alignment:
            raise PlanError(f"{where}: misaligned, it needs a multiple of {constant.alignment}")
        for low, high, other in taken:
            if offset < high and low < offset + constant.nbytes:
                raise PlanError(f"{where}: overlaps {other} ({low} to {high})")
        taken.append((offset, offset + constant.nbytes, constant.name))
        result.append((constant, offset))
    taken.sort()
    pinned = list(taken)
    cursor = 0
    for constant, offset in members:
        if offset is not None:
            continue
        start = align_up(cursor, constant.alignment)
        for low, high, _ in pinned:
            if start < high and low < start + constant.nbytes:
                start = align_up(high, constant.alignment)
        cursor = start + constant.nbytes
        result.append((constant, start))
    return result


def _block_sizes(placed: Iterable[Placement]) -> dict[tuple[str, str], int]:
    """(kind, region) -> bytes of the block, with the holes that pinned offsets leave in it."""
    sizes: dict[tuple[str, str], int] = {}
    for place in placed:
        block = (place.kind, place.region)
        sizes[block] = max(sizes.get(block, 0), place.offset + place.size)
    return sizes


def _check_constants_fit(
    program: Program,
    regions: Sequence[Region],
    placed: Mapping[str, Placement],
    default: Region | None,
) -> None:
    writable = {region.name for region in regions if region.writable}
    blocks = _block_sizes(placed.values())
    for region in regions:
        # Flash also keeps the initial image of constants that are copied to RAM at boot.
        here = {region.name} | (writable if region is default else set())
        inside = [p for p in placed.values() if p.region in here]
        need = sum(size for (_, where), size in blocks.items() if where in here)
        if need > region.capacity:
            raise PlanError(
                f"{program.name}: constants need {need:,} B of {region.name}, which has "
                f"{region.capacity:,} B; largest: {_largest((p.name, p.size) for p in inside)}; "
                "try a smaller model or a board with more of it"
            )


# Buffers


def _place_buffers(
    program: Program,
    regions: Sequence[Region],
    liveness: Liveness,
    kept: Mapping[str, int],
    pins: Mapping[str, Pin],
) -> dict[str, Spot]:
    spaces = {
        region.name: Space(region.name, region.capacity - kept[region.name], region.preference)
        for region in regions
        if region.writable
    }
    usual = tuple(spaces[r.name] for r in regions if r.writable and r.preference < ON_REQUEST)
    if not usual:
        raise PlanError("the board has no RAM for activations; see its memories")
    pinned, limited = _read_pins(program, regions, liveness, spaces, pins)
    _check_pinned(liveness, pinned, spaces)
    largest = max((space.capacity for space in usual), default=0)
    for storage in liveness.storages:
        if storage.name not in limited and storage.size > largest:
            raise PlanError(
                f"{program.name}: buffer {storage.name} needs {storage.size:,} B, and the largest "
                f"memory has {largest:,} B; try a smaller input or a board with more RAM"
            )
    spots = pack(Problem(liveness, usual, pinned, limited))
    if spots is None:
        alive = sorted(liveness.alive_at(liveness.peak_step), key=lambda s: (-s.size, s.name))
        have = ", ".join(f"{space.name} {space.capacity:,} B" for space in usual)
        raise PlanError(
            f"{program.name}: activations do not fit: {have}; at least {liveness.bound:,} B are "
            f"alive in step {liveness.peak_step} (largest: "
            f"{_largest((s.name, s.size) for s in alive)}); try a smaller input, fewer channels "
            "in that layer, or a board with more RAM"
        )
    return spots


def _read_pins(
    program: Program,
    regions: Sequence[Region],
    liveness: Liveness,
    spaces: Mapping[str, Space],
    pins: Mapping[str, Pin],
) -> tuple[dict[str, Spot], dict[str, Space]]:
    _refuse_unknown(pins, (b.name for b in program.buffers), "buffer")
    pinned: dict[str, Spot] = {}
    limited: dict[str, Space] = {}
    for storage in liveness.storages:
        for member in storage.members:
            pin = pins.get(member, Pin())
            if pin.region is None:
                if pin.offset is not None:
                    raise PlanError(f"buffer {member}: an offset needs a region beside it")
                continue
            region = _region(regions, pin.region, f"buffer {member}")
            if region.name not in spaces:
                raise PlanError(f"buffer {member}: region {region.name} cannot be written to")
            if storage.name in limited and limited[storage.name].name != region.name:
                raise PlanError(
                    f"buffer {member}: shares its memory with {storage.name}, which the plan "
                    f"puts in {limited[storage.name].name}, not in {region.name}"
                )
            limited[storage.name] = spaces[region.name]
            if pin.offset is not None:
                spot = Spot(region.name, pin.offset)
                if pinned.setdefault(storage.name, spot) != spot:
                    raise PlanError(
                        f"buffer {member}: shares its memory with {storage.name}, which the plan "
                        f"puts at {pinned[storage.name].offset}, not at {pin.offset}"
                    )
    return pinned, limited


def _check_pinned(
    liveness: Liveness, pinned: Mapping[str, Spot], spaces: Mapping[str, Space]
) -> None:
    by_name = {s.name: s for s in liveness.storages}
    near = neighbours(liveness)
    for name, spot in pinned.items():
        storage = by_name[name]
        where = f"buffer {name} at {spot.region}{spot.offset:+}"
        if spot.offset < 0:
            raise PlanError(f"{where}: the offset is negative")
        if spot.offset % storage.alignment:
            raise PlanError(f"{where}: misaligned, it needs a multiple of {storage.alignment}")
        capacity = spaces[spot.region].capacity
        if spot.offset + storage.size > capacity:
            raise PlanError(
                f"{where}: {storage.size:,} B end past the {capacity:,} B of {spot.region}"
            )
        for other, sharing in near[name].items():
            place = pinned.get(other)
            if place is None or place.region != spot.region:
                continue
            size = by_name[other].size
            is_operand = sharing is not None and sharing.operand == other
            taken = Taken(place.offset, place.offset + size, sharing, is_operand)
            if not taken.admits(spot.offset, spot.offset + storage.size):
                raise PlanError(
                    f"{where}: overlaps {other} ({place.offset} to {place.offset + size}), alive "
                    f"in the same step {_common_step(storage, by_name[other])}"
                )


def _common_step(a: Storage, b: Storage) -> int:
    return max(a.first_step, b.first_step)


def _refuse_unknown(pins: Mapping[str, Pin], known: Iterable[str], what: str) -> None:
    names = set(known)
    for name in pins:
        if name not in names:
            near = ", ".join(sorted(names)[:8])
            raise PlanError(f"{what} {name!r} is not in this model; it has {near}, ...")


def _largest(sizes: Iterable[tuple[str, int]]) -> str:
    ranked = sorted(sizes, key=lambda item: (-item[1], item[0]))[:_CONTRIBUTORS]
    return ", ".join(f"{name} {size:,} B" for name, size in ranked)
