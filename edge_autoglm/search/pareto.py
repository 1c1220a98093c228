"""The points that no other beats in everything, and the one to take."""

from __future__ import annotations

from collections.abc import Sequence

from .budget import Budget
from .study import Evaluated


def front(points: Sequence[Evaluated]) -> tuple[Evaluated, ...]:
    """The points that fit and that no other one that fits is at least as good as in latency, flash
    and error, and better in one; by latency."""
    fitting = [point for point in points if point.fits]
    found = [p for p in fitting if not any(_beats(other, p) for other in fitting)]
    unique = {point.objectives(): point for point in reversed(found)}
    return tuple(sorted(unique.values(), key=lambda p: (p.objectives(), p.number)))


def _beats(one: Evaluated, other: Evaluated) -> bool:
    a, b = one.objectives(), other.objectives()
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


def ranked(points: Sequence[Evaluated], budget: Budget) -> tuple[Evaluated, ...]:
    """Points that fit, the one to take first: where a drop of accuracy is allowed, the fastest that
    stays within it; else the one with the least error. Then the smaller, then the earlier."""
    fitting = [point for point in points if point.fits]
    return tuple(sorted(fitting, key=lambda p: (*_order(p, budget), p.number)))


def better(one: Evaluated, other: Evaluated | None, budget: Budget) -> bool:
    """Whether `one` takes the place of the best so far. Of points that do not fit, the nearer."""
    if other is None:
        return True
    if one.fits != other.fits:
        return one.fits
    if not one.fits:
        return one.beyond < other.beyond
    return _order(one, budget) < _order(other, budget)


def _order(point: Evaluated, budget: Budget) -> tuple[float, float, float]:
    time, flash, error = point.objectives()
    return (time, flash, error) if budget.drop is not None else (error, time, flash)
