"""What a search may choose: how many channels go, which layers get which precision and kernel.

Layers are sorted by how much they hurt, so that a precision is chosen by a number: the `wide`
layers that hurt most get int16 activations, the `narrow` ones that hurt least get int4 weights.
That keeps the space small enough for tens of trials; each point still has a precision for every
layer. A kernel is chosen for all layers of an operator, since one that is left over costs its code.
Only what the kernel table takes on the board's core is in the space.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from edge_quantize.graph import Graph, Operator
from edge_quantize.ptq import Precision, Recipe

SPARSITIES = tuple(round(0.05 * step, 2) for step in range(17))  # 0 to 0.8
MOST_PRUNED = 0.9
"""The share of its channels that a layer gives at most."""
FASTEST = "fastest"


@dataclass(frozen=True)
class Choice:
    """One point. `precisions` has the layers that are not int8, by name; `kernels` a row of the
    kernel table by operator, where it is not the fastest."""

    sparsity: float = 0.0
    align: int = 1
    precisions: tuple[tuple[str, Precision], ...] = ()
    kernels: tuple[tuple[str, str], ...] = ()

    @property
    def recipe(self) -> Recipe:
        return Recipe().with_layers(dict(self.precisions))

    @property
    def bare(self) -> Choice:
        """Without what changes nothing of the numbers that come out: the kernels."""
        return replace(self, kernels=())

    def json(self) -> dict[str, Any]:
        return {
            "sparsity": self.sparsity,
            "align": self.align,
            "precisions": {name: precision.value for name, precision in self.precisions},
            "kernels": dict(self.kernels),
        }

    def __str__(self) -> str:
        counts: dict[str, int] = {}
        for _, precision in self.precisions:
            counts[precision.value] = counts.get(precision.value, 0) + 1
        said = [f"{self.sparsity:.0%} of channels pruned" if self.sparsity else "nothing pruned"]
        said += [f"{count} layers {name}" for name, count in sorted(counts.items())]
        said += [f"{op} by {row}" for op, row in self.kernels]
        return ", ".join(said)


@dataclass(frozen=True)
class Space:
    """`wide` and `narrow` are layers by name, in the order in which they get int16 activations
    (what hurts most first) and int4 weights (what hurts least first); `kernels` are the rows to
    choose from, by operator, the fastest first."""

    sparsities: tuple[float, ...] = (0.0,)
    aligns: tuple[int, ...] = (1,)
    wide: tuple[str, ...] = ()
    narrow: tuple[str, ...] = ()
    kernels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Points, repeated ones counted."""
        found = len(self.sparsities) * len(self.aligns)
        found *= (len(self.wide) + 1) * (len(self.narrow) + 1)
        return found * math.prod(len(rows) for rows in self.kernels.values())

    def parameters(self) -> dict[str, tuple[Any, ...]]:
        """{name: values}, as a study has them; what has one value is left out."""
        found: dict[str, tuple[Any, ...]] = {
            "sparsity": self.sparsities,
            "align": self.aligns,
            "wide": tuple(range(len(self.wide) + 1)),
            "narrow": tuple(range(len(self.narrow) + 1)),
            **{f"kernel.{op}": rows for op, rows in self.kernels.items()},
        }
        return {name: values for name, values in found.items() if len(values) > 1}

    def choice(self, values: Mapping[str, Any]) -> Choice:
        """The point that a study's values name. Alignment means nothing where nothing is pruned;
        a layer that is to be both wide and narrow is wide."""
        sparsity = float(values.get("sparsity", 0.0))
        wide = self.wide[: int(values.get("wide", 0))]
        narrow = [n for n in self.narrow[: int(values.get("narrow", 0))] if n not in wide]
        precisions = dict.fromkeys(wide, Precision.INT16X8)
        precisions |= dict.fromkeys(narrow, Precision.INT4)
        kernels = {
            op: str(values[f"kernel.{op}"])
            for op, rows in self.kernels.items()
            if values.get(f"kernel.{op}", rows[0]) != rows[0]
        }
        return Choice(
            sparsity=sparsity,
            align=int(values.get("align", 1)) if sparsity else self.aligns[0],
            precisions=tuple(sorted(precisions.items())),
            kernels=tuple(sorted(kernels.items())),
        )

    def seeds(self) -> list[dict[str, Any]]:
        """Points to look at first: all int8, pruned step by step, mixed from either end."""
        first = {name: values[0] for name, values in self.parameters().items()}
        found = [first]
        if "narrow" in first:
            for count in dict.fromkeys((len(self.narrow), len(self.narrow) // 2)):
                found.append({**first, "narrow": count})
        if "wide" in first:
            few = max(1, len(self.wide) // 4)
            found += [{**first, "wide": few}]
        if "sparsity" in first:
            for share in (0.25, 0.5, 0.1, 0.4, 0.65):
                nearest = min(self.sparsities, key=lambda s: abs(s - share))
                found.append({**first, "sparsity": nearest})
        for name, values in self.parameters().items():
            if name.startswith("kernel."):
                found.append({**first, name: values[-1]})
        unique = {tuple(sorted(point.items())): point for point in found}
        return list(unique.values())


def weighted_layers(graph: Graph) -> tuple[Operator, ...]:
    """The operators that have weights, whose precision is chosen."""
    ops = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}
    return tuple(
        o
        for o in graph.operators
        if o.op in ops and o.inputs[1] >= 0 and graph.tensors[o.inputs[1]].is_constant
    )


def uniform(graph: Graph, precision: Precision) -> tuple[tuple[str, Precision], ...]:
    """`precision` for all layers that have weights."""
    return tuple((graph.layer_name(o), precision) for o in weighted_layers(graph))


def ordered(layers: Sequence[str], damage: Mapping[str, float], worst_first: bool) -> \
        tuple[str, ...]:  # fmt: skip
    """Layers by what they cost; a layer of unknown damage comes where it stands in the model."""
    place = {name: index for index, name in enumerate(layers)}
    sign = -1 if worst_first else 1
    return tuple(sorted(layers, key=lambda n: (sign * damage.get(n, 0.0), place[n])))
