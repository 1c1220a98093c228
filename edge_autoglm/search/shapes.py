"""Graphs that have the shapes and element types of a candidate before any data is touched.

Their ranges are made up: from -1 to 1 for every activation. What a kernel needs of memory follows
from shapes and types, so the memory plan of such a graph is the candidate's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from edge_boards import Board
from edge_export.kernels.row import KernelRow, LayerView
from edge_export.kernels.table import rows_for
from edge_quantize.graph import DType, Graph
from edge_quantize.graph.channels import channel_groups, remove_channels
from edge_quantize.ptq import Calibration, Observer, Precision, Recipe
from edge_quantize.ptq.calibrate import BINS, Histogram
from edge_quantize.ptq.emit import emit
from edge_quantize.ptq.plan import make_plan
from edge_quantize.ptq.prepare import float_graph

from .space import MOST_PRUNED, uniform, weighted_layers


def shaped(graph: Graph, recipe: Recipe) -> Graph:
    """`graph`, a float one, in the types that `recipe` gives it; what it computes means nothing.

    Raises UnsupportedModelError for a layer without an integer form.
    """
    floating = float_graph(graph)
    counts = np.ones(BINS)
    unit = Histogram(-1.0, 1.0, counts)
    histograms = {t.index: unit for t in floating.tensors if t.dtype is DType.FLOAT32}
    plain = replace(
        recipe,
        default=replace(recipe.default, weights=Observer.MINMAX, activations=Observer.MINMAX),
    )
    return emit(floating, make_plan(floating, plain, Calibration(histograms, 1))).graph


def smallest(graph: Graph, share: float = MOST_PRUNED, align: int = 1) -> Graph:
    """`graph` with as few channels as any pruning leaves (up to a multiple of `align`): of every
    group but the share that stays, whichever they are."""
    keep = {}
    for group in channel_groups(graph):
        left = max(1, group.channels - int(share * group.channels))
        left = min(group.channels, -(-left // align) * align)
        keep[group] = np.arange(group.channels) < left
    return remove_channels(graph, keep) if keep else graph


def supported(graph: Graph, board: Board, precision: Precision) -> tuple[str, ...]:
    """The layers with weights that a kernel of the board's core takes in a precision, by name."""
    names = {graph.layer_name(o) for o in weighted_layers(graph)}
    whole = shaped(graph, Recipe().with_layers(dict(uniform(graph, precision))))
    return tuple(
        name
        for operator in whole.operators
        if (name := whole.layer_name(operator)) in names
        and any(takes(row, LayerView(whole, operator), board) for row in rows_for(operator.op))
    )


def kernel_choices(graph: Graph, board: Board) -> dict[str, tuple[str, ...]]:
    """Rows by operator where more than one takes layers of the int8 model: all that take every
    layer that the fastest takes, the fastest first."""
    whole = shaped(graph, Recipe())
    found: dict[str, tuple[str, ...]] = {}
    for op in sorted({o.op for o in weighted_layers(whole)}):
        layers = [LayerView(whole, o) for o in whole.operators if o.op == op]
        rows = [r for r in rows_for(op) if any(takes(r, layer, board) for layer in layers)]
        if not rows:
            continue
        first = [layer for layer in layers if takes(rows[0], layer, board)]
        names = tuple(r.name for r in rows if all(takes(r, layer, board) for layer in first))
        if len(names) > 1:
            found[op] = names
    return found


def takes(row: KernelRow, layer: LayerView, board: Board) -> bool:
    return not row.is_alias and row.needs <= board.core.features and row.refuses(layer) is None


def overrides(graph: Graph, board: Board, kernels: Mapping[str, str]) -> dict[int, str]:
    """{operator: row} for `lower`, of every layer that takes the row named for its operator."""
    found = {}
    for operator in graph.operators:
        row = next((r for r in rows_for(operator.op) if r.name == kernels.get(operator.op)), None)
        if row is not None and takes(row, LayerView(graph, operator), board):
            found[operator.index] = row.name
    return found
