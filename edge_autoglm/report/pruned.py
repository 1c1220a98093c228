"""What `prune` did: channels and MACs layer by layer, or what compresses, and what was lost."""

from __future__ import annotations

from typing import Any

from edge_autoglm.measure.figures import Figure, Kind
from edge_autoglm.pruning import Outcome, Request
from edge_quantize.graph.analysis import operator_macs
from edge_quantize.graph.writer import write_tflite
from edge_quantize.prune import Pruned, Stored, Structured, stored_int8
from edge_quantize.quality import Quality

from .quantization import decibels_text, quality_lines
from .summary import (
    Grid,
    Report,
    Stage,
    graph_figures,
    quality_figures,
    report_json,
    short_names,
)

Facts = tuple[tuple[str, str], ...]
Row = dict[str, Any]


def pruned_report(request: Request, outcome: Outcome, facts: Facts = ()) -> Report:
    names = short_names(outcome.original)
    first = graph_figures(outcome.original, len(write_tflite(outcome.original)))
    second = graph_figures(outcome.result)
    second["file_bytes"] = Figure(len(outcome.content), Kind.EXACT)
    if request.target.suffix == ".keras":  # two formats' sizes say nothing beside each other
        del first["file_bytes"], second["file_bytes"]
    notes = []
    if outcome.qualities:
        stage, quality = outcome.qualities[-1]
        for figures, more in zip((first, second), quality_figures(quality), strict=True):
            figures.update(more)
        where = (
            f"On the {quality.samples} samples that pruning saw too (too few to hold any back)"
            if outcome.shared
            else f"On {quality.samples} samples held back"
        )
        notes += [f"{where}, {stage}: {line}." for line in quality_lines(quality)]
    else:
        notes.append("Nothing was measured: there is no data.")
    grids = []
    if isinstance(outcome.done, Pruned):
        title = "Channels and MACs, layer by layer"
        columns = ("~layer", "~op", ">kept", ">of", ">MACs before", ">after", ">%")
        rows = [(names.get(r["tensor"], r["tensor"]), *_cells(r)) for r in layer_rows(outcome)]
        grids.append(Grid(title, columns, tuple(rows)))
        if len(outcome.qualities) > 1:
            grids.append(_stages_grid(outcome.qualities))
        if outcome.done.macs_after and isinstance(request.what, Structured):
            notes.append(_asked(request.what, outcome.done))
    else:
        title = "Weights, layer by layer"
        weight_rows = [
            (names.get(la.name, la.name), la.weights, la.zeros, la.distinct)
            for la in outcome.done.layers
        ]
        counted = ("~layer", ">weights", ">zeros", ">distinct values")
        grids += [Grid(title, counted, tuple(weight_rows)), _stored_grid(outcome)]
        notes.append(
            "MACs, RAM and time stay as they were: kernels multiply by zero as by anything else. "
            "Flash is saved only where the model is stored compressed, by at most what the table "
            "of compressed sizes says."
        )
    return Report(
        f"{outcome.original.name}, pruned",
        before=Stage("before", first),
        after=Stage("after", second),
        grids=tuple(grids),
        facts=facts,
        notes=tuple(notes),
        layer_names=names,
    )


def layer_rows(outcome: Outcome) -> list[Row]:
    """Each layer with weights: channels of its output and MACs, before and after."""
    new = outcome.done.graph  # whose operators have the original's numbers
    rows = []
    for old in outcome.original.operators:
        macs = operator_macs(outcome.original, old)
        if not macs:
            continue
        rows.append(
            {
                "tensor": outcome.original.layer_name(old),
                "op": old.op,
                "channels_before": outcome.original.results(old)[0].shape[-1],
                "channels_after": new.results(new.operators[old.index])[0].shape[-1],
                "macs_before": macs,
                "macs_after": operator_macs(new, new.operators[old.index]),
            }
        )
    return rows


def _cells(row: Row) -> tuple[object, ...]:
    share = 100 * row["macs_after"] / row["macs_before"]
    return (
        row["op"].lower(), row["channels_after"], row["channels_before"],
        row["macs_before"], row["macs_after"], f"{share:.0f}",
    )  # fmt: skip


def _asked(what: Structured, done: Pruned) -> str:
    removed = sum(len(layer.removed) for layer in done.layers)
    total = sum(layer.channels for layer in done.layers)
    asked = (
        f"at most {what.target_macs:,} MACs were asked for"
        if what.target_macs is not None
        else f"{what.sparsity:.1%} were asked for"
    )
    return (
        f"{removed} of {total} channels that can go are gone ({removed / total:.1%}); {asked}; "
        f"layers that gave channels keep a multiple of {what.align}."
    )


def _stages_grid(qualities: tuple[tuple[str, Quality], ...]) -> Grid:
    rows = []
    for name, quality in qualities:
        accuracy, agreement = quality.accuracy, quality.agreement
        rows.append(
            (
                name,
                decibels_text(quality.sqnr_db),
                f"{quality.rmse:.4g}",
                f"{100 * agreement.value:.2f}" if agreement is not None else None,
                f"{100 * accuracy.value:.2f}" if accuracy is not None else None,
            )
        )
    columns = ("<stage", ">SQNR dB", ">RMSE", ">same answer %", ">accuracy %")
    return Grid("Against the original, stage by stage (measured)", columns, tuple(rows))


def stored_sizes(outcome: Outcome) -> list[tuple[str, Stored, Stored]]:
    """(scales, before, after) of the weights as int8."""
    return [
        (name, stored_int8(outcome.original, each), stored_int8(outcome.result, each))
        for name, each in (("one a channel", True), ("one a layer", False))
    ]


def _stored_grid(outcome: Outcome) -> Grid:
    rows = [
        (name, before.plain, before.compressed, after.compressed,
         f"{100 * (after.compressed / before.compressed - 1):+.1f}")
        for name, before, after in stored_sizes(outcome)
    ]  # fmt: skip
    columns = ("<int8 scales", ">weights B", ">deflated before", ">after", ">%")
    return Grid("Weights as int8, deflated (zlib -9, exact)", columns, tuple(rows))


def pruned_json(request: Request, outcome: Outcome, report: Report) -> dict[str, Any]:
    found = {**report_json(report), "file": str(request.target)}
    if isinstance(outcome.done, Pruned):
        done = outcome.done
        found["removed"] = [
            {"name": report.called(la.name), "tensor": la.name, "channels": la.channels,
             "removed": list(la.removed)}
            for la in done.layers
        ]  # fmt: skip
        found["pruned_layers"] = [
            {"name": report.called(row["tensor"]), **row} for row in layer_rows(outcome)
        ]
        found["repairs"] = [
            {"name": report.called(r.name), "error_before": r.error_before,
             "error_after": r.error_after}
            for r in done.repairs
        ]  # fmt: skip
        found["stages"] = [
            {"stage": name, "samples": q.samples, "rmse": q.rmse,
             "accuracy": q.accuracy.value if q.accuracy is not None else None,
             "agreement": q.agreement.value if q.agreement is not None else None}
            for name, q in outcome.qualities
        ]  # fmt: skip
    else:
        found["weights"] = [
            {"name": report.called(la.name), "tensor": la.name, "weights": la.weights,
             "zeros": la.zeros, "distinct": la.distinct}
            for la in outcome.done.layers
        ]  # fmt: skip
        found["int8_deflated"] = [
            {"scales": name, "bytes": before.plain, "before": before.compressed,
             "after": after.compressed}
            for name, before, after in stored_sizes(outcome)
        ]  # fmt: skip
    return found
