"""A `.tflite` file as the tables of its schema, to be changed in place and written again.

A `Graph` is what this package computes with; it does not hold everything that a file may have
(signatures, further subgraphs, custom options). What must leave all of that as it was works on the
tables themselves, by the schema's object API.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from edge_quantize.errors import ModelFileError
from edge_quantize.graph.option_tables import schema_names
from edge_quantize.ingest.flatbuffer import Walk
from edge_quantize.ingest.tflite import read_tflite

_IDENTIFIER = b"TFL3"
_BUFFER_ALIGNMENT = 16
_SPARE = 1 << 16
_PLACEHOLDER_MOST = 127  # codes past it do not fit the file's older 8-bit field
_NAMES = schema_names(schema.BuiltinOperator)

FLOAT32 = int(schema.TensorType.FLOAT32)
FLOAT16 = int(schema.TensorType.FLOAT16)
# Element types that stand for real numbers where a tensor has scales.
QUANTIZED = frozenset(
    int(getattr(schema.TensorType, name))
    for name in ("INT4", "INT8", "UINT8", "INT16", "INT32", "INT64")
)
# They hand tensors on to other subgraphs, whose own declarations of them would have to follow.
CONTROL_FLOW = frozenset(
    {"IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE", "STABLEHLO_COMPOSITE", "STABLEHLO_CASE"}
)


class _Buffer(schema.BufferT):  # type: ignore[misc]
    """A buffer whose content is aligned as the schema asks; the object API forgets that."""

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802, the object API's name
        vector = None
        if self.data is not None and len(self.data):
            content = np.asarray(self.data, np.uint8).tobytes()
            builder.StartVector(1, len(content), _BUFFER_ALIGNMENT)
            builder.head -= len(content)
            builder.Bytes[builder.head : builder.head + len(content)] = content
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if vector is not None:
            schema.BufferAddData(builder, vector)
        return int(schema.BufferEnd(builder))


def unpacked(content: bytes) -> Any:
    """The file's `ModelT`, its buffers and custom options all inside.

    Raises ModelFileError for what is not a sound `.tflite` file: it is read and checked first, and
    further subgraphs, which no Graph holds, as far as the tables point at each other.
    """
    read_tflite(content)
    _pay(content)
    try:
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    except (struct.error, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise ModelFileError("an offset points outside the file; was it damaged?") from error
    problems = list(_loose_ends(model))
    if problems:
        raise ModelFileError(f"malformed model: {problems[0]}", tuple(problems))
    if _weight(model) > 2 * len(content) + _SPARE:
        raise ModelFileError("the file's tables hold more than the file can")
    buffers = []
    for buffer in model.buffers:
        own = _Buffer()
        own.data = buffer.data
        if buffer.offset > 1 or buffer.size > 0:
            own.data = _behind(content, buffer.offset, buffer.size)
        buffers.append(own)
    model.buffers = buffers
    for subgraph in model.subgraphs:
        for operator in subgraph.operators or []:
            start, size = operator.largeCustomOptionsOffset, operator.largeCustomOptionsSize
            if start > 1 or size > 0:
                operator.customOptions = _behind(content, start, size)
            operator.largeCustomOptionsOffset = operator.largeCustomOptionsSize = 0
    return model


def _behind(content: bytes, start: int, size: int) -> npt.NDArray[np.uint8]:
    if start + size > len(content):
        raise ModelFileError(f"{size} bytes at offset {start} reach past the file's end")
    return np.frombuffer(content, np.uint8, size, start)


def _pay(content: bytes) -> None:
    """Count the tables that the object API will make, which may point at the same ones a million
    times: see `edge_quantize.ingest.flatbuffer`."""
    walk = Walk(len(content))
    model = schema.Model.GetRootAs(content)
    for number in range(walk.count("subgraphs", model.SubgraphsLength)):
        where = f"subgraph {number}"
        subgraph = walk.get(where, model.Subgraphs, number)
        for index in range(walk.count(f"{where}: tensors", subgraph.TensorsLength)):
            tensor = walk.get(where, subgraph.Tensors, index)
            walk.count(where, tensor.VariantTensorsLength)
            sparsity = walk.get(where, tensor.Sparsity)
            if sparsity is not None:
                walk.count(where, sparsity.DimMetadataLength)
        walk.count(f"{where}: operators", subgraph.OperatorsLength)
    for name in ("Metadata", "OperatorCodes", "SignatureDefs", "ExternalBuffers"):
        # LiteRT before 2.2 has no external buffers in its schema.
        length = getattr(model, f"{name}Length", None)
        if length is not None:
            walk.count(name, length)


def _loose_ends(model: Any) -> Iterator[str]:
    """What points at nothing, a line each."""
    if any(each is None for each in model.buffers or [None]):
        yield "a buffer is missing"
        return
    for number, subgraph in enumerate(model.subgraphs or [None]):
        if subgraph is None:
            yield f"subgraph {number} is missing"
            continue
        count = len(subgraph.tensors or [])
        for tensor in subgraph.tensors or []:
            if tensor is None or not 0 <= tensor.buffer < len(model.buffers):
                yield f"subgraph {number}: a tensor without a buffer"
        for operator in subgraph.operators or []:
            if operator is None or not 0 <= operator.opcodeIndex < len(model.operatorCodes or []):
                yield f"subgraph {number}: an operator without a code"
                continue
            named = [*indices(operator.inputs), *indices(operator.outputs)]
            if any(not -1 <= i < count for i in named):
                yield f"subgraph {number}: an operator's tensor does not exist"
        if any(not 0 <= i < count for i in (*indices(subgraph.inputs), *indices(subgraph.outputs))):
            yield f"subgraph {number}: an input or output does not exist"
    for code in model.operatorCodes or []:
        if max(code.deprecatedBuiltinCode, code.builtinCode) not in _NAMES:
            yield f"operator {code.builtinCode} is not in the schema"


def _weight(value: Any) -> int:
    """Bytes of everything that `value` holds, counted as often as it is held."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, bytes | str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_weight, value))
    if hasattr(value, "__dict__"):
        return sum(map(_weight, vars(value).values()))
    return 0


def packed(model: Any) -> bytes:
    """The file's bytes; the same tables give the same bytes."""
    size = sum(len(b.data) for b in model.buffers if b.data is not None)
    builder = flatbuffers.Builder(size + 65536)
    builder.Finish(model.Pack(builder), _IDENTIFIER)
    return bytes(builder.Output())


def operator_name(model: Any, operator: Any) -> str:
    """As the schema has it; "CUSTOM" for every custom operator."""
    code = model.operatorCodes[operator.opcodeIndex]
    # Files from before the code outgrew 8 bits have it in the older field only.
    return _NAMES[max(code.deprecatedBuiltinCode, code.builtinCode)]


def operator_code(model: Any, op: str, version: int) -> int:
    """The place of an operator code, which comes into being where the file has none like it."""
    number = int(getattr(schema.BuiltinOperator, op))
    for place, code in enumerate(model.operatorCodes or []):
        found = max(code.deprecatedBuiltinCode, code.builtinCode)
        if found == number and code.version == version:
            return place
    code = schema.OperatorCodeT()
    code.deprecatedBuiltinCode = min(number, _PLACEHOLDER_MOST)
    code.builtinCode = number
    code.version = version
    model.operatorCodes = [*(model.operatorCodes or []), code]
    return len(model.operatorCodes) - 1


def new_buffer(model: Any, content: npt.NDArray[np.generic]) -> int:
    """The number of a further buffer."""
    buffer = _Buffer()
    little = np.ascontiguousarray(content, content.dtype.newbyteorder("<"))
    buffer.data = little.reshape(-1).view(np.uint8)
    model.buffers.append(buffer)
    return len(model.buffers) - 1


def drop_unused_buffers(model: Any) -> None:
    """Empty the buffers that nothing names any more; numbers stay."""
    named = {tensor.buffer for subgraph in model.subgraphs for tensor in subgraph.tensors or []}
    named |= {entry.buffer for entry in model.metadata or []}
    named |= set(model.metadataBuffer if model.metadataBuffer is not None else ())
    for number, buffer in enumerate(model.buffers):
        if number not in named:
            buffer.data = None


def constant(model: Any, tensor: Any) -> npt.NDArray[np.uint8] | None:
    """The bytes of a constant that is stored densely; None for anything else."""
    if tensor.isVariable or tensor.sparsity is not None or getattr(tensor, "externalBuffer", 0):
        return None
    data = model.buffers[tensor.buffer].data
    return None if data is None or not len(data) else np.asarray(data, np.uint8)


def elements(tensor: Any) -> int:
    return math.prod(int(n) for n in shape(tensor))


def shape(tensor: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in tensor.shape) if tensor.shape is not None else ()


def text(name: bytes | str | None) -> str:
    """A name for people."""
    raw = name.encode() if isinstance(name, str) else name or b""
    found = raw.decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in found)


def indices(values: Any) -> list[int]:
    """A vector of tensor numbers, which may be missing; -1 stands for an input left out."""
    return [] if values is None else [int(i) for i in values]


def readers(subgraph: Any) -> dict[int, list[Any]]:
    """The operators that read each tensor, in order."""
    found: dict[int, list[Any]] = {}
    for operator in subgraph.operators or []:
        for index in dict.fromkeys(indices(operator.inputs)):
            if index >= 0:
                found.setdefault(index, []).append(operator)
    return found
