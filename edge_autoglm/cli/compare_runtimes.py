"""`edge-autoglm compare-runtimes`: one model ahead of time and under TFLM."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import (
    BoardOption,
    BoardsOption,
    JsonOption,
    KernelsOption,
    ModelArgument,
    PortOption,
    TflmOption,
    ToolchainOption,
    notes,
    output,
    progress,
    the_board,
    write_json,
)


def compare_runtimes(
    model: ModelArgument,
    board: BoardOption,
    port: PortOption = None,
    tflm: TflmOption = None,
    kernels: KernelsOption = None,
    toolchain: ToolchainOption = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Keep the folders that are made there."),
    ] = None,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Set MODEL's runtimes side by side: AOT and TFLM.

    Flash, RAM and, with --port, what an inference costs. Each image is flashed in turn, the
    last one stays. Without a TFLM only what an export tells of it is shown.
    """
    import tempfile
    from contextlib import ExitStack

    from edge_autoglm.measure.compare import compare_runtimes as compare
    from edge_autoglm.report.compare import compare_json, compare_lines, compare_table
    from edge_autoglm.report.tables import wrapped

    aim = the_board(board, boards)
    with ExitStack() as stack:
        folder = out or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-cmp-")))
        advance = stack.enter_context(progress("comparing"))
        result = compare(
            model, aim, folder, port=port, tflm=tflm, kernels=kernels, toolchain=toolchain,
            progress=advance,
        )  # fmt: skip
    if any(side.figures for side in result.sides):
        output(json).print(compare_table(result))
    for line in compare_lines(result):
        output(json).print(wrapped(line, "  "), soft_wrap=True)
    write_json(json, compare_json(result))
    if not result.good:
        told = any(side.figures for side in result.sides)
        why = "what the board computes is not right" if told else "no runtime can have this model"
        notes().print(f"edge-autoglm: {why}, see above")
        raise typer.Exit(1)
