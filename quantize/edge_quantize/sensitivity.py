"""What each layer costs when it alone is quantized, or loses channels; or what it would bring back
when it alone is left float.

Ranges come from samples of their own; what is lost is measured on others. A layer's cost is what
the model's outputs lose, whatever happens in between: noise that a later layer removes costs
nothing.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from .data.samples import Samples
from .errors import PruningError, UnsupportedModelError
from .graph.channels import channel_groups, remove_channels
from .graph.model import Graph, Operator
from .prune import Structured
from .prune.structured import rank
from .ptq import Precision, Recipe, calibrate, quantize
from .ptq.calibrate import Calibration
from .ptq.prepare import float_graph
from .quality import Quality, classifies, compare_outputs, guesses, logits
from .run import Floats, outputs

# These move numbers about, or keep them: they are quantized as what they read is.
_MOVES = frozenset(
    {
        "RESHAPE", "SQUEEZE", "EXPAND_DIMS", "TRANSPOSE", "PAD", "PADV2", "MIRROR_PAD", "SLICE",
        "STRIDED_SLICE", "SPLIT", "SPLIT_V", "UNPACK", "PACK", "GATHER", "DEQUANTIZE", "QUANTIZE",
        "SPACE_TO_DEPTH", "DEPTH_TO_SPACE", "SHAPE",
    }
)  # fmt: skip
_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})

Progress = Callable[[int, int, str], None]  # done, of, what


class Mode(enum.Enum):
    """Which layers change."""

    ONE = "one"  # this layer alone, all others float
    ALL_BUT = "all-but"  # all layers but this one


@dataclass(frozen=True)
class Cost:
    """One layer with one change; `quality` is of the whole model's outputs against the float
    model's. `why_not` says why there is none."""

    layer: str  # as the model calls it; of channels the first layer that makes them
    op: str
    change: str  # "int8", "int4", "-25 %", ...
    quality: Quality | None
    why_not: str = ""


@dataclass(frozen=True)
class Sensitivity:
    """Costs in the model's order. `uniform` has the quality with all layers changed, by change."""

    mode: Mode
    samples: int  # measured on
    calibrated: int  # ranges from
    costs: tuple[Cost, ...]
    uniform: tuple[tuple[str, Quality], ...]
    reference_accuracy: float | None
    doubt: str = ""  # why the float model seems not to fit the labels

    @property
    def changes(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(cost.change for cost in self.costs))

    def sorted(self) -> tuple[Cost, ...]:
        """The most expensive first; of layers left float, those first that bring back most.

        An accuracy lost decides where it is certain: where its paired 95 % interval is all above
        0 (of layers left float: all below that with every layer changed). Few samples move
        accuracy by whole points, so within the noise, and without labels, SQNR decides. What was
        not possible comes last.
        """
        uniform = dict(self.uniform)

        def key(cost: Cost) -> tuple[float, float]:
            quality, whole = cost.quality, uniform.get(cost.change)
            if quality is None:
                return (np.inf, np.inf)
            if self.mode is Mode.ONE or whole is None:
                return (-_certain_drop(quality), quality.sqnr_db)
            return (-_certain_return(quality, whole), whole.sqnr_db - quality.sqnr_db)

        return tuple(sorted(self.costs, key=key))


def _certain_drop(quality: Quality) -> float:
    """The accuracy lost, 0..1; 0 where the interval leaves in doubt that any is."""
    drop = quality.paired_drop
    return drop.value if drop is not None and drop.low > 0 else 0.0


def _certain_return(quality: Quality, whole: Quality) -> float:
    """By how much less is lost than in `whole`; 0 where the two intervals meet."""
    one, all_changed = quality.paired_drop, whole.paired_drop
    if one is None or all_changed is None or one.high >= all_changed.low:
        return 0.0
    return all_changed.value - one.value


@dataclass(frozen=True)
class Study:
    """What is asked for: precisions, and shares of a layer's channels that go (0..1)."""

    precisions: tuple[Precision, ...] = (Precision.INT8, Precision.INT16X8, Precision.INT4)
    sparsities: tuple[float, ...] = (0.25, 0.5)
    mode: Mode = Mode.ONE

    def __post_init__(self) -> None:
        for share in self.sparsities:
            if not 0 < share < 1:
                raise PruningError(f"a share of {share:g} of the channels is not between 0 and 1")


def sensitivity(
    graph: Graph, samples: Samples, study: Study | None = None, progress: Progress | None = None
) -> Sensitivity:
    """Runs the model once for each layer and change.

    Half of the samples give the ranges, the other half measure. Quantization is plain here, without
    what works across layers (equalization, bias correction), and pruning without repair, so that a
    cost is the layer's own: together and repaired, they cost less than their sum.

    Raises UnsupportedModelError for a model that is quantized already or cannot be,
    InputDataError for samples that are too few to be halved.
    """
    study = study or Study()
    floating = float_graph(graph)
    held, measured = samples.split(0.5)
    turns = list(_turns(floating, study))
    if not turns:
        raise UnsupportedModelError(f"{graph.name}: no layer can be changed in these ways")
    total = len(turns) + 2

    def say(done: int, what: str) -> None:
        if progress is not None:
            progress(done, total, what)

    say(0, "the float model")
    runner = _Runner(floating, held, measured, study)
    uniform = []
    for precision in study.precisions:
        say(1, f"all layers {precision.value}")
        quality, _ = runner.quantized({}, precision)
        if quality is not None:
            uniform.append((precision.value, quality))
    costs = []
    for number, turn in enumerate(turns):
        say(number + 2, f"one layer {turn.change}")
        costs.append(runner.cost(turn))
    return Sensitivity(
        study.mode,
        len(measured),
        len(held),
        tuple(costs),
        tuple(uniform),
        runner.accuracy,
        runner.doubt,
    )


@dataclass(frozen=True)
class _Turn:
    layer: str
    op: str
    change: str
    precision: Precision | None = None
    share: float = 0.0


def _turns(graph: Graph, study: Study) -> Iterator[_Turn]:
    prunable = {group.name for group in channel_groups(graph)} if study.sparsities else set()
    # What follows the logits has no part in the noise that is measured there.
    for operator in logits(graph).operators:
        name = graph.layer_name(operator)
        if not _computes(graph, operator):
            continue
        for precision in study.precisions:
            if precision is Precision.INT4 and operator.op not in _WEIGHTED:
                continue
            yield _Turn(name, operator.op, precision.value, precision)
        if name in prunable and study.mode is Mode.ONE:
            for share in study.sparsities:
                yield _Turn(name, operator.op, f"-{share:.0%}".replace("%", " %"), share=share)


def _computes(graph: Graph, operator: Operator) -> bool:
    floats = any(graph.tensors[i].dtype.value == "float32" for i in operator.outputs)
    return floats and operator.op not in _MOVES


class _Runner:
    """The float model's outputs, its calibration and its channels' order, each made once."""

    def __init__(self, graph: Graph, held: Samples, measured: Samples, study: Study) -> None:
        self.graph, self.held, self.measured, self.study = graph, held, measured, study
        self.expected: tuple[Floats, ...] = outputs(logits(graph), measured)
        self.classes = classifies(graph) or None
        self.calibration: Calibration = calibrate(graph, held)
        itself = self.compared(self.expected)
        found = itself.reference_accuracy
        self.accuracy = found.value if found is not None else None
        self.doubt = guesses(itself, max(2, self.expected[0][0].size))
        self.orders = {}
        if study.sparsities and study.mode is Mode.ONE:
            groups = channel_groups(graph)
            wanted = Structured(sparsity=study.sparsities[0], repair=False)
            if groups:
                ranked = rank(graph, groups, held, wanted)
                self.orders = {elimination.group.name: elimination for elimination in ranked}

    def compared(self, actual: tuple[Floats, ...]) -> Quality:
        labels = self.measured.labels
        return compare_outputs(self.expected, actual, labels, classes=self.classes)

    def cost(self, turn: _Turn) -> Cost:
        if turn.precision is not None:
            quality, why = self.quantized({turn.layer: turn.precision}, turn.precision)
        else:
            quality, why = self.pruned(turn)
        return Cost(turn.layer, turn.op, turn.change, quality, why)

    def quantized(
        self, layers: dict[str, Precision], precision: Precision
    ) -> tuple[Quality | None, str]:
        """With no layers named, all of them; else those alone, or all but those, by the mode."""
        plain = {
            "equalize": False, "correct_bias": False, "adaptive_rounding": False, "float_io": True,
        }  # fmt: skip
        if not layers or self.study.mode is Mode.ALL_BUT:
            recipe = Recipe.uniform(precision, **plain)
            layers = dict.fromkeys(layers, Precision.FLOAT32)
        else:
            recipe = Recipe.uniform(Precision.FLOAT32, **plain)
        if recipe.default.precision is Precision.INT4:
            # A precision of weights: layers without any are int8 then.
            others = [o for o in self.graph.operators if o.op not in _WEIGHTED]
            names = dict.fromkeys(map(self.graph.layer_name, others), Precision.INT8)
            recipe = recipe.with_layers(names)
        recipe = recipe.with_layers(layers)
        try:
            # A layer that breaks the model is what is looked for here, not an error.
            made = quantize(
                self.graph, self.held, recipe, calibration=self.calibration, verify=False
            ).graph
        except UnsupportedModelError as error:
            return None, str(error)
        return self.compared(outputs(logits(made), self.measured)), ""

    def pruned(self, turn: _Turn) -> tuple[Quality | None, str]:
        elimination = self.orders[turn.layer]
        group = elimination.group
        amount = min(round(turn.share * group.channels), group.channels - 1)
        if not amount:
            return None, f"{group.channels} channels: none can go"
        stays = ~np.isin(np.arange(group.channels), elimination.order[:amount])
        made = remove_channels(self.graph, {group: stays})
        return self.compared(outputs(logits(made), self.measured)), ""
