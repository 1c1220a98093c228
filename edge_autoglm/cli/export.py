"""`edge-autoglm export`: a model as C, or as arrays for TFLM."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import (
    BoardOption,
    BoardsOption,
    JsonOption,
    KernelsOption,
    ModelArgument,
    RuntimeOption,
    TflmOption,
    notes,
    output,
    the_board,
    write_json,
)

if TYPE_CHECKING:
    from edge_boards import Board
    from edge_export import TflmExport


def export(
    model: ModelArgument,
    board: BoardOption,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="The folder (default: MODEL_BOARD)."),
    ] = None,
    runtime: RuntimeOption = "aot",
    plan: Annotated[
        Path | None,
        typer.Option("--plan", metavar="FILE", help="A plan.json to follow, changed or not."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option("--labels", metavar="FILE", help="Class names, one a line."),
    ] = None,
    kernels: KernelsOption = None,
    arena: Annotated[
        int | None,
        typer.Option("--arena", metavar="BYTES", min=1, help="TFLM's arena, where not as needed."),
    ] = None,
    no_fuse: Annotated[
        bool,
        typer.Option("--no-fuse", help="Padding and clamps as steps of their own, to compare."),
    ] = False,
    tflm: TflmOption = None,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Write MODEL as C for a board, or as arrays for TFLM.

    The folder holds sources, header, memory plan and build files.
    """
    from edge_autoglm import pipeline
    from edge_autoglm.errors import UsageError
    from edge_autoglm.report.model import export_json, plan_table
    from edge_autoglm.report.tables import size, wrapped
    from edge_autoglm.report.tflm import tflm_json, tflm_lines
    from edge_export import TflmExport

    if tflm is not None and runtime != pipeline.TFLM:
        raise UsageError("--tflm: only with --runtime tflm")
    aim = the_board(board, boards)
    asked = pipeline.Asked(runtime, plan, labels, kernels, arena, not no_fuse)
    result = pipeline.export(model, aim, out, asked, tflm)
    if isinstance(result, TflmExport):
        for line in tflm_lines(result):
            output(json).print(wrapped(line, "  "), soft_wrap=True)
        _say_what_the_build_needs(result, aim, tflm)
        write_json(json, tflm_json(result))
        return
    output(json).print(plan_table(pipeline.plan_of(result)))
    summary = (
        f"{result.directory}: {len(result.sources)} C files, weights {size(result.weight_bytes)}, "
        f"kernels {', '.join(result.kernels)}"
    )
    output(json).print(wrapped(summary, "  "), soft_wrap=True)
    write_json(json, export_json(result))


def _say_what_the_build_needs(result: TflmExport, board: Board, named: Path | None) -> None:
    """TFLM is the user's; the export is done without it."""
    from edge_autoglm import pipeline
    from edge_export import TflmTreeError
    from edge_export.tflm.tree import tree_from_environment, wanted_files

    if named is None and tree_from_environment() is None:
        notes().print("a build needs TFLM, which is not part of this program:")
        for line in wanted_files(board, result.kernels):
            notes().print(f"  {line}", soft_wrap=True)
        return
    try:
        tree = pipeline.tree_for(result, board, named)
    except TflmTreeError as error:
        if named is not None:
            raise
        notes().print(f"a build cannot use the TFLM that the environment names: {error}")
        return
    if tree is not None:
        notes().print(f"a build finds {tree.describe()}", soft_wrap=True)
