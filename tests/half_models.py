"""Files with what a Graph does not hold: signatures, further subgraphs, custom options, constants
behind the flatbuffer; and the names of what the schema's tables refer to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from edge_quantize.graph.model import Graph
from edge_quantize.graph.writer import write_tflite

KEY = b"classify"


def tables(content: bytes) -> Any:
    return schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))


def packed(model: Any) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def changed(graph: Graph, change: Callable[[Any], None]) -> bytes:
    model = tables(write_tflite(graph))
    change(model)
    return packed(model)


def with_signature(graph: Graph, inputs: dict[str, int], outputs: dict[str, int]) -> bytes:
    """The names by place in the graph's inputs and outputs, under KEY."""

    def entries(names: dict[str, int], indices: tuple[int, ...]) -> list[Any]:
        made = []
        for name, place in names.items():
            entry = schema.TensorMapT()
            entry.name, entry.tensorIndex = name.encode(), indices[place]
            made.append(entry)
        return made

    def change(model: Any) -> None:
        (signature,) = model.signatureDefs
        signature.signatureKey = KEY
        signature.inputs = entries(inputs, graph.inputs)
        signature.outputs = entries(outputs, graph.outputs)

    return changed(graph, change)


def signatures(content: bytes) -> dict[str, dict[str, dict[str, str]]]:
    """Key -> side -> name -> name of the tensor."""
    model = tables(content)
    found: dict[str, dict[str, dict[str, str]]] = {}
    for signature in model.signatureDefs or []:
        tensors = model.subgraphs[signature.subgraphIndex].tensors
        found[signature.signatureKey.decode()] = {
            side: {e.name.decode(): tensors[e.tensorIndex].name.decode() for e in entries}
            for side, entries in (("inputs", signature.inputs), ("outputs", signature.outputs))
        }
    return found


def outside(content: bytes) -> bytes:
    """The same model with its largest constant behind the flatbuffer."""
    model = tables(content)
    buffer = max(model.buffers, key=lambda b: 0 if b.data is None else len(b.data))
    data = bytes(buffer.data)
    buffer.data, buffer.size, buffer.offset = None, len(data), 1 << 20
    start = -(-len(packed(model)) // 16) * 16
    buffer.offset = start
    made = packed(model)
    return made + b"\0" * (start - len(made)) + data


def alignment(content: bytes) -> set[int]:
    """How the buffers lie in the file, modulo 16."""
    model = schema.Model.GetRootAs(content)
    found = set()
    for number in range(model.BuffersLength()):
        buffer = model.Buffers(number)
        data = buffer.DataAsNumpy()
        if isinstance(data, np.ndarray) and data.size:
            whole = np.frombuffer(content, np.uint8)
            start = data.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
            found.add(start % 16)
    return found
