"""What `quantize` did: each layer's precision, sizes, and what was lost on samples held back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_quantize.data import Samples
from edge_quantize.graph import Graph, Operator
from edge_quantize.graph.analysis import parameters
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ptq import Quantized
from edge_quantize.quality import LayerQuality, Quality, evaluate, layer_sqnr, logits

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

Progress = Callable[[int, int, str], None]


def quantized_report(
    before: Graph,
    result: Quantized,
    held: Samples | None,
    file_bytes: int,
    progress: Progress | None = None,
    facts: tuple[tuple[str, str], ...] = (),
) -> Report:
    """`before` is the float model, `held` samples that the ranges do not come from (None: there
    are none, and nothing is measured)."""
    after = result.graph
    names = {**short_names(after), **short_names(before)}
    first = graph_figures(before, len(write_tflite(before)))
    second = graph_figures(after, file_bytes)
    layers: tuple[LayerQuality, ...] = ()
    quality: Quality | None = None
    if held is not None:
        quality = _quality(before, after, held, progress)
        layers = layer_sqnr(result.floating, after, held)
        for figures, more in zip((first, second), quality_figures(quality), strict=True):
            figures.update(more)
    report = Report(
        f"{before.name}, quantized",
        before=Stage("float", first),
        after=Stage("quantized", second),
        layers=layers,
        grids=(_grid(result, layers, names),),
        facts=facts,
        layer_names=names,
    )
    lines = ["Nothing was measured: no samples were held back."]
    if held is not None and quality is not None:
        lost = quality_lines(quality, report)
        lines = [f"On {len(held)} samples held back: {line}." for line in lost]
    return replace(report, notes=(*result.notes, *lines))


def _quality(before: Graph, after: Graph, held: Samples, progress: Progress | None) -> Quality:
    def say(done: int, total: int) -> None:
        if progress is not None:
            progress(done, total, "measuring")

    return evaluate(logits(after), held, logits(before), say)


def _grid(result: Quantized, layers: tuple[LayerQuality, ...], names: dict[str, str]) -> Grid:
    found = {layer.name: layer for layer in layers}
    operators = {result.graph.layer_name(o): o for o in result.graph.operators}
    rows = []
    for number, (name, op, precision) in enumerate(result.layers):
        layer = found.get(name)
        operator = operators.get(name)
        rows.append(
            (
                number,
                names.get(name, name),
                op.lower(),
                precision.value,
                _constant_bytes(result.graph, operator) if operator is not None else None,
                decibels_text(layer.sqnr_db) if layer is not None else None,
                "hurts" if layer is not None and layer.hurts else "",
            )
        )
    return Grid(
        "What each layer became",
        (">#", "~layer", "~op", "<precision", ">constants B", ">SQNR dB", "<"),
        tuple(rows),
    )


def _constant_bytes(graph: Graph, operator: Operator) -> int:
    return sum(tensor.nbytes for tensor in parameters(graph, operator))


def quantized_json(result: Quantized, report: Report, path: Path) -> dict[str, Any]:
    return {
        **report_json(report),
        "file": str(path),
        "precisions": [
            {"name": report.called(name), "tensor": name, "op": op, "precision": precision.value}
            for name, op, precision in result.layers
        ],
    }
