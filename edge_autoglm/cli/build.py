"""`edge-autoglm build`: an exported folder as an image."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .common import (
    BoardsOption,
    JsonOption,
    ToolchainOption,
    output,
    progress,
    the_board,
    write_json,
)


def build(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `export` wrote.")],
    toolchain: ToolchainOption = None,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Build DIR with the profile app and report its size against the board's memories."""
    from edge_autoglm import pipeline
    from edge_autoglm.report.sizes import size_json, size_tables
    from edge_export import load_export

    exported = load_export(folder)
    with progress("compiling") as advance:
        built = pipeline.build(exported, the_board(exported.board, boards), toolchain, advance)
    for table in size_tables(built.image.sizes):
        output(json).print(table)
    output(json).print(f"compiler: {built.toolchain}")
    output(json).print(f"image: {built.image.elf}, build {built.image.build_id.hex()}")
    write_json(
        json,
        {
            "schema": 1,
            "elf": str(built.image.elf),
            "binary": str(built.image.binary),
            "map": str(built.image.map),
            "build_id": built.image.build_id.hex(),
            "toolchain": built.toolchain,
            **size_json(built.image.sizes),
        },
    )
