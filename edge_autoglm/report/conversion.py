"""What `convert` did, in a few lines and as JSON."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from edge_autoglm.report.tables import size
from edge_quantize.graph.model import Graph, Tensor
from edge_quantize.ingest.conversion import Conversion


def conversion_lines(conversion: Conversion, out: Path, nbytes: int) -> list[str]:
    graph = conversion.graph
    ops = Counter(operator.op for operator in graph.operators)
    counted = ", ".join(f"{op} {count}" for op, count in ops.most_common())
    by = conversion.comparison
    return [
        f"{graph.name}: {conversion.kind}, read with {conversion.framework}",
        *(f"  {note}" for note in conversion.notes),
        *(f"Input  {_interface(graph.tensors[i])}" for i in graph.inputs),
        *(f"Output {_interface(graph.tensors[i])}" for i in graph.outputs),
        f"{len(graph.operators)} operators: {counted}",
        (
            f"Compared with {by.against} on {by.samples} random inputs: largest difference "
            f"{by.max_relative:.2g} of the output's largest value (allowed {by.tolerance:g})"
        ),
        f"{out}: {size(nbytes)}, weights {size(graph.constant_bytes)}, float",
    ]


def _interface(tensor: Tensor) -> str:
    return f"'{tensor.name}': {tensor.dtype.value} {list(tensor.shape)}"


def conversion_json(conversion: Conversion, model: str, out: Path, nbytes: int) -> dict[str, Any]:
    graph, by = conversion.graph, conversion.comparison
    return {
        "source": model,
        "kind": conversion.kind,
        "framework": conversion.framework,
        "notes": list(conversion.notes),
        "file": str(out),
        "bytes": nbytes,
        "weight_bytes": graph.constant_bytes,
        "inputs": _interfaces(graph, graph.inputs),
        "outputs": _interfaces(graph, graph.outputs),
        "operators": dict(Counter(operator.op for operator in graph.operators).most_common()),
        "comparison": {
            "against": by.against,
            "samples": by.samples,
            "max_relative": by.max_relative,
            "tolerance": by.tolerance,
        },
    }


def _interfaces(graph: Graph, indices: tuple[int, ...]) -> list[dict[str, Any]]:
    tensors = [graph.tensors[i] for i in indices]
    return [{"name": t.name, "dtype": t.dtype.value, "shape": list(t.shape)} for t in tensors]
