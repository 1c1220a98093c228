"""How many channels each group gives, so that a goal is reached at the least cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.analysis import operator_macs
from edge_quantize.graph.channels import Role
from edge_quantize.graph.model import Graph

from .importance import Elimination

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Term:
    """Places along one axis of a layer's weights; `gone[g]` are those that go with the first 0, 1,
    ... channels of group g."""

    size: int
    gone: dict[int, Ints]

    def kept(self, removed: Sequence[int]) -> int:
        return self.size - sum(int(gone[removed[group]]) for group, gone in self.gone.items())


class MacCount:
    """A graph's multiply-accumulates once some channels of each group are gone, without making
    that graph: a layer's are proportional to its weights along either axis."""

    def __init__(self, graph: Graph, eliminations: Sequence[Elimination]) -> None:
        members: dict[tuple[int, int], dict[int, Ints]] = {}
        for number, elimination in enumerate(eliminations):
            rank = np.full(elimination.group.channels, len(elimination.order), np.int64)
            rank[list(elimination.order)] = np.arange(len(elimination.order))
            for member in elimination.group.members:
                if member.role is Role.ACTIVATION or member.position != 1:
                    continue
                mine = member.channels[member.channels >= 0]
                counts = np.bincount(rank[mine], minlength=elimination.group.channels)
                gone = np.concatenate([[0], np.cumsum(counts)[:-1]])
                members.setdefault((member.operator, member.axis), {})[number] = gone
        self.layers: list[tuple[int, list[_Term]]] = []
        self.fixed = 0
        for operator in graph.operators:
            macs = operator_macs(graph, operator)
            terms = [
                _Term(graph.tensors[operator.inputs[1]].shape[axis], gone)
                for (index, axis), gone in members.items()
                if index == operator.index
            ]
            if macs and terms:
                self.layers.append((macs, terms))
            else:
                self.fixed += macs
        self.by_group = [
            [layer for layer in self.layers if any(number in term.gone for term in layer[1])]
            for number in range(len(eliminations))
        ]

    def total(self, removed: Sequence[int]) -> int:
        """With the first `removed[g]` channels of each group gone."""
        return self.fixed + sum(self._layer(layer, removed) for layer in self.layers)

    def saved(self, removed: Sequence[int], group: int, further: Sequence[int]) -> Ints:
        """What each of `further` (channels of `group` gone in all) saves from `removed` on."""
        before = sum(self._layer(layer, removed) for layer in self.by_group[group])
        after = []
        trial = list(removed)
        for count in further:
            trial[group] = count
            after.append(sum(self._layer(layer, trial) for layer in self.by_group[group]))
        return np.array([before - macs for macs in after], np.int64)

    @staticmethod
    def _layer(layer: tuple[int, list[_Term]], removed: Sequence[int]) -> int:
        macs, terms = layer
        for term in terms:
            macs = macs * term.kept(removed) // term.size
        return macs


@dataclass(frozen=True)
class Goal:
    """One of the two: at most `macs` in the graph, or at least `channels` gone."""

    macs: int | None = None
    channels: int | None = None


def allocate(
    eliminations: Sequence[Elimination], count: MacCount, goal: Goal, align: int, most: float
) -> tuple[int, ...]:
    """Channels that each group gives. Step by step the group goes on whose next stretch costs the
    least for each MAC (or channel) it saves; a stretch may be several steps, since the second can
    be cheaper than the first. No group gives more than the share `most` until every group has.

    Reaches the goal by the last step of one group, or stops where nothing is left to give.
    """
    allowed = [e.steps(align) for e in eliminations]
    at = [0] * len(eliminations)
    removed = [0] * len(eliminations)
    for share in (most, 1.0):
        limits = [
            max((i for i, r in enumerate(a) if r <= share * e.group.channels), default=0)
            for a, e in zip(allowed, eliminations, strict=True)
        ]
        while not _reached(goal, count, removed):
            best: tuple[float, int] | None = None
            for group, elimination in enumerate(eliminations):
                further = allowed[group][at[group] + 1 : limits[group] + 1]
                if not further:
                    continue
                price = _price(elimination, count, goal, removed, group, further)
                if best is None or price < best[0]:
                    best = price, group
            if best is None:
                break
            group = best[1]
            at[group] += 1
            removed[group] = allowed[group][at[group]]
    _give_back(eliminations, count, goal, allowed, removed)
    return tuple(removed)


def _give_back(
    eliminations: Sequence[Elimination],
    count: MacCount,
    goal: Goal,
    allowed: Sequence[Sequence[int]],
    removed: list[int],
) -> None:
    """Takes back steps that the goal, once the last one has gone past it, does without; those that
    cost the most first."""
    while True:
        best: tuple[float, int, int] | None = None
        for group, elimination in enumerate(eliminations):
            if not removed[group]:
                continue
            before = allowed[group][allowed[group].index(removed[group]) - 1]
            trial = [*removed[:group], before, *removed[group + 1 :]]
            cost = float(elimination.costs[removed[group]] - elimination.costs[before])
            if _reached(goal, count, trial) and (best is None or cost > best[0]):
                best = cost, group, before
        if best is None:
            return
        removed[best[1]] = best[2]


def _price(
    elimination: Elimination,
    count: MacCount,
    goal: Goal,
    removed: list[int],
    group: int,
    further: Sequence[int],
) -> float:
    gone = np.asarray(further)
    if goal.macs is None:
        gain = gone - removed[group]
    else:
        gain = count.saved(removed, group, further)
    cost = elimination.costs[gone] - elimination.costs[removed[group]]
    return float(np.min(cost / np.maximum(gain, 1e-9)))


def _reached(goal: Goal, count: MacCount, removed: Sequence[int]) -> bool:
    if goal.macs is not None:
        return count.total(removed) <= goal.macs
    return sum(removed) >= (goal.channels or 0)
