"""What each layer becomes: a default, and rules that change it for the layers they name."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from edge_quantize.errors import RecipeError
from edge_quantize.graph.model import Graph, Operator
from edge_quantize.graph.names import layer_names

from .rules import weight_positions


class Precision(enum.Enum):
    """Weights x activations of a layer; the value is what recipes and reports call it."""

    FLOAT32 = "float32"  # left as it is
    INT8 = "int8"  # int8 weights, int8 activations
    INT16X8 = "int16x8"  # int8 weights, int16 activations
    INT4 = "int4"  # int4 weights, int8 activations
    FLOAT16 = "float16"  # float16 weights, float activations
    DYNAMIC = "dynamic"  # int8 weights, float activations, quantized while running

    @property
    def integer(self) -> bool:
        """Whether activations are integers, which calibration data has to scale."""
        return self in (Precision.INT8, Precision.INT16X8, Precision.INT4)


# Layers without weights are int8 or float32 instead.
_OF_WEIGHTS = (Precision.INT4, Precision.FLOAT16, Precision.DYNAMIC)
_MOST_NAMED = 3


class Observer(enum.Enum):
    """How a range is chosen from what calibration saw."""

    MINMAX = "minmax"  # all of it
    PERCENTILE = "percentile"  # but for a share of the tails
    MSE = "mse"  # the least squared error; all of it at the model's inputs, outputs and logits


@dataclass(frozen=True)
class Scheme:
    """How one layer is quantized."""

    precision: Precision = Precision.INT8
    per_channel: bool = True  # scales of the weights: one an output channel, or one in all
    weights: Observer = Observer.MSE
    activations: Observer = Observer.MSE
    percentile: float = 99.99  # of absolute deviation kept, for Observer.PERCENTILE


@dataclass(frozen=True)
class Rule:
    """Layers whose name matches `layer` (a shell pattern) and whose operator matches `op`, in any
    case, get the fields of `changes`.

    `shown` are full names of layers whose short name matches `layer`, in the model that the user
    saw: short names are numbered, so a pass that takes a layer out can change them. None: not
    looked up yet (`Recipe.named`).
    """

    layer: str = "*"
    op: str = "*"
    changes: Mapping[str, object] = field(default_factory=dict)
    shown: frozenset[str] | None = None
    lenient: bool = False  # layers without weights may get a precision of weights, and stay int8

    def matches(self, name: str, op: str) -> bool:
        named = name in (self.shown or ()) or fnmatchcase(name, self.layer)
        return named and fnmatchcase(op.upper(), self.op.upper())

    def __str__(self) -> str:
        return f"layer = {self.layer!r}, op = {self.op!r}"


@dataclass(frozen=True)
class Recipe:
    """`default`, then each rule in order, later ones last; and what is done to the whole model."""

    default: Scheme = field(default_factory=Scheme)
    rules: tuple[Rule, ...] = ()
    # Cross-layer equalization, where it helps on the samples. Not by default: channels that it
    # blew up saturate on inputs unlike the samples.
    equalize: bool = False
    correct_bias: bool = True  # mean error of each channel taken out of its bias
    adaptive_rounding: bool = True  # weights rounded by what the layer's output says
    float_io: bool = False  # inputs and outputs stay float32, with QUANTIZE and DEQUANTIZE

    @classmethod
    def uniform(cls, precision: Precision, **fields: object) -> Recipe:
        """All layers alike; `fields` are those of the recipe."""
        return replace(cls(default=Scheme(precision=precision)), **fields)  # type: ignore[arg-type]

    def with_layers(self, precisions: Mapping[str, Precision]) -> Recipe:
        """This recipe with the layers that are named exactly, in full, set to a precision each; it
        means nothing to layers that cannot have it, as `default` does."""
        rules = tuple(
            Rule(_literal(name), "*", {"precision": precision}, frozenset(), lenient=True)
            for name, precision in precisions.items()
        )
        return replace(self, rules=(*self.rules, *rules))

    def scheme(self, graph: Graph, operator: Operator) -> Scheme:
        """The scheme of one operator; short names count once they are looked up (`named`)."""
        scheme = self.default
        name = graph.layer_name(operator)
        for rule in self.rules:
            if rule.matches(name, operator.op):
                scheme = replace(scheme, **rule.changes)  # type: ignore[arg-type]
        return scheme

    def named(self, graph: Graph) -> Recipe:
        """This recipe with its patterns looked up among the short names of `graph`'s layers, which
        tables show; patterns that were looked up before are left."""
        if all(rule.shown is not None for rule in self.rules):
            return self
        pairs = list(zip(map(graph.layer_name, graph.operators), layer_names(graph), strict=True))
        rules = tuple(
            rule
            if rule.shown is not None
            else replace(
                rule,
                shown=frozenset(name for name, short in pairs if fnmatchcase(short, rule.layer)),
            )
            for rule in self.rules
        )
        return replace(self, rules=rules)

    def check(self, graph: Graph) -> None:
        """Raises RecipeError for a rule that matches no layer of `graph`, or whose precision none
        of the layers that it matches can have."""
        for rule in self.named(graph).rules:
            layers = _matched(rule, graph)
            if not layers:
                raise RecipeError(
                    f"recipe: no layer matches {rule}; "
                    "`edge-autoglm inspect` lists the model's layers"
                )
            without = _without_weights(rule, layers)
            if len(without) == len(layers):
                first = without[0]
                more = f", nor have {len(layers) - 1} more" if len(layers) > 1 else ""
                raise RecipeError(
                    f"recipe: {rule}: {_precision(rule)} is a precision of weights, and layer "
                    f"'{_called(graph, first)}' ({first.op}) has none{more}"
                )

    def notes(self, graph: Graph) -> tuple[str, ...]:
        """A line for each rule whose precision some of the layers that it matches cannot have."""
        found = []
        for rule in self.named(graph).rules:
            without = _without_weights(rule, _matched(rule, graph))
            if without:
                instead = "int8" if rule.changes["precision"] is Precision.INT4 else "float32"
                names = ", ".join(_called(graph, o) for o in without[:_MOST_NAMED])
                more = len(without) - _MOST_NAMED
                found.append(
                    f"recipe: {rule}: {names}{f' and {more} more' * (more > 0)} have no weights "
                    f"that could be {_precision(rule)}, and are {instead} by this rule"
                )
        return tuple(found)


def _matched(rule: Rule, graph: Graph) -> list[Operator]:
    return [o for o in graph.operators if rule.matches(graph.layer_name(o), o.op)]


def _without_weights(rule: Rule, layers: list[Operator]) -> list[Operator]:
    """Those of `layers` to which the rule's precision, one of weights, says nothing."""
    if rule.lenient or rule.changes.get("precision") not in _OF_WEIGHTS:
        return []
    return [o for o in layers if not weight_positions(o)]


def _precision(rule: Rule) -> str:
    precision = rule.changes["precision"]
    assert isinstance(precision, Precision)
    return precision.value


def _called(graph: Graph, operator: Operator) -> str:
    return layer_names(graph)[operator.index]


def _literal(name: str) -> str:
    """A shell pattern that matches `name` alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
