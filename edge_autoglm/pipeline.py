"""From a model file to an image: the stages in order, each done only if it is missing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge_autoglm.errors import EdgeError, UsageError
from edge_boards import Board
from edge_boards.platformio.build import build_with_platformio
from edge_boards.platformio.ini import by_framework
from edge_boards.toolchain import BuildRequest, Image, build_image, find_toolchain
from edge_export import (
    Exported,
    ExportError,
    ExportResult,
    TflmExport,
    TflmTree,
    TflmTreeError,
    export_model,
    export_tflm,
    find_tree,
    load_export,
)
from edge_export.tflm.package import check_kernels, require_tflm
from edge_export.tflm.registrations import registrations
from edge_export.tflm.tree import default_kernels, tree_from_environment, wanted_files
from edge_quantize.check import require_supported
from edge_quantize.graph import Graph
from edge_quantize.ingest.source import read_model_file
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.labels import read_labels

APP = "profile"
BUILD_FOLDER = "build"
AOT, TFLM = "aot", "tflm"
OWN, PLATFORMIO = "own", "platformio"

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Asked:
    """What a user may ask of an export. `plan` and `fuse_ops` are for the ahead-of-time compiler,
    `kernels` and `arena` (bytes) are for TFLM."""

    runtime: str = AOT
    plan: Path | None = None
    labels: Path | None = None
    kernels: str | None = None
    arena: int | None = None
    fuse_ops: bool = True

    def check(self) -> None:
        """Raises UsageError for an option that would go unheard."""
        unheard = (
            {"--kernels": self.kernels, "--arena": self.arena}
            if self.runtime == AOT
            else {"--plan": self.plan, "--no-fuse": None if self.fuse_ops else True}
        )
        named = [name for name, value in unheard.items() if value is not None]
        if named:
            wanted = TFLM if self.runtime == AOT else AOT
            raise UsageError(f"{', '.join(named)}: only with --runtime {wanted}")


@dataclass(frozen=True)
class Built:
    """An exported model and the image made of it."""

    export: Exported
    image: Image
    toolchain: str  # name, version and where it was found


def read_model(model: Path) -> Graph:
    """Reads a model and refuses what cannot be compiled, all reasons listed.

    Raises ModelFileError, UnsupportedModelError.
    """
    graph = read_tflite(model)
    require_supported(graph)
    return graph


def default_folder(model: Path, board: Board, runtime: str = AOT) -> Path:
    """Where an export goes when no folder is named: beside the user, not beside the model."""
    return Path(f"{model.stem}_{board.name}" + ("" if runtime == AOT else f"_{runtime}"))


def export(
    model: Path,
    board: Board,
    folder: Path | None = None,
    asked: Asked | None = None,
    tflm: Path | None = None,
) -> Exported:
    """Exports `model` for `board`. A TFLM tree that is named must serve: nothing is written else.

    Raises what reading, lowering and planning raise, UsageError, TflmTreeError.
    """
    asked = asked or Asked()
    asked.check()
    to = folder or default_folder(model, board, asked.runtime)
    if asked.runtime == TFLM:
        kernels = asked.kernels or default_kernels(board.core)
        try:
            check_kernels(board, kernels)
        except ExportError as error:
            raise UsageError(str(error)) from error
        content = read_model_file(model)
        graph = _labelled(replace(read_tflite(content), name=model.stem), asked.labels)
        if tflm is not None:
            require_tflm(graph)
            symbols = [name for pair in registrations(graph) for name in pair if name]
            find_tree(tflm, board, kernels, symbols)
        return export_tflm(graph, content, board, to, kernels=kernels, arena=asked.arena)
    graph = _labelled(read_model(model), asked.labels)
    return export_model(graph, board, to, plan=asked.plan, fuse_ops=asked.fuse_ops)


def _labelled(graph: Graph, labels: Path | None) -> Graph:
    return graph if labels is None else replace(graph, labels=read_labels(labels, graph))


def plan_of(exported: ExportResult) -> dict[str, Any]:
    """The memory plan that an export wrote."""
    content = (exported.directory / "plan.json").read_text(encoding="utf-8")
    plan: dict[str, Any] = json.loads(content)
    return plan


def build(
    exported: Exported,
    board: Board,
    toolchain: str | None = None,
    progress: Progress | None = None,
    by: str | None = None,
    tflm: Path | None = None,
) -> Built:
    """Builds the profile app around an exported model: into its folder `build`, or `by`
    "platformio" in its folder `platformio`. By default as the board needs it.

    `tflm` is the TFLM tree for a folder of that runtime; else the one that the environment names.
    Raises UsageError when the folder was exported for another board, TflmTreeError,
    ToolchainError, ImageTooBigError, ImageError.
    """
    check_board(exported, board)
    chosen = builder(board, toolchain, by)
    if chosen == PLATFORMIO and isinstance(exported, TflmExport):
        raise UsageError(
            f"{exported.directory} is a PlatformIO project itself: run `pio run` there, with "
            "EDGE_AUTOGLM_TFLM naming your tflite-micro checkout"
        )
    tree = tree_for(exported, board, tflm)
    if chosen == PLATFORMIO:
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
        library=tree.library if tree else None,
    )
    image = build_image(request, compiler, progress)
    used = compiler.describe() + (f"; {tree.describe()}" if tree else "")
    return Built(exported, replace(image, toolchain=used), used)


def tree_for(exported: Exported, board: Board, named: Path | None) -> TflmTree | None:
    """The TFLM that a folder is built with; None where it needs none.

    Raises UsageError when one is named for such a folder, TflmTreeError.
    """
    if not isinstance(exported, TflmExport):
        if named is not None:
            raise UsageError(
                f"--tflm: {exported.directory} is compiled ahead of time and needs no TFLM; export "
                "the model with --runtime tflm"
            )
        return None
    tree = named or tree_from_environment()
    if tree is None:
        raise TflmTreeError(
            "a build for --runtime tflm needs " + "; ".join(wanted_files(board, exported.kernels))
        )
    return find_tree(tree, board, exported.kernels, exported.symbols)


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


def check_board(exported: Exported, board: Board) -> None:
    """Raises UsageError when a folder was exported for another board."""
    if exported.board != board.name:
        raise UsageError(
            f"{exported.directory} was exported for board {exported.board}, not for {board.name}; "
            f"export the model again with --board {board.name}"
        )


def exported(
    target: Path, board: Board, folder: Path | None = None, asked: Asked | None = None
) -> Exported:
    """The export that `target` names: a generated folder, or a model, which is exported first.

    Raises UsageError for what only a model takes, EdgeError where nothing is there.
    """
    if target.is_dir():
        if folder is not None:
            raise UsageError(
                f"-o goes with a model; {target} is a folder that was exported already"
            )
        if asked is not None and asked != Asked():
            raise UsageError(
                f"--runtime goes with a model; {target} is a folder that was exported already"
            )
        return load_export(target)
    if not target.exists():
        raise EdgeError(
            f"{target}: no such file or folder; name a .tflite file, or what `export` wrote"
        )
    return export(target, board, folder, asked)
