"""Whole channels of a float graph taken out: fewer MACs, less RAM and less flash on any board."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from edge_quantize.data.samples import Samples
from edge_quantize.errors import PruningError
from edge_quantize.graph.analysis import analyse
from edge_quantize.graph.channels import ChannelGroup, channel_groups, remove_channels
from edge_quantize.graph.model import DType, Graph
from edge_quantize.ptq.prepare import unreadable
from edge_quantize.run import Progress

from .allocate import Goal, MacCount, allocate
from .importance import Elimination, by_energy, by_magnitude, by_reconstruction
from .repair import Repair, repair
from .statistics import moments

Mask = npt.NDArray[np.bool_]

IMPORTANCES = ("activation", "taylor", "magnitude")


@dataclass(frozen=True)
class Structured:
    """What is asked for.

    Exactly one of `sparsity` (the share of all prunable channels that goes, between 0 and 1; at
    least that many, within one step of one layer) and `target_macs` (the graph has at most so many
    after; the last step of one layer reaches it).

    `importance`: "activation" counts errors of the layers' outputs relative to their variance,
    "taylor" by the squared gradients of the model's outputs; both need data. "magnitude" is a
    channel's share of its layer's squared weights.
    `repair`: fit the layers behind removed channels by least squares; needs data.
    `align`: layers that give channels keep a multiple of it.
    `most`: the share of its channels that a layer gives at most, while others can still give.
    """

    sparsity: float | None = None
    target_macs: int | None = None
    importance: str = "activation"
    repair: bool = True
    align: int = 1
    most: float = 0.9

    def __post_init__(self) -> None:
        if (self.sparsity is None) == (self.target_macs is None):
            raise PruningError("give one of sparsity and target MACs, not both")
        if self.sparsity is not None and not 0 < self.sparsity < 1:
            raise PruningError(f"a sparsity of {self.sparsity:g} is not between 0 and 1")
        if self.target_macs is not None and self.target_macs < 1:
            raise PruningError(f"{self.target_macs} MACs are no target")
        if self.importance not in IMPORTANCES:
            raise PruningError(
                f"no importance {self.importance!r}; one of {', '.join(IMPORTANCES)}"
            )
        if self.align < 1:
            raise PruningError(f"channels cannot be a multiple of {self.align}")
        if not 0 < self.most <= 1:
            raise PruningError(f"a layer cannot give at most {self.most:g} of its channels")

    @property
    def needs_data(self) -> bool:
        return self.repair or self.importance != "magnitude"


@dataclass(frozen=True)
class LayerPruning:
    """Channels that go together: `name` is the first layer that makes them, `removed` those that
    are gone, by their number in the graph that was given."""

    name: str
    channels: int
    removed: tuple[int, ...]

    @property
    def kept(self) -> int:
        return self.channels - len(self.removed)


@dataclass(frozen=True, eq=False)
class Pruned:
    """A pruned graph and what was done to it. `keep` marks the channels that are left, for each
    group of the original graph that gave some: bool[channels]. Operators keep their numbers."""

    graph: Graph
    layers: tuple[LayerPruning, ...]
    macs_before: int
    macs_after: int
    repairs: tuple[Repair, ...] = ()
    keep: Mapping[ChannelGroup, Mask] = field(default_factory=dict)
    unrepaired: Graph | None = None  # as it was before any repair

    @property
    def removed_share(self) -> float:
        """Of all prunable channels."""
        return sum(len(la.removed) for la in self.layers) / sum(la.channels for la in self.layers)


Stage = Callable[[str], Progress | None]


def require_float(graph: Graph) -> None:
    """Raises PruningError for a graph that computes in integers, has custom operators or dynamic
    shapes."""
    problems = unreadable(graph)
    if problems:
        raise PruningError(f"{graph.name}: cannot be pruned: {'; '.join(problems)}")
    kinds = {graph.tensors[i].dtype for o in graph.operators for i in o.outputs}
    if not kinds <= {DType.FLOAT32}:
        names = ", ".join(sorted(kind.value for kind in kinds - {DType.FLOAT32}))
        raise PruningError(
            f"{graph.name}: already quantized ({names} activations): prune the float model"
        )


def prune_channels(
    graph: Graph,
    samples: Samples | None,
    wanted: Structured,
    stage: Stage | None = None,
    ranked: Sequence[Elimination] | None = None,
) -> Pruned:
    """`graph` without the channels that matter least, repaired. `ranked` is what `rank` gave for
    the same graph, importance and repair, for whoever prunes one model many times.

    Raises PruningError: the graph is quantized, has nothing to prune, cannot reach the goal, or
    `samples` are missing where they are needed.
    """
    require_float(graph)
    if wanted.needs_data and samples is None:
        raise PruningError(
            f"{wanted.importance} importance"
            + (" and repair need" if wanted.repair else " needs")
            + " data; without any, choose magnitude importance and no repair"
        )
    groups = channel_groups(graph)
    if not any(group.channels > wanted.align for group in groups):
        raise PruningError(f"{graph.name}: {_nothing(groups, wanted.align)}")
    eliminations = ranked if ranked is not None else rank(graph, groups, samples, wanted, stage)
    count = MacCount(graph, eliminations)
    goal = _goal(graph, eliminations, count, wanted)
    amounts = allocate(eliminations, count, goal, wanted.align, wanted.most)
    return _taken_out(graph, samples, wanted, eliminations, amounts, stage)


def rank(
    graph: Graph,
    groups: Sequence[ChannelGroup],
    samples: Samples | None,
    wanted: Structured,
    stage: Stage | None = None,
) -> tuple[Elimination, ...]:
    """The order in which each group's channels may go."""
    if wanted.importance == "magnitude":
        return tuple(by_magnitude(graph, group) for group in groups)
    assert samples is not None
    progress = stage("weighing channels") if stage else None
    found = moments(graph, groups, samples, wanted.importance == "taylor", progress)
    by_data = by_reconstruction if wanted.repair else by_energy
    return tuple(by_data(graph, group, found) for group in groups)


def _taken_out(
    graph: Graph,
    samples: Samples | None,
    wanted: Structured,
    eliminations: Sequence[Elimination],
    amounts: Sequence[int],
    stage: Stage | None,
) -> Pruned:
    keep: dict[ChannelGroup, Mask] = {}
    layers = []
    for elimination, amount in zip(eliminations, amounts, strict=True):
        group = elimination.group
        gone = tuple(sorted(elimination.order[:amount]))
        layers.append(LayerPruning(group.name, group.channels, gone))
        if gone:
            keep[group] = ~np.isin(np.arange(group.channels), gone)
    cut = pruned = remove_channels(graph, keep)
    repairs: tuple[Repair, ...] = ()
    if wanted.repair:
        assert samples is not None
        progress = stage("repairing layers") if stage else None
        pruned, repairs = repair(graph, pruned, samples, keep, progress)
    before, after = analyse(graph).macs, analyse(pruned).macs
    return Pruned(pruned, tuple(layers), before, after, repairs, keep, cut)


def _nothing(groups: Sequence[ChannelGroup], align: int) -> str:
    if not groups:
        return "nothing can be pruned: every channel reaches an input or output of the model"
    most = max(group.channels for group in groups)
    return (
        f"nothing can be pruned: no layer has more than {most} channels, and multiples of {align} "
        "are to stay"
    )


def _goal(
    graph: Graph, eliminations: Sequence[Elimination], count: MacCount, wanted: Structured
) -> Goal:
    """Raises PruningError where it cannot be reached."""
    gives = [elimination.steps(wanted.align)[-1] for elimination in eliminations]
    if wanted.target_macs is not None:
        now, least = count.total([0] * len(gives)), count.total(gives)
        if wanted.target_macs >= now:
            raise PruningError(
                f"{graph.name}: has {now:,} MACs, no more than the {wanted.target_macs:,} asked for"
            )
        if wanted.target_macs < least:
            raise PruningError(
                f"{graph.name}: {wanted.target_macs:,} MACs cannot be reached; with "
                f"{_each(wanted.align)} in each layer {least:,} are left"
            )
        return Goal(macs=wanted.target_macs)
    total = sum(elimination.group.channels for elimination in eliminations)
    assert wanted.sparsity is not None
    needed = int(np.ceil(wanted.sparsity * total - 1e-9))
    if needed > sum(gives):
        raise PruningError(
            f"{graph.name}: a sparsity of {wanted.sparsity:g} cannot be reached; with "
            f"{_each(wanted.align)} in each layer it is {sum(gives) / total:.3f}"
        )
    return Goal(channels=needed)


def _each(align: int) -> str:
    return "one channel" if align == 1 else f"{align} channels"
