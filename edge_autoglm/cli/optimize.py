"""`edge-autoglm optimize`: a model into a board's budget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import (
    BoardOption,
    BoardsOption,
    JsonOption,
    SamplesOption,
    ScaleOption,
    check_samples,
    data_notes,
    notes,
    output,
    the_board,
    write_json,
)

if TYPE_CHECKING:
    from edge_autoglm.search.optimize import Outcome
    from edge_quantize.data import Samples
    from edge_quantize.graph import Graph


def optimize(
    model: Annotated[
        str,
        typer.Argument(metavar="MODEL", help="A float model of any kind; int8 for --level 0, 1."),
    ],
    board: BoardOption,
    out: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The folder for the results.")
    ],
    data: Annotated[
        str | None,
        typer.Option("--data", metavar="D", help="Samples: .npz, .npy, a folder, MODULE:FUNCTION."),
    ] = None,
    level: Annotated[
        int,
        typer.Option(
            "--level",
            metavar="0..3",
            help="0 the format, 1 what is lossless, 2 and int8, 3 and pruning, mixed precision "
            "and a search.",
        ),
    ] = 3,
    max_ram: Annotated[
        str | None,
        typer.Option("--max-ram", metavar="SIZE", help="Static RAM and stack: 64k (65,536 B)."),
    ] = None,
    max_flash: Annotated[
        str | None, typer.Option("--max-flash", metavar="SIZE", help="The whole image: 256k, 90kB.")
    ] = None,
    max_latency: Annotated[
        str | None, typer.Option("--max-latency", metavar="TIME", help="One inference: 20ms.")
    ] = None,
    max_drop: Annotated[
        str | None,
        typer.Option("--max-drop", metavar="PART", help="Accuracy lost against the float: 0.5%."),
    ] = None,
    trials: Annotated[
        int, typer.Option("--trials", metavar="N", help="Points evaluated by the whole study.")
    ] = 40,
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage",
            metavar="URL",
            help="Where the study is kept, for several machines: sqlite:///FILE, another Optuna "
            "URL, or journal:FILE (default: a journal in DIR).",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Of split and search.")
    ] = 0,
    held_back: Annotated[
        float,
        typer.Option("--held-back", metavar="PART", help="Samples that judge: 0 to 1."),
    ] = 0.3,
    samples: SamplesOption = None,
    scale: ScaleOption = None,
    fuse: Annotated[
        bool, typer.Option("--fuse/--no-fuse", help="Pad and clamp within other steps.")
    ] = True,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Shrink MODEL into a board's budget.

    DIR gets the points that no other beats, the one chosen with its C, and a report. The command
    goes on where it was interrupted.
    """
    from edge_autoglm.errors import UsageError
    from edge_autoglm.report.optimize import outcome_json, outcome_report
    from edge_autoglm.report.quantization import report_tables
    from edge_autoglm.report.tables import wrapped
    from edge_autoglm.search.api import read_model
    from edge_autoglm.search.budget import Budget
    from edge_autoglm.search.folder import ResultFolder
    from edge_autoglm.search.optimize import Asked, optimize_graph
    from edge_boards.errors import UnknownBoardError
    from edge_quantize.data import load_samples

    budget = Budget.parse(max_ram, max_flash, max_latency, max_drop)
    asked = Asked(level, budget, fuse, trials, storage, seed, held_back)
    asked.check()
    check_samples(samples)
    try:
        aim = the_board(board, boards)
    except UnknownBoardError as error:
        raise UsageError(str(error)) from error
    ResultFolder(out).check(level=level)
    graph = read_model(model)

    def load(floating: Graph) -> Samples:
        assert data is not None
        found = load_samples(data, floating, scale=scale, most=samples)
        data_notes(found)
        return found

    say = notes()
    try:
        outcome = optimize_graph(
            graph,
            aim,
            asked,
            load if data else None,
            out,
            lambda text: say.print(text, soft_wrap=True),
        )
    except KeyboardInterrupt:
        if level >= 3 and out.is_dir():
            say.print(f"the same command goes on from here; the study is in {storage or out}")
        raise
    report = outcome_report(outcome)
    console = output(json)
    for table in report_tables(report):
        console.print(table)
    for line in (*report.notes, *_ending(outcome, out)):
        console.print(wrapped(line, "  "), soft_wrap=True)
    write_json(json, outcome_json(outcome))


def _ending(outcome: Outcome, folder: Path) -> list[str]:
    """Where to go on from here."""
    chosen = outcome.chosen
    model = chosen.file(folder / "chosen")
    said = [f"chosen: {chosen.name}" + (f", {chosen.choice}" if chosen.choice else "")]
    said.append(f"{model}, its C in {folder / 'chosen' / 'c'}; report: {folder / 'report.html'}")
    return said
