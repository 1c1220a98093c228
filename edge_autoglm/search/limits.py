"""Refusal from the memory plan, before any data is touched: what the board or the budget cannot
hold even at the smallest that a level allows."""

from __future__ import annotations

from dataclasses import replace

from edge_autoglm.errors import EdgeError
from edge_export.errors import ExportError
from edge_quantize.graph import Graph
from edge_quantize.ptq import Precision, Recipe

from .budget import Budget, Excess, worst
from .footprint import Footprint, smallest_arena
from .judge import excesses
from .shapes import shaped, smallest
from .space import MOST_PRUNED, uniform
from .target import Costs, Target

LEAST_STACK = 256
"""Bytes that no image was measured to stay under; the server alone takes more."""


class BudgetError(EdgeError):
    """Nothing fits the budget; the message names the layer, the resource and the bytes."""


def check_possible(graph: Graph, target: Target, budget: Budget, level: int) -> None:
    """Raises BudgetError where a float graph cannot fit however it is quantized and, at level 3,
    pruned. At level 2 only dead channels can go, which may be all but one of a layer's."""
    least = least_costs(graph, target, MOST_PRUNED if level >= 3 else 1.0)
    broken = excesses(least, budget)
    if broken:
        raise BudgetError(_words(graph, least.footprint, broken, level))


def least_costs(graph: Graph, target: Target, share: float) -> Costs:
    """From below: as few channels as may stay, weights of the narrowest type, no scratch memory,
    the smaller code, and the fastest of all that."""
    found = []
    for align in (1, 4):  # kernels are made for multiples of four
        bare = smallest(graph, share, align)
        for precision in (Precision.INT4, Precision.INT8):
            recipe = Recipe().with_layers(dict(uniform(bare, precision)))
            try:
                found.append(target.costs(shaped(bare, recipe)))
            except ExportError as error:
                failure = error
    if not found:
        raise BudgetError(f"{graph.name}: not even its smallest form fits: {failure}")
    feet = [each.footprint for each in found]
    quickest = min(found, key=lambda c: c.latency.cycles if c.latency is not None else 0.0)
    least = replace(
        min(feet, key=lambda f: f.arena),
        constants=min(f.constants for f in feet),
        code=min(f.code for f in feet),
        arena=min(smallest_arena(f.program) for f in feet),
        stack=LEAST_STACK,
    )
    return Costs(replace(least, program=quickest.footprint.program), quickest.latency)


def _words(graph: Graph, least: Footprint, excesses: tuple[Excess, ...], level: int) -> str:
    first = worst(excesses)
    assert first is not None
    at = (
        f"with {1 - MOST_PRUNED:.0%} of the channels of every layer"
        if level >= 3
        else "with one channel in every layer"
    )
    others = "; ".join(str(e) for e in excesses if e is not first)
    value = f"{first.need:.3g}ms" if first.resource == "latency" else f"{first.need:.0f}"
    needed = f"--max-{first.resource.lower()} {value} is the least that could do"
    return (
        f"{graph.name}: cannot fit on {least.board}, not even in the smallest types and {at}: "
        f"{first}{'; ' + others if others else ''}; {needed}"
    )
