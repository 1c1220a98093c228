"""The operators' option tables, from the schema to `graph.options`."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from typing import Any, TypeVar

from ai_edge_litert import schema_py_generated as schema

from edge_quantize.errors import ModelFileError
from edge_quantize.graph.options import (
    Activation,
    ConcatenationOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    ElementwiseOptions,
    FullyConnectedOptions,
    NoOptions,
    Options,
    Padding,
    Pool2DOptions,
    ReducerOptions,
    ReshapeOptions,
    SoftmaxOptions,
    SqueezeOptions,
    UnknownOptions,
)

from .flatbuffer import Walk

E = TypeVar("E", bound=enum.Enum)


def schema_names(namespace: type) -> dict[int, str]:
    """Number -> name of one of the schema's enumerations."""
    return {v: k for k, v in vars(namespace).items() if not k.startswith("_")}


_ACTIVATIONS = schema_names(schema.ActivationFunctionType)
_PADDINGS = schema_names(schema.Padding)
TABLES = schema_names(schema.BuiltinOptions)


class _Fields:
    """The fields of one table, with messages that name them."""

    def __init__(self, walk: Walk, where: str, table: Any) -> None:
        self._walk, self._where, self._table = walk, where, table

    def number(self, field: str) -> Any:
        return self._walk.get(f"{self._where}: {field}", getattr(self._table, field))

    def integers(self, field: str) -> tuple[int, ...]:
        return self._walk.integers(f"{self._where}: {field}", getattr(self._table, field))

    def _named(self, field: str, names: dict[int, str], kind: Callable[[str], E]) -> E:
        number = self.number(field)
        if number not in names:
            raise ModelFileError(f"{self._where}: {field} is {number}, which the schema lacks")
        return kind(names[number])

    @property
    def activation(self) -> Activation:
        return self._named("FusedActivationFunction", _ACTIVATIONS, Activation)

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
    return ElementwiseOptions(activation=f.activation)


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

# Fields of operators that are only listed, from which the size of what others make of them follows.
_LISTED = {
    "TransposeConvOptions": {"stride_h": "StrideH", "stride_w": "StrideW"},
    "BatchMatMulOptions": {"adj_x": "AdjX", "adj_y": "AdjY"},
}

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
OPTIONLESS = frozenset({"PAD", "PADV2", "QUANTIZE", "DEQUANTIZE", "RELU", "RELU6", "EXPAND_DIMS"})


def read_options(walk: Walk, where: str, op: str, operator: Any) -> Options:
    """Typed options of `operator`; raises ModelFileError when they are not the op's own."""
    table_number = walk.get(where, operator.BuiltinOptionsType)
    name = TABLES.get(table_number, "")
    if not name:
        raise ModelFileError(f"{where}: option table {table_number} is not in the schema")
    required = REQUIRED.get(op)
    if required is not None and name != required:
        raise ModelFileError(f"{where}: has {name} where {required} belongs")
    if op == "RESHAPE" and name == "NONE":
        return ReshapeOptions()
    if op in OPTIONLESS:
        return NoOptions()
    if name == "NONE":
        custom = walk.get(where, operator.CustomOptionsLength)
        return UnknownOptions("custom", {"bytes": custom}) if custom else NoOptions()
    reader = _READERS.get(name)
    listed = _LISTED.get(name, {})
    if reader is None and not listed:
        return UnknownOptions(name)
    union = walk.get(where, operator.BuiltinOptions)
    if union is None:
        raise ModelFileError(f"{where}: its {name} are missing")
    table = getattr(schema, name)()
    walk.get(f"{where}: {name}", table.Init, union.Bytes, union.Pos)
    fields = _Fields(walk, where, table)
    if reader is None:
        return UnknownOptions(name, {key: fields.number(field) for key, field in listed.items()})
    return reader(fields)
