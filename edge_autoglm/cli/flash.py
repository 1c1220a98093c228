"""`edge-autoglm flash`: a model or an exported folder onto a board, and profile it there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from edge_boards.schema import PROGRAMMERS

from .common import (
    BoardOption,
    BoardsOption,
    JsonOption,
    PortOption,
    RunsOption,
    RuntimeOption,
    TflmOption,
    ToolchainOption,
    WarmupOption,
    notes,
    output,
    progress,
    shown,
    the_board,
    write_json,
)
from .profile import BundleOption, check_bundle, measure

if TYPE_CHECKING:
    from edge_boards import Board


def _programmer(name: str | None) -> str | None:
    """Refuses a programmer that no board has before any work is done."""
    if name is not None and name not in PROGRAMMERS:
        from edge_autoglm.errors import UsageError

        raise UsageError(f"--programmer: no {name!r}; one of {', '.join(PROGRAMMERS)}")
    return name


def flash(
    target: Annotated[
        Path, typer.Argument(metavar="DIR|MODEL", help="An exported folder, or a .tflite file.")
    ],
    board: BoardOption,
    port: PortOption = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Profile it when it is flashed.")
    ] = False,
    programmer: Annotated[
        str | None,
        typer.Option(
            "--programmer",
            metavar="P",
            callback=_programmer,
            help="One of the board file's; by default the first that serves: "
            f"{', '.join(PROGRAMMERS)}.",
        ),
    ] = None,
    probe: Annotated[
        str | None,
        typer.Option(
            "--probe",
            metavar="SERIAL",
            help="The debug probe's serial number (or a bootloader's), where there are several.",
        ),
    ] = None,
    console: Annotated[
        str | None,
        typer.Option("--console", metavar="PORT", help="The console, where --port is another."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="DIR", help="Where a MODEL is exported to."),
    ] = None,
    runtime: RuntimeOption = "aot",
    tflm: TflmOption = None,
    toolchain: ToolchainOption = None,
    runs: RunsOption = None,
    warmup: WarmupOption = None,
    bundle: BundleOption = None,
    boards: BoardsOption = None,
    json: JsonOption = None,
) -> None:
    """Flash DIR or MODEL, exported and built as needed.

    After flashing, the build id and the model's hash are read back from the board.
    """
    from edge_autoglm import pipeline
    from edge_autoglm.flash import flash_image
    from edge_autoglm.measure.builds import remember
    from edge_autoglm.report.tables import wrapped

    aim = the_board(board, boards)
    _check_options(profile, port, programmer, console, probe, runs, warmup, bundle)
    check_bundle(bundle)
    pipeline.builder(aim, toolchain)
    _check_attached(aim, port or "auto", programmer, probe)
    exported = pipeline.exported(target, aim, out, pipeline.Asked(runtime))
    pipeline.check_board(exported, aim)
    with progress("compiling") as advance:
        built = pipeline.build(exported, aim, toolchain, advance, tflm=tflm)
    plan = exported.directory / "plan.json"
    remember(built.image, target if target.is_file() else None, plan if plan.is_file() else None)
    notes().print(f"image: {shown(built.image.elf)}", soft_wrap=True)
    notes().print(f"{built.image.sizes.flash:,} B of flash, compiled by {built.toolchain}")
    try:
        with progress("flashing") as advance:
            result = flash_image(
                aim,
                built.image,
                port or "auto",
                console=console,
                programmer=programmer,
                probe=probe,
                models={exported.name: bytes.fromhex(exported.model_sha256)},
                progress=advance,
            )
    except KeyboardInterrupt as interrupt:
        if str(interrupt):  # a programmer says what state it left the board in
            notes().print(str(interrupt), soft_wrap=True)
        raise
    done = (
        f"flashed {exported.name} ({result.size:,} B) to {result.port.name} by "
        f"{result.programmer} in {result.seconds:.1f} s; build {built.image.build_id.hex()} read "
        "back and equal"
    )
    output(json).print(wrapped(done, "  "), soft_wrap=True)
    if profile:
        measure(aim, result.port, runs, warmup, exported.name, bundle, json)
    else:
        write_json(
            json,
            {
                "schema": 1,
                "board": aim.name,
                "programmer": result.programmer,
                "build_id": built.image.build_id.hex(),
                "model": {"name": exported.name, "sha256": exported.model_sha256},
            },
        )


def _check_attached(board: Board, port: str, programmer: str | None, probe: str | None) -> None:
    """Says which programmer it will be, or that there is no board before any work is done for it.

    Raises FlashError, TransportError, VirtualBoardError.
    """
    from edge_autoglm.flash.choice import choose_programmer

    if port == "virtual":
        # Only a virtual board loads what belongs to virtual boards.
        from edge_boards.virtual import client

        if client.attach(board) is None:
            client.check_needs(board)
        return
    choice = choose_programmer(board, port, programmer, probe)
    notes().print(f"programmer: {choice.describe()}", soft_wrap=True)


def _check_options(
    profile: bool,
    port: str | None,
    programmer: str | None,
    console: str | None,
    probe: str | None,
    runs: int | None,
    warmup: int | None,
    bundle: Path | None,
) -> None:
    """Refuses options that would go unheard. Raises UsageError."""
    from edge_autoglm.errors import UsageError

    if not profile:
        named = [("-n", runs), ("--warmup", warmup), ("--bundle", bundle)]
        unheard = [name for name, value in named if value is not None]
        if unheard:
            raise UsageError(f"{', '.join(unheard)}: only with --profile")
    given = [("--programmer", programmer), ("--console", console), ("--probe", probe)]
    unheard = [name for name, value in given if value is not None]
    if port == "virtual" and unheard:
        raise UsageError(
            f"{', '.join(unheard)}: not with --port virtual, which has a way into the board and a "
            "console of its own"
        )
