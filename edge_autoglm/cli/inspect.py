"""`edge-autoglm inspect`: what a model is, what it costs, and what stands in its way."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import BoardsOption, JsonOption, ModelArgument, notes, output, the_board, write_json


def inspect(
    model: ModelArgument,
    board: Annotated[
        str | None,
        typer.Option("--board", "-b", metavar="B", help="Also say whether it fits this board."),
    ] = None,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Show what a model is, costs, and what stands in its way.

    Ops, MACs, tensors and the memory bound; what does not fit or is not supported, and why.
    Exits 1 when the model cannot be exported.
    """
    from edge_autoglm.fit import fit
    from edge_autoglm.report.model import analysis_json, analysis_tables
    from edge_autoglm.report.tables import size, wrapped
    from edge_export.aot.names import layer_names
    from edge_quantize.graph.analysis import analyse
    from edge_quantize.ingest.tflite import read_tflite

    target = the_board(board, boards) if board else None
    graph = read_tflite(model)
    analysis = analyse(graph)
    out = output(json)
    names = layer_names(graph)
    for table in analysis_tables(analysis, names):
        out.print(table)
    at = analysis.operators[analysis.memory_bound_at] if analysis.operators else None
    where = f" at operator {at.index} {at.op}" if at else ""
    # In-place operators may need less than all that is alive at once.
    bound = f"Memory bound, without overlap: {size(analysis.memory_bound)} of activations{where}"
    out.print(bound)
    outcome = fit(graph, target)
    for line in outcome.lines:
        out.print(wrapped(line, "    "), soft_wrap=True)
    write_json(json, {**analysis_json(analysis), **outcome.json()})
    if outcome.problems:
        count = len(outcome.problems)
        stand = "1 problem stands" if count == 1 else f"{count} problems stand"
        notes().print(f"edge-autoglm: {stand} in the way of {graph.name}")
        raise typer.Exit(1)
