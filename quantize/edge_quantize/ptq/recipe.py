"""What each layer becomes: a default, and rules that change it for the layers they name."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from edge_quantize.errors import RecipeError
from edge_quantize.graph.model import Graph, Operator


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
    """Layers whose name matches `layer` (a shell pattern) and whose operator matches `op` get the
    fields of `changes`."""

    layer: str = "*"
    op: str = "*"
    changes: Mapping[str, object] = field(default_factory=dict)

    def matches(self, name: str, op: str) -> bool:
        return fnmatchcase(name, self.layer) and fnmatchcase(op, self.op)


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
        """This recipe with the layers that are named exactly set to a precision each."""
        rules = tuple(
            Rule(layer=_literal(name), changes={"precision": precision})
            for name, precision in precisions.items()
        )
        return replace(self, rules=(*self.rules, *rules))

    def scheme(self, graph: Graph, operator: Operator) -> Scheme:
        """The scheme of one operator."""
        scheme = self.default
        name = graph.layer_name(operator)
        for rule in self.rules:
            if rule.matches(name, operator.op):
                scheme = replace(scheme, **rule.changes)  # type: ignore[arg-type]
        return scheme

    def check(self, graph: Graph) -> None:
        """Raises RecipeError for a rule that matches no layer of `graph`."""
        for rule in self.rules:
            if not any(rule.matches(graph.layer_name(o), o.op) for o in graph.operators):
                raise RecipeError(
                    f"recipe: no layer matches layer = {rule.layer!r}, op = {rule.op!r}; "
                    "`edge-autoglm inspect` lists the model's layers"
                )


def _literal(name: str) -> str:
    """A shell pattern that matches `name` alone."""
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)
