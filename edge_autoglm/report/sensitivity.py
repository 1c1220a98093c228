"""What each layer costs, as tables, JSON and charts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .quantization import decibels_text
from .summary import Bar, Bars, Grid, Report, finite, quality_json

if TYPE_CHECKING:
    from edge_quantize.sensitivity import Cost, Sensitivity

SCHEMA = 1
_WORST = 15  # rows of the list of the most expensive
_WHAT = {
    "one": "each layer changed alone, all others float",
    "all-but": "all layers changed but one, which stays float",
}


def sensitivity_report(
    result: Sensitivity, names: Mapping[str, str], facts: tuple[tuple[str, str], ...], title: str
) -> Report:
    """`names` are the layers' short ones by their names in the model."""
    about = (
        f"SQNR of the outputs (before a SOFTMAX), {_WHAT[result.mode.value]}. Ranges from "
        f"{result.calibrated} samples, measured on {result.samples} others."
    )
    plain = (
        "Quantization is plain here and pruning without repair: what works across layers makes "
        "the whole better than these costs together."
    )
    notes = [about, plain]
    if result.uniform:
        whole = ", ".join(f"{name} {decibels_text(q.sqnr_db)} dB" for name, q in result.uniform)
        notes.append(f"All layers changed: {whole}.")
    if result.reference_accuracy is not None:
        notes.append(
            f"The float model answers {100 * result.reference_accuracy:.2f} % right on these "
            "samples."
        )
        notes.append(
            "Sorted by accuracy where its 95 % interval shows a loss, else by SQNR."
            if result.mode.value == "one"
            else "Sorted by accuracy where the 95 % intervals show a gain, else by SQNR."
        )
    if result.doubt:
        notes.append(result.doubt)
    notes += dict.fromkeys(
        f"{names.get(cost.layer, cost.layer)}, {cost.change}: {cost.why_not}"
        for cost in result.costs
        if cost.quality is None
    )
    return Report(
        title,
        grids=(_by_layer(result, names), _worst(result, names)),
        charts=tuple(_chart(result, change, names) for change in result.changes),
        facts=facts,
        notes=tuple(notes),
        layer_names=names,
    )


def _by_layer(result: Sensitivity, names: Mapping[str, str]) -> Grid:
    """One row a layer, one column a change; the layers that cost most first."""
    layers = {(cost.layer, cost.op): {} for cost in result.sorted()}  # type: ignore[var-annotated]
    for cost in result.costs:
        layers[cost.layer, cost.op][cost.change] = cost
    rows = tuple(
        (
            names.get(layer, layer),
            op.lower(),
            *(_decibels(costs.get(change)) for change in result.changes),
        )
        for (layer, op), costs in layers.items()
    )
    title = f"SQNR in dB, {_WHAT[result.mode.value]}"
    return Grid(title, ("~layer", "~op", *(f">{c}" for c in result.changes)), rows)


def _decibels(cost: Cost | None) -> str:
    if cost is None or cost.quality is None:
        return "-"
    return decibels_text(cost.quality.sqnr_db)


def _worst(result: Sensitivity, names: Mapping[str, str]) -> Grid:
    """The changes that cost most (or bring back most), with what is known of the answers."""
    found = [cost for cost in result.sorted() if cost.quality is not None][:_WORST]
    labelled = any(cost.quality and cost.quality.paired_drop for cost in found)
    classes = any(cost.quality and cost.quality.agreement for cost in found)
    columns = ["~layer", "<change", ">SQNR dB"]
    columns += [">same, %"] if classes else [">RMSE"]
    columns += [">lost, points"] if labelled else []
    columns += [">95 % interval"]  # of the last
    rows = []
    for cost in found:
        quality, between = cost.quality, ""
        assert quality is not None
        row: list[object] = [
            names.get(cost.layer, cost.layer), cost.change, decibels_text(quality.sqnr_db)
        ]  # fmt: skip
        if quality.agreement is not None:
            share = quality.agreement
            row.append(f"{100 * share.value:.1f}")
            between = f"{100 * share.low:.1f}..{100 * share.high:.1f}"
        elif quality.error is not None:
            error = quality.error
            row.append(f"{error.value:.3g}")
            between = f"{error.low:.3g}..{error.high:.3g}"
        if quality.paired_drop is not None:
            drop = quality.paired_drop
            row.append(f"{100 * drop.value:.1f}")
            between = f"{100 * drop.low:.1f}..{100 * drop.high:.1f}"
        rows.append((*row, between))
    title = "What costs most" if result.mode.value == "one" else "What brings back most"
    return Grid(title, tuple(columns), tuple(rows))


def _chart(result: Sensitivity, change: str, names: Mapping[str, str]) -> Bars:
    costs = [cost for cost in result.sorted() if cost.change == change]
    whole = dict(result.uniform).get(change)
    line = None
    if whole is not None and finite(whole.sqnr_db) is not None:
        line = (whole.sqnr_db, f"all layers {change}: {whole.sqnr_db:.1f} dB")
    bars = tuple(
        Bar(
            names.get(cost.layer, cost.layer),
            cost.quality.sqnr_db if cost.quality is not None else None,
            marked=number == 0 and cost.quality is not None,
        )
        for number, cost in enumerate(costs)
    )
    text = _order(result, change)
    what = f"{change[1:]} of the channels pruned" if change.startswith("-") else change
    return Bars(f"{what}: {_WHAT[result.mode.value]}", "dB", bars, line, text)


def _order(result: Sensitivity, change: str) -> str:
    """What the order of the bars says."""
    if result.mode.value != "one":
        text = "Longer bars bring back more; the first brings back most."
    else:
        text = "Shorter bars cost more; the first costs most."
    costs = [c.quality for c in result.sorted() if c.change == change and c.quality is not None]
    decibels = [quality.sqnr_db for quality in costs]
    if decibels != sorted(decibels, reverse=result.mode.value != "one"):
        text += " Those stand before all others whose accuracy differs for certain (95 %)."
    return text


def sensitivity_json(
    result: Sensitivity, names: Mapping[str, str], facts: tuple[tuple[str, str], ...]
) -> dict[str, Any]:
    """Everything, costs sorted as in `Sensitivity.sorted`."""
    return {
        "schema": SCHEMA,
        "facts": dict(facts),
        "mode": result.mode.value,
        "samples": {"calibration": result.calibrated, "measured": result.samples},
        "reference_accuracy": result.reference_accuracy,
        "uniform": {change: quality_json(quality) for change, quality in result.uniform},
        "costs": [
            {
                "layer": names.get(cost.layer, cost.layer),
                "tensor": cost.layer,
                "op": cost.op,
                "change": cost.change,
                "quality": quality_json(cost.quality) if cost.quality is not None else None,
                "why_not": cost.why_not or None,
            }
            for cost in result.sorted()
        ],
    }
