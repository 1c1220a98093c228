"""From a model file to an image: the stages in order, each done only if it is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_autoglm.errors import UsageError
from edge_boards import Board
from edge_boards.platformio.build import build_with_platformio
from edge_boards.platformio.ini import by_framework
from edge_boards.toolchain import BuildRequest, Image, build_image, find_toolchain
from edge_export import ExportResult, export_model, load_export
from edge_quantize.check import require_supported
from edge_quantize.graph import Graph
from edge_quantize.ingest.tflite import read_tflite

APP = "profile"
BUILD_FOLDER = "build"
OWN, PLATFORMIO = "own", "platformio"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Built:
    """An exported model and the image made of it."""

    export: ExportResult
    image: Image
    toolchain: str  # name, version and where it was found


def read_model(model: Path) -> Graph:
    """Reads a model and refuses what cannot be compiled, all reasons listed.

    Raises ModelFileError, UnsupportedModelError.
    """
    graph = read_tflite(model)
    require_supported(graph)
    return graph


def default_folder(model: Path, board: Board) -> Path:
    """Where an export goes when no folder is named: beside the user, not beside the model."""
    return Path(f"{model.stem}_{board.name}")


def export(
    model: Path, board: Board, folder: Path | None = None, plan: Path | None = None
) -> ExportResult:
    """Exports `model` as C for `board`. Raises what reading, lowering and planning raise."""
    return export_model(read_model(model), board, folder or default_folder(model, board), plan=plan)


def plan_of(exported: ExportResult) -> dict[str, Any]:
    """The memory plan that an export wrote."""
    content = (exported.directory / "plan.json").read_text(encoding="utf-8")
    plan: dict[str, Any] = json.loads(content)
    return plan


def build(
    exported: ExportResult,
    board: Board,
    toolchain: str | None = None,
    progress: Progress | None = None,
    by: str | None = None,
) -> Built:
    """Builds the profile app around an exported model: into its folder `build`, or `by`
    "platformio" in its folder `platformio`. By default as the board needs it.

    Raises UsageError when the folder was exported for another board, ToolchainError,
    ImageTooBigError, ImageError.
    """
    check_board(exported, board)
    if builder(board, toolchain, by) == PLATFORMIO:
        image = build_with_platformio(
            board, exported.directory.resolve(), exported.model_sources(), progress
        )
        return Built(exported, image, image.toolchain)
    compiler = find_toolchain(board, toolchain)
    request = BuildRequest(
        board=board,
        app=APP,
        models=(exported.model_sources(),),
        # Compilers run in folders of their own.
        out_dir=exported.directory.resolve() / BUILD_FOLDER,
    )
    return Built(exported, build_image(request, compiler, progress), compiler.describe())


def builder(board: Board, toolchain: str | None = None, by: str | None = None) -> str:
    """Says "own" or "platformio": what builds for `board`.

    Raises UsageError where what was asked for does not go together.
    """
    if by == OWN and by_framework(board):
        raise UsageError(
            f"--with own: {board.name} is linked by its Arduino core, which only PlatformIO builds "
            "with; leave it out, or use --with platformio"
        )
    chosen = by or (PLATFORMIO if by_framework(board) else OWN)
    if chosen == PLATFORMIO and toolchain is not None:
        advice = "leave it out" if by_framework(board) else "it goes with --with own"
        raise UsageError(
            f"--toolchain: PlatformIO brings the compiler of {board.name}'s platform; {advice}"
        )
    return chosen


def check_board(exported: ExportResult, board: Board) -> None:
    """Raises UsageError when a folder was exported for another board."""
    if exported.board != board.name:
        raise UsageError(
            f"{exported.directory} was exported for board {exported.board}, not for {board.name}; "
            f"export the model again with --board {board.name}"
        )


def exported(target: Path, board: Board, folder: Path | None = None) -> ExportResult:
    """The export that `target` names: a generated folder, or a model, which is exported first."""
    if target.is_dir():
        if folder is not None:
            raise UsageError(
                f"-o goes with a model; {target} is a folder that was exported already"
            )
        return load_export(target)
    return export(target, board, folder)
