"""The operators' option tables, from the schema to `graph.options`."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from ai_edge_litert import schema_py_generated as schema

from edge_quantize.errors import ModelFileError
from edge_quantize.graph.option_tables import (
    FIRST_UNION,
    SECOND_UNION,
    schema_names,
    table_fields,
)
from edge_quantize.graph.options import (
    Activation,
    ConcatenationOptions,
    Conv2DOptions,
    CustomOptions,
    DepthwiseConv2DOptions,
    ElementwiseOptions,
    FullyConnectedOptions,
    NoOptions,
    Options,
    Padding,
    Pool2DOptions,
    ReducerOptions,
    ReshapeOptions,
    SchemaOptions,
    SoftmaxOptions,
    SqueezeOptions,
    Value,
)

from .flatbuffer import Walk

E = TypeVar("E", bound=enum.Enum)


_ACTIVATIONS = schema_names(schema.ActivationFunctionType)
_PADDINGS = schema_names(schema.Padding)
_TENSOR_TYPES = schema_names(schema.TensorType)


class _Fields:
    """The fields of one table, with messages that name them."""

    def __init__(self, walk: Walk, where: str, table: Any) -> None:
        self._walk, self._where, self._table = walk, where, table

    def number(self, field: str) -> Any:
        return self._walk.get(f"{self._where}: {field}", getattr(self._table, field))

    def integers(self, field: str) -> tuple[int, ...]:
        return self._walk.integers(f"{self._where}: {field}", getattr(self._table, field))

    def optional_integers(self, field: str) -> tuple[int, ...]:
        return self.integers(field) if hasattr(self._table, field) else ()

    def value(self, field: str) -> Value | None:
        """A number, or a string's bytes; None for a string that is not there."""
        value: Value | None = self.number(field)
        if isinstance(value, bytes):
            self._walk.charge(f"{self._where}: {field}", len(value))
        return value

    def vector(self, field: str) -> Value | None:
        where = f"{self._where}: {field}"
        if self._walk.get(where, getattr(self._table, f"{field}IsNone")):
            return None
        return tuple(self._walk.scalars(where, getattr(self._table, f"{field}AsNumpy")))

    def optional(self, field: str, default: Any) -> Any:
        """A number that older versions of the schema lack."""
        return self.number(field) if hasattr(self._table, field) else default

    def _named(self, field: str, names: dict[int, str], kind: Callable[[str], E]) -> E:
        number = self.number(field)
        if number not in names:
            raise ModelFileError(f"{self._where}: {field} is {number}, which the schema lacks")
        return kind(names[number])

    @property
    def activation(self) -> Activation:
        return self._named("FusedActivationFunction", _ACTIVATIONS, Activation)

    @property
    def quantized_bias_type(self) -> str:
        number = self.optional("QuantizedBiasType", schema.TensorType.FLOAT32)
        if number not in _TENSOR_TYPES:
            raise ModelFileError(f"{self._where}: bias type {number} is not in the schema")
        return _TENSOR_TYPES[number]

    @property
    def padding(self) -> Padding:
        return self._named("Padding", _PADDINGS, Padding)


def _conv(f: _Fields) -> Options:
    return Conv2DOptions(
        padding=f.padding,
        stride_h=f.number("StrideH"),
        stride_w=f.number("StrideW"),
        dilation_h=f.number("DilationHFactor"),
        dilation_w=f.number("DilationWFactor"),
        activation=f.activation,
        quantized_bias_type=f.quantized_bias_type,
    )


def _depthwise(f: _Fields) -> Options:
    return DepthwiseConv2DOptions(
        padding=f.padding,
        stride_h=f.number("StrideH"),
        stride_w=f.number("StrideW"),
        depth_multiplier=f.number("DepthMultiplier"),
        dilation_h=f.number("DilationHFactor"),
        dilation_w=f.number("DilationWFactor"),
        activation=f.activation,
    )


def _fully_connected(f: _Fields) -> Options:
    return FullyConnectedOptions(
        activation=f.activation,
        keep_num_dims=f.number("KeepNumDims"),
        shuffled_weights=f.number("WeightsFormat") != 0,
        asymmetric_quantize_inputs=f.number("AsymmetricQuantizeInputs"),
        quantized_bias_type=f.quantized_bias_type,
        quant_spec=f.optional_integers("QuantSpecAsNumpy"),
    )


def _pool(f: _Fields) -> Options:
    return Pool2DOptions(
        padding=f.padding,
        stride_h=f.number("StrideH"),
        stride_w=f.number("StrideW"),
        filter_h=f.number("FilterHeight"),
        filter_w=f.number("FilterWidth"),
        activation=f.activation,
    )


def _softmax(f: _Fields) -> Options:
    beta = f.number("Beta")
    if not math.isfinite(beta):
        raise ModelFileError(f"softmax beta is {beta}")
    return SoftmaxOptions(beta=beta)


def _concatenation(f: _Fields) -> Options:
    return ConcatenationOptions(axis=f.number("Axis"), activation=f.activation)


def _elementwise(f: _Fields) -> Options:
    return ElementwiseOptions(
        activation=f.activation, pot_scale_int16=f.optional("PotScaleInt16", True)
    )


def _reducer(f: _Fields) -> Options:
    return ReducerOptions(keep_dims=f.number("KeepDims"))


def _reshape(f: _Fields) -> Options:
    return ReshapeOptions(new_shape=f.integers("NewShapeAsNumpy"))


def _squeeze(f: _Fields) -> Options:
    return SqueezeOptions(dims=f.integers("SqueezeDimsAsNumpy"))


_READERS: dict[str, Callable[[_Fields], Options]] = {
    "Conv2DOptions": _conv,
    "DepthwiseConv2DOptions": _depthwise,
    "FullyConnectedOptions": _fully_connected,
    "Pool2DOptions": _pool,
    "SoftmaxOptions": _softmax,
    "ConcatenationOptions": _concatenation,
    "AddOptions": _elementwise,
    "MulOptions": _elementwise,
    "SubOptions": _elementwise,
    "ReducerOptions": _reducer,
    "ReshapeOptions": _reshape,
    "TransposeOptions": lambda _: NoOptions(),  # an empty table
    "SqueezeOptions": _squeeze,
}

# Read as classes of their own.
TYPED_TABLES = frozenset(_READERS)
# Written by the op's name, so only its own op may have it typed.
_ELEMENTWISE = {"AddOptions": "ADD", "MulOptions": "MUL", "SubOptions": "SUB"}

# The table each operator must carry. RESHAPE may leave it out and name its shape by a tensor.
REQUIRED = {
    "CONV_2D": "Conv2DOptions",
    "DEPTHWISE_CONV_2D": "DepthwiseConv2DOptions",
    "FULLY_CONNECTED": "FullyConnectedOptions",
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "SOFTMAX": "SoftmaxOptions",
    "CONCATENATION": "ConcatenationOptions",
    "ADD": "AddOptions",
    "MUL": "MulOptions",
    "SUB": "SubOptions",
    "MEAN": "ReducerOptions",
    "SQUEEZE": "SqueezeOptions",
}
# Operators whose table, when there is one, is empty.
OPTIONLESS = frozenset(
    {"PAD", "PADV2", "QUANTIZE", "DEQUANTIZE", "RELU", "RELU6", "LOGISTIC", "TANH", "EXPAND_DIMS"}
)


def read_options(walk: Walk, where: str, op: str, operator: Any) -> Options:
    """Options of `operator`, typed where the op has a class of its own.

    Raises ModelFileError when they are not the op's own.
    """
    if op.startswith("CUSTOM:"):
        return CustomOptions(walk.get(where, operator.CustomOptionsLength))
    name, union = _union(walk, where, operator)
    required = REQUIRED.get(op)
    if required is not None and name != required:
        raise ModelFileError(f"{where}: has {name} where {required} belongs")
    if op == "RESHAPE" and name == "NONE":
        return ReshapeOptions()
    if op in OPTIONLESS or name == "NONE":
        return NoOptions()
    if union is None:
        raise ModelFileError(f"{where}: its {name} are missing")
    table = getattr(schema, name)()
    walk.get(f"{where}: {name}", table.Init, union.Bytes, union.Pos)
    fields = _Fields(walk, where, table)
    if name in _ELEMENTWISE and op != _ELEMENTWISE[name]:
        return _as_in_the_schema(name, fields)
    return _READERS.get(name, partial(_as_in_the_schema, name))(fields)


def _union(walk: Walk, where: str, operator: Any) -> tuple[str, Any]:
    """(table's name, its place) from whichever union the operator uses."""
    first = walk.get(where, operator.BuiltinOptionsType)
    second = walk.get(where, operator.BuiltinOptions2Type)
    for number, names in ((first, FIRST_UNION), (second, SECOND_UNION)):
        if number not in names:
            raise ModelFileError(f"{where}: option table {number} is not in the schema")
    if first and second:
        raise ModelFileError(f"{where}: has two tables of options")
    if second:
        return SECOND_UNION[second], walk.get(where, operator.BuiltinOptions2)
    return FIRST_UNION[first], walk.get(where, operator.BuiltinOptions) if first else None


def _as_in_the_schema(name: str, f: _Fields) -> Options:
    values: dict[str, Value | None] = {
        field.key: f.vector(field.name) if field.element is not None else f.value(field.name)
        for field in table_fields(name)
    }
    return SchemaOptions(name, {key: v for key, v in values.items() if v is not None})
