"""`edge-autoglm build`: an exported folder as an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import (
    BoardsOption,
    JsonOption,
    TflmOption,
    ToolchainOption,
    WithOption,
    output,
    progress,
    shown,
    the_board,
    write_json,
)


def build(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `export` wrote.")],
    toolchain: ToolchainOption = None,
    tflm: TflmOption = None,
    with_: WithOption = None,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Build an exported folder and report its size.

    DIR is built with the profile app; the sizes stand against the board's memories.
    """
    from edge_autoglm import pipeline
    from edge_autoglm.errors import UsageError
    from edge_autoglm.report.sizes import size_json, size_tables
    from edge_export import load_export

    if folder.is_file():
        raise UsageError(
            f"{folder} is a file, not an exported folder: `export` the model first, or give it to "
            "`flash`, which does all of it"
        )
    exported = load_export(folder)
    board = the_board(exported.board, boards)
    builder = pipeline.builder(board, toolchain, with_)
    with progress("compiling") as advance:
        built = pipeline.build(exported, board, toolchain, advance, builder, tflm)
    out = output(json)
    for table in size_tables(built.image.sizes):
        out.print(table)
    out.print(f"compiler: {built.toolchain}", soft_wrap=True)
    out.print(f"build: {built.image.build_id.hex()}")
    out.print(f"image: {shown(built.image.elf)}", soft_wrap=True)
    if built.image.project is not None:
        out.print(f"project: {shown(built.image.project)}", soft_wrap=True)
    write_json(
        json,
        {
            "schema": 1,
            "elf": str(built.image.elf),
            "binary": str(built.image.binary),
            "map": str(built.image.map),
            "build_id": built.image.build_id.hex(),
            "toolchain": built.toolchain,
            "project": None if built.image.project is None else str(built.image.project),
            **size_json(built.image.sizes),
        },
    )
