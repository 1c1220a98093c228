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

    Inputs and outputs keep their names, order and the file's signatures (none where it has none,
    and those left out, with a note, that name a tensor inside the model).
    Raises what `edge_quantize.ptq.quantize` raises: UnsupportedModelError, InputDataError,
    UnsoundResultError; ModelFileError for what is not a sound file.
    """
    source = read_tflite(content)
    made = quantize(source, samples, progress=progress)
    inputs = [source.tensors[i].name for i in source.inputs]
    outputs = [source.tensors[i].name for i in source.outputs]
    graph = _freed(made.graph, {*inputs, *outputs})
    model = tables.unpacked(write_tflite(renamed(graph, inputs, outputs)))
    model.signatureDefs, lost = _signatures(tables.unpacked(content), source, graph)
    notes = [f"signature '{key}' names a tensor inside the model, and is left out" for key in lost]
    return Int8Variant(tables.packed(model), (*made.notes, *notes))


def _freed(graph: Graph, names: set[str]) -> Graph:
    """The graph without `names` on tensors inside it: the ends are to have them."""
    ends = {*graph.inputs, *graph.outputs}
    tensors = tuple(
        replace(t, name=f"{t.name}/inside") if t.name in names and t.index not in ends else t
        for t in graph.tensors
    )
    return replace(graph, tensors=tensors)


def _signatures(model: Any, source: Graph, graph: Graph) -> tuple[list[Any], list[str]]:
    """The file's signatures with the tensors of `graph`, and the keys of those it has none for."""
    inputs = dict(zip(source.inputs, graph.inputs, strict=True))
    outputs = dict(zip(source.outputs, graph.outputs, strict=True))
    found, lost = [], []
    for signature in model.signatureDefs or []:
        if signature.subgraphIndex:
            continue
        kept = copy.deepcopy(signature)
        ends = [(entry, inputs) for entry in kept.inputs or []]
        ends += [(entry, outputs) for entry in kept.outputs or []]
        if any(int(entry.tensorIndex) not in places for entry, places in ends):
            lost.append(tables.text(kept.signatureKey))
            continue
        for entry, places in ends:
            entry.tensorIndex = places[int(entry.tensorIndex)]
        found.append(kept)
    return found, lost
