"""A simulation of float16 arithmetic as a table by layer."""

from __future__ import annotations

from rich.table import Table

from edge_quantize.half import HalfLayer, HalfReport, sums_text

from .tables import plural, table


def half_table(report: HalfReport) -> Table:
    """One row a layer. "own" is what the layer itself adds, given float32 inputs; errors are
    relative to the layer's largest value."""
    samples = plural(report.samples, "sample")
    return table(
        f"float16 arithmetic, sums in {sums_text(report)} (modelled, {samples})",
        [">#", "~layer", "~op", ">largest", ">past 65504", ">subnormal", ">error", ">own"],
        [_row(layer) for layer in report.layers],
    )


def _row(layer: HalfLayer) -> tuple[object, ...]:
    return (
        layer.index,
        layer.name,
        layer.op.lower(),
        f"{layer.largest:.3g}",
        layer.overflowed or None,
        layer.subnormal + layer.vanished or None,
        "inf" if layer.overflowed else f"{layer.relative:.0e}",
        "inf" if layer.own_overflowed else f"{layer.own_relative:.0e}",
    )
