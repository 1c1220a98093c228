"""Candidates made: a point of the space as a float graph with fewer channels, as a graph of the
right shapes, and as the model that runs.

The same point always gives the same model, so that any machine that takes part in a study can make
the models that another one found.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from edge_quantize.data import Samples
from edge_quantize.graph import Graph
from edge_quantize.graph.channels import channel_groups
from edge_quantize.prune import Structured, prune_channels
from edge_quantize.prune.importance import Elimination
from edge_quantize.prune.structured import rank
from edge_quantize.ptq import Calibration, calibrate, quantize
from edge_quantize.ptq.prepare import float_graph

from .shapes import shaped
from .space import Choice
from .target import Costs, Target

Say = Callable[[str], None]
_KEPT = 64  # models in memory at a time: those of a board are small, and finalists are asked again


@dataclass
class Workshop:
    """`graph` is the float model after the lossless passes; `samples` are for calibration."""

    graph: Graph
    samples: Samples
    target: Target
    say: Say = lambda _: None
    _ranked: tuple[Elimination, ...] = ()
    _pruned: dict[tuple[float, int], Graph] = field(default_factory=dict)
    _ranges: dict[tuple[float, int], Calibration] = field(default_factory=dict)
    _made: dict[Choice, Graph] = field(default_factory=dict)

    def pruned(self, choice: Choice) -> Graph:
        """The float graph without the channels that go, repaired. Raises PruningError."""
        if not choice.sparsity:
            return self.graph
        key = (choice.sparsity, choice.align)
        if key not in self._pruned:
            self.say(f"pruning {choice.sparsity:.0%} of the channels")
            wanted = Structured(sparsity=choice.sparsity, align=choice.align)
            self._pruned[key] = prune_channels(
                self.graph, self.samples, wanted, ranked=self.ranked(wanted)
            ).graph
        return self._pruned[key]

    def ranked(self, wanted: Structured) -> tuple[Elimination, ...]:
        """In which order channels go, whatever their share."""
        if not self._ranked:
            groups = channel_groups(self.graph)
            self._ranked = rank(self.graph, groups, self.samples, wanted)
        return self._ranked

    def expected(self, choice: Choice) -> Costs:
        """What the point will take at most, before it is quantized."""
        return self.target.costs(shaped(self.pruned(choice), choice.recipe), dict(choice.kernels))

    def ranges(self, choice: Choice) -> Calibration:
        """What the float graph's activations are over the samples."""
        key = (choice.sparsity, choice.align)
        if key not in self._ranges:
            self._ranges[key] = calibrate(float_graph(self.pruned(choice)), self.samples)
        return self._ranges[key]

    def model(self, choice: Choice) -> Graph:
        """The quantized model, after the lossless passes once more. Raises QuantizeError."""
        bare = choice.bare
        if bare not in self._made:
            self.say("quantizing")
            made = quantize(
                self.pruned(choice),
                self.samples,
                choice.recipe,
                calibration=self.ranges(choice),
            ).graph
            self.say("removing what does nothing")
            if len(self._made) >= _KEPT:
                del self._made[next(iter(self._made))]
            self._made[bare] = self.target.lossless(made).graph
        return self._made[bare]
