"""Backends, and one model on several of them, as tables and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from .profile import figure_json
from .summary import finite
from .tables import table

if TYPE_CHECKING:
    from edge_autoglm.backends.base import Availability, Backend
    from edge_autoglm.backends.bench import Bench, Row
    from edge_autoglm.backends.choose import Selection
    from edge_autoglm.measure.figures import Figure

SCHEMA = 1
Found = Sequence[tuple["Backend", "Availability"]]


def backends_lines(found: Found) -> list[tuple[str, str]]:
    """For each (its line, the command that mends what is missing)."""
    lines = []
    for backend, here in found:
        mark = "absent" if not here.ok else "checks" if here.checks_only else "ok"
        lines.append((f"{mark:8}{backend.name}: {backend.title}; {here.why}", here.mend))
    return lines


def backends_json(found: Found) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "backends": [
            {
                "name": backend.name,
                "title": backend.title,
                "available": here.ok,
                "checks_only": here.checks_only,
                "why": here.why,
                "mend": here.mend or None,
                "auto": backend.automatic,
            }
            for backend, here in found
        ],
    }


def bench_table(bench: Bench) -> Table:
    """One row a backend; fits 80 columns."""
    return table(
        f"{bench.model}, {bench.source}; times in ms",
        [
            "~backend", ">load", ">first", ">median", ">p95", ">memory", ">difference", "<time",
        ],
        [
            (
                row.name,
                _ms(row.load),
                _ms(row.first),
                _ms(row.median),
                _ms(row.p95),
                _memory(row),
                _difference(row),
                row.first.kind.value if row.first else None,
            )
            for row in bench.rows
        ],
    )  # fmt: skip


def _ms(figure: Figure | None) -> str | None:
    if figure is None:
        return None
    value = 1e3 * figure.value
    return f"{value:.3f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def _difference(row: Row) -> str | None:
    if not row.ran:
        return None
    if row.difference is None:
        if not row.against:
            return "unknown ✗"
        return "reference ✗" if row.doubt else "reference"
    if not row.doubt and not row.difference.good:
        return f"{row.difference} ~"  # see `bench_lines`
    return f"{row.difference} {'✗' if row.doubt else '✓'}"


def _memory(row: Row) -> str | None:
    if row.memory is None:
        return None
    count = row.memory.value
    return f"{count / 2**20:.1f}M" if count >= 2**20 else f"{count / 2**10:.1f}K"


def bench_lines(bench: Bench) -> list[tuple[str, str]]:
    """What stands under the table, each with the command that goes with it."""
    lines: list[tuple[str, str]] = []
    lacking: dict[tuple[str, str], list[str]] = {}
    for row in bench.rows:
        if row.missing:
            lacking.setdefault((row.missing, row.mend), []).append(row.name)
        elif row.doubt:
            of = f" ({row.against})" if row.difference is not None else ""
            lines.append((f"{row.name}: {row.doubt}{of}", ""))
        elif row.difference is not None and not row.difference.good:
            # The only one that is off and not doubted, see `choose.doubt`.
            line = (
                f"{row.name}: ~ is what this runtime gives an app: it rounds activations to int8 "
                "before int8 weights, which the reference does not"
            )
            lines.append((line, ""))
    lines += [
        (f"not run: {', '.join(names)}: {why}", mend) for (why, mend), names in lacking.items()
    ]
    for row in bench.rows:
        if row.facts:
            lines.append((f"{row.name}: {', '.join(row.facts)}", ""))
    judged: dict[str, list[str]] = {}
    for row in bench.rows:
        if row.difference is not None:
            judged.setdefault(row.against, []).append(row.name)
    lines += [
        (f"difference of {', '.join(names)}: from {against}", "")
        for against, names in judged.items()
    ]
    if bench.between is not None:
        one, other, apart = bench.between
        lines.append((f"{one} and {other} themselves are {apart} apart on these inputs", ""))
    return lines + [(note, "") for note in _notes(bench)]


def _notes(bench: Bench) -> list[str]:
    """What the figures are of."""
    # Boards have a colon in their names, see `backends.table`.
    boards = {":" in row.name for row in bench.rows if row.ran}
    notes = []
    if False in boards:
        notes += [
            "times include writing the input and reading the output back",
            "memory: the most that the process which ran it took, Python included",
        ]
    if True in boards:
        notes += [
            "a board's times are its own counter's, of computing alone",
            "a board's memory is its RAM: what is set aside, and the stack's high water",
        ]
    return notes


def bench_json(bench: Bench, selection: Selection | None = None) -> dict[str, Any]:
    """Everything that the table and its lines say. Times in seconds, memory in bytes. A `largest`
    difference is null where it has no size: no number was computed, or another shape."""
    found: dict[str, Any] = {
        "schema": SCHEMA,
        "model": {"name": bench.model, "sha256": bench.sha256},
        "source": bench.source,
        "inputs": bench.inputs,
        "good": bench.good,
        "backends": [_row_json(row) for row in bench.rows],
        "notes": _notes(bench),
        "references_apart": None,
    }
    if bench.between is not None:
        one, other, apart = bench.between
        found["references_apart"] = {
            "of": [one, other],
            "largest": finite(apart.largest),
            "relative": apart.relative,
        }
    if selection is not None:
        found["selection"] = {
            "chosen": selection.chosen.name,
            "why": selection.why,
            "passed_over": [{"name": name, "why": why} for name, why in selection.passed_over],
        }
    return found


def _row_json(row: Row) -> dict[str, Any]:
    apart = row.difference
    return {
        "name": row.name,
        "title": row.title,
        "missing": row.missing or None,
        "mend": row.mend or None,
        **{
            key: figure_json(getattr(row, key))
            for key in ("load", "first", "median", "p95", "memory")
        },
        "runs": row.runs,
        "difference": None
        if apart is None
        else {
            "largest": finite(apart.largest),
            "relative": apart.relative,
            "tolerance": apart.tolerance,
            "rounding": apart.rounding,
            "inputs": apart.inputs,
        },
        "against": row.against or None,
        "doubt": row.doubt or None,
        "facts": list(row.facts),
    }
