"""Typed options of the operators, named as in the TensorFlow Lite schema."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Padding(enum.Enum):
    SAME = "SAME"
    VALID = "VALID"


class Activation(enum.Enum):
    """Fused activation function."""

    NONE = "NONE"
    RELU = "RELU"
    RELU_N1_TO_1 = "RELU_N1_TO_1"
    RELU6 = "RELU6"
    TANH = "TANH"
    SIGN_BIT = "SIGN_BIT"


@dataclass(frozen=True)
class Conv2DOptions:
    padding: Padding
    stride_h: int
    stride_w: int
    dilation_h: int = 1
    dilation_w: int = 1
    activation: Activation = Activation.NONE
    quantized_bias_type: str = "FLOAT32"  # the schema's tensor type; FLOAT32 leaves it open


@dataclass(frozen=True)
class DepthwiseConv2DOptions:
    padding: Padding
    stride_h: int
    stride_w: int
    depth_multiplier: int
    dilation_h: int = 1
    dilation_w: int = 1
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class FullyConnectedOptions:
    activation: Activation = Activation.NONE
    keep_num_dims: bool = False
    shuffled_weights: bool = False  # a legacy layout; refused
    # With int8 weights and float activations: inputs get a zero point of their own.
    asymmetric_quantize_inputs: bool = False
    quantized_bias_type: str = "FLOAT32"
    quant_spec: tuple[int, ...] = ()  # bytes, kept as they are


@dataclass(frozen=True)
class Pool2DOptions:
    padding: Padding
    stride_h: int
    stride_w: int
    filter_h: int
    filter_w: int
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class ElementwiseOptions:
    """ADD, SUB and MUL."""

    activation: Activation = Activation.NONE
    # ADD and SUB of int16: scales are powers of two (the schema's default) or any.
    pot_scale_int16: bool = True


@dataclass(frozen=True)
class SoftmaxOptions:
    beta: float = 1.0


@dataclass(frozen=True)
class ConcatenationOptions:
    axis: int
    activation: Activation = Activation.NONE


@dataclass(frozen=True)
class ReducerOptions:
    """MEAN and the other reductions; the axes are the second input."""

    keep_dims: bool = False


@dataclass(frozen=True)
class ReshapeOptions:
    new_shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class SqueezeOptions:
    """`dims` names the dimensions of size 1 that go; empty means all of them."""

    dims: tuple[int, ...] = ()


@dataclass(frozen=True)
class NoOptions:
    """Operators whose schema has no options, or an empty table (PAD, QUANTIZE, RELU, ...)."""


Value = bool | int | float | bytes | tuple[bool | int | float, ...]


@dataclass(frozen=True)
class SchemaOptions:
    """Options of an operator that has no class here: every field of its table, under the schema's
    name in lower case ("begin_mask"). A field that is missing has the schema's default; numbers
    of enumerations are kept as numbers.
    """

    table: str
    values: dict[str, Value] = field(default_factory=dict)


@dataclass(frozen=True)
class CustomOptions:
    """Options of a custom operator: content that only its author can read."""

    nbytes: int = 0


Options = (
    Conv2DOptions
    | DepthwiseConv2DOptions
    | FullyConnectedOptions
    | Pool2DOptions
    | ElementwiseOptions
    | SoftmaxOptions
    | ConcatenationOptions
    | ReducerOptions
    | ReshapeOptions
    | SqueezeOptions
    | NoOptions
    | SchemaOptions
    | CustomOptions
)
