"""The kernel table, and the choice from it.

Every module of this package that serves operators has a tuple `ROWS`; the table is their sum. A
new kernel is one C file and one row in the module of its operator.
"""

from __future__ import annotations

from edge_export.errors import LoweringError
from edge_quantize.graph import DType

from . import (
    activation,
    add_sub,
    conv,
    depthwise,
    fully_connected,
    int4,
    mul,
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
    *add_sub.ROWS,
    *mul.ROWS,
    *pool.ROWS,
    *reduce.ROWS,
    *softmax.ROWS,
    *activation.ROWS,
    *shape.ROWS,
    *quantize.ROWS,
)


def rows_for(op: str) -> tuple[KernelRow, ...]:
    """The rows that serve an operator, fastest first."""
    return tuple(sorted((row for row in KERNELS if row.op == op), key=lambda row: row.rank))


def activation_dtypes() -> dict[str, frozenset[DType]]:
    """By operator: the element types that its first operand may have in a compiled model.

    Whether a layer is taken depends on much more (`edge_quantize.check`, `choose`); what is not
    listed here never is.
    """
    found: dict[str, set[DType]] = {}
    for row in KERNELS:
        found.setdefault(row.op, set()).update(row.dtypes)
    return {op: frozenset(dtypes) for op, dtypes in found.items()}


def _of_type(layer: LayerView, rows: tuple[KernelRow, ...]) -> tuple[KernelRow, ...]:
    """The rows for the first operand's type, or all where there are none: each then says why."""
    first = layer.inputs[0] if layer.inputs else None
    return tuple(row for row in rows if first is not None and first.dtype in row.dtypes) or rows


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
    else:
        candidates = _of_type(layer, candidates)
    refused: dict[str, list[str]] = {}  # reason -> candidates
    for row in candidates:
        missing = row.needs - core_features
        refusal = f"the core lacks {', '.join(sorted(missing))}" if missing else row.refuses(layer)
        if refusal is None:
            return row, row.bind(layer)
        refused.setdefault(refusal, []).append(row.name)
    problems = [f"{where}: {', '.join(names)}: {reason}" for reason, names in refused.items()]
    raise LoweringError(f"{where}: no kernel takes it: {problems[-1]}", tuple(problems))
