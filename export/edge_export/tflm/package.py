"""The TFLM folder: graph + board -> arrays and a firmware project for TensorFlow Lite Micro.

    DIR/src/model_data.[h,cc]  model_ops.h  model_tensors.h  model.cc     the model
    DIR/src/main.c  DIR/firmware/  DIR/board/                             what runs it on the board
    DIR/platformio.ini  CMakeLists.txt  arm-none-eabi.cmake               to build it without us
    DIR/export.json

TFLM itself is the user's. `export.json` says what the folder holds, with a SHA-256 of every file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_boards.board import Board
from edge_boards.toolchain import ModelSources
from edge_export.aot.describe import DESCRIPTION_VERSION, tensor_of
from edge_export.aot.emit import Port, ports
from edge_export.aot.names import layer_names, prefix
from edge_export.aot.regions import ON_REQUEST, regions
from edge_export.errors import ExportError, LoweringError, PlanError
from edge_export.folder import write_folder
from edge_export.sealed import EXPORT_FILE, read_sealed, seal
from edge_quantize.check import check_supported
from edge_quantize.graph import Graph
from edge_quantize.graph.analysis import operator_macs
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.outside import outside_buffers

from . import emit
from .arena import Arena, ArenaError, arena_of
from .ops import stops_with_checks, tflm_problems
from .project import project_files
from .registrations import registrations
from .tree import CMSIS_NN, REFERENCE, default_kernels, is_arm, kernel_set

RUNTIME = "tflm"
_MOST_TENSORS = 255  # input_count and output_count of eag_model are bytes


@dataclass(frozen=True)
class TflmExport:
    """A generated folder. Sizes in bytes; paths of `sources` are relative to it."""

    directory: Path
    name: str
    model_sha256: str
    board: str
    kernels: str  # that the arena was stated for
    region: str
    arena_bytes: int  # set aside by the firmware
    # For the model to run, and the same for an interpreter that plans on the board; None where it
    # could not be stated.
    arena_needed: int | None
    arena_plain: int | None
    arena_reference: int | None  # as `arena_needed`, with TFLM's reference kernels
    model_bytes: int
    ops: tuple[str, ...]
    registrations: tuple[tuple[str, str | None], ...]  # resolver's method, what it is given
    stops: tuple[str, ...]  # where a library stops that was built with its checks
    sources: tuple[str, ...]
    description: Mapping[str, Any]

    runtime = RUNTIME

    @property
    def symbols(self) -> tuple[str, ...]:
        """What the generated code wants of TFLM's headers: methods and registrations."""
        return tuple(name for pair in self.registrations for name in pair if name)

    def model_sources(self) -> ModelSources:
        """The folder as the board's build takes it; the rest of the firmware comes with that."""
        return ModelSources(
            name=self.name,
            sources=tuple(self.directory / source for source in self.sources),
            include_dirs=(self.directory / "src",),
            weight_bytes=self.model_bytes,
            arena=((self.region, self.arena_bytes),),
            constants=(("model", "flash", self.model_bytes),),
        )


def export_tflm(
    graph: Graph,
    content: bytes,
    board: Board,
    out_dir: Path,
    *,
    name: str | None = None,
    kernels: str | None = None,
    arena: int | None = None,
) -> TflmExport:
    """Writes `graph`, whose file is `content`, for `board` into `out_dir`, whole or not at all.

    `kernels` (of `tree.KERNELS`, by default the core's best) are those that the arena is stated
    for; `arena` sets aside another number of bytes than the model needs.

    Raises LoweringError naming every operator that TFLM lacks or computes wrongly, ArenaError where
    it cannot be said what an operator needs, PlanError where the arena fits no memory, ExportError
    when the folder cannot be written or is not ours.
    """
    files = compile_tflm(graph, content, board, name=name, kernels=kernels, arena=arena)
    write_folder(out_dir, files, EXPORT_FILE)
    return read_result(out_dir, json.loads(files[EXPORT_FILE]))


def compile_tflm(
    graph: Graph,
    content: bytes,
    board: Board,
    *,
    name: str | None = None,
    kernels: str | None = None,
    arena: int | None = None,
) -> dict[str, str]:
    """The same without touching the disk: path in the folder -> text."""
    symbols = prefix(graph.name, name)
    kernels = kernels or default_kernels(board.core)
    check_kernels(board, kernels)
    chosen = kernel_set(board.core, kernels)
    require_tflm(graph, chosen)
    stated = _stated(graph, board, kernels, arena)
    reference = _stated(graph, board, REFERENCE, arena) if stated else None
    model = _model(graph, _inside(graph, content), board, symbols, stated, arena)
    sources = {f"src/{path}": text for path, text in emit.sources(model).items()}
    files = {**sources, **project_files(symbols, board, kernels, sources)}
    compiled = sorted(files)
    said = {
        "runtime": RUNTIME,
        "name": symbols,
        "model_sha256": graph.sha256,
        "board": board.name,
        "kernels": kernels,
        "region": model.region,
        "arena_bytes": model.arena_bytes,
        "arena_needed": stated.bytes if stated else None,
        "arena_plain": stated.standard_bytes if stated else None,
        "arena_reference": reference.bytes if reference else None,
        "model_bytes": len(model.content),
        "ops": sorted({operator.op for operator in graph.operators}),
        "registrations": [list(pair) for pair in model.registrations],
        "stops": [str(problem) for problem in stops_with_checks(graph, chosen)],
        "sources": [path for path in sorted(sources) if path.endswith(".cc")],
        "description": model.description,
    }
    files[EXPORT_FILE] = seal(said, files, compiled)
    return files


def require_tflm(graph: Graph, kernels: str = "cmsis-nn") -> None:
    """Raises LoweringError, with every reason, where TFLM must not be given the model; `kernels` of
    KERNEL_SETS."""
    found = [str(problem) for problem in tflm_problems(graph, kernels)]
    for what, tensors in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        if not tensors or len(tensors) > _MOST_TENSORS:
            found.append(f"{len(tensors)} {what}; a model needs 1 to {_MOST_TENSORS}")
    if not found:
        return
    # The list goes with the error: its line is one line of a terminal.
    said = found[0] if len(found) == 1 else f"{len(found)} reasons"
    raise LoweringError(f"{graph.name}: not for TFLM: {said}", tuple(found))


def check_kernels(board: Board, kernels: str) -> None:
    """Raises ExportError for kernels that the board's core cannot run."""
    if kernels == CMSIS_NN and not is_arm(board.core):
        raise ExportError(
            f"--kernels {CMSIS_NN}: for Cortex-M alone, and {board.name} has {board.core.name}; "
            f"leave it out, or use --kernels {REFERENCE}"
        )


def _stated(graph: Graph, board: Board, kernels: str, given: int | None) -> Arena | None:
    """The model's arena; None where it cannot be stated and one was given by hand.

    The model knows the structs of Arm's ABI, where an enum takes a byte. Elsewhere it takes four,
    so that the same structs are larger, and no figure is better than one that is too small.
    """
    try:
        arena = arena_of(graph, kernel_set(board.core, kernels))
    except ArenaError:
        if given is None:
            raise
        return None
    if is_arm(board.core):
        return arena
    if given is None:
        raise ArenaError(
            f"{graph.name}: TFLM's arena cannot be stated for {board.core.name}, only for "
            f"Cortex-M, where this model takes {arena.standard_bytes:,} bytes and TFLM's structs "
            f"are smaller; give one by hand, well above that: --arena BYTES"
        )
    return None


def _inside(graph: Graph, content: bytes) -> bytes:
    """The file, with all constants inside the flatbuffer: of those behind it TFLM knows nothing,
    and it would answer a constant. Raises UnsupportedModelError where they cannot be moved."""
    return write_tflite(graph) if outside_buffers(content) else content


def _region(graph: Graph, board: Board, arena: int, given: bool) -> str:
    """The fastest memory that holds the arena. What a PlanError advises can work."""
    usable = [r for r in regions(board) if r.writable and r.preference < ON_REQUEST]
    for region in usable:
        if region.capacity >= arena:
            return region.name
    largest = max(usable, key=lambda region: region.capacity)
    advice = "a smaller --arena" if given else "a smaller model or input"
    if not given and not check_supported(graph):
        advice += ", or --runtime aot, which plans over several memories"
    raise PlanError(
        f"an arena of {arena:,} bytes fits no memory of {board.name}: TFLM wants it in one piece, "
        f"and the largest, {largest.name}, has {largest.capacity:,} bytes free; choose {advice}"
    )


def _model(
    graph: Graph, content: bytes, board: Board, name: str, stated: Arena | None, given: int | None
) -> emit.TflmModel:
    set_aside = given or (stated.bytes if stated else 0)
    region = _region(graph, board, set_aside, given is not None)
    inputs, outputs = ports(graph, ("",) * len(graph.inputs), ("",) * len(graph.outputs))
    results = tuple(
        emit.Result(operator.outputs[0], graph.tensor(operator.outputs[0]).nbytes)
        for operator in graph.operators
    )
    description = describe(graph, region, inputs, outputs, stated.bytes if stated else None)
    return emit.TflmModel(
        name=name,
        content=content,
        sha256=graph.sha256,
        board=board.name,
        region=region,
        arena_bytes=set_aside,
        arena=stated,
        registrations=registrations(graph),
        inputs=inputs,
        outputs=outputs,
        results=results,
        labels=graph.labels,
        description=description,
        whole=emit.whole_description(name, description),
    )


def describe(
    graph: Graph,
    region: str,
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
    arena: int | None,
) -> dict[str, Any]:
    """The description of docs/protocol.md: a layer and a step an op. What an op wrote is a block of
    its own, after the arena's, since only the running interpreter knows where it lies."""
    names = layer_names(graph)
    macs = [operator_macs(graph, operator) for operator in graph.operators]
    ops = [operator.op for operator in graph.operators]
    sizes = [graph.tensor(operator.outputs[0]).nbytes for operator in graph.operators]
    return {
        "v": DESCRIPTION_VERSION,
        "layers": [list(layer) for layer in zip(names, ops, macs, strict=True)],
        "steps": [[i, f"tflm_{op.lower()}", macs[i]] for i, op in enumerate(ops)],
        "inputs": [tensor_of(port) for port in inputs],
        "outputs": [tensor_of(port) for port in outputs],
        "labels": list(graph.labels),
        "blocks": [region],
        "results": [[i, 1 + i, 0, size] for i, size in enumerate(sizes)],
        "input_preserved": False,
        "weights": graph.constant_bytes,
        "runtime": RUNTIME,
        "arena_stated": arena,
    }


def load_tflm(directory: Path) -> TflmExport:
    """Reads a generated folder. Raises ExportError when it is not one, lacks files, or was
    changed since it was written."""
    return read_result(directory, read_sealed(directory))


def read_result(directory: Path, document: Mapping[str, Any]) -> TflmExport:
    """The folder that `document`, its export.json, describes."""
    return TflmExport(
        directory=directory,
        name=str(document["name"]),
        model_sha256=str(document["model_sha256"]),
        board=str(document["board"]),
        kernels=str(document["kernels"]),
        region=str(document["region"]),
        arena_bytes=int(document["arena_bytes"]),
        arena_needed=document["arena_needed"],
        arena_plain=document["arena_plain"],
        arena_reference=document.get("arena_reference"),
        model_bytes=int(document["model_bytes"]),
        ops=tuple(document["ops"]),
        registrations=tuple((str(m), r) for m, r in document["registrations"]),
        stops=tuple(document["stops"]),
        sources=tuple(document["sources"]),
        description=dict(document["description"]),
    )
