"""`edge-autoglm doctor`: what this machine can do, and the command that mends what it cannot."""

from __future__ import annotations

from typing import Annotated

import typer

from .common import BoardsOption, JsonOption, notes, output, the_board, write_json


def doctor(
    board: Annotated[
        str | None,
        typer.Option(
            "--board", "-b", metavar="B", help="Of programmers only B's, and whether B is attached."
        ),
    ] = None,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Check compilers, programmers, ports, extras. Exits 1 when something needed is missing."""
    from dataclasses import asdict

    from edge_autoglm.doctor import checks
    from edge_autoglm.report.tables import wrapped

    found = checks(the_board(board, boards) if board is not None else None)
    out = output(json)
    for check in found:
        mark = "ok" if check.ok else "MISSING" if check.needed else "absent"
        out.print(wrapped(f"{mark:8}{check.name}: {check.detail}", " " * 8), soft_wrap=True)
        if check.mend:
            # Not wrapped: it is there to be copied.
            out.print(f"        -> {check.mend}", soft_wrap=True)
    write_json(json, {"schema": 1, "checks": [asdict(check) for check in found]})
    missing = [check.name for check in found if check.needed and not check.ok]
    if missing:
        notes().print(f"edge-autoglm: needed and missing: {', '.join(missing)}")
        raise typer.Exit(1)
