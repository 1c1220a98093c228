"""What passes hand on and what they tell people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_quantize.graph.analysis import operator_macs
from edge_quantize.graph.model import Graph, Operator

_LONGEST = 40  # of a layer's name in a line for people


@dataclass(frozen=True)
class Change:
    """One thing that a pass did."""

    pass_name: str
    layer: str
    what: str  # one line for people
    proof: str  # why outputs stay as they are

    def __str__(self) -> str:
        return f"{_short(self.layer)}: {self.what} ({self.proof})"


def _short(layer: str) -> str:
    """Converters join the names of all that they fused; the first is the layer's own."""
    name = layer.split(";")[0]
    return name if len(name) <= _LONGEST else f"...{name[3 - _LONGEST :]}"


Edit = tuple[Graph, tuple[Change, ...]]
NOTHING: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Settings:
    """What the passes may be told. Dead channels stay up to a multiple of `align` (1: none stay)
    where depthwise layers of 3x3 read them, and, with `align_all`, in every group but those named
    in `unaligned`."""

    align: int = 1
    align_all: bool = False
    unaligned: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Pass:
    """One kind of edit. `run` returns the very graph it was given when there is nothing to do."""

    name: str
    run: Callable[[Graph, Settings], Edit]
    summary: str
    rounds: bool = False  # whether float results may move by rounding errors


@dataclass(frozen=True)
class Counts:
    """What a graph takes. Bytes are of constants as the file holds them densely."""

    operators: int
    macs: int
    weight_bytes: int  # weights and biases of convolutions and fully connected layers
    constant_bytes: int  # every constant that an operator reads, shapes and axes included

    @classmethod
    def of(cls, graph: Graph) -> Counts:
        return cls(
            operators=len(graph.operators),
            macs=sum(operator_macs(graph, operator) for operator in graph.operators),
            weight_bytes=sum(_weight_bytes(graph, operator) for operator in graph.operators),
            constant_bytes=graph.constant_bytes,
        )


_WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV"})


def _weight_bytes(graph: Graph, operator: Operator) -> int:
    if operator.op not in _WEIGHTED:
        return 0
    operands = graph.operands(operator)[1:]
    return sum(t.nbytes for t in operands if t is not None and t.is_constant)


@dataclass(frozen=True)
class PassResult:
    """A graph after the passes. Without a change, `graph` is the very graph that went in."""

    graph: Graph
    changes: tuple[Change, ...]
    before: Counts
    after: Counts
    checked: str = ""  # the comparison that was run, for people; empty without a change
    notes: tuple[str, ...] = ()  # what was left undone, and why

    def lines(self) -> tuple[str, ...]:
        """A report, one line an entry."""
        if not self.changes:
            return ("nothing to remove: the model is returned as it is", *self.notes)
        before, after = self.before, self.after
        rows = (
            ("operators", before.operators, after.operators),
            ("MACs", before.macs, after.macs),
            ("bytes of weights and biases", before.weight_bytes, after.weight_bytes),
            ("bytes of all constants", before.constant_bytes, after.constant_bytes),
        )
        changed = tuple(f"{what}: {old:,} -> {new:,}" for what, old, new in rows if old != new)
        details = tuple(f"{change.pass_name}: {change}" for change in self.changes)
        return (*changed, *details, *self.notes, *((self.checked,) if self.checked else ()))
