"""The int8 form of a float model, under the names that the float model has."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

from edge_quantize.data.samples import Samples
from edge_quantize.graph.model import Graph
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.float_graph import renamed
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.ptq.calibrate import Progress
from edge_quantize.ptq.quantize import quantize

from . import tables


@dataclass(frozen=True)
class Int8Variant:
    """`content` is the `.tflite` file; its inputs and outputs are int8 (a package turns real
    numbers into them). `notes` are quantization's remarks for the user."""

    content: bytes
    notes: tuple[str, ...]


def int8_variant(
    content: bytes, samples: Samples, *, progress: Progress | None = None
) -> Int8Variant:
    """A float `.tflite` file quantized to int8 with ranges from `samples`.

    Inputs and outputs keep their names, order and the file's signatures (none where it has none).
    Raises what `edge_quantize.ptq.quantize` raises: UnsupportedModelError, InputDataError,
    UnsoundResultError; ModelFileError for what is not a sound file.
    """
    source = read_tflite(content)
    made = quantize(source, samples, progress=progress)
    inputs = [source.tensors[i].name for i in source.inputs]
    outputs = [source.tensors[i].name for i in source.outputs]
    graph = _freed(made.graph, {*inputs, *outputs})
    model = tables.unpacked(write_tflite(renamed(graph, inputs, outputs)))
    model.signatureDefs = _signatures(tables.unpacked(content), source, graph)
    return Int8Variant(tables.packed(model), made.notes)


def _freed(graph: Graph, names: set[str]) -> Graph:
    """The graph without `names` on tensors inside it: the ends are to have them."""
    ends = {*graph.inputs, *graph.outputs}
    tensors = tuple(
        replace(t, name=f"{t.name}/inside") if t.name in names and t.index not in ends else t
        for t in graph.tensors
    )
    return replace(graph, tensors=tensors)


def _signatures(model: Any, source: Graph, graph: Graph) -> list[Any]:
    places = dict(zip(source.inputs, graph.inputs, strict=True))
    places |= dict(zip(source.outputs, graph.outputs, strict=True))
    found = []
    for signature in model.signatureDefs or []:
        if signature.subgraphIndex:
            continue
        kept = copy.deepcopy(signature)
        for entry in [*(kept.inputs or []), *(kept.outputs or [])]:
            entry.tensorIndex = places[int(entry.tensorIndex)]
        found.append(kept)
    return found
