"""The generated folder: graph + board -> C that builds anywhere, and the folder read back.

    DIR/include/NAME.h  src/NAME.c  src/NAME_weights.[ch]  kernels/  runtime/eag_model.h
    DIR/CMakeLists.txt  library.json  plan.json  export.json

`export.json` says what the folder holds, with a SHA-256 of every file that is compiled.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edge_boards.board import Board
from edge_boards.data import data_path
from edge_boards.toolchain import ModelSources
from edge_export.errors import ExportError, LoweringError, PlanError
from edge_export.folder import write_folder
from edge_export.sealed import EXPORT_FILE, read_sealed, seal
from edge_quantize.graph import Graph

from . import emit
from .describe import compress, describe
from .lower import lower
from .memory import MemoryPlan
from .names import layer_names, prefix
from .plan_file import PlanFile, plan_document, plan_text, read_plan
from .planner import plan_memory
from .program import Program
from .regions import regions

RUNTIME = "aot"
_LIBRARY_VERSION = "1.0.0"
_MOST_TENSORS = 255  # input_count and output_count of eag_model are bytes
_RUNTIME_HEADER = "runtime/eag_model.h"


@dataclass(frozen=True)
class ExportedConstant:
    """A constant of an exported model. `source_bytes` of it stand in the .tflite as well."""

    name: str
    region: str
    nbytes: int
    source_bytes: int
    kind: str


@dataclass(frozen=True)
class ExportResult:
    """A generated folder. Paths of `sources` and `include_dirs` are relative to it."""

    directory: Path
    name: str
    model_sha256: str
    board: str
    features: tuple[str, ...]
    abi: int
    sources: tuple[str, ...]
    include_dirs: tuple[str, ...]
    kernels: tuple[str, ...]
    weight_bytes: int
    arena: tuple[tuple[str, int], ...]
    liveness_bound: int
    constants: tuple[ExportedConstant, ...]
    description: Mapping[str, Any]

    runtime = RUNTIME

    @property
    def arena_bytes(self) -> int:
        return sum(size for _, size in self.arena)

    def model_sources(self) -> ModelSources:
        """The folder as the board's build takes it. The runtime's header comes from the build, so
        that a folder of another ABI is refused by its own #error."""
        return ModelSources(
            name=self.name,
            sources=self.source_paths,
            include_dirs=tuple(
                self.directory / folder for folder in self.include_dirs if folder != "runtime"
            ),
            weight_bytes=self.weight_bytes,
            arena=self.arena,
            constants=tuple((c.name, c.region, c.nbytes) for c in self.constants),
        )

    @property
    def source_paths(self) -> tuple[Path, ...]:
        return tuple(self.directory / source for source in self.sources)

    @property
    def include_paths(self) -> tuple[Path, ...]:
        return tuple(self.directory / folder for folder in self.include_dirs)


@dataclass(frozen=True, eq=False)
class Compiled:
    """Everything between the graph and the files: what `compile_model` returns."""

    graph: Graph
    program: Program
    plan: MemoryPlan
    files: Mapping[str, str]  # path in the folder -> content


def export_model(
    graph: Graph,
    board: Board,
    out_dir: Path,
    *,
    name: str | None = None,
    plan: Path | None = None,
    features: frozenset[str] | None = None,
    fuse_ops: bool = True,
) -> ExportResult:
    """Writes `graph` as C for `board` into `out_dir`, whole or not at all.

    `name` prefixes the C symbols (default: from the graph's name); `plan` is a plan file to
    follow; `features` replaces the core's own (frozenset() gives portable kernels). With
    `fuse_ops` false, padding and clamps are steps of their own and outputs the same, so that what
    fusing gains can be measured. Raises LoweringError, PlanError, or ExportError when the folder
    cannot be written or is not ours.
    """
    compiled = compile_model(
        graph, board, name=name, plan=plan, features=features, fuse_ops=fuse_ops
    )
    write_folder(out_dir, compiled.files, EXPORT_FILE)
    return read_result(out_dir, json.loads(compiled.files[EXPORT_FILE]))


def compile_model(
    graph: Graph,
    board: Board,
    *,
    name: str | None = None,
    plan: Path | None = None,
    features: frozenset[str] | None = None,
    fuse_ops: bool = True,
) -> Compiled:
    """The same without touching the disk's output: program, plan and file contents."""
    core = board.core.features if features is None else features
    symbols = prefix(graph.name, name)
    for what, found in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        if not found or len(found) > _MOST_TENSORS:
            raise LoweringError(
                f"{graph.name}: {len(found)} {what}; a model needs 1 to {_MOST_TENSORS}"
            )
    asked = None if plan is None else read_plan(plan)
    layers = layer_names(graph)
    overrides = None if asked is None else asked.overrides(layers)
    program = lower(graph, symbols, core, overrides, fuse_ops)
    placed = _plan(program, board, asked)
    files = _files(graph, program, placed, board, core)
    return Compiled(graph, program, placed, files)


def _plan(program: Program, board: Board, asked: PlanFile | None) -> MemoryPlan:
    memories = regions(board)
    if asked is None:
        return plan_memory(program, memories, board.name)
    asked.check(program, board.name)
    try:
        return plan_memory(program, memories, board.name, asked.pins)
    except PlanError as error:
        raise PlanError(f"{asked.path}: {error}") from error


def _files(
    graph: Graph, program: Program, plan: MemoryPlan, board: Board, core: frozenset[str]
) -> dict[str, str]:
    name = program.name
    copies = {
        path: data_path("firmware", *path.split("/")).read_text(encoding="utf-8")
        for path in (*program.kernel_sources, _RUNTIME_HEADER)
    }
    inputs, outputs = emit.ports(graph, program.inputs, program.outputs)
    description = describe(graph, program, plan, inputs, outputs)
    blocks = emit.constant_blocks(program, plan)
    headers = _declaring_headers(program, copies)
    files = {
        f"include/{name}.h": emit.model_header(program, plan, inputs, outputs),
        f"src/{name}.c": emit.model_source(
            program,
            plan,
            inputs,
            outputs,
            headers,
            emit.constant_references(blocks),
            compress(description),
        ),
        f"src/{name}_weights.h": emit.weights_header(program, blocks),
        f"src/{name}_weights.c": emit.weights_source(program, blocks),
        **copies,
    }
    compiled = sorted(files)
    sources = [path for path in compiled if path.endswith(".c")]
    private = sorted({str(Path(p).parent) for p in compiled if p.endswith(".h")})
    private = [folder for folder in private if folder not in ("include", "runtime")]
    files["CMakeLists.txt"] = emit.cmake_lists(name, sources, private)
    include_dirs = ["include", "runtime", *private]
    files["library.json"] = emit.library_json(name, _LIBRARY_VERSION, sources, include_dirs)
    files["plan.json"] = plan_text(plan_document(program, plan, regions(board)))
    places = {p.name: p for p in plan.placements}
    said = {
        "name": name,
        "model_sha256": program.model_sha256,
        "board": board.name,
        "features": sorted(core),
        "abi": emit.MODEL_ABI,
        "sources": sources,
        "include_dirs": include_dirs,
        "kernels": sorted({step.kernel for step in program.steps}),
        "weight_bytes": sum(c.source_bytes for c in program.constants),
        "arena": dict(plan.arena),
        "liveness_bound": plan.liveness_bound,
        "constants": [
            {
                "name": c.name,
                "region": places[c.name].region,
                "nbytes": c.nbytes,
                "source_bytes": c.source_bytes,
                "kind": c.kind.value,
            }
            for c in program.constants
        ],
        "description": description,
    }
    files[EXPORT_FILE] = seal(said, files, compiled)
    return files


def _declaring_headers(program: Program, copies: Mapping[str, str]) -> list[str]:
    """The headers that declare the program's kernels, as the generated source includes them."""
    headers = []
    for kernel in sorted({step.kernel for step in program.steps}):
        declares = re.compile(rf"\bvoid\s+{re.escape(kernel)}\s*\(")
        found = [p for p, text in copies.items() if p.endswith(".h") and declares.search(text)]
        if not found:
            raise ExportError(f"kernel {kernel} is declared by no header that its row lists")
        headers.append(Path(min(found)).name)
    return sorted(set(headers))


# Reading a folder back


def load_export(directory: Path) -> ExportResult:
    """Reads a generated folder. Raises ExportError when it is not one, lacks files, or was
    changed since it was written."""
    return read_result(directory, read_sealed(directory))


def read_result(directory: Path, document: Mapping[str, Any]) -> ExportResult:
    """The folder that `document`, its export.json, describes."""
    return ExportResult(
        directory=directory,
        name=str(document["name"]),
        model_sha256=str(document["model_sha256"]),
        board=str(document["board"]),
        features=tuple(document["features"]),
        abi=int(document["abi"]),
        sources=tuple(document["sources"]),
        include_dirs=tuple(document["include_dirs"]),
        kernels=tuple(document["kernels"]),
        weight_bytes=int(document["weight_bytes"]),
        arena=tuple((str(region), int(size)) for region, size in document["arena"].items()),
        liveness_bound=int(document["liveness_bound"]),
        constants=tuple(
            ExportedConstant(
                name=str(c["name"]),
                region=str(c["region"]),
                nbytes=int(c["nbytes"]),
                source_bytes=int(c["source_bytes"]),
                kind=str(c["kind"]),
            )
            for c in document["constants"]
        ),
        description=dict(document["description"]),
    )
