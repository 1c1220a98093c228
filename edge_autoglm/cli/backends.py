"""`edge-autoglm backends`: what can run a model here, and the command that brings what cannot."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import BoardsOption, JsonOption, output, the_board, write_json


def backends(
    board: Annotated[
        str | None,
        typer.Option("--board", "-b", metavar="B", help="Also the board B, virtual and real."),
    ] = None,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """List what can run a model: runtimes, GPUs, C, boards.

    ok: usable; checks: usable for checking results, too slow for more; absent: with the reason.
    """
    from edge_autoglm.backends import find_backend, host_backends
    from edge_autoglm.report.backends import backends_json, backends_lines
    from edge_autoglm.report.tables import wrapped

    found = [*host_backends()]
    if board is not None:
        found += [
            find_backend(f"{kind}:{board}", lambda name: the_board(name, boards))
            for kind in ("virtual", "board")
        ]
    looked = [(backend, backend.available()) for backend in found]
    out = output(json)
    for line, mend in backends_lines(looked):
        out.print(wrapped(line, " " * 8), soft_wrap=True)
        if mend:
            # Not wrapped: it is there to be copied.
            out.print(f"        -> {mend}", soft_wrap=True)
    if board is None:
        out.print("        virtual:BOARD, board:BOARD, board:BOARD@PORT: named, or with --board")
    write_json(json, backends_json(looked))
