"""`plan.json`: the memory plan as a file, written for reading and read back for overriding.

Schema 1. `buffers` and `constants` are lists of records; in a file that is read back a record
needs only its `name` and what it overrides (`region`, or `region` and `offset`), and records may
be left out. `kernels` names the kernel of a layer. `model_sha256`, `board` and the records' sizes,
where present, must agree with the model and the board; the rest is for people to read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge_export.errors import PlanError

from .memory import MemoryPlan, Placement, Region
from .planner import Pin, Pins
from .program import Program

PLAN_SCHEMA = 1

_TOP = {
    "schema",
    "model",
    "model_sha256",
    "board",
    "regions",
    "arena",
    "arena_bytes",
    "liveness_bound",
    "buffers",
    "constants",
    "kernels",
}
_RECORD = {"name", "region", "offset", "size", "alignment", "first_step", "last_step", "kind"}


@dataclass(frozen=True)
class PlanFile:
    """What a plan file asks for."""

    path: Path
    model_sha256: str | None = None
    board: str | None = None
    pins: Pins = field(default_factory=Pins)
    sizes: dict[str, int] = field(default_factory=dict)
    kernels: dict[str, str] = field(default_factory=dict)  # by layer name

    def overrides(self, layer_names: Sequence[str]) -> dict[int, str]:
        """Kernel by operator index. Raises PlanError for a layer that the model lacks."""
        index = {name: i for i, name in enumerate(layer_names)}
        result = {}
        for layer, kernel in self.kernels.items():
            if layer not in index:
                known = ", ".join(layer_names[:8])
                raise PlanError(
                    f"{self.path}: layer {layer!r} is not in this model; it has {known}, ..."
                )
            result[index[layer]] = kernel
        return result

    def check(self, program: Program, board: str) -> None:
        """Raises PlanError when the file was made for another model, board, or set of kernels."""
        if self.model_sha256 not in (None, program.model_sha256):
            raise PlanError(
                f"{self.path}: made for a model with SHA-256 {self.model_sha256}, and this one "
                f"has {program.model_sha256}; write a new plan with `export`"
            )
        if self.board not in (None, board):
            raise PlanError(f"{self.path}: made for board {self.board}, not for {board}")
        sizes = {b.name: b.size for b in program.buffers}
        sizes |= {c.name: c.nbytes for c in program.constants}
        for name, size in self.sizes.items():
            if name in sizes and sizes[name] != size:
                raise PlanError(
                    f"{self.path}: {name} has {size} B there and {sizes[name]} B here; another "
                    "kernel was chosen for its layer: leave this record out of the plan"
                )


def plan_document(program: Program, plan: MemoryPlan, regions: Sequence[Region]) -> dict[str, Any]:
    """The plan as JSON-able values."""
    layers = {layer.index: layer.name for layer in program.layers}
    constants = {constant.name for constant in program.constants}
    return {
        "schema": PLAN_SCHEMA,
        "model": program.name,
        "model_sha256": program.model_sha256,
        "board": plan.board,
        "regions": [
            {"name": r.name, "capacity": r.capacity, "writable": r.writable} for r in regions
        ],
        "arena": dict(plan.arena),
        "arena_bytes": plan.arena_bytes,
        "liveness_bound": plan.liveness_bound,
        "buffers": [_record(p) for p in plan.placements if p.name not in constants],
        "constants": [_record(p) for p in plan.placements if p.name in constants],
        "kernels": [{"layer": layers[i], "kernel": kernel} for i, kernel in plan.kernels],
    }


def _record(placement: Placement) -> dict[str, Any]:
    return {
        "name": placement.name,
        "kind": placement.kind,
        "region": placement.region,
        "offset": placement.offset,
        "size": placement.size,
        "alignment": placement.alignment,
        "first_step": placement.first_step,
        "last_step": placement.last_step,
    }


def plan_text(document: dict[str, Any]) -> str:
    """plan.json, one record a line."""
    lines = []
    for key, value in document.items():
        if isinstance(value, list) and value:
            rows = ",\n".join(f"    {json.dumps(row)}" for row in value)
            lines.append(f"  {json.dumps(key)}: [\n{rows}\n  ]")
        else:
            lines.append(f"  {json.dumps(key)}: {json.dumps(value)}")
    return "{\n" + ",\n".join(lines) + "\n}\n"


def read_plan(path: Path) -> PlanFile:
    """Reads a plan file. Raises PlanError naming the file and what is wrong in it."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PlanError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        raise PlanError(f"{path}: not JSON: {error}") from error
    if not isinstance(document, dict):
        raise PlanError(f"{path}: a plan is a JSON object")
    _refuse_keys(path, document, _TOP, "the plan")
    if document.get("schema") != PLAN_SCHEMA:
        raise PlanError(
            f"{path}: schema {document.get('schema')!r}; this version reads {PLAN_SCHEMA}"
        )
    sizes: dict[str, int] = {}
    return PlanFile(
        path=path,
        model_sha256=_text(path, document, "model_sha256"),
        board=_text(path, document, "board"),
        pins=Pins(
            buffers=_pins(path, document, "buffers", sizes),
            constants=_pins(path, document, "constants", sizes),
        ),
        sizes=sizes,
        kernels=_kernels(path, document),
    )


def _refuse_keys(path: Path, record: dict[str, Any], known: set[str], where: str) -> None:
    for key in record:
        if key not in known:
            raise PlanError(f"{path}: {where}: unknown key {key!r}; it may have {sorted(known)}")


def _text(path: Path, record: dict[str, Any], key: str) -> str | None:
    value = record.get(key)
    if value is not None and not isinstance(value, str):
        raise PlanError(f"{path}: {key} must be text, not {value!r}")
    return value


def _integer(path: Path, record: dict[str, Any], key: str, where: str) -> int | None:
    value = record.get(key)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise PlanError(f"{path}: {where}: {key} must be a whole number, not {value!r}")
    return value


def _records(path: Path, document: dict[str, Any], key: str) -> list[dict[str, Any]]:
    value = document.get(key, [])
    if not isinstance(value, list) or not all(isinstance(v, dict) for v in value):
        raise PlanError(f"{path}: {key} must be a list of objects")
    return value


def _pins(path: Path, document: dict[str, Any], key: str, sizes: dict[str, int]) -> dict[str, Pin]:
    pins: dict[str, Pin] = {}
    for place, record in enumerate(_records(path, document, key)):
        name = record.get("name")
        if not isinstance(name, str):
            raise PlanError(f"{path}: {key}[{place}]: needs a name")
        where = f"{key} {name!r}"
        if name in pins:
            raise PlanError(f"{path}: {where}: listed twice")
        _refuse_keys(path, record, _RECORD, where)
        region = record.get("region")
        if region is not None and not isinstance(region, str):
            raise PlanError(f"{path}: {where}: region must be text, not {region!r}")
        pins[name] = Pin(region, _integer(path, record, "offset", where))
        size = _integer(path, record, "size", where)
        if size is not None:
            sizes[name] = size
    return pins


def _kernels(path: Path, document: dict[str, Any]) -> dict[str, str]:
    kernels: dict[str, str] = {}
    for place, record in enumerate(_records(path, document, "kernels")):
        layer, kernel = record.get("layer"), record.get("kernel")
        _refuse_keys(path, record, {"layer", "kernel"}, f"kernels[{place}]")
        if not isinstance(layer, str) or not isinstance(kernel, str):
            raise PlanError(f"{path}: kernels[{place}]: needs a layer and a kernel")
        if kernels.setdefault(layer, kernel) != kernel:
            raise PlanError(f"{path}: kernels: layer {layer!r} is listed with two kernels")
    return kernels


def plan_rows(plan: MemoryPlan) -> list[dict[str, str | int]]:
    """The plan's buffers and constants as table rows, for people."""
    return [
        {
            "name": p.name,
            "kind": p.kind,
            "region": p.region,
            "offset": p.offset,
            "size": p.size,
            "steps": f"{p.first_step}-{p.last_step}",
        }
        for p in plan.placements
    ]
