"""A `.tflite` file as a `Graph`.

Reads through the accessors of LiteRT's own schema module, never through its object API, which
copies whatever a file points at and can so be made to fill the memory. Everything malformed is
collected and reported together.
"""

from __future__ import annotations

import hashlib
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from edge_quantize.errors import ModelFileError
from edge_quantize.graph.model import DType, Graph, Operator, Quantization, Tensor
from edge_quantize.graph.option_tables import schema_names
from edge_quantize.graph.structure import structure_problems

from .flatbuffer import Walk
from .source import MAX_FILE_BYTES, check_magic, read_model_file
from .tflite_options import read_options

SCHEMA_VERSION = 3
LABELS_METADATA = "labels.txt"  # one class name a line

_BUILTINS = schema_names(schema.BuiltinOperator)
_DTYPES = {
    number: DType[name]
    for number, name in schema_names(schema.TensorType).items()
    if name in DType.__members__
}
_DETAILS = schema_names(schema.QuantizationDetails)
_MOST_DIMENSIONS = 8
_MOST_ELEMENTS = 2**31 - 1
_MOST_PROBLEMS = 100
# The least an honest file spends on one: offset, table, and the vectors it must have.
_TENSOR_BYTES = 32
_OPERATOR_BYTES = 24
_MOST_DESCRIPTION = 65536


def read_tflite(source: str | os.PathLike[str] | bytes | bytearray | memoryview) -> Graph:
    """Read a model from a path, or from the content of a file.

    Constants are read-only views into the file's bytes (copies where unaligned). `Graph.name` is
    the file's stem, or the subgraph's name when bytes were given.

    Raises ModelFileError when the file cannot be read or is malformed; `problems` lists all that
    was found. What is sound but unsupported is read, and is `check_supported`'s to judge.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _read(bytes(source), name="")
    path = Path(source)
    data = read_model_file(path)
    try:
        return _read(data, name=path.stem)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}", error.problems) from error


def _read(data: bytes, name: str) -> Graph:
    if len(data) > MAX_FILE_BYTES:
        raise ModelFileError(f"{len(data)} bytes are too large for a model here")
    check_magic(data)
    return _Reader(data).graph(name)


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.walk = Walk(len(data))
        self.problems: list[str] = []
        self.unlisted = 0
        self.contents: dict[tuple[int, DType, int], npt.NDArray[np.generic]] = {}

    def graph(self, name: str) -> Graph:
        walk = self.walk
        model = walk.get("model", schema.Model.GetRootAs, self.data)
        version = walk.get("model", model.Version)
        if version != SCHEMA_VERSION:
            raise ModelFileError(f"schema version {version}; only {SCHEMA_VERSION} is known")
        subgraph_count = walk.count("subgraphs", model.SubgraphsLength)
        if subgraph_count == 0:
            raise ModelFileError("the model has no subgraph")
        self.buffers = [
            walk.get(f"buffer {i}", model.Buffers, i)
            for i in range(walk.count("buffers", model.BuffersLength))
        ]
        self.codes = self.operator_codes(model)
        subgraph = walk.get("subgraph 0", model.Subgraphs, 0)
        tensors = self.tensors(subgraph)
        operators = self.operators(subgraph)
        inputs = walk.integers("inputs of the model", subgraph.InputsAsNumpy)
        outputs = walk.integers("outputs of the model", subgraph.OutputsAsNumpy)
        metadata = self.metadata(model)
        self.skip_signatures(model)
        subgraph_name = walk.text("subgraph name", subgraph.Name)
        others = tuple(
            self.subgraph_name(model, i) or f"subgraph {i}" for i in range(1, subgraph_count)
        )
        self.stop_on_problems()
        graph = Graph(
            name=name or subgraph_name or "model",
            tensors=tuple(tensors),
            operators=tuple(operators),
            inputs=inputs,
            outputs=outputs,
            description=walk.text("description", model.Description, _MOST_DESCRIPTION),
            sha256=hashlib.sha256(self.data).hexdigest(),
            labels=_labels(metadata),
            metadata=metadata,
            other_subgraphs=others,
        )
        for problem in structure_problems(graph):
            self.add_problem(problem)
        self.stop_on_problems()
        return graph

    def add_problem(self, problem: object) -> None:
        """Keep a fault for the list, within a bound: a hostile file can have a million."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(str(problem))
        else:
            self.unlisted += 1

    def stop_on_problems(self) -> None:
        if not self.problems:
            return
        problems = self.problems + ([f"and {self.unlisted} more"] if self.unlisted else [])
        message = "malformed model: " + problems[0]
        if len(problems) > 1:
            message += f" (and {len(self.problems) - 1 + self.unlisted} more)"
        raise ModelFileError(message, tuple(problems))

    def subgraph_name(self, model: Any, index: int) -> str:
        subgraph = self.walk.get(f"subgraph {index}", model.Subgraphs, index)
        return self.walk.text(f"subgraph {index}", subgraph.Name)

    def operator_codes(self, model: Any) -> list[tuple[str, int]]:
        """(name, version) of every operator code; custom ones are named `CUSTOM:name`."""
        walk = self.walk
        codes = []
        for i in range(walk.count("operator codes", model.OperatorCodesLength)):
            where = f"operator code {i}"
            code = walk.get(where, model.OperatorCodes, i)
            # Files from before the code outgrew 8 bits have it in the deprecated field only.
            number = max(
                walk.get(where, code.DeprecatedBuiltinCode), walk.get(where, code.BuiltinCode)
            )
            op = _BUILTINS.get(number)
            if op is None:
                self.add_problem(f"{where}: operator {number} is not in the schema")
                op = f"UNKNOWN:{number}"
            if op == "CUSTOM":
                op = f"CUSTOM:{walk.text(where, code.CustomCode)}"
            codes.append((op, walk.get(where, code.Version)))
        return codes

    def tensors(self, subgraph: Any) -> list[Tensor]:
        walk = self.walk
        tensors = []
        for i in range(walk.count("tensors", subgraph.TensorsLength, _TENSOR_BYTES)):
            try:
                tensors.append(self.tensor(i, walk.get(f"tensor {i}", subgraph.Tensors, i)))
            except ModelFileError as error:
                self.add_problem(error)
        return tensors

    def tensor(self, index: int, table: Any) -> Tensor:
        walk = self.walk
        where = f"tensor {index}"
        name = walk.text(where, table.Name)
        where = f"tensor {index} '{name}'"
        shape = self.shape(where, "shape", table.ShapeAsNumpy)
        signature = self.shape(where, "shape signature", table.ShapeSignatureAsNumpy)
        if any(n < 0 for n in shape):
            raise ModelFileError(f"{where}: shape {list(shape)} has a negative dimension")
        # An empty dimension must not hide the size of the others.
        elements = math.prod(max(n, 1) for n in shape)
        if elements > _MOST_ELEMENTS:
            raise ModelFileError(
                f"{where}: shape {list(shape)} has {elements} elements, more than {_MOST_ELEMENTS}"
            )
        number = walk.get(where, table.Type)
        dtype = _DTYPES.get(number)
        if dtype is None:
            raise ModelFileError(f"{where}: element type {number} is not in the schema")
        quantization, encoding = self.quantization(where, table, shape)
        if walk.get(where, table.Sparsity) is not None:
            encoding = "sparse"
        # LiteRT before 2.2 has no such field in its schema.
        external = getattr(table, "ExternalBuffer", None)
        if external is not None and walk.get(where, external) != 0:
            encoding = "external buffer"
        return Tensor(
            index=index,
            name=name,
            shape=shape,
            dtype=dtype,
            quantization=quantization,
            data=self.content(where, table, shape, dtype, encoding),
            shape_signature=signature if signature != shape else (),
            is_variable=walk.get(where, table.IsVariable),
            encoding=encoding,
        )

    def shape(self, where: str, what: str, accessor: Any) -> tuple[int, ...]:
        rank = self.walk.vector(where, accessor).size
        if rank > _MOST_DIMENSIONS:
            raise ModelFileError(f"{where}: {what} has {rank} dimensions")
        return self.walk.integers(where, accessor)

    def quantization(
        self, where: str, table: Any, shape: tuple[int, ...]
    ) -> tuple[Quantization | None, str]:
        walk = self.walk
        parameters = walk.get(where, table.Quantization)
        if parameters is None:
            return None, ""
        details = walk.get(where, parameters.DetailsType)
        if details:
            kind = _DETAILS.get(details, f"unknown ({details})")
            return None, kind.removesuffix("Quantization").lower() + " quantization"
        scales = walk.scalars(f"{where}: scales", parameters.ScaleAsNumpy)
        zero_points = walk.integers(f"{where}: zero points", parameters.ZeroPointAsNumpy)
        if not scales:
            return None, ""
        walk.skip(where, parameters.MinLength)
        walk.skip(where, parameters.MaxLength)
        axis = walk.get(where, parameters.QuantizedDimension)
        if not zero_points:
            zero_points = (0,) * len(scales)
        if len(zero_points) != len(scales):
            raise ModelFileError(
                f"{where}: {len(scales)} scales but {len(zero_points)} zero points"
            )
        # Zero is legal: some converters write it for a channel whose weights are all zero.
        if not all(math.isfinite(scale) and scale >= 0 for scale in scales):
            raise ModelFileError(f"{where}: a scale is negative or not finite")
        if len(scales) > 1 and (not 0 <= axis < len(shape) or shape[axis] != len(scales)):
            raise ModelFileError(
                f"{where}: {len(scales)} scales along axis {axis} of shape {list(shape)}"
            )
        return Quantization(tuple(scales), zero_points, axis), ""

    def content(
        self, where: str, table: Any, shape: tuple[int, ...], dtype: DType, encoding: str
    ) -> npt.NDArray[np.generic] | None:
        """The constant's elements, or None when the tensor has no content in the file."""
        number = self.walk.get(where, table.Buffer)
        if number >= len(self.buffers):
            raise ModelFileError(f"{where}: buffer {number} of {len(self.buffers)} does not exist")
        raw = self.buffer(f"{where}: buffer {number}", number)
        if raw.size == 0:
            return np.empty(shape, dtype.numpy) if math.prod(shape) == 0 else None
        if encoding or dtype.opaque:
            return raw
        elements = math.prod(shape)
        expected = (elements + 1) // 2 if dtype is DType.INT4 else elements * dtype.itemsize
        if raw.size != expected:
            raise ModelFileError(
                f"{where}: shape {list(shape)} of {dtype.value} takes {expected} bytes, "
                f"its buffer has {raw.size}"
            )
        key = (number, dtype, elements)
        if key not in self.contents:
            self.contents[key] = self.elements(where, raw, dtype, elements)
        return self.contents[key].reshape(shape)

    def elements(
        self, where: str, raw: npt.NDArray[np.uint8], dtype: DType, count: int
    ) -> npt.NDArray[np.generic]:
        if dtype is DType.INT4:
            self.walk.charge(where, raw.size)
            # Low nibble first; the shifts bring the sign down with them.
            signed = raw.view(np.int8)
            unpacked = np.stack([(signed << 4) >> 4, signed >> 4], axis=1).reshape(-1)[:count]
            unpacked.setflags(write=False)
            return unpacked
        typed: npt.NDArray[np.generic] = raw.view(dtype.numpy.newbyteorder("<"))
        if not typed.flags.aligned:
            self.walk.charge(where, raw.size)
            typed = typed.copy()
            typed.setflags(write=False)
        return typed

    def buffer(self, where: str, number: int) -> npt.NDArray[np.uint8]:
        """A buffer's bytes, in the flatbuffer or behind it; a read-only view."""
        table = self.buffers[number]
        offset = self.walk.get(where, table.Offset)
        size = self.walk.get(where, table.Size)
        # Converters write offset 1 as a placeholder where the data is inside after all.
        if offset > 1 or size > 0:
            if offset + size > len(self.data):
                raise ModelFileError(
                    f"{where}: {size} bytes at offset {offset} reach past the file's end"
                )
            return np.frombuffer(self.data, np.uint8, size, offset)
        return self.walk.vector(where, table.DataAsNumpy)

    def operators(self, subgraph: Any) -> list[Operator]:
        walk = self.walk
        operators = []
        for i in range(walk.count("operators", subgraph.OperatorsLength, _OPERATOR_BYTES)):
            try:
                operators.append(self.operator(i, walk.get(f"operator {i}", subgraph.Operators, i)))
            except ModelFileError as error:
                self.add_problem(error)
        return operators

    def operator(self, index: int, table: Any) -> Operator:
        walk = self.walk
        where = f"operator {index}"
        code = walk.get(where, table.OpcodeIndex)
        if code >= len(self.codes):
            raise ModelFileError(
                f"{where}: operator code {code} of {len(self.codes)} does not exist"
            )
        op, version = self.codes[code]
        where = f"operator {index} {op}"
        walk.skip(where, table.MutatingVariableInputsLength)
        walk.skip(where, table.CustomOptionsLength)
        return Operator(
            index=index,
            op=op,
            inputs=walk.integers(f"{where}: inputs", table.InputsAsNumpy),
            outputs=walk.integers(f"{where}: outputs", table.OutputsAsNumpy),
            options=read_options(walk, where, op, table),
            version=version,
            intermediates=walk.integers(f"{where}: intermediates", table.IntermediatesAsNumpy),
        )

    def skip_signatures(self, model: Any) -> None:
        """Signatures only name inputs and outputs a second time."""
        walk = self.walk
        walk.skip("metadata buffer", model.MetadataBufferLength)
        for i in range(walk.count("signatures", model.SignatureDefsLength)):
            signature = walk.get(f"signature {i}", model.SignatureDefs, i)
            walk.skip(f"signature {i}: inputs", signature.InputsLength)
            walk.skip(f"signature {i}: outputs", signature.OutputsLength)

    def metadata(self, model: Any) -> dict[str, bytes]:
        walk = self.walk
        metadata = {}
        for i in range(walk.count("metadata", model.MetadataLength)):
            where = f"metadata {i}"
            entry = walk.get(where, model.Metadata, i)
            name = walk.text(where, entry.Name)
            number = walk.get(where, entry.Buffer)
            if number >= len(self.buffers):
                self.add_problem(f"{where} '{name}': buffer {number} does not exist")
                continue
            content = self.buffer(f"{where} '{name}'", number)
            walk.charge(where, content.size)
            metadata[name] = content.tobytes()
        return metadata


def _labels(metadata: dict[str, bytes]) -> tuple[str, ...]:
    text = metadata.get(LABELS_METADATA, b"").decode("utf-8", "replace")
    return tuple(line.strip() for line in text.splitlines() if line.strip())
