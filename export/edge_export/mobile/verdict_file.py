"""`verdict.json`: what a package says of how it was checked. `verdict.schema.json` describes it."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from edge_quantize.half import HalfReport, half_json

from .model import FirstWrong, MobileModel, OutputDifference, Port, Target, Verdict

VERDICT_FILE = "verdict.json"
VERDICT_SCHEMA = 1
SCHEMA_PATH = Path(__file__).with_name("verdict.schema.json")


def verdict_json(
    model: MobileModel, target: Target, verdict: Verdict, files: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The verdict as JSON holds it. What is not finite is null there: no number was found. `files`
    are the package's others, each with its SHA-256."""
    return {
        "schema": VERDICT_SCHEMA,
        "target": target.value,
        "model": {
            "name": model.name,
            "variant": model.variant.value,
            "sha256": hashlib.sha256(model.content).hexdigest(),
            "bytes": len(model.content),
            "signature": model.signature,
            "inputs": [_port(port) for port in model.inputs],
            "outputs": [_port(port) for port in model.outputs],
        },
        "state": verdict.state,
        "why": verdict.why,
        "outputs": [_difference(each) for each in verdict.outputs],
        "operators": {"total": verdict.operators, "on_gpu": verdict.on_gpu},
        "backend": {
            "runtime": verdict.runtime,
            "adapter": verdict.adapter,
            "arithmetic": verdict.arithmetic,
            "warnings": list(verdict.warnings),
        },
        "samples": {"count": verdict.samples, "source": verdict.source},
        "problems": list(verdict.problems),
        "first_wrong": _first_wrong(verdict.first_wrong),
        "works": verdict.works.value if verdict.works else None,
        "drift": [plain(each) for each in verdict.drift],
        "half": half_json(verdict.half) if isinstance(verdict.half, HalfReport) else None,
        "notes": list(verdict.notes),
        "limits": list(verdict.limits),
        "files": dict(files or {}),
    }


def verdict_text(
    model: MobileModel, target: Target, verdict: Verdict, files: Mapping[str, str]
) -> str:
    document = verdict_json(model, target, verdict, files)
    return json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: object) -> Any:
    """A value of dataclasses, enumerations, tuples and numbers as JSON has it."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return _number(value)
    return value


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _difference(each: OutputDifference) -> dict[str, Any]:
    return {
        "name": each.name,
        "max_abs": _number(each.max_abs),
        "rms": _number(each.rms),
        "relative": _number(each.relative),
        "unit": "LSB" if each.relative is None else "the output's own",
        "tolerance": each.tolerance,
        "agreement": each.agreement,
        "within": each.within,
        "rounding": each.rounding,
    }


def _first_wrong(found: FirstWrong | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "index": found.index,
        "name": found.name,
        "op": found.op,
        "max_abs": _number(found.max_abs),
        "relative": _number(found.relative),
        "alone": found.alone,
    }


def _port(port: Port) -> dict[str, Any]:
    quantization = None
    if port.quantization is not None:
        quantization = {
            "scale": list(port.quantization.scales),
            "zero_point": list(port.quantization.zero_points),
        }
    return {
        "name": port.name,
        "shape": list(port.shape),
        "dtype": port.dtype.value,
        "quantization": quantization,
    }
