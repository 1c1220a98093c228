"""The lossless passes, one after the other until none finds anything, and the check behind them."""

from __future__ import annotations

from collections.abc import Callable

from edge_quantize.errors import LosslessError
from edge_quantize.graph.model import DType, Graph

from .result import Change, Counts, Pass, PassResult, Settings
from .table import PASSES
from .verify import check_same

Progress = Callable[[int, int, str], None]
# Each round removes something, so there is an end; this one is for a pass that goes back and forth.
_MOST_ROUNDS = 200


def lossless(graph: Graph, progress: Progress | None = None, *, align: int = 1) -> PassResult:
    """The same function with less: bit-identical on integer graphs, within 1e-6 relative on float.

    `align` keeps dead channels of depthwise layers up to a multiple of it, for kernels that take
    several channels at a time. `progress(done, total, doing)` is called as it goes. A graph with
    nothing to remove is returned itself. Otherwise the result is compared with the original in a
    reference runtime.

    Raises LosslessError when the outputs differ, ReferenceRuntimeError or UnsupportedModelError
    when no runtime here can run the model for the comparison.
    """
    settings = Settings(align=max(1, align))
    smaller, changes = _until_nothing_changes(graph, PASSES, settings, progress)
    if not changes:
        return _result(graph, graph, (), "", ())
    exact = tuple(p for p in PASSES if not p.rounds)
    rounded = any(p.rounds and any(c.pass_name == p.name for c in changes) for p in PASSES)
    try:
        return _result(graph, smaller, changes, check_same(graph, smaller, progress), ())
    except LosslessError as error:
        if not (rounded and _is_float(graph)):
            raise
        reason = str(error)
    # Deep float models amplify the rounding of folded weights; what is exact can still be had.
    smaller, changes = _until_nothing_changes(graph, exact, settings, progress)
    checked = check_same(graph, smaller, progress) if changes else ""
    left = ", ".join(p.name for p in PASSES if p.rounds)
    return _result(graph, smaller, changes, checked, (f"left out: {left} ({reason})",))


def _until_nothing_changes(
    graph: Graph, passes: tuple[Pass, ...], settings: Settings, progress: Progress | None
) -> tuple[Graph, tuple[Change, ...]]:
    changes: list[Change] = []
    for _ in range(_MOST_ROUNDS):
        before = graph
        for number, one in enumerate(passes):
            if progress is not None:
                progress(number, len(passes), one.name)
            graph, found = one.run(graph, settings)
            changes += found
        if graph is before:
            return graph, tuple(changes)
    raise LosslessError(f"{graph.name}: the lossless passes do not come to an end")


def _result(
    before: Graph,
    after: Graph,
    changes: tuple[Change, ...],
    checked: str,
    notes: tuple[str, ...],
) -> PassResult:
    return PassResult(after, changes, Counts.of(before), Counts.of(after), checked, notes)


def _is_float(graph: Graph) -> bool:
    return any(t.dtype is DType.FLOAT32 for o in graph.operators for t in graph.results(o))
