"""A `Graph` as the bytes of a `.tflite` file.

The same graph gives the same bytes. Constants lie inside the flatbuffer, 16-byte aligned, equal
ones once; a signature names inputs and outputs, since LiteRT's tools ask for one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import flatbuffers
import numpy as np
import numpy.typing as npt
from ai_edge_litert import schema_py_generated as schema

from edge_quantize.errors import UnsupportedModelError

from .model import DType, Graph, Operator, Tensor, fits_int4
from .option_tables import SECOND_TABLES, TABLES, table_fields
from .options import (
    ConcatenationOptions,
    Conv2DOptions,
    CustomOptions,
    DepthwiseConv2DOptions,
    ElementwiseOptions,
    FullyConnectedOptions,
    NoOptions,
    Options,
    Pool2DOptions,
    ReducerOptions,
    ReshapeOptions,
    SchemaOptions,
    SoftmaxOptions,
    SqueezeOptions,
)

_BUFFER_ALIGNMENT = 16
_SIGNATURE = "serving_default"
_SCHEMA_VERSION = 3
# Codes past this do not fit the file's older 8-bit field; it then holds this placeholder.
_DEPRECATED_CODE_MOST = 127
_EMPTY_TABLES = {"PAD": "PadOptions", "QUANTIZE": "QuantizeOptions", "PADV2": "PadV2Options"}
_EMPTY_TABLES |= {"DEQUANTIZE": "DequantizeOptions", "EXPAND_DIMS": "ExpandDimsOptions"}
_EMPTY_TABLES |= {"TRANSPOSE": "TransposeOptions"}
_ELEMENTWISE = {"ADD": "AddOptions", "MUL": "MulOptions", "SUB": "SubOptions"}


def write_tflite(graph: Graph) -> bytes:
    """The file's bytes. Reading them gives an equal graph (`sha256` aside).

    Raises UnsupportedModelError, listing every reason, for what a `Graph` holds incompletely:
    custom operators, sparse content, further subgraphs; and for int4 content outside -8 to 7.
    """
    problems = _unwritable(graph)
    if problems:
        raise UnsupportedModelError(f"cannot write the model: {problems[0]}", tuple(problems))
    return _Writer(graph).file()


def _unwritable(graph: Graph) -> list[str]:
    problems = [f"subgraph '{name}' was not read" for name in graph.other_subgraphs]
    for tensor in graph.tensors:
        if tensor.encoding:
            problems.append(f"tensor {tensor.index} '{tensor.name}': {tensor.encoding}")
        data = tensor.data
        if tensor.dtype is DType.INT4 and data is not None and not fits_int4(data):
            where = f"tensor {tensor.index} '{tensor.name}'"
            problems.append(f"{where}: is int4, and runs from {data.min()} to {data.max()}")
    for operator in graph.operators:
        where = f"operator {operator.index} {operator.op}"
        if not hasattr(schema.BuiltinOperator, operator.op) or operator.op == "CUSTOM":
            problems.append(f"{where}: not an operator of the schema")
        elif isinstance(operator.options, CustomOptions):
            problems.append(f"{where}: has a custom operator's options")
        elif isinstance(operator.options, SchemaOptions) and operator.options.table not in TABLES:
            problems.append(f"{where}: {operator.options.table} is not in the schema")
    return problems


class _Writer:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.builder = flatbuffers.Builder(graph.constant_bytes + 4096)
        # Content -> number. Buffer 0 is empty by convention: "no content".
        self.contents: dict[bytes, int] = {b"": 0}

    def file(self) -> bytes:
        graph, builder = self.graph, self.builder
        buffer_numbers = {
            tensor.index: self.number(_packed(tensor))
            for tensor in graph.tensors
            if tensor.data is not None
        }
        metadata_numbers = [(n, self.number(content)) for n, content in graph.metadata.items()]
        buffers = self.tables([self.buffer(content) for content in self.contents])
        tensors = self.tables([self.tensor(t, buffer_numbers) for t in graph.tensors])
        codes = list(dict.fromkeys((o.op, o.version) for o in graph.operators))
        operators = self.tables([self.operator(o, codes) for o in graph.operators])
        subgraph_fields = {
            "Tensors": tensors,
            "Inputs": self.numbers(graph.inputs, np.int32),
            "Outputs": self.numbers(graph.outputs, np.int32),
            "Operators": operators,
            "Name": builder.CreateString(graph.name),
        }
        model_fields = {
            "Version": _SCHEMA_VERSION,
            "OperatorCodes": self.tables([self.code(op, version) for op, version in codes]),
            "Subgraphs": self.tables([self.table("SubGraph", subgraph_fields)]),
            "Description": builder.CreateString(graph.description),
            "Buffers": buffers,
            "Metadata": self.tables([self.metadata(*entry) for entry in metadata_numbers]),
            "SignatureDefs": self.tables([self.signature()]),
        }
        builder.Finish(self.table("Model", model_fields), b"TFL3")
        return bytes(builder.Output())

    def number(self, content: bytes) -> int:
        return self.contents.setdefault(content, len(self.contents))

    def table(self, name: str, fields: dict[str, Any]) -> int:
        """Write one table of the schema; fields that are None are left out."""
        getattr(schema, f"{name}Start")(self.builder)
        for field, value in fields.items():
            if value is not None:
                getattr(schema, f"{name}Add{field}")(self.builder, value)
        return int(getattr(schema, f"{name}End")(self.builder))

    def tables(self, offsets: Sequence[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())

    def numbers(self, values: Sequence[float], dtype: type[np.generic]) -> int:
        return int(self.builder.CreateNumpyVector(np.asarray(values, dtype)))

    def buffer(self, content: bytes) -> int:
        if not content:
            return self.table("Buffer", {})
        builder = self.builder
        builder.StartVector(1, len(content), _BUFFER_ALIGNMENT)
        builder.head -= len(content)
        builder.Bytes[builder.head : builder.head + len(content)] = content
        return self.table("Buffer", {"Data": builder.EndVector()})

    def tensor(self, tensor: Tensor, buffer_numbers: dict[int, int]) -> int:
        quantization = None
        if tensor.quantization is not None:
            parameters = tensor.quantization
            quantization = self.table(
                "QuantizationParameters",
                {
                    "Scale": self.numbers(parameters.scales, np.float32),
                    "ZeroPoint": self.numbers(parameters.zero_points, np.int64),
                    "QuantizedDimension": parameters.axis,
                },
            )
        signature = tensor.shape_signature
        return self.table(
            "Tensor",
            {
                "Shape": self.numbers(tensor.shape, np.int32),
                "Type": getattr(schema.TensorType, tensor.dtype.name),
                "Buffer": buffer_numbers.get(tensor.index, 0),
                "Name": self.builder.CreateString(tensor.name),
                "Quantization": quantization,
                "IsVariable": tensor.is_variable,
                "ShapeSignature": self.numbers(signature, np.int32) if signature else None,
                "HasRank": True,
            },
        )

    def operator(self, operator: Operator, codes: list[tuple[str, int]]) -> int:
        name, options = self.options(operator)
        union = "BuiltinOptions2" if name in SECOND_TABLES else "BuiltinOptions"
        inside = operator.intermediates
        return self.table(
            "Operator",
            {
                "OpcodeIndex": codes.index((operator.op, operator.version)),
                "Inputs": self.numbers(operator.inputs, np.int32),
                "Outputs": self.numbers(operator.outputs, np.int32),
                f"{union}Type": getattr(getattr(schema, union), name),
                union: options,
                "Intermediates": self.numbers(inside, np.int32) if inside else None,
            },
        )

    def options(self, operator: Operator) -> tuple[str, int | None]:
        """(option table's name, its place) for an operator."""
        options = operator.options
        if isinstance(options, NoOptions):
            name = _EMPTY_TABLES.get(operator.op)
            return (name, self.table(name, {})) if name else ("NONE", None)
        if isinstance(options, ReshapeOptions) and not options.new_shape:
            return "NONE", None
        if isinstance(options, SchemaOptions):
            return options.table, self.table(options.table, self.schema_fields(options))
        if isinstance(options, ElementwiseOptions):
            name = _ELEMENTWISE[operator.op]
            fields = {"FusedActivationFunction": _activation(options)}
            if operator.op != "MUL":
                fields["PotScaleInt16"] = options.pot_scale_int16
            return name, self.table(name, fields)
        name = type(options).__name__
        return name, self.table(name, _FIELDS[type(options)](self, options))

    def schema_fields(self, options: SchemaOptions) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        for field in table_fields(options.table):
            value = options.values.get(field.key)
            if isinstance(value, bytes):
                fields[field.name] = self.builder.CreateString(value)
            elif isinstance(value, tuple):
                numbers = np.asarray(value, field.element)
                fields[field.name] = self.builder.CreateNumpyVector(numbers)
            else:
                fields[field.name] = value
        return fields

    def code(self, op: str, version: int) -> int:
        number = getattr(schema.BuiltinOperator, op)
        return self.table(
            "OperatorCode",
            {
                "DeprecatedBuiltinCode": min(number, _DEPRECATED_CODE_MOST),
                "Version": version,
                "BuiltinCode": number,
            },
        )

    def metadata(self, name: str, number: int) -> int:
        return self.table("Metadata", {"Name": self.builder.CreateString(name), "Buffer": number})

    def signature(self) -> int:
        fields = {
            "Inputs": self.tables(self.signature_entries(self.graph.inputs)),
            "Outputs": self.tables(self.signature_entries(self.graph.outputs)),
            "SignatureKey": self.builder.CreateString(_SIGNATURE),
            "SubgraphIndex": 0,
        }
        return self.table("SignatureDef", fields)

    def signature_entries(self, indices: tuple[int, ...]) -> list[int]:
        entries, used = [], set[str]()
        for index in indices:
            name = base = self.graph.tensors[index].name.split("/")[-1].split(":")[0] or "tensor"
            while name in used:
                name = f"{base}_{index}"
                base = name
            used.add(name)
            entries.append(
                self.table(
                    "TensorMap", {"Name": self.builder.CreateString(name), "TensorIndex": index}
                )
            )
        return entries


def _packed(tensor: Tensor) -> bytes:
    """The constant's content as the file holds it: little-endian, int4 two a byte."""
    data: npt.NDArray[Any] = np.asarray(tensor.data)
    if tensor.dtype is not DType.INT4:
        return data.astype(data.dtype.newbyteorder("<"), copy=False).tobytes()
    nibbles = data.reshape(-1).astype(np.uint8) & 0xF
    if nibbles.size % 2:
        nibbles = np.append(nibbles, np.uint8(0))
    return (nibbles[0::2] | (nibbles[1::2] << 4)).astype(np.uint8).tobytes()


def _activation(options: Any) -> int:
    return int(getattr(schema.ActivationFunctionType, options.activation.name))


def _window_fields(options: Any) -> dict[str, Any]:
    return {
        "Padding": getattr(schema.Padding, options.padding.name),
        "StrideW": options.stride_w,
        "StrideH": options.stride_h,
        "FusedActivationFunction": _activation(options),
    }


def _dilation_fields(options: Any) -> dict[str, Any]:
    return {"DilationWFactor": options.dilation_w, "DilationHFactor": options.dilation_h}


def _bias_type(options: Any) -> dict[str, Any]:
    number = getattr(schema.TensorType, options.quantized_bias_type)
    return {"QuantizedBiasType": number or None}


_FIELDS: dict[type[Options], Callable[[_Writer, Any], dict[str, Any]]] = {
    Conv2DOptions: lambda _, o: _window_fields(o) | _dilation_fields(o) | _bias_type(o),
    DepthwiseConv2DOptions: lambda _, o: (
        _window_fields(o) | _dilation_fields(o) | {"DepthMultiplier": o.depth_multiplier}
    ),
    Pool2DOptions: lambda _, o: (
        _window_fields(o) | {"FilterWidth": o.filter_w, "FilterHeight": o.filter_h}
    ),
    FullyConnectedOptions: lambda w, o: {
        "FusedActivationFunction": _activation(o),
        "WeightsFormat": int(o.shuffled_weights),
        "KeepNumDims": o.keep_num_dims,
        "AsymmetricQuantizeInputs": o.asymmetric_quantize_inputs,
        "QuantSpec": w.numbers(o.quant_spec, np.uint8) if o.quant_spec else None,
        **_bias_type(o),
    },
    SoftmaxOptions: lambda _, o: {"Beta": o.beta},
    ConcatenationOptions: lambda _, o: {
        "Axis": o.axis,
        "FusedActivationFunction": _activation(o),
    },
    ReducerOptions: lambda _, o: {"KeepDims": o.keep_dims},
    SqueezeOptions: lambda w, o: {"SqueezeDims": w.numbers(o.dims, np.int32)},
    ReshapeOptions: lambda w, o: {"NewShape": w.numbers(o.new_shape, np.int32)},
}
