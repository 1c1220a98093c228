"""The kernel table, and the choice from it.

Every module of this package that serves operators has a tuple `ROWS`; the table is their sum. A
new kernel is one C file and one row in the module of its operator.
"""

from __future__ import annotations

from edge_export.errors import LoweringError

from . import (
    conv,
    depthwise,
    elementwise,
    fully_connected,
    int4,
    pool,
    quantize,
    reduce,
    shape,
    softmax,
)
from .row import Binding, KernelRow, LayerView

KERNELS: tuple[KernelRow, ...] = (
    *conv.ROWS,
    *depthwise.ROWS,
    *fully_connected.ROWS,
    *int4.ROWS,
    *elementwise.ROWS,
    *pool.ROWS,
    *reduce.ROWS,
    *softmax.ROWS,
    *shape.ROWS,
    *quantize.ROWS,
)


def rows_for(op: str) -> tuple[KernelRow, ...]:
    """The rows that serve an operator, fastest first."""
    return tuple(sorted((row for row in KERNELS if row.op == op), key=lambda row: row.rank))


def choose(
    layer: LayerView, core_features: frozenset[str], override: str | None = None
) -> tuple[KernelRow, Binding]:
    """The fastest kernel that takes a layer on a core, bound to it.

    `override` names the row to take instead; it still has to accept the layer.
    Raises LoweringError whose `problems` give every reason to refuse, with the candidates it is of.
    """
    op = layer.operator.op
    where = f"layer {layer.operator.index} ({op})"
    candidates = rows_for(op)
    if not candidates:
        raise LoweringError(f"{where}: no kernel serves this operator", (f"{where}: unsupported",))
    if override is not None:
        named = tuple(row for row in candidates if row.name == override)
        if not named:
            names = ", ".join(row.name for row in candidates)
            raise LoweringError(f"{where}: no kernel is called {override!r}; there are: {names}")
        candidates = named
    refused: dict[str, list[str]] = {}  # reason -> candidates
    for row in candidates:
        missing = row.needs - core_features
        refusal = f"the core lacks {', '.join(sorted(missing))}" if missing else row.refuses(layer)
        if refusal is None:
            return row, row.bind(layer)
        refused.setdefault(refusal, []).append(row.name)
    problems = [f"{where}: {', '.join(names)}: {reason}" for reason, names in refused.items()]
    raise LoweringError(f"{where}: no kernel takes it: {problems[-1]}", tuple(problems))
