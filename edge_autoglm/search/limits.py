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
from .shapes import shaped, smallest
from .space import MOST_PRUNED, uniform
from .target import Target

LEAST_STACK = 256
"""Bytes that no image was measured to stay under; the server alone takes more."""


class BudgetError(EdgeError):
    """Nothing fits the budget; the message names the layer, the resource and the bytes."""


def check_possible(graph: Graph, target: Target, budget: Budget, level: int) -> None:
    """Raises BudgetError where a float graph cannot fit however it is quantized and, at level 3,
    pruned. At level 2 only dead channels can go, which may be all but one of a layer's."""
    least = least_footprint(graph, target, MOST_PRUNED if level >= 3 else 1.0)
    excesses = least.excesses(budget)
    if excesses:
        raise BudgetError(_words(graph, least, excesses, level))


def least_footprint(graph: Graph, target: Target, share: float) -> Footprint:
    """From below: as few channels as may stay, weights of the narrowest type, no scratch memory,
    and the smaller code."""
    bare = smallest(graph, share)
    found = []
    for precision in (Precision.INT4, Precision.INT8):
        recipe = Recipe().with_layers(dict(uniform(bare, precision)))
        try:
            found.append(target.costs(shaped(bare, recipe)).footprint)
        except ExportError as error:
            failure = error
    if not found:
        raise BudgetError(f"{graph.name}: not even its smallest form fits: {failure}")
    constants = min(each.constants for each in found)
    code = min(each.code for each in found)
    arena = min(smallest_arena(each.program) for each in found)
    return replace(found[-1], constants=constants, code=code, arena=arena, stack=LEAST_STACK)


def _words(graph: Graph, least: Footprint, excesses: tuple[Excess, ...], level: int) -> str:
    first = worst(excesses)
    assert first is not None
    at = (
        f"with a tenth of the channels of every layer ({100 * (1 - MOST_PRUNED):.0f} %)"
        if level >= 3
        else "with one channel in every layer"
    )
    others = "; ".join(str(e) for e in excesses if e is not first)
    needed = f"--max-{first.resource.lower()} {int(first.need)} is the least that could do"
    return (
        f"{graph.name}: cannot fit on {least.board}, not even in the smallest types and {at}: "
        f"{first}{'; ' + others if others else ''}; {needed}"
    )
