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


@dataclass(frozen=True)
class UnknownOptions:
    """Options of an operator that this tool only lists; kept as read, for messages."""

    table: str = ""
    values: dict[str, object] = field(default_factory=dict)


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
    | UnknownOptions
)
