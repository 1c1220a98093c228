"""`edge-autoglm sensitivity`: what each layer costs if quantized or pruned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from edge_quantize.ptq import Precision

from .common import (
    DataOption,
    HtmlOption,
    JsonOption,
    SamplesOption,
    ScaleOption,
    any_model,
    check_samples,
    command_line,
    data_notes,
    one_of,
    output,
    progress,
    write_json,
)

MODES = ("one", "all-but")
PRECISIONS = ("int8", "int16x8", "int4")
_DEFAULT_SAMPLES = 128
_LEAST_SAMPLES = 4


def sensitivity(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A float model: .tflite, or what convert takes.")
    ],
    data: DataOption,
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            metavar="M",
            callback=one_of("--mode", MODES),
            help="one: a layer changed, the others float. all-but: that layer alone left float.",
        ),
    ] = "one",
    precision: Annotated[
        str,
        typer.Option(
            "--precision",
            metavar="P,...",
            help="Of int8, int16x8 and int4; or none.",
        ),
    ] = ",".join(PRECISIONS),
    sparsity: Annotated[
        str,
        typer.Option(
            "--sparsity", metavar="S,...", help="Shares of channels to prune, 25% or 0.25; or none."
        ),
    ] = "25%,50%",
    samples: SamplesOption = None,
    scale: ScaleOption = None,
    json: JsonOption = None,
    html: HtmlOption = None,
) -> None:
    """Show what each layer costs if quantized or pruned.

    Half of the samples give the ranges, the others measure (of 128 together, evenly of all,
    unless --samples says otherwise). Labels, where there are any, give accuracy with its interval.
    """
    from edge_autoglm.errors import UsageError
    from edge_autoglm.report.html import write_html
    from edge_autoglm.report.sensitivity import sensitivity_json, sensitivity_report
    from edge_autoglm.report.summary import short_names
    from edge_autoglm.report.tables import table, wrapped
    from edge_quantize.data import load_samples
    from edge_quantize.ptq.prepare import float_graph
    from edge_quantize.sensitivity import Mode, Study
    from edge_quantize.sensitivity import sensitivity as run

    if not _listed(precision) and not _listed(sparsity):
        raise UsageError("neither --precision nor --sparsity: nothing to measure")
    study = Study(_precisions(precision), _shares(sparsity), Mode(mode))
    check_samples(samples, _LEAST_SAMPLES)
    graph = float_graph(any_model(model))
    most = samples or _DEFAULT_SAMPLES
    found = load_samples(data, graph, scale=scale, most=most, least=_LEAST_SAMPLES)
    data_notes(found)
    with progress("measuring layers") as advance:
        result = run(graph, found, study, advance)
    names = short_names(graph)
    facts = (
        ("model", model),
        ("data", data),
        ("command", command_line(context)),
    )
    report = sensitivity_report(result, names, facts, f"What each layer of {graph.name} costs")
    for grid in report.grids:
        output(json).print(table(grid.title, grid.columns, grid.rows))
    for note in report.notes:
        output(json).print(wrapped(note, "  "), soft_wrap=True)
    write_html(html, report)
    write_json(json, sensitivity_json(result, names, facts))


def _listed(text: str) -> list[str]:
    parts = [part.strip() for part in text.split(",") if part.strip()]
    return [] if parts == ["none"] else parts


def _precisions(text: str) -> tuple[Precision, ...]:
    from edge_autoglm.errors import UsageError
    from edge_quantize.ptq import Precision

    wrong = [part for part in _listed(text) if part not in PRECISIONS]
    if wrong:
        raise UsageError(f"--precision: no {wrong[0]!r}; of {', '.join(PRECISIONS)}, or none")
    return tuple(Precision(part) for part in dict.fromkeys(_listed(text)))


def _shares(text: str) -> tuple[float, ...]:
    from edge_autoglm.quantities import parse_part

    return tuple(dict.fromkeys(parse_part(part, "--sparsity") for part in _listed(text)))
