"""A model and its export as tables and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from .tables import size, table

if TYPE_CHECKING:
    from edge_export import ExportResult
    from edge_quantize.graph.analysis import Analysis, Interface


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _interface(kind: str, tensor: Interface) -> tuple[object, ...]:
    quantization = tensor.quantization
    scale = f"{quantization.scale:.6g}" if quantization and not quantization.per_channel else None
    zero = quantization.zero_point if quantization and not quantization.per_channel else None
    return (kind, tensor.name, _shape(tensor.shape), tensor.dtype, scale, zero)


def analysis_tables(analysis: Analysis, names: Sequence[str]) -> list[Table]:
    """Operators with what each costs, and the model's inputs and outputs.

    `names` are the layers' short ones, as exports and profiles give them.
    """
    operators = table(
        f"{analysis.name}: {analysis.macs:,} MACs, {size(analysis.parameter_bytes)} of parameters",
        [">#", "~layer", "~op", "<output", ">MACs", ">params", ">live"],
        [
            (
                cost.index,
                names[cost.index],
                cost.op,
                " ".join(_shape(s) for s in cost.output_shapes),
                cost.macs or None,
                cost.parameter_bytes or None,
                cost.live_bytes,
            )
            for cost in analysis.operators
        ],
    )
    tensors = table(
        "Inputs and outputs",
        ["<", "~name", "<shape", "<type", ">scale", ">zero point"],
        [
            *(_interface("in", tensor) for tensor in analysis.inputs),
            *(_interface("out", tensor) for tensor in analysis.outputs),
        ],
    )
    return [operators, tensors]


def analysis_json(analysis: Analysis) -> dict[str, Any]:
    """Everything that `inspect` prints of the model itself."""

    def interface(tensor: Interface) -> dict[str, Any]:
        quantization = tensor.quantization
        return {
            "name": tensor.name,
            "shape": list(tensor.shape),
            "dtype": tensor.dtype,
            "bytes": tensor.nbytes,
            "scales": list(quantization.scales) if quantization else [],
            "zero_points": list(quantization.zero_points) if quantization else [],
        }

    return {
        "schema": 1,
        "model": {"name": analysis.name, "sha256": analysis.sha256},
        "macs": analysis.macs,
        "parameter_bytes": analysis.parameter_bytes,
        "tensors": analysis.tensor_count,
        "memory_bound": {"bytes": analysis.memory_bound, "operator": analysis.memory_bound_at},
        "ops": dict(analysis.op_counts),
        "operators": [
            {
                "index": cost.index,
                "name": cost.name,
                "op": cost.op,
                "macs": cost.macs,
                "inputs": [list(shape) for shape in cost.input_shapes],
                "outputs": [list(shape) for shape in cost.output_shapes],
                "parameter_bytes": cost.parameter_bytes,
                "live_bytes": cost.live_bytes,
            }
            for cost in analysis.operators
        ],
        "inputs": [interface(tensor) for tensor in analysis.inputs],
        "outputs": [interface(tensor) for tensor in analysis.outputs],
    }


def plan_table(plan: Mapping[str, Any]) -> Table:
    """Buffers in RAM, from plan.json; the arena's size stands beside the liveness bound."""
    arena = ", ".join(f"{region} {count:,} B" for region, count in plan["arena"].items())
    return table(
        f"Memory plan: arena {arena or '0 B'} (liveness bound {plan['liveness_bound']:,} B)",
        ["~buffer", "<kind", "<region", ">offset", ">size", ">steps"],
        [
            (
                record["name"],
                record["kind"],
                record["region"],
                record["offset"],
                record["size"],
                f"{record['first_step']}-{record['last_step']}",
            )
            for record in plan["buffers"]
        ],
    )


def export_json(result: ExportResult) -> dict[str, Any]:
    """What was generated."""
    return {
        "schema": 1,
        "folder": str(result.directory),
        "name": result.name,
        "model": {"sha256": result.model_sha256},
        "board": result.board,
        "kernels": list(result.kernels),
        "sources": list(result.sources),
        "arena": dict(result.arena),
        "arena_bytes": result.arena_bytes,
        "liveness_bound": result.liveness_bound,
        "weight_bytes": result.weight_bytes,
    }
