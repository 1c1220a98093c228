"""A simulation of float16 arithmetic as a table by layer, and as a few lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.table import Table

from .tables import plural, table, wrapped

if TYPE_CHECKING:
    from edge_quantize.half import HalfLayer, HalfReport


def half_table(report: HalfReport) -> Table:
    """One row a layer. "own" is what the layer itself adds, given float32 inputs; errors are
    relative to the layer's largest value."""
    from edge_quantize.half import sums_text

    samples = plural(report.samples, "sample")
    return table(
        f"float16 arithmetic, sums in {sums_text(report)} (modelled, {samples})",
        [">#", "~layer", "~op", ">largest", ">past 65504", ">subnormal", ">error", ">own"],
        [_row(layer) for layer in report.layers],
    )


def half_text(report: HalfReport) -> str:
    """What is worth saying without the table, each line within the terminal's width."""
    from edge_quantize.half import half_lines

    return "\n".join(wrapped(line, indent="    ") for line in half_lines(report))


def _row(layer: HalfLayer) -> tuple[object, ...]:
    return (
        layer.index,
        layer.name,
        layer.op.lower(),
        f"{layer.largest:.3g}",
        layer.overflowed or None,
        layer.subnormal + layer.vanished or None,
        f"{layer.relative:.0e}",
        f"{layer.own_relative:.0e}",
    )
