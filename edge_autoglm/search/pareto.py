"""The points that no other beats in everything, and the one to take."""

from __future__ import annotations

from collections.abc import Sequence

from .budget import Budget
from .judge import Worth
from .study import Evaluated

_STANDARD_ERRORS = 2 * 1.959964  # from end to end of a 95 % interval


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
    """Points that fit, the one to take first.

    Where a drop of accuracy is allowed, the fastest that stays within it. Else the one with the
    least error; all within one standard error of that one are equals (the one-standard-error rule:
    L. Breiman et al., "Classification and Regression Trees", 1984, section 3.4.3), since some
    hundred samples cannot tell them apart. Equals are told apart by SQNR, which every output of
    every sample has a part in, then by latency, flash, and number.
    """
    fitting = [point for point in points if point.fits]
    equal = as_good_as_least([point.worth for point in fitting])
    return tuple(
        sorted(
            fitting,
            key=lambda p: (*standing(p.worth, p.time, p.flash, budget, equal), p.number),
        )
    )


def best(points: Sequence[Evaluated], budget: Budget) -> Evaluated | None:
    """The one to take of all; where none fits, the nearest to it."""
    order = ranked(points, budget)
    if order:
        return order[0]
    return min(points, key=lambda p: (p.beyond, p.number), default=None)


def as_good_as_least(worths: Sequence[Worth]) -> float:
    """The largest error that is within one standard error of the least."""
    least = min((worth.error.value for worth in worths), default=0.0)
    return least + max(
        (
            (worth.error.high - worth.error.low) / _STANDARD_ERRORS
            for worth in worths
            if worth.error.value == least
        ),
        default=0.0,
    )


def standing(
    worth: Worth, time: float, flash: float, budget: Budget, equal: float
) -> tuple[float, ...]:
    """What candidates are ordered by, the best first; errors up to `equal` are the same."""
    if budget.drop is not None:
        return (time, -worth.sqnr_db, flash, worth.error.value)
    return (max(worth.error.value, equal), -worth.sqnr_db, time, flash)
