"""The lossless passes, one after the other until none finds anything, and the check behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge_quantize.check import check_supported
from edge_quantize.errors import LosslessError, UnsupportedModelError
from edge_quantize.graph.channels import channel_groups
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.shapes import shape_fault
from edge_quantize.graph.writer import write_tflite
from edge_quantize.reference import tflm_available

from .constants import RANDOM
from .result import Change, Counts, Pass, PassResult, Settings
from .table import PASSES
from .verify import check_same

Progress = Callable[[int, int, str], None]
# Each round removes something, so there is an end; this one is for a pass that goes back and forth.
_MOST_ROUNDS = 200
# Bounds are kept for every element; no board here has room for a hundredth of these.
_MOST_ELEMENTS = 1 << 26
# Deep float models amplify the rounding of folded weights; what is exact can still be had.
_NORMALIZATION = ("batch-norm", "affine-chains")
_LEFT_OUT = (
    ("transposes",),
    _NORMALIZATION,
    ("transposes", *_NORMALIZATION),
    ("transposes", *_NORMALIZATION, "dead-channels"),
)


def lossless(
    graph: Graph,
    progress: Progress | None = None,
    *,
    align: int = 1,
    cost: Callable[[Graph], float] | None = None,
) -> PassResult:
    """The same function with less: bit-identical on integer graphs, within 1e-6 relative on float.

    `align` keeps dead channels up to a multiple of it, for kernels that take several channels at a
    time: in groups with a depthwise layer of 3x3, or, given a `cost` (instructions, say), in each
    group where that makes the graph cheaper. `progress(done, total, doing)` is called as it goes.

    A graph with nothing to remove is returned itself. Otherwise the result is compared with the
    original in a reference runtime; a model that cannot be compared (as it cannot be written, say,
    or makes random numbers) or whose shapes contradict each other stays as it is too, and `notes`
    say why.

    Raises LosslessError when the outputs differ, ReferenceRuntimeError when no runtime here runs
    the model.
    """
    reason = _refused(graph)
    if reason:
        return _result(graph, graph, (), "", (f"left as it is: {reason}",))
    settings = Settings(align=max(1, align))
    if cost is not None and align > 1:
        settings = _cheapest(graph, settings, cost, progress)
    smaller, changes = _until_nothing_changes(graph, PASSES, settings, progress)
    if not changes:
        return _result(graph, graph, (), "", ())
    try:
        write_tflite(graph)
    except UnsupportedModelError as error:
        return _result(graph, graph, (), "", (f"left as it is: {error}",))
    notes: tuple[str, ...] = ()
    for left_out in _LEFT_OUT:
        try:
            return _result(graph, smaller, changes, _compared(graph, smaller, progress), notes)
        except LosslessError as error:
            if not _is_float(graph):
                raise
            notes = (f"left out: {', '.join(left_out)} ({error})",)
        passes = tuple(p for p in PASSES if p.name not in left_out)
        smaller, changes = _until_nothing_changes(graph, passes, settings, progress)
        if not changes:
            return _result(graph, graph, (), "", notes)
    return _result(graph, smaller, changes, _compared(graph, smaller, progress), notes)


def _refused(graph: Graph) -> str:
    """Why the passes cannot be applied to the graph; empty where they can."""
    for operator in graph.operators:
        where = f"{operator.op} '{graph.layer_name(operator)}'"
        if operator.op in RANDOM:
            return f"{where} makes random numbers, so that no two runs can be compared"
        fault = shape_fault(graph, operator)
        if fault is not None:
            return f"{where} {fault}"
    for tensor in graph.tensors:
        if tensor.elements > _MOST_ELEMENTS:
            return f"'{tensor.name}' has {tensor.elements} elements"
    return ""


def _compared(graph: Graph, smaller: Graph, progress: Progress | None) -> str:
    """What comparing the two found.

    tflite_micro does not take shapes that are computed while running; a graph with such is compared
    in two steps, around the one that differs from it in these alone.
    """
    passes = tuple(p for p in PASSES if p.name in ("shapes", "dead-operators"))
    between, _ = _until_nothing_changes(graph, passes, Settings(), None)
    if between is not graph and tflm_available() and not check_supported(between):
        check_same(graph, between, progress)
        return check_same(between, smaller, progress)
    return check_same(graph, smaller, progress)


def _cheapest(
    graph: Graph,
    settings: Settings,
    cost: Callable[[Graph], float],
    progress: Progress | None,
) -> Settings:
    """Which groups to align: all at first, then each left out in turn where that costs no more."""
    best = replace(settings, align_all=True)
    smaller, changes = _until_nothing_changes(graph, PASSES, best, None)
    least = cost(smaller)
    names = dict.fromkeys(group.name for group in channel_groups(smaller))
    for number, name in enumerate(names):
        if progress is not None:
            progress(number, len(names), "aligning")
        trial = replace(best, unaligned=best.unaligned | {name})
        candidate, found = _until_nothing_changes(graph, PASSES, trial, None)
        if len(found) == len(changes) and Counts.of(candidate) == Counts.of(smaller):
            continue  # nothing of this group was dead
        price = cost(candidate)
        if price <= least:
            best, least, smaller, changes = trial, price, candidate, found
    return best


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
