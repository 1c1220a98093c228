"""`edge-autoglm profile`: what every layer costs on the board as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import (
    BoardOption,
    BoardsOption,
    JsonOption,
    PortOption,
    RunsOption,
    WarmupOption,
    notes,
    output,
    progress,
    the_board,
    write_json,
)

if TYPE_CHECKING:
    from edge_autoglm.device.ports import Port
    from edge_boards import Board

BundleOption = Annotated[
    Path | None,
    typer.Option(
        "--bundle", metavar="DIR", help="Folder for the run's files (default: runs/run-001, ...)."
    ),
]


def profile(
    board: BoardOption,
    port: PortOption = None,
    runs: RunsOption = None,
    warmup: WarmupOption = None,
    model: Annotated[
        str | None, typer.Option("--model", metavar="NAME", help="Where the image has several.")
    ] = None,
    bundle: BundleOption = None,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Profile the firmware on the board, layer by layer."""
    from edge_autoglm.device.ports import find_port

    target = the_board(board, boards)
    check_bundle(bundle)
    found = find_port(target, port or "auto")
    measure(target, found, runs, warmup, model, bundle, json)


def check_bundle(bundle: Path | None) -> None:
    """Refuses a taken folder before the run, not after it. Raises BundleError."""
    if bundle is not None:
        from edge_autoglm.measure.bundle import check_free

        check_free(bundle)


def measure(
    board: Board,
    port: Port,
    runs: int | None,
    warmup: int | None,
    model: str | None,
    bundle: Path | None,
    json: Path | None,
) -> None:
    """Profiles, prints, leaves a bundle; exits 1 when the outputs are not the reference's."""
    from edge_autoglm.measure.run import bundle as leave_bundle
    from edge_autoglm.measure.run import run_profile
    from edge_autoglm.report.profile import profile_json, profile_lines, profile_table
    from edge_autoglm.report.tables import wrapped

    with progress("profiling") as advance:
        result, log = run_profile(
            board, port, runs=runs, warmup=warmup, model=model, progress=advance
        )
    lines = profile_lines(result)
    output(json).print(profile_table(result))
    for line in lines:
        output(json).print(wrapped(line, "  "), soft_wrap=True)
    folder = leave_bundle(result, port, log, lines, bundle)
    notes().print(f"bundle: {folder}", soft_wrap=True)
    write_json(json, profile_json(result))
    if result.verdict is not None and not result.verdict.good:
        notes().print(
            f"edge-autoglm: outputs are {result.verdict}; `edge-autoglm verify` names the first "
            "layer that differs"
        )
        raise typer.Exit(1)
