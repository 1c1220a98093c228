"""`edge-autoglm export`: a model as C."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import (
    BoardOption,
    BoardsOption,
    JsonOption,
    ModelArgument,
    output,
    the_board,
    write_json,
)


def export(
    model: ModelArgument,
    board: BoardOption,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="The folder (default: MODEL_BOARD)."),
    ] = None,
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="A plan.json to follow, changed or not."),
    ] = None,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Write MODEL as C for a board.

    The folder holds sources, header, memory plan and build files.
    """
    from edge_autoglm import pipeline
    from edge_autoglm.report.model import export_json, plan_table
    from edge_autoglm.report.tables import size, wrapped

    result = pipeline.export(model, the_board(board, boards), out, plan)
    output(json).print(plan_table(pipeline.plan_of(result)))
    summary = (
        f"{result.directory}: {len(result.sources)} C files, weights {size(result.weight_bytes)}, "
        f"kernels {', '.join(result.kernels)}"
    )
    output(json).print(wrapped(summary, "  "), soft_wrap=True)
    write_json(json, export_json(result))
