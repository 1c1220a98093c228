"""Runtimes beside each other, as a table and as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.table import Table

from .profile import figure_json
from .tables import table

if TYPE_CHECKING:
    from edge_autoglm.measure.compare import Comparison, Side

SCHEMA = 1
_ROWS = (
    ("flash", "flash, bytes"),
    ("model", "  of it model"),
    ("code", "  of it all else"),
    ("arena", "arena, bytes"),
    ("arena_used", "  in use, says TFLM"),
    ("static_ram", "arena and static RAM"),
    ("stack", "stack, high water"),
    ("instructions", "instructions"),
    ("cycles", "cycles"),
    ("latency_ms", "milliseconds"),
)


def _value(side: Side, key: str) -> str | None:
    figure = side.figures.get(key)
    if figure is None:
        return None
    return f"{figure.value:,.2f}" if key == "latency_ms" else f"{figure.value:,.0f}"


def _kinds(sides: tuple[Side, ...], key: str) -> str | None:
    """The kinds of a row's figures: one word where they agree."""
    kinds = [side.figures[key].kind.value for side in sides if key in side.figures]
    return "/".join(dict.fromkeys(kinds)) or None


def _ratio(sides: tuple[Side, ...], key: str) -> str | None:
    """The first runtime's figure by the second's; none of figures of two kinds."""
    if len(sides) != 2 or any(key not in side.figures for side in sides):
        return None
    if sides[0].figures[key].kind is not sides[1].figures[key].kind:
        return None
    first, second = (side.figures[key].value for side in sides)
    return f"{first / second:.2f}" if second else None


def compare_table(comparison: Comparison) -> Table:
    """One row a figure, one column a runtime; fits 80 columns."""
    sides = comparison.sides
    where = f" on {comparison.port}" if comparison.port else ""
    return table(
        f"{comparison.model} for {comparison.board}{where}",
        ["<figure", *(f">{side.title}" for side in sides), ">ratio", "<kind"],
        [
            (title, *(_value(side, key) for side in sides), _ratio(sides, key), _kinds(sides, key))
            for key, title in _ROWS
            if any(key in side.figures for side in sides)
        ],
    )


def compare_lines(comparison: Comparison) -> list[str]:
    """What stands under the table."""
    lines = []
    for side in comparison.sides:
        if side.verdict:
            lines.append(f"{side.title}: {side.verdict}")
        if side.toolchain:
            lines.append(f"{side.title}: {side.toolchain}")
        if side.missing:
            lines.append(f"{side.title}: {_sentence(side)}")
    if comparison.outputs_equal is not None:
        same = "the same" if comparison.outputs_equal else "NOT the same"
        count = len(comparison.sides[0].outputs)
        lines.append(f"outputs of {count} generated inputs: {same}, byte for byte")
    if comparison.port is None:
        lines.append("nothing ran: name a board with --port virtual, auto or a port")
    return lines


def _sentence(side: Side) -> str:
    what = "the rest is missing" if side.figures else "not possible"
    return f"{what}: {side.missing}"


def compare_json(comparison: Comparison) -> dict[str, Any]:
    """Everything that the table and its lines say."""
    return {
        "schema": SCHEMA,
        "board": comparison.board,
        "port": comparison.port,
        "model": {"name": comparison.model, "sha256": comparison.sha256},
        "runtimes": {
            side.runtime: {
                "figures": {key: figure_json(side.figures.get(key)) for key, _ in _ROWS},
                "missing": side.missing or None,
                "toolchain": side.toolchain or None,
                "verdict": (
                    {
                        "reference": side.verdict.reference,
                        "bit_exact": side.verdict.bit_exact,
                        "max_abs_diff": side.verdict.max_abs_diff,
                    }
                    if side.verdict
                    else None
                ),
            }
            for side in comparison.sides
        },
        "outputs_equal": comparison.outputs_equal,
    }
