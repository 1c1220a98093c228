"""`edge-autoglm export`: a model as C, as arrays for TFLM, or as a package for a phone's GPU."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import (
    BoardsOption,
    JsonOption,
    KernelsOption,
    RuntimeOption,
    SamplesOption,
    ScaleOption,
    TflmOption,
    notes,
    one_of,
    output,
    the_board,
    write_json,
)
from .export_mobile import PRECISIONS, TARGETS, Options, export_mobile, unheard

if TYPE_CHECKING:
    from edge_boards import Board
    from edge_export import TflmExport


def export(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="An int8 .tflite file; for --target any .tflite, or what convert takes.",
        ),
    ],
    board: Annotated[
        str | None,
        typer.Option("--board", "-b", metavar="B", help="Board: a name of `boards`, or a file."),
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            metavar="T",
            callback=one_of("--target", TARGETS),
            help=f"A phone's GPU instead of a board: {' or '.join(TARGETS)}.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="DIR", help="The folder (default: MODEL_BOARD, MODEL_TARGET)."
        ),
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
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            metavar="P",
            callback=one_of("--precision", PRECISIONS),
            help="For --target: float16 (weights), float32 or int8. By default an int8 model stays "
            "so, and others get float16 weights.",
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="D",
            help="For --target: samples to compare GPU and CPU on, as `quantize` takes them "
            "(default: pseudo-random ones).",
        ),
    ] = None,
    samples: SamplesOption = None,
    scale: ScaleOption = None,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape",
            metavar="NAME=N,N,...",
            help="For --target: an input's shape where the model leaves it open.",
        ),
    ] = None,
    force: Annotated[
        bool,
        typer.Option("--force", help="For --target: write it though the GPU's result is wrong."),
    ] = False,
    skip_check: Annotated[
        bool,
        typer.Option("--skip-check", help="For --target: check nothing; the package says so."),
    ] = False,
    json: JsonOption = None,
) -> None:
    """Write MODEL as C, arrays for TFLM, or for a phone.

    With --board the folder holds sources, header, memory plan and build files, or arrays for TFLM
    with --runtime tflm. With --target it is a library for an app: the GPU's result is compared with
    the CPU's first, and a wrong one is not written (exit 1).
    """
    from edge_autoglm.errors import UsageError

    if board is None and target is None:
        raise UsageError(f"export: for what? --board B, or --target with {' or '.join(TARGETS)}")
    if board is not None and target is not None:
        raise UsageError("--board and --target: one of the two")
    if target is None:
        assert board is not None
        unheard(
            {"--precision": precision, "--data": data, "--samples": samples, "--scale": scale,
             "--shape": shape, "--force": force, "--skip-check": skip_check},
            "--target",
        )  # fmt: skip
        asked = _Asked(runtime, plan, labels, kernels, arena, no_fuse)
        _export_for_board(Path(model), board, out, asked, tflm, boards, json)
        return
    given = context.get_parameter_source("runtime")
    unheard(
        {"--runtime": given is not None and given.name != "DEFAULT", "--plan": plan,
         "--kernels": kernels, "--arena": arena, "--no-fuse": no_fuse, "--tflm": tflm,
         "--boards": boards},
        "--board",
    )  # fmt: skip
    export_mobile(
        model,
        Options(
            target, out, precision, data, samples, scale, shape or (), labels, force, skip_check,
            json,
        ),
    )  # fmt: skip


@dataclass(frozen=True)
class _Asked:
    runtime: str
    plan: Path | None
    labels: Path | None
    kernels: str | None
    arena: int | None
    no_fuse: bool


def _export_for_board(
    model: Path,
    board: str,
    out: Path | None,
    wanted: _Asked,
    tflm: Path | None,
    boards: Path | None,
    json: Path | None,
) -> None:
    from edge_autoglm import pipeline
    from edge_autoglm.errors import UsageError
    from edge_autoglm.report.model import export_json, plan_table
    from edge_autoglm.report.tables import size, wrapped
    from edge_autoglm.report.tflm import tflm_json, tflm_lines
    from edge_export import TflmExport

    if tflm is not None and wanted.runtime != pipeline.TFLM:
        raise UsageError("--tflm: only with --runtime tflm")
    aim = the_board(board, boards)
    asked = pipeline.Asked(
        wanted.runtime,
        wanted.plan,
        wanted.labels,
        wanted.kernels,
        wanted.arena,
        not wanted.no_fuse,
    )
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
