"""The description that travels in the model's image, and what it is made of.

Compressed JSON that the host unpacks (docs/protocol.md gives its keys). zlib's output may differ
between versions of zlib, never its content; on one machine it is the same for the same model.
"""

from __future__ import annotations

import json
import zlib
from typing import Any

from edge_quantize.graph import Graph

from .emit import Port
from .memory import MemoryPlan
from .program import Program

DESCRIPTION_VERSION = 1


def describe(
    graph: Graph,
    program: Program,
    plan: MemoryPlan,
    inputs: tuple[Port, ...],
    outputs: tuple[Port, ...],
) -> dict[str, Any]:
    """The description as JSON-able values."""
    position = {layer.index: i for i, layer in enumerate(program.layers)}
    blocks = [region for region, _ in plan.arena]
    return {
        "v": DESCRIPTION_VERSION,
        "layers": [[layer.name, layer.op, layer.macs] for layer in program.layers],
        "steps": [[position[step.layer], step.kernel, step.macs] for step in program.steps],
        "inputs": [tensor_of(port) for port in inputs],
        "outputs": [tensor_of(port) for port in outputs],
        "labels": list(graph.labels),
        "blocks": blocks,
        "results": _results(graph, program, plan, blocks),
        "input_preserved": input_preserved(program, plan),
        "weights": sum(constant.source_bytes for constant in program.constants),
    }


def compress(description: dict[str, Any]) -> bytes:
    """zlib level 9 over compact JSON with sorted keys."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"))
    return zlib.compress(text.encode("utf-8"), 9)


def tensor_of(port: Port) -> dict[str, Any]:
    """An input or output of the model."""
    return {
        "name": port.name,
        "shape": list(port.shape),
        "dtype": port.dtype,
        "scale": port.scale,
        "zero_point": port.zero_point,
    }


def _results(
    graph: Graph, program: Program, plan: MemoryPlan, blocks: list[str]
) -> list[list[int]]:
    """[step, block, offset, size] of each layer's first output; step -1: there before any, and
    size 0: it has none, since the layer was folded into the one behind it."""
    places = {p.name: p for p in plan.placements}
    buffers = {b.tensor: b for b in program.buffers if b.tensor is not None}
    by_name = {b.name: b for b in program.buffers}
    written = {name: step.index for step in program.steps for name in step.results}
    operators = {o.index: o for o in graph.operators}
    results = []
    for layer in program.layers:
        buffer = buffers.get(operators[layer.index].outputs[0])
        if buffer is None:
            results.append([-1, 0, 0, 0])
            continue
        source = buffer
        while source.alias_of is not None and source.name not in written:
            source = by_name[source.alias_of]
        place = places[buffer.name]
        results.append(
            [written.get(source.name, -1), blocks.index(place.region), place.offset, buffer.size]
        )
    return results


def input_preserved(program: Program, plan: MemoryPlan) -> bool:
    """Whether an inference leaves every input as it was written."""
    places = {p.name: p for p in plan.placements}
    written = {n for s in program.steps for n in (*s.results, *((s.scratch,) if s.scratch else ()))}
    for name in program.inputs:
        place = places[name]
        for other in (places[n] for n in sorted(written)):
            if (
                other.region == place.region
                and other.offset < place.offset + place.size
                and place.offset < other.offset + other.size
            ):
                return False
    return True
