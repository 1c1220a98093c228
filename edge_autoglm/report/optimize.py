"""What `optimize` found, as a report and as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from edge_autoglm.measure.figures import Kind
from edge_autoglm.search.entry import cost_figures
from edge_quantize.graph.writer import write_tflite
from edge_quantize.layer_quality import HURTS_DB, first_that_hurts, layers_of

from .quantization import decibels_text, skipped_text
from .summary import (
    Grid,
    Point,
    Report,
    Stage,
    Value,
    graph_figures,
    layer_json,
    short_names,
)

if TYPE_CHECKING:
    from edge_autoglm.search.entry import Entry
    from edge_autoglm.search.optimize import Outcome

_SHOWN = ("flash", "ram", "latency_ms", "drop", "agreement", "sqnr_db")


def outcome_report(outcome: Outcome) -> Report:
    """The report: before and after, the points, what was asked."""
    chosen = outcome.chosen
    before: dict[str, Value] = dict(
        graph_figures(outcome.original, len(write_tflite(outcome.original)))
    )
    if outcome.before is not None:
        before |= cost_figures(outcome.before)
    worth = chosen.worth
    if worth is not None and worth.reference_accuracy is not None:
        before["accuracy"] = worth.reference_accuracy
    points = _points(outcome)
    return Report(
        title=f"{outcome.original.name} on {outcome.board.title}",
        before=Stage("before", before),
        after=Stage("after", chosen.figures()),
        points=points if len(points) > 1 else (),
        points_text=(
            f"Of {outcome.evaluated} points evaluated: the best, which were built, and those that "
            "no other beat in latency, flash and error"
        ),
        axes=(("latency_ms", "flash"), (_error_key(outcome), "flash")),
        layers=chosen.layers,
        grids=(_memory(chosen),),
        facts=facts(outcome),
        notes=(*outcome.notes, *_layer_notes(outcome)),
        layer_names=short_names(outcome.original),
    )


def _layer_notes(outcome: Outcome) -> tuple[str, ...]:
    """The first layer of the chosen model that hurts, and how many could not be compared."""
    layers = outcome.chosen.layers
    if outcome.chosen.worth is None:
        return ()
    total = len(layers_of(outcome.original))
    first = first_that_hurts(layers)
    found = []
    if first is not None:
        name = short_names(outcome.original).get(first.name, first.name)
        found.append(
            f"the first layer that hurts: {name} ({first.op}), {decibels_text(first.sqnr_db)} dB"
            f"{skipped_text(first)}"
        )
    elif layers:
        found.append(f"no layer is under {HURTS_DB:g} dB, SOFTMAX aside")
    if len(layers) < total:
        found.append(
            f"{total - len(layers)} of {total} layers have no SQNR: pruned or folded, they are not "
            "the float model's any more"
        )
    return tuple(found)


def facts(outcome: Outcome) -> tuple[tuple[str, str], ...]:
    """What was asked and found, in pairs."""
    chosen = outcome.chosen
    found = [
        ("model", f"{outcome.original.name}, SHA-256 {outcome.original.sha256[:16] or 'none'}"),
        ("board", f"{outcome.board.title} ({outcome.board.name})"),
        ("level", str(outcome.asked.level)),
        ("budget", str(outcome.asked.budget)),
    ]
    if outcome.asked.level >= 3:
        counted = f"{outcome.evaluated} evaluated, {outcome.refused} refused by memory plan"
        counted += f", {outcome.wrong} came out wrong" if outcome.wrong else ""
        found.append(("points", counted))
    if chosen.choice is not None:
        found.append(("chosen", f"{chosen.name}: {chosen.choice}"))
    if chosen.worth is not None:
        found.append(("judged by", f"{chosen.worth.samples} samples held back"))
    return tuple(found)


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """For programs."""
    names = short_names(outcome.original)
    return {
        "schema": 1,
        "model": outcome.original.name,
        "model_sha256": outcome.original.sha256,
        "board": outcome.board.name,
        "level": outcome.asked.level,
        "fuse_ops": outcome.asked.fuse_ops,
        "seed": outcome.asked.seed,
        "budget": outcome.asked.budget.json(),
        "evaluated": outcome.evaluated,
        "refused": outcome.refused,
        "wrong": outcome.wrong,
        "chosen": outcome.chosen.name,
        "points": [entry.numbers() for entry in outcome.points],
        "layers": [
            layer_json(layer, names.get(layer.name, layer.name)) for layer in outcome.chosen.layers
        ],
        "notes": [*outcome.notes, *_layer_notes(outcome)],
    }


def _points(outcome: Outcome) -> tuple[Point, ...]:
    """Kinds are not mixed in one table: modelled figures where one point was not built."""
    built = all(entry.measured is not None for entry in outcome.points)
    figures = [e.figures() | ({} if built else cost_figures(e.costs)) for e in outcome.points]
    costs = [_costs(e, found) for e, found in zip(outcome.points, figures, strict=True)]
    return tuple(
        Point(
            name=entry.name,
            figures={key: found[key] for key in _SHOWN if key in found},
            chosen=entry.name == outcome.chosen.name,
            front=not any(_beats(other, mine) for other in costs),
        )
        for entry, found, mine in zip(outcome.points, figures, costs, strict=True)
    )


def _costs(entry: Entry, figures: Mapping[str, Value]) -> tuple[float, ...]:
    """Latency, flash and error, as the search weighs them."""
    error = entry.worth.error.value if entry.worth is not None else 0.0
    return (*(figures[key].value for key in ("latency_ms", "flash") if key in figures), error)


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))


def _error_key(outcome: Outcome) -> str:
    figures = outcome.chosen.figures()
    return next((key for key in ("drop", "agreement", "sqnr_db") if key in figures), "sqnr_db")


def _memory(entry: Entry) -> Grid:
    """Where the chosen model's bytes go."""
    foot, measured = entry.costs.footprint, entry.measured
    exact, modelled = Kind.EXACT.value, Kind.MODELLED.value
    rows: list[tuple[object, ...]] = [
        ("flash", "constants", foot.constants, exact),
        ("flash", "code", foot.code, modelled),
        ("RAM", "arena", foot.arena, exact),
        ("RAM", "static", foot.static_ram, modelled),
        ("RAM", "stack", foot.stack, "estimate from above"),
    ]
    if measured is not None:
        rows[1] = ("flash", "code", measured.flash - foot.constants, exact)
        rows[3] = ("RAM", "static", measured.static_ram - foot.arena, exact)
        if measured.stack is not None:
            rows[4] = ("RAM", "stack", measured.stack, Kind.MEASURED.value)
    return Grid("Memory of the chosen model", ("<memory", "<what", ">bytes", "<kind"), tuple(rows))
