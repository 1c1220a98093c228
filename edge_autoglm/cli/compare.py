"""`edge-autoglm compare`: two models, or two profiles, against each other."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import (
    BoardsOption,
    HtmlOption,
    JsonOption,
    SamplesOption,
    ScaleOption,
    any_model,
    command_line,
    data_notes,
    notes,
    output,
    progress,
    the_board,
    write_json,
)

_SIDE = "A model, a bundle of profile (runs/run-001), or a folder with a .tflite."


def compare(
    context: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help=_SIDE)],
    second: Annotated[str, typer.Argument(metavar="B", help="What is compared with it.")],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="D",
            help="Samples to compare outputs on: .npz, .npy, a folder, or MODULE:FUNCTION.",
        ),
    ] = None,
    board: Annotated[
        str | None,
        typer.Option("--board", "-b", metavar="B", help="Also say what each takes of this board."),
    ] = None,
    max_drop: Annotated[
        str | None,
        typer.Option(
            "--max-drop", metavar="P", help="Fail when accuracy drops by more, as 0.5% or 0.005."
        ),
    ] = None,
    min_sqnr: Annotated[
        float | None,
        typer.Option("--min-sqnr", metavar="DB", help="Fail when the outputs' SQNR is lower."),
    ] = None,
    max_slower: Annotated[
        str | None,
        typer.Option(
            "--max-slower", metavar="P", help="Fail when B's profile is slower by more, as 5%."
        ),
    ] = None,
    samples: SamplesOption = None,
    scale: ScaleOption = None,
    boards: BoardsOption = None,
    json: JsonOption = None,
    html: HtmlOption = None,
) -> None:
    """Compare A and B, layer by layer.

    Size, MACs, outputs and the SQNR of each layer, the first layer that hurts; of two bundles
    also cycles and instructions. Exits 1 when a limit does not hold.
    """
    import math
    from dataclasses import replace

    from edge_autoglm.errors import UsageError
    from edge_autoglm.measure.pair import Limits, check_comparable, sample_graph
    from edge_autoglm.measure.pair import compare as run
    from edge_autoglm.measure.sides import on_board, read_side
    from edge_autoglm.quantities import parse_share
    from edge_autoglm.report.html import write_html
    from edge_autoglm.report.pair import pair_json, pair_report
    from edge_autoglm.report.quantization import stages_table
    from edge_autoglm.report.tables import table, wrapped
    from edge_quantize.data import load_samples, range_notes

    limits = Limits(
        None if max_drop is None else parse_share(max_drop, "--max-drop"),
        min_sqnr,
        None if max_slower is None else parse_share(max_slower, "--max-slower", math.inf),
    )
    target = the_board(board, boards) if board else None
    sides = [read_side(source, any_model) for source in (first, second)]
    check_comparable(*sides)
    if target is not None:
        sides = [on_board(side, target) for side in sides]
    found = None
    if data is not None:
        graph = sample_graph(*sides)
        if graph is None:
            raise UsageError("--data: neither of the two has a model at hand to run")
        found = load_samples(
            data, graph, scale=scale, most=samples, least=1, labelled=max_drop is not None
        )
        twins = [side.graph for side in sides if side.graph is not None and side.graph is not graph]
        more = [note for twin in twins for note in range_notes(twin, found)]
        data_notes(replace(found, notes=(*found.notes, *more)))
    if found is None:
        result = run(sides[0], sides[1], None, limits)
    else:
        with progress("comparing") as advance:
            result = run(sides[0], sides[1], found, limits, advance)
    facts = (
        ("A", first),
        ("B", second),
        *((("data", data),) if data else ()),
        ("command", command_line(context)),
    )
    report = pair_report(result, facts)
    output(json).print(stages_table(report.title, report.before, report.after))
    for grid in report.grids:
        output(json).print(table(grid.title, grid.columns, grid.rows))
        if grid.legend:
            output(json).print(wrapped(grid.legend, "  "), soft_wrap=True)
    for note in report.notes:
        output(json).print(wrapped(note, "  "), soft_wrap=True)
    write_html(html, report)
    write_json(json, pair_json(result, report))
    if result.failures:
        notes().print("edge-autoglm: B is worse than the limits allow, see above")
        raise typer.Exit(1)
