"""What `compare` is given: a model's file, a profile's bundle, or a folder that holds a model."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edge_autoglm.errors import EdgeError
from edge_boards import Board
from edge_export import ExportResult, compile_model, load_export
from edge_export.errors import ExportError
from edge_quantize.check import check_supported
from edge_quantize.errors import QuantizeError
from edge_quantize.graph import Graph
from edge_quantize.ingest.tflite import read_tflite

from .builds import recall
from .bundle import MANIFEST, BundleError, read_bundle
from .figures import Figure, Kind, model_figures

_CHOSEN = ("", "chosen", "best")  # folders of a result that hold its one model
_FIGURES = ("instructions", "cycles", "latency_ms")
_MOST_PROFILE_BYTES = 64 << 20

ReadModel = Callable[[str], Graph]


class CompareError(EdgeError):
    """What is given cannot be compared."""


@dataclass(frozen=True)
class Side:
    """One of the two. `figures` by key of `report.summary.QUANTITIES`; `layers` has the profile's
    figures by layer, in order. `graph` is None where only a bundle is at hand."""

    name: str
    path: str
    kind: str  # "model", "bundle", "export", "result"
    graph: Graph | None
    figures: Mapping[str, Figure] = field(default_factory=dict)
    layers: tuple[tuple[str, Mapping[str, Figure]], ...] = ()
    notes: tuple[str, ...] = ()
    board: str = ""  # of the profile


def read_side(source: str, read_model: ReadModel) -> Side:
    """What `source` is: a bundle (it has a manifest), exported code, a folder with one `.tflite`,
    or a model.

    Raises CompareError, BundleError, ExportError, and what `read_model` raises.
    """
    path = Path(source)
    if not path.is_dir() or any((path / f"saved_model.{end}").is_file() for end in ("pb", "pbtxt")):
        graph = read_model(source)
        size = path.stat().st_size if path.is_file() else None
        return Side(graph.name or path.stem, source, "model", graph, model_figures(graph, size))
    if (path / MANIFEST).is_file() or (path / "profile.json").is_file():
        return _bundle(path)
    if (path / "export.json").is_file():
        return _export(path)
    for place in _CHOSEN:
        found = sorted((path / place).glob("*.tflite"))
        if len(found) > 1:
            raise CompareError(f"{path / place}: holds {len(found)} .tflite files; name one")
        if found:
            graph = read_tflite(found[0])
            figures = model_figures(graph, found[0].stat().st_size)
            return Side(path.resolve().name, source, "result", graph, figures)
    raise CompareError(
        f"{path}: no bundle of `profile` ({MANIFEST}) and no .tflite in it; name a model or a "
        "bundle"
    )


def on_board(side: Side, board: Board) -> Side:
    """The side with what a board's memory plan gives its model: the arena, and the constants as
    the kernels read them; with a note where no kernel takes it."""
    if side.graph is None or "arena" in side.figures:
        return side
    problems = tuple(map(str, check_supported(side.graph)))
    try:
        compiled = compile_model(side.graph, board) if not problems else None
    except ExportError as error:
        problems = tuple(map(str, getattr(error, "problems", ()))) or (str(error),)
        compiled = None
    if compiled is None:
        more = f", and {len(problems) - 1} more reasons" if len(problems) > 1 else ""
        note = f"{side.name}: cannot be compiled for {board.name}: {problems[0]}{more}"
        return replace(side, notes=(*side.notes, note))
    constants = sum(constant.nbytes for constant in compiled.program.constants)
    figures = {
        **side.figures,
        "arena": Figure(compiled.plan.arena_bytes, Kind.EXACT),
        "constants": Figure(constants, Kind.EXACT),
    }
    return replace(side, figures=figures)


def _export(path: Path) -> Side:
    """Exported C: it has no model in it that could be run here, but says what it takes."""
    exported = load_export(path)
    found = {"arena": Figure(exported.arena_bytes, Kind.EXACT)}
    if isinstance(exported, ExportResult):
        found["weight_bytes"] = Figure(exported.weight_bytes, Kind.EXACT)
        constants = sum(constant.nbytes for constant in exported.constants)
        found["constants"] = Figure(constants, Kind.EXACT)
    note = (
        f"{path}: exported code, without the model that it was made from, so outputs cannot be "
        "compared; name the .tflite itself for that"
    )
    return Side(exported.name, str(path), "export", None, found, (), (note,), exported.board)


def _bundle(path: Path) -> Side:
    files = read_bundle(path)
    if "profile.json" not in files or len(files["profile.json"]) > _MOST_PROFILE_BYTES:
        raise BundleError(f"{path}: has no profile.json; it is no bundle of `profile`")
    try:
        profile: dict[str, Any] = json.loads(files["profile.json"])
        if profile["schema"] != 1:
            raise BundleError(
                f"{path / 'profile.json'}: schema {profile['schema']!r}; this version reads 1"
            )
        name, sha256 = str(profile["model"]["name"]), str(profile["model"]["sha256"])
        figures = _totals(profile)
        layers = tuple((str(layer["name"]), _counts(layer)) for layer in profile["layers"])
        board = str(profile["board"])
        build_id = str(profile["build_id"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{path / 'profile.json'}: damaged ({error})") from error
    graph = _model_of(build_id, sha256)
    title = f"{name} ({path.name})"
    if graph is not None:
        figures = {**model_figures(graph, None), **figures}
        return Side(title, str(path), "bundle", graph, figures, layers, (), board)
    note = (
        f"{path}: the file of its model is not at hand, so outputs cannot be compared; name the "
        ".tflite itself for that"
    )
    return Side(title, str(path), "bundle", None, figures, layers, (note,), board)


def _figure(value: Any) -> Figure | None:
    if value is None:
        return None
    return Figure(float(value["value"]), Kind(value["kind"]), value.get("low"), value.get("high"))


def _counts(record: Mapping[str, Any]) -> dict[str, Figure]:
    found = {key: _figure(record[key]) for key in _FIGURES}
    return {key: figure for key, figure in found.items() if figure is not None}


def _totals(profile: Mapping[str, Any]) -> dict[str, Figure]:
    memory, found = profile["memory"], _counts(profile["totals"])
    watched = Kind.EXACT if profile["virtual"] else Kind.MEASURED
    found["macs"] = Figure(float(profile["totals"]["macs"]["value"]), Kind.EXACT)
    found["arena"] = Figure(float(memory["arena"]), Kind.EXACT)
    if memory["code"] is not None:
        found["flash"] = Figure(float(memory["code"] + memory["weights"]), Kind.EXACT)
    # A profile leaves the wire's rings out of its static RAM; only the build knows their size.
    build = recall(str(profile["build_id"]))
    rings = build.rings if build is not None else None
    parts = (memory["arena"], memory["static_ram"], memory["stack"], rings)
    if all(part is not None for part in parts):
        found["ram"] = Figure(float(sum(parts)), watched)
    return found


def _model_of(build_id: str, sha256: str) -> Graph | None:
    """The model, if this machine built the image and its file is still the same."""
    build = recall(build_id)
    if build is None or build.model is None:
        return None
    try:
        graph = read_tflite(Path(build.model))
    except (QuantizeError, OSError):
        return None
    return graph if graph.sha256 == sha256 else None
