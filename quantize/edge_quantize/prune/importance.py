"""In which order the channels of a group can go, and what that costs.

The cost of a set of channels is what the layers that read them then get wrong: the squared error of
their outputs, weighted by `Moments.sensitivity`. Repaired, a layer makes up for a channel by those
that stay; the error left is what least squares cannot explain, and channels are taken out one by
one, the cheapest first, by the block update of the inverse covariance (the optimal brain surgeon of
Hassibi and Stork 1993, over all taps of a channel at once).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from edge_quantize.graph.channels import ChannelGroup, Role
from edge_quantize.graph.model import Graph

from .layers import Doubles, ridge, weight_matrix
from .statistics import Moments, feature_channels

# What few samples cannot tell apart must not count as explained.
_DAMPING = 1e-4


@dataclass(frozen=True, eq=False)
class Elimination:
    """`order` holds the channels that can go, the cheapest first: all but those without which a
    layer of the group would have none. `costs` float64 `[len(order) + 1]` is the cost once the
    first 0, 1, ... of them are gone, and never falls."""

    group: ChannelGroup
    order: tuple[int, ...]
    costs: Doubles

    def steps(self, align: int) -> tuple[int, ...]:
        """How many channels may be gone, in order: none, or so many that a multiple of `align` (and
        at least one such multiple) stays."""
        channels = self.group.channels
        kept = range((channels - 1) // align * align, 0, -align)
        return (0, *(r for r in (channels - count for count in kept) if r <= len(self.order)))


class _Last:
    """Which channels some layer of a group cannot do without, as others go. A group may span
    layers that make different channels of it (an ADD behind a CONCATENATION)."""

    def __init__(self, group: ChannelGroup) -> None:
        sets = {tuple(sorted({int(c) for c in m.channels if c >= 0})) for m in group.members}
        self.members = np.zeros((len(sets), group.channels), np.bool_)
        for row, channels in zip(self.members, sets, strict=True):
            row[list(channels)] = True
        self.left = self.members.sum(1)

    def can_go(self, channel: int) -> bool:
        return bool((self.left[self.members[:, channel]] > 1).all())

    def remove(self, channel: int) -> None:
        self.left = self.left - self.members[:, channel]


def by_magnitude(graph: Graph, group: ChannelGroup) -> Elimination:
    """Cost of a channel: its share of the squared weights that make it (biases left out), over the
    layers of the group. Needs no data."""
    scores = np.zeros(group.channels)
    for member in group.of(Role.PRODUCER):
        if member.position != 1:
            continue
        weights = np.asarray(graph.tensors[member.tensor].data, np.float64)
        squares = np.square(np.moveaxis(weights, member.axis, 0)).reshape(len(member.channels), -1)
        mine = member.channels >= 0
        total = float(squares.sum()) or 1.0
        np.add.at(scores, member.channels[mine], squares.sum(1)[mine] / total)
    return _by_scores(group, scores)


def by_energy(graph: Graph, group: ChannelGroup, found: Mapping[int, Moments]) -> Elimination:
    """Cost of a channel when nothing makes up for it but the biases: the variance of what it adds
    to the layers that read it."""
    scores = np.zeros(group.channels)
    for index in group.consumers:
        operator = graph.operators[index]
        places = feature_channels(graph, operator, group)
        weights = weight_matrix(graph, operator)
        weighted = weights.T @ (found[index].sensitivity[:, None] * weights)
        products = weighted * found[index].covariance
        for channel in range(group.channels):
            mine = np.flatnonzero(places == channel)
            scores[channel] += products[np.ix_(mine, mine)].sum()
    return _by_scores(group, scores)


def by_reconstruction(
    graph: Graph, group: ChannelGroup, found: Mapping[int, Moments]
) -> Elimination:
    """Cost of the channels gone once least squares has made up for them by those that stay."""
    layers = [
        _Reader(
            weight_matrix(graph, graph.operators[index]),
            found[index],
            feature_channels(graph, graph.operators[index], group),
            group.channels,
        )
        for index in group.consumers
    ]
    left = list(range(group.channels))
    last = _Last(group)
    order: list[int] = []
    costs = [0.0]
    while left := [channel for channel in left if last.can_go(channel)]:
        errors = sum((layer.errors(left) for layer in layers), np.zeros(len(left)))
        position = int(np.argmin(errors))
        costs.append(costs[-1] + max(float(errors[position]), 0.0))
        channel = left.pop(position)
        last.remove(channel)
        order.append(channel)
        for layer in layers:
            layer.remove(channel)
    return Elimination(group, tuple(order), np.array(costs))


def _by_scores(group: ChannelGroup, scores: Doubles) -> Elimination:
    last = _Last(group)
    order: list[int] = []
    for channel in np.argsort(scores, kind="stable"):
        if last.can_go(int(channel)):
            last.remove(int(channel))
            order.append(int(channel))
    return Elimination(group, tuple(order), np.concatenate([[0.0], np.cumsum(scores[order])]))


class _Reader:
    """One layer's weights and inverse covariance while channels go."""

    def __init__(self, weights: Doubles, found: Moments, places: np.ndarray, channels: int) -> None:
        # Scaling the rows makes the weighted error a plain sum of squares.
        self.weights = weights * np.sqrt(found.sensitivity)[:, None]
        self.inverse = np.linalg.inv(found.covariance + ridge(found.covariance, _DAMPING))
        self.places = [np.flatnonzero(places == channel) for channel in range(channels)]

    def errors(self, channels: list[int]) -> Doubles:
        """What the removal of each channel would add to the squared error."""
        found = np.zeros(len(channels))
        by_size: dict[int, list[int]] = {}
        for position, channel in enumerate(channels):
            by_size.setdefault(len(self.places[channel]), []).append(position)
        for size, positions in by_size.items():
            if size == 0:
                continue
            places = np.stack([self.places[channels[p]] for p in positions])
            blocks = self.inverse[places[:, :, None], places[:, None, :]]
            columns = np.moveaxis(self.weights[:, places], 0, -1)  # [channels, size, out]
            found[positions] = (columns * np.linalg.solve(blocks, columns)).sum((1, 2))
        return found

    def remove(self, channel: int) -> None:
        places = self.places[channel]
        if not len(places):
            return
        across = self.inverse[places]
        factor = np.linalg.solve(across[:, places], across)
        self.weights = self.weights - self.weights[:, places] @ factor
        self.inverse = self.inverse - across.T @ factor
        # Exactly gone, whatever rounding leaves: later blocks are solved without these.
        self.weights[:, places] = 0
        self.inverse[places] = self.inverse[:, places] = 0
