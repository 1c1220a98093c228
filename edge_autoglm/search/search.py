"""The search of level 3: what is known before it, how a point is evaluated, what came of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from edge_export.errors import ExportError
from edge_quantize.data import Samples
from edge_quantize.errors import (
    LosslessError,
    PruningError,
    UnsoundResultError,
    UnsupportedModelError,
)
from edge_quantize.graph.analysis import analyse
from edge_quantize.graph.channels import channel_groups
from edge_quantize.ptq import Precision
from edge_quantize.sensitivity import Study as Sensitivities
from edge_quantize.sensitivity import sensitivity

from . import study as studies
from .budget import Budget, Excess
from .entry import Entry
from .judge import Judge, Measure, excesses
from .pareto import best
from .shapes import kernel_choices, shaped, supported
from .space import SPARSITIES, Choice, Space, ordered, weighted_layers
from .study import Evaluated, Refused
from .workshop import Workshop

if TYPE_CHECKING:
    import optuna

_SENSITIVITY_SAMPLES = 64
_BAD_POINT = (ExportError, LosslessError, PruningError, UnsoundResultError, UnsupportedModelError)
"""What makes one point a bad one, and says nothing of the others."""


@dataclass
class Search:
    """One process's part in a study. `judge` is made when the first point needs it."""

    study: optuna.Study
    workshop: Workshop
    judge: Callable[[], Judge]
    budget: Budget
    trials: int
    seed: int
    say: Callable[[str], None]
    refused: int = 0
    wrong: int = 0
    _judge: Judge | None = None
    _space: Space = field(default_factory=Space)
    _slack: tuple[float, float] = (1.0, 1.0)

    def run(self) -> tuple[Evaluated, ...]:
        """Evaluates until there are enough points; all of the study's. Raises StudyError where its
        storage fails."""
        with studies.storage_errors():
            return self._run()

    def _run(self) -> tuple[Evaluated, ...]:
        self._space = studies.shared_choices(self.study, self.space)
        known = studies.evaluated(self.study, self._space)
        if known:
            self.say(f"the study has {len(known)} points already")
        if len(known) < self.trials:
            self._slack = self.slack()
        self.workshop.say = lambda _: None  # from here on a line a point
        studies.run(self.study, self._space, self.evaluate, self.trials, self.seed, self.heard)
        without = studies.refused(self.study)
        self.wrong = sum(r.wrong for r in without)
        self.refused = len(without) - self.wrong
        return studies.evaluated(self.study, self._space)

    def space(self) -> Space:
        """What may be chosen for this model on this board."""
        graph, board = self.workshop.graph, self.workshop.target.board
        layers = [graph.layer_name(o) for o in weighted_layers(graph)]
        wide = set(supported(graph, board, Precision.INT16X8))
        narrow = set(supported(graph, board, Precision.INT4))
        damage = self.damage()
        prunable = any(group.channels > 1 for group in channel_groups(graph))
        dsp = "dsp" in board.core.features
        return Space(
            sparsities=SPARSITIES if prunable else (0.0,),
            aligns=(4, 1) if prunable and dsp else (1,),
            wide=tuple(n for n in ordered(layers, damage[Precision.INT8], True) if n in wide),
            narrow=tuple(n for n in ordered(layers, damage[Precision.INT4], False) if n in narrow),
            kernels=kernel_choices(graph, board),
        )

    def damage(self) -> dict[Precision, dict[str, float]]:
        """Noise over signal at the outputs when one layer alone is in a precision."""
        samples = _few(self.workshop.samples, _SENSITIVITY_SAMPLES)
        self.say("looking at each layer alone")
        wanted = Sensitivities((Precision.INT8, Precision.INT4), ())
        found = sensitivity(self.workshop.graph, samples, wanted)
        damage: dict[Precision, dict[str, float]] = {Precision.INT8: {}, Precision.INT4: {}}
        for cost in found.costs:
            if cost.quality is not None:
                noise = 10 ** (-cost.quality.sqnr_db / 10)
                damage[Precision(cost.change)][cost.layer] = noise
        return damage

    def slack(self) -> tuple[float, float]:
        """How much less RAM and flash the int8 model takes than its shapes say, since channels in
        it are dead: what is refused before it is quantized may be smaller by as much."""
        choice = Choice()
        shapes = shaped(self.workshop.graph, choice.recipe)
        try:
            said = self.workshop.target.costs(shapes).footprint
            real = self.workshop.target.costs(self.workshop.model(choice)).footprint
        except _BAD_POINT:
            return (1.0, 1.0)
        return (min(1.0, real.ram / said.ram), min(1.0, real.flash / said.flash))

    def evaluate(
        self, number: int, choice: Choice, values: Mapping[str, Any]
    ) -> Evaluated | Refused:
        """One point: refused from its shapes where they do not fit, else made and judged. One that
        comes out wrong (a layer collapsed, say) is a bad point, and the search goes on."""
        try:
            expected = self.workshop.expected(choice)
            beyond = self.certain(excesses(expected, self.budget))
            if beyond:
                return Refused(values, beyond)
        except _BAD_POINT as error:
            return Refused(values, why=str(error))
        try:
            model = self.workshop.model(choice)
            costs = self.workshop.target.costs(model, dict(choice.kernels))
            worth = self.judged().worth(model)
        except _BAD_POINT as error:
            return Refused(values, why=str(error), wrong=True)
        broken = excesses(costs, self.budget, worth)
        return Evaluated(
            number=number,
            choice=choice,
            values=values,
            flash=costs.footprint.flash,
            ram=costs.footprint.ram,
            arena=costs.footprint.arena,
            latency_ms=None if costs.latency is None else costs.latency.ms,
            macs=analyse(model).macs,
            worth=worth,
            broken=tuple(str(each) for each in broken),
            beyond=max((each.ratio for each in broken), default=0.0),
        )

    def certain(self, found: tuple[Excess, ...]) -> tuple[Excess, ...]:
        """Those that stay, if as much of the point is dead as of the int8 model."""
        ram, flash = self._slack
        factors = {"RAM": ram, "flash": flash, "latency": min(ram, flash)}
        return tuple(e for e in found if e.need * factors.get(e.resource, 1.0) > e.limit)

    def judged(self) -> Judge:
        if self._judge is None:
            self._judge = self.judge()
        return self._judge

    def heard(self, outcome: Evaluated | Refused) -> None:
        """A line for every point, with a mark where it is the best so far."""
        if isinstance(outcome, Refused):
            if outcome.wrong:
                choice = self._space.choice(outcome.values)
                self.say(f"  -/{self.trials}  no good: {choice}: {outcome.why}")
            return
        points = studies.evaluated(self.study, self._space)
        first = best(points, self.budget)
        mark = "  <- best" if first is not None and first.number == outcome.number else ""
        self.say(f"{counted(len(points), self.trials)}  {line(outcome)}{mark}")

    def entry(self, point: Evaluated) -> Entry:
        """The point's model, made again where another process found it."""
        model = self.workshop.model(point.choice)
        costs = self.workshop.target.costs(model, dict(point.choice.kernels))
        return Entry(f"point-{point.number:03d}", model, point.choice, costs, point.worth)

    def nothing_fits(self, points: Sequence[Evaluated]) -> str:
        """Which resource breaks the budget, in which layer, and what would be needed."""
        name = self.workshop.graph.name
        if not points:
            without = studies.refused(self.study)
            nearest = min(
                (max(r.excesses, key=lambda e: e.ratio) for r in without if r.excesses),
                key=lambda e: e.ratio,
                default=None,
            )
            impossible = next((f"; {r.why}" for r in without if r.why and not r.wrong), "")
            said = f"; the nearest: {nearest}" if nearest else impossible
            why = next((r.why for r in without if r.wrong), "")
            wrong = f"; {self.wrong} came out wrong, the first: {why}" if why else ""
            return (
                f"{name}: none of {len(without)} points fits the budget ({self.budget}), by the "
                f"memory plan alone{said}{wrong}"
            )
        nearest_point = min(points, key=lambda p: (p.beyond, p.number))
        return (
            f"{name}: none of {len(points)} points fits the budget ({self.budget}); the nearest "
            f"({nearest_point.choice}) breaks {'; '.join(nearest_point.broken)}"
        )


def counted(done: int, asked: int) -> str:
    """How far a study is. Processes that share it may each be at its last point."""
    return f"{done:3}/{asked}" if done <= asked else f"{done} (of {asked} asked)"


def line(point: Evaluated) -> str:
    """One point in a line."""
    time = "" if point.latency_ms is None else f"{point.latency_ms:8.2f} ms  "
    return f"{time}{point.flash:9,} B flash  {point.ram:8,} B RAM  {error_text(point.worth)}" + (
        "" if point.fits else "  too much"
    )


def error_text(worth: Any) -> str:
    """The error with its unit."""
    if worth.measure is Measure.ACCURACY:
        return f"{100 * worth.error.value:5.2f} points lost"
    if worth.measure is Measure.ANSWERS:
        return f"{100 * (1 - worth.error.value):6.2f} % same"
    return f"{100 * worth.error.value:5.2f} % error"


def _few(samples: Samples, most: int) -> Samples:
    if len(samples) <= most:
        return samples
    return samples.take(np.linspace(0, len(samples) - 1, most).round().astype(np.intp))
