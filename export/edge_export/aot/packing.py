"""Offsets for storages whose lifetimes are known: greedy best fit, in several orders.

Dynamic storage allocation is NP-hard; on networks the greedy orders below reach the liveness
bound more often than not. Every order is tried and the smallest packing taken; when none
reaches the bound, a short search over permutations (seeded, so the same input gives the same
plan) follows.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice

from .liveness import Liveness, Sharing, Storage

_SEARCH_ROUNDS = 300
_SEARCH_PLACEMENTS = 30_000  # of one storage; bounds the search on networks of many layers


def align_up(value: int, alignment: int) -> int:
    return -(-value // alignment) * alignment


@dataclass(frozen=True)
class Space:
    """A region offered to the packer: its name, bytes left, and how unwelcome it is."""

    name: str
    capacity: int
    cost: int


@dataclass(frozen=True)
class Spot:
    region: str
    offset: int


@dataclass(frozen=True)
class Problem:
    """What is to be packed. `pinned` spots are kept; `limited` storages have a region given."""

    liveness: Liveness
    spaces: tuple[Space, ...]  # most wanted first
    pinned: Mapping[str, Spot]
    limited: Mapping[str, Space]


def neighbours(liveness: Liveness) -> dict[str, dict[str, Sharing | None]]:
    """Storage -> every storage alive at the same time, with the leave to share where there is
    one."""
    leave = {frozenset((s.operand, s.result)): s for s in liveness.sharings}
    found: dict[str, dict[str, Sharing | None]] = {s.name: {} for s in liveness.storages}
    for i, a in enumerate(liveness.storages):
        for b in islice(liveness.storages, i + 1, None):
            if b.first_step > a.last_step:
                break  # they are in order of first use: nothing after b overlaps a either
            sharing = leave.get(frozenset((a.name, b.name)))
            found[a.name][b.name] = found[b.name][a.name] = sharing
    return found


@dataclass(frozen=True)
class Taken:
    """Bytes [low, high) that a neighbour has, and the leave to share them."""

    low: int
    high: int
    sharing: Sharing | None
    is_operand: bool  # the neighbour is the operand of the sharing, not its result

    def admits(self, start: int, end: int) -> bool:
        """Whether a storage may lie at [start, end)."""
        if end <= self.low or self.high <= start:
            return True
        if self.sharing is None:
            return False
        if self.is_operand:
            return self.sharing.allows(operand_start=self.low, result_start=start)
        return self.sharing.allows(operand_start=start, result_start=self.low)

    def shared_starts(self, alignment: int) -> list[int]:
        """Starts that make the most of the leave."""
        if self.sharing is None:
            return []
        starts = [self.low] if self.sharing.in_place else []
        distance = self.sharing.distance
        if distance is not None and self.is_operand:
            starts.append((self.low - distance) // alignment * alignment)
        elif distance is not None:
            starts.append(align_up(self.low + distance, alignment))
        return [start for start in starts if start >= 0]


class Packer:
    """Places storages one by one in the order asked for."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.by_name = {s.name: s for s in problem.liveness.storages}
        self.near = neighbours(problem.liveness)

    def pack(
        self, order: Iterable[str], spaces: Sequence[Space], sharing_first: Set[str]
    ) -> dict[str, Spot] | None:
        """Spots of all storages, or None when one fits nowhere. Those in `sharing_first` lie over
        a neighbour that gives leave wherever that is possible."""
        spots = dict(self.problem.pinned)
        for name in order:
            if name in spots:
                continue
            limit = self.problem.limited.get(name)
            for space in spaces if limit is None else (limit,):
                offset = self._fit(self.by_name[name], space, spots, name in sharing_first)
                if offset is not None:
                    spots[name] = Spot(space.name, offset)
                    break
            else:
                return None
        return spots

    def _fit(
        self, storage: Storage, space: Space, spots: Mapping[str, Spot], sharing_first: bool
    ) -> int | None:
        """The offset that leaves the smallest gap; with `sharing_first`, one over a neighbour that
        gives leave."""
        taken: list[Taken] = []
        for other, sharing in self.near[storage.name].items():
            spot = spots.get(other)
            if spot is not None and spot.region == space.name:
                high = spot.offset + self.by_name[other].size
                is_operand = sharing is not None and sharing.operand == other
                taken.append(Taken(spot.offset, high, sharing, is_operand))
        taken.sort(key=lambda t: (t.low, t.high))
        shared = [start for t in taken for start in t.shared_starts(storage.alignment)]
        if sharing_first:
            for start in shared:
                if self._free(storage, start, taken, space):
                    return start
        candidates = {0, *shared, *(align_up(t.high, storage.alignment) for t in taken)}
        # Right below a neighbour: where a result waits for its operand to come above it.
        candidates |= {
            (t.low - storage.size) // storage.alignment * storage.alignment
            for t in taken
            if t.low >= storage.size
        }
        best: tuple[int, int] | None = None
        for start in candidates:
            if not self._free(storage, start, taken, space):
                continue
            end = start + storage.size
            ceiling = min((t.low for t in taken if t.low >= end), default=None)
            # A hole between two storages is used before the end grows.
            gap = space.capacity if ceiling is None else ceiling - end
            if best is None or (gap, start) < best:
                best = (gap, start)
        return None if best is None else best[1]

    @staticmethod
    def _free(storage: Storage, start: int, taken: Sequence[Taken], space: Space) -> bool:
        end = start + storage.size
        if start % storage.alignment or end > space.capacity:
            return False
        return all(t.admits(start, end) for t in taken)

    def cost(self, spots: Mapping[str, Spot]) -> tuple[int, int]:
        """(arena bytes over all regions, bytes touched weighed by their region's cost)."""
        unwelcome = {space.name: space.cost for space in self.problem.spaces}
        unwelcome |= {space.name: space.cost for space in self.problem.limited.values()}
        slow = sum(
            self.by_name[name].size * self.by_name[name].touches * unwelcome.get(spot.region, 0)
            for name, spot in spots.items()
        )
        return sum(extents(self.by_name, spots).values()), slow


def extents(by_name: Mapping[str, Storage], spots: Mapping[str, Spot]) -> dict[str, int]:
    """Region -> bytes from its start to the end of its last storage."""
    ends: dict[str, int] = {}
    for name, spot in spots.items():
        end = spot.offset + by_name[name].size
        ends[spot.region] = max(ends.get(spot.region, 0), end)
    return ends


_ORDERS: tuple[Callable[[Storage], tuple[int, ...]], ...] = (
    lambda s: (-s.size, s.first_step),
    # Results before their operands: a result that starts before its operand needs the low end.
    lambda s: (-s.size, -s.first_step),
    lambda s: (-s.first_step, -s.size),
    lambda s: (s.first_step, -s.size),
    lambda s: (s.first_step - s.last_step, -s.size),
    lambda s: (-s.size * (s.last_step - s.first_step + 1), s.first_step),
)


@dataclass(frozen=True)
class _Trial:
    """What one greedy run depends on."""

    order: tuple[str, ...]
    spaces: tuple[Space, ...]
    sharing_first: frozenset[str]


def pack(problem: Problem) -> dict[str, Spot] | None:
    """The smallest packing found, or None when nothing fits. Deterministic."""
    packer = Packer(problem)
    storages = problem.liveness.storages
    everyone = frozenset(s.name for s in storages)
    # All regions together, then each alone: a plan split over two may add up to more.
    choices = [problem.spaces, *((space,) for space in problem.spaces)]
    trials = [
        _Trial(tuple(s.name for s in sorted(storages, key=_by(key))), choice, sharing_first)
        for choice in choices
        for key in _ORDERS
        for sharing_first in (everyone, frozenset[str]())
    ]
    best: tuple[tuple[int, int], dict[str, Spot]] | None = None
    chosen = trials[0]
    for trial in trials:
        spots = packer.pack(trial.order, trial.spaces, trial.sharing_first)
        if spots is not None and (best is None or packer.cost(spots) < best[0]):
            best, chosen = (packer.cost(spots), spots), trial
    generator = random.Random(len(storages))
    for _ in range(min(_SEARCH_ROUNDS, _SEARCH_PLACEMENTS // max(len(storages), 1))):
        if best is not None and best[0][0] <= problem.liveness.bound:
            break
        trial = chosen
        for name in generator.choices(_critical(packer, best), k=generator.randint(1, 3)):
            trial = _vary(trial, name, generator)
        spots = packer.pack(trial.order, trial.spaces, trial.sharing_first)
        if spots is not None and (best is None or packer.cost(spots) <= best[0]):
            best, chosen = (packer.cost(spots), spots), trial
    return None if best is None else best[1]


def _by(key: Callable[[Storage], tuple[int, ...]]) -> Callable[[Storage], tuple[object, ...]]:
    return lambda storage: (*key(storage), storage.name)


def _critical(packer: Packer, best: tuple[tuple[int, int], dict[str, Spot]] | None) -> list[str]:
    """The storages that make the best packing as large as it is, and those alive beside them."""
    if best is None:
        return list(packer.by_name)
    spots = best[1]
    ends = extents(packer.by_name, spots)
    top = [n for n, s in spots.items() if s.offset + packer.by_name[n].size == ends[s.region]]
    return sorted({*top, *(other for name in top for other in packer.near[name])})


def _vary(trial: _Trial, name: str, generator: random.Random) -> _Trial:
    """A storage moved in the order, or made (un)willing to share."""
    if generator.random() < 0.5:
        return replace(trial, sharing_first=trial.sharing_first ^ {name})
    order = [other for other in trial.order if other != name]
    order.insert(generator.randint(0, len(order)), name)
    return replace(trial, order=tuple(order))
