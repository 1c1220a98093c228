"""Writes the small int8 and int16 models of `tests/golden/models`: one for every operator, padding,
stride, dilation, depth multiplier, activation, broadcasting and quantization variant that kernels
treat differently, and a few that join them.

    python tests/golden/make_models.py [FOLDER]

The same bytes come out every time: numbers are drawn from a linear congruential generator seeded
by the model's name, and output scales are set so that results spread over the whole range.
"""

from __future__ import annotations

import math
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.graph import DType, Graph, Quantization
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import Activation, Padding, SoftmaxOptions, SqueezeOptions
from edge_quantize.graph.writer import write_tflite

FOLDER = Path(__file__).parent / "models"
SAME, VALID = Padding.SAME, Padding.VALID
NONE, RELU, RELU6 = Activation.NONE, Activation.RELU, Activation.RELU6
UNIT = Activation.RELU_N1_TO_1
Shape = tuple[int, ...]

_MODELS: dict[str, Callable[[Draft], int | list[int]]] = {}


class Draft(GraphBuilder):
    """A graph in the making, with its own stream of numbers."""

    unit = 1.0  # what scales of operands and results are multiplied by
    step = 0.004  # the least scale of weights

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._state = zlib.crc32(name.encode())
        self._weight_type = DType.INT8

    def with_int4(self) -> Draft:
        """From here on, weights are int4."""
        self._weight_type = DType.INT4
        return self

    def with_int8(self) -> Draft:
        self._weight_type = DType.INT8
        return self

    def int8(self, *shape: int, low: int = -127) -> npt.NDArray[np.int8]:
        values = np.empty(math.prod(shape), np.int64)
        for i in range(len(values)):
            self._state = (self._state * 1664525 + 1013904223) % (1 << 32)
            values[i] = self._state >> 24
        return np.maximum(values - 128, low).astype(np.int8).reshape(shape)

    def image(self, height: int, width: int, channels: int) -> int:
        return self.input("image", (1, height, width, channels), 0.037, -11)

    def _weights(
        self, shape: Shape, axis: int, per_channel: bool
    ) -> tuple[int, npt.NDArray[np.float64]]:
        count = shape[axis] if per_channel else 1
        scales = self.step * (1 + 0.3 * (np.arange(count) % 5)) * 2.0 ** (np.arange(count) % 3)
        data = self.int8(*shape)
        name = f"weights_{len(self._tensors)}"
        if self._weight_type is DType.INT4:
            # The upper halves, 16 times as large each.
            data, scales = data >> 4, 16 * scales
        index = self.weights(name, data, scales.tolist(), axis, self._weight_type)
        return index, scales if self._weight_type is DType.INT8 else scales / 16

    def _scaled_bias(self, source: int, weights: int, channels: int) -> int:
        data = self.int8(channels).astype(np.int32) * 37
        return self.bias(f"bias_{len(self._tensors)}", data, source, weights)

    def _spread(self, source: int, scales: npt.NDArray[np.float64], taps: int) -> float:
        """An output scale at which sums of `taps` products have a deviation of about 50."""
        return self._quantization(source).scale * float(scales.max()) * math.sqrt(taps) * 110

    def conv(
        self,
        source: int,
        out: int,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        padding: Padding = SAME,
        *,
        dilation: tuple[int, int] = (1, 1),
        activation: Activation = NONE,
        per_channel: bool = True,
        bias: bool = True,
        zero_point: int = -6,
    ) -> int:
        channels = self._tensors[source].shape[3]
        weights, scales = self._weights((out, *kernel, channels), 0, per_channel)
        return self.conv_2d(
            source,
            weights,
            self._scaled_bias(source, weights, out) if bias else None,
            self._spread(source, scales, math.prod(kernel) * channels),
            zero_point,
            stride=stride,
            padding=padding,
            dilation=dilation,
            activation=activation,
        )

    def depthwise(
        self,
        source: int,
        kernel: tuple[int, int] = (3, 3),
        stride: tuple[int, int] = (1, 1),
        padding: Padding = SAME,
        *,
        multiplier: int = 1,
        dilation: tuple[int, int] = (1, 1),
        activation: Activation = NONE,
        per_channel: bool = True,
        bias: bool = True,
        zero_point: int = 9,
    ) -> int:
        out = self._tensors[source].shape[3] * multiplier
        weights, scales = self._weights((1, *kernel, out), 3, per_channel)
        return self.depthwise_conv_2d(
            source,
            weights,
            self._scaled_bias(source, weights, out) if bias else None,
            self._spread(source, scales, math.prod(kernel)),
            zero_point,
            stride=stride,
            padding=padding,
            dilation=dilation,
            depth_multiplier=multiplier,
            activation=activation,
        )

    def dense(
        self,
        source: int,
        out: int,
        *,
        activation: Activation = NONE,
        per_channel: bool = False,
        bias: bool = True,
        keep_num_dims: bool = False,
        depth: int | None = None,
    ) -> int:
        depth = depth or self._tensors[source].shape[-1]
        weights, scales = self._weights((out, depth), 0, per_channel)
        return self.fully_connected(
            source,
            weights,
            self._scaled_bias(source, weights, out) if bias else None,
            self._spread(source, scales, depth),
            4,
            activation=activation,
            keep_num_dims=keep_num_dims,
        )

    def operand(self, shape: Shape, scale: float, zero_point: int) -> int:
        """A constant activation-like tensor."""
        quantization = Quantization((float(np.float32(scale)),), (zero_point,))
        return self.constant(
            f"constant_{len(self._tensors)}", self.int8(*shape, low=-128), quantization
        )


class Int16(Draft):
    """The same with int16 activations: zero points of 0, and scales for the same real range."""

    unit = 1 / 256
    step = 0.00025  # so that scales stay in the range that int16 SOFTMAX takes

    def input(
        self,
        name: str,
        shape: Sequence[int],
        scale: float = 1.0,
        _zero_point: int = 0,
        dtype: DType = DType.INT16,
    ) -> int:
        return super().input(name, shape, scale * self.unit, 0, dtype)

    def operand(self, shape: Shape, scale: float, _zero_point: int) -> int:
        quantization = Quantization((float(np.float32(scale * self.unit)),), (0,))
        data = self.int8(*shape, low=-128).astype(np.int16) * 256 + self.int8(*shape)
        return self.constant(f"constant_{len(self._tensors)}", data, quantization)

    def operator(self, op: str, inputs: Sequence[int], *args: Any, **kwargs: Any) -> int:
        if "zero_point" in kwargs and op not in ("QUANTIZE", "SOFTMAX"):
            kwargs["zero_point"] = 0
        return super().operator(op, inputs, *args, **kwargs)

    def _scaled_bias(self, source: int, weights: int, channels: int) -> int:
        data = self.int8(channels).astype(np.int64) * 37 * 256
        return self.bias(f"bias_{len(self._tensors)}", data, source, weights)

    def int32_bias(self, source: int, weights: int, channels: int) -> int:
        data = self.int8(channels).astype(np.int32) * 37 * 256
        return self.bias(f"bias_{len(self._tensors)}", data, source, weights, DType.INT32)


def _model(build: Callable[[Draft], int | list[int]]) -> Callable[[Draft], int | list[int]]:
    _MODELS[build.__name__] = build
    return build


def _family(op: str, variants: dict[str, Callable[[Draft], int | list[int]]]) -> None:
    _MODELS.update({f"{op}_{name}": build for name, build in variants.items()})


_family(
    "conv",
    {
        "same": lambda d: d.conv(d.image(6, 7, 4), 8),
        "valid": lambda d: d.conv(d.image(6, 7, 4), 8, padding=VALID),
        "same_stride2": lambda d: d.conv(d.image(8, 7, 3), 6, stride=(2, 2)),
        "valid_stride2": lambda d: d.conv(d.image(8, 7, 3), 6, stride=(2, 2), padding=VALID),
        "same_stride1x3": lambda d: d.conv(d.image(5, 10, 4), 4, stride=(1, 3)),
        "same_10x4": lambda d: d.conv(d.image(14, 6, 1), 8, (10, 4), (2, 2)),
        "valid_5x2": lambda d: d.conv(d.image(9, 6, 2), 5, (5, 2), padding=VALID),
        "1x1": lambda d: d.conv(d.image(5, 5, 8), 12, (1, 1)),
        "1x1_stride2": lambda d: d.conv(d.image(6, 5, 8), 8, (1, 1), (2, 2)),
        "1x1_odd_channels": lambda d: d.conv(d.image(3, 3, 5), 7, (1, 1)),
        "dilated_same": lambda d: d.conv(d.image(9, 8, 4), 4, dilation=(2, 2)),
        "dilated_valid": lambda d: d.conv(d.image(9, 8, 4), 4, dilation=(2, 3), padding=VALID),
        "per_tensor": lambda d: d.conv(d.image(6, 6, 4), 8, per_channel=False),
        "relu": lambda d: d.conv(d.image(6, 6, 4), 8, activation=RELU),
        "relu_from_minus_128": lambda d: d.conv(
            d.image(6, 6, 4), 8, activation=RELU, zero_point=-128
        ),
        "relu6": lambda d: d.conv(d.image(6, 6, 4), 8, activation=RELU6),
        "relu_n1_to_1": lambda d: d.conv(d.image(6, 6, 4), 8, activation=UNIT),
        "no_bias": lambda d: d.conv(d.image(6, 6, 4), 8, bias=False),
        "one_channel_out": lambda d: d.conv(d.image(6, 6, 4), 1),
        "odd_channels": lambda d: d.conv(d.image(5, 6, 3), 5),
        "kernel_larger_than_image": lambda d: d.conv(d.image(3, 2, 4), 4, (5, 5)),
    },
)
_family(
    "depthwise",
    {
        "same": lambda d: d.depthwise(d.image(6, 7, 8)),
        "valid": lambda d: d.depthwise(d.image(6, 7, 8), padding=VALID),
        "same_stride2": lambda d: d.depthwise(d.image(8, 7, 8), stride=(2, 2)),
        "valid_stride2": lambda d: d.depthwise(d.image(8, 7, 8), stride=(2, 2), padding=VALID),
        "same_5x5": lambda d: d.depthwise(d.image(7, 7, 4), (5, 5)),
        "valid_1x3": lambda d: d.depthwise(d.image(5, 7, 4), (1, 3), padding=VALID),
        "dilated": lambda d: d.depthwise(d.image(8, 9, 4), dilation=(2, 2)),
        "multiplier2": lambda d: d.depthwise(d.image(6, 6, 4), multiplier=2),
        "multiplier8_of_one": lambda d: d.depthwise(d.image(6, 6, 1), multiplier=8),
        "per_tensor": lambda d: d.depthwise(d.image(6, 6, 8), per_channel=False),
        "relu": lambda d: d.depthwise(d.image(6, 6, 8), activation=RELU),
        "relu6": lambda d: d.depthwise(d.image(6, 6, 8), activation=RELU6),
        "no_bias": lambda d: d.depthwise(d.image(6, 6, 8), bias=False),
        "odd_channels": lambda d: d.depthwise(d.image(5, 6, 7)),
    },
)
_family(
    "dense",
    {
        "per_tensor": lambda d: d.dense(d.input("x", (1, 24), 0.05, 3), 10),
        "per_channel": lambda d: d.dense(d.input("x", (1, 24), 0.05, 3), 10, per_channel=True),
        "relu": lambda d: d.dense(d.input("x", (1, 24), 0.05, 3), 10, activation=RELU),
        "relu6": lambda d: d.dense(d.input("x", (1, 24), 0.05, 3), 10, activation=RELU6),
        "no_bias": lambda d: d.dense(d.input("x", (1, 24), 0.05, 3), 10, bias=False),
        "odd_sizes": lambda d: d.dense(d.input("x", (1, 19), 0.05, -128), 7),
        "one_output": lambda d: d.dense(d.input("x", (1, 16), 0.05, 3), 1),
        "rows": lambda d: d.dense(d.input("x", (3, 12), 0.05, 3), 5),
        "of_an_image": lambda d: d.dense(d.image(2, 3, 4), 6, depth=24),
        "keep_num_dims": lambda d: d.dense(
            d.input("x", (1, 3, 12), 0.05, 3), 5, keep_num_dims=True
        ),
    },
)


_family(
    "int4",
    {
        "conv": lambda d: d.with_int4().conv(d.image(6, 7, 4), 8, activation=RELU),
        "conv_odd": lambda d: d.with_int4().conv(d.image(5, 6, 3), 5, stride=(2, 1)),
        "conv_1x1": lambda d: d.with_int4().conv(d.image(5, 5, 8), 12, (1, 1)),
        "conv_dilated": lambda d: d.with_int4().conv(
            d.image(9, 8, 4), 4, dilation=(2, 3), padding=VALID, bias=False
        ),
        "conv_per_tensor": lambda d: d.with_int4().conv(d.image(6, 6, 5), 7, per_channel=False),
        "depthwise": lambda d: d.with_int4().depthwise(d.image(6, 7, 8), activation=RELU6),
        "depthwise_odd": lambda d: d.with_int4().depthwise(d.image(5, 6, 7), stride=(2, 2)),
        "depthwise_multiplier2": lambda d: d.with_int4().depthwise(
            d.image(6, 6, 3), (5, 2), multiplier=2
        ),
        "dense": lambda d: d.with_int4().dense(d.input("x", (1, 24), 0.05, 3), 10),
        "dense_odd": lambda d: d.with_int4().dense(d.input("x", (3, 19), 0.05, -128), 7),
        "dense_per_channel": lambda d: d.with_int4().dense(
            d.input("x", (1, 21), 0.05, 3), 5, per_channel=True, activation=RELU
        ),
    },
)


def _binary(
    op: str, first: Shape, second: Shape, activation: Activation = NONE, constant: int | None = None
) -> Callable[[Draft], int]:
    def build(d: Draft) -> int:
        operands = []
        for position, (shape, scale, zero_point) in enumerate(
            ((first, 0.0223, -9), (second, 0.0471, 14))
        ):
            if position == constant:
                operands.append(d.operand(shape, scale, zero_point))
            else:
                operands.append(d.input(f"x{position}", shape, scale, zero_point))
        scale = 0.0431 if op == "MUL" else 0.0517
        return d.elementwise(op, *operands, scale * d.unit, -7, activation=activation)

    return build


for _op in ("ADD", "SUB", "MUL"):
    _family(
        _op.lower(),
        {
            "same_shape": _binary(_op, (1, 3, 5, 7), (1, 3, 5, 7)),
            "relu": _binary(_op, (1, 4, 4, 6), (1, 4, 4, 6), RELU),
            "relu6": _binary(_op, (1, 4, 4, 6), (1, 4, 4, 6), RELU6),
            "channels_broadcast": _binary(_op, (1, 3, 4, 6), (1, 1, 1, 6)),
            "positions_broadcast": _binary(_op, (1, 3, 4, 6), (1, 3, 4, 1)),
            "both_broadcast": _binary(_op, (1, 3, 1, 6), (1, 1, 4, 6)),
            "rank_broadcast": _binary(_op, (1, 3, 4, 6), (6,)),
            "constant": _binary(_op, (1, 3, 4, 6), (1, 3, 4, 6), constant=1),
            "constant_first": _binary(_op, (6,), (1, 3, 4, 6), constant=0),
            "constant_scalar": _binary(_op, (1, 3, 4, 6), (1,), constant=1),
        },
    )


@_model
def add_to_itself(d: Draft) -> int:
    x = d.image(4, 4, 4)
    return d.elementwise("ADD", x, x, 0.08 * d.unit, 3)


@_model
def add_with_ties(d: Draft) -> int:
    """Scales of 1/2 and 1/4 of the output's: sums fall on halves, which round away from zero."""
    x, y = d.input("x0", (1, 16, 16, 1), 0.5, 1), d.input("x1", (1, 16, 16, 1), 0.25, -2)
    return d.elementwise("ADD", x, y, 1.0, 0)


_POOLS: dict[str, Callable[[str], Callable[[Draft], int]]] = {
    "valid": lambda op: lambda d: d.pool(op, d.image(6, 8, 8), (2, 2), (2, 2)),
    "valid_rest": lambda op: lambda d: d.pool(op, d.image(7, 8, 4), (3, 3), (2, 2)),
    "same": lambda op: lambda d: d.pool(op, d.image(5, 6, 8), (3, 3), (1, 1), padding=SAME),
    "same_stride2": lambda op: lambda d: d.pool(op, d.image(5, 6, 8), (3, 2), (2, 2), padding=SAME),
    "whole": lambda op: lambda d: d.pool(op, d.image(5, 4, 12), (5, 4), (5, 4)),
    "odd_channels": lambda op: lambda d: d.pool(op, d.image(4, 4, 7), (2, 2), (2, 2)),
    "one_channel": lambda op: lambda d: d.pool(op, d.image(4, 4, 1), (2, 2), (1, 1)),
    "relu": lambda op: lambda d: d.pool(op, d.image(4, 4, 4), (2, 2), (2, 2), activation=RELU),
}
for _prefix, _op in (("average_pool", "AVERAGE_POOL_2D"), ("max_pool", "MAX_POOL_2D")):
    _family(_prefix, {name: variant(_op) for name, variant in _POOLS.items()})

_family(
    "mean",
    {
        "image_keep_dims": lambda d: d.mean(d.image(5, 6, 8), [1, 2], 0.021 * d.unit, 4, True),
        "image": lambda d: d.mean(d.image(5, 6, 8), [1, 2], 0.021 * d.unit, 4, False),
        "image_same_scale": lambda d: d.mean(d.image(5, 6, 8), [1, 2], 0.037, -11, False),
        "negative_axis": lambda d: d.mean(d.image(5, 6, 8), [-1], 0.021, 4, True),
        "height": lambda d: d.mean(d.image(5, 6, 8), [1], 0.021 * d.unit, 4, False),
        "height_and_channels": lambda d: d.mean(d.image(5, 6, 8), [1, 3], 0.021 * d.unit, 4, False),
        "everything": lambda d: d.mean(d.image(5, 6, 8), [0, 1, 2, 3], 0.013, 4, True),
    },
)
_family(
    "pad",
    {
        "image": lambda d: d.pad(d.image(3, 4, 4), [(0, 0), (1, 1), (1, 1), (0, 0)]),
        "asymmetric": lambda d: d.pad(d.image(3, 4, 3), [(0, 0), (0, 1), (2, 0), (0, 0)]),
        "channels": lambda d: d.pad(d.image(3, 4, 3), [(0, 0), (0, 0), (0, 0), (1, 4)]),
        "matrix": lambda d: d.pad(d.input("x", (3, 5), 0.1, 7), [(1, 0), (2, 3)]),
    },
)
_family(
    "softmax",
    {
        "two": lambda d: d.softmax(d.input("x", (1, 2), 0.08, 12)),
        "ten": lambda d: d.softmax(d.input("x", (1, 10), 0.17, -30)),
        "rows": lambda d: d.softmax(d.input("x", (4, 6), 0.1, 0)),
        "image": lambda d: d.softmax(d.image(3, 3, 5)),
        "beta": lambda d: d.softmax(d.input("x", (1, 12), 0.11, 5), beta=0.35),
        "steep": lambda d: d.softmax(d.input("x", (1, 12), 1.3, 5)),
    },
)


def _concatenation(axis: int, *shapes: Shape) -> Callable[[Draft], int]:
    return lambda d: d.concatenation(
        [d.input(f"x{i}", shape, 0.05, 2) for i, shape in enumerate(shapes)], axis
    )


_family(
    "concatenation",
    {
        "channels": _concatenation(3, (1, 3, 4, 2), (1, 3, 4, 5)),
        "last": _concatenation(-1, (1, 6), (1, 3), (1, 4)),
        "rows": _concatenation(1, (1, 2, 4, 3), (1, 1, 4, 3), (1, 3, 4, 3), (1, 1, 4, 3)),
        "columns": _concatenation(2, (1, 3, 2, 3), (1, 3, 5, 3)),
        **{
            word: _concatenation(1, *[(1, 1 + i % 3) for i in range(count)])
            for word, count in (("five", 5), ("six", 6), ("seven", 7), ("eight", 8))
        },
    },
)


for _op in ("LOGISTIC", "TANH"):
    _family(
        _op.lower(),
        {
            "usual": lambda d, op=_op: d.activation(op, d.input("x", (1, 256), 0.047, 12)),
            "steep": lambda d, op=_op: d.activation(op, d.input("x", (1, 256), 1.7, -128)),
        },
    )


def _rescaled(op: str, scale: float, zero_point: int) -> Callable[[Draft], int]:
    return lambda d: d.operator(op, (d.image(3, 5, 7),), scale=scale, zero_point=zero_point)


_family(
    "activation",
    {
        "relu": _rescaled("RELU", 0.037, -11),
        "relu_rescaled": _rescaled("RELU", 0.0191, -128),
        "relu6": _rescaled("RELU6", 0.037, -11),
        "requantize_down": _rescaled("QUANTIZE", 0.0613, 22),
        "requantize_up": _rescaled("QUANTIZE", 0.0123, -40),
        "requantize_same": lambda d: d.quantize(
            d.operator("RELU", (d.image(3, 5, 7),)), 0.037, -11
        ),
    },
)


@_model
def quantize_float(d: Draft) -> int:
    return d.quantize(d.input("x", (1, 40), dtype=DType.FLOAT32), 0.0437, -5)


@_model
def dequantize(d: Draft) -> int:
    return d.dequantize(d.input("x", (1, 40), 0.0437, -5))


def _typed(source: DType, zero_point: int, target: DType) -> Callable[[Draft], int]:
    return lambda d: d.quantize(
        d.input("x", (1, 40), 0.0437, zero_point, dtype=source),
        0.0613,
        {DType.INT8: -5, DType.UINT8: 99, DType.INT16: 0}[target],
        target,
    )


_family(
    "quantize",
    {
        "uint8_to_int8": _typed(DType.UINT8, 130, DType.INT8),
        "int8_to_uint8": _typed(DType.INT8, 11, DType.UINT8),
        "int8_to_int16": _typed(DType.INT8, 11, DType.INT16),
        "int16_to_int8": _typed(DType.INT16, 0, DType.INT8),
        "int16_to_int16": _typed(DType.INT16, 0, DType.INT16),
        "float_to_int16": _typed(DType.FLOAT32, 0, DType.INT16),
    },
)
_family(
    "dequantize",
    {
        "uint8": lambda d: d.dequantize(d.input("x", (1, 40), 0.0437, 131, dtype=DType.UINT8)),
        "int16": lambda d: d.dequantize(d.input("x", (1, 40), 0.0437, dtype=DType.INT16)),
    },
)


@_model
def softmax_to_int16(d: Draft) -> int:
    x = d.input("x", (1, 10), 0.17, -30)
    options = SoftmaxOptions(1.0)
    return d.operator(
        "SOFTMAX", (x,), options, scale=1 / 65536, zero_point=-32768, dtype=DType.INT16
    )


@_model
def net_uint8_image(d: Draft) -> int:
    """A uint8 image in and uint8 scores out, as converters make it when asked."""
    image = d.input("image", (1, 6, 6, 3), 1 / 128, 128, dtype=DType.UINT8)
    x = d.conv(d.quantize(image, 1 / 128, 0), 4, stride=(2, 2), activation=RELU)
    x = d.softmax(d.dense(d.reshape(x, (1, 36)), 5))
    return d.quantize(x, 1 / 256, 0, DType.UINT8)


@_model
def pad_with_a_value(d: Draft) -> int:
    x = d.image(3, 4, 3)
    amounts = d.constant("paddings", np.asarray([(0, 0), (1, 0), (2, 1), (0, 3)], np.int32))
    return d.operator("PADV2", (x, amounts, d.operand((1,), 0.037, -11)))


@_model
def net_one_dimensional(d: Draft) -> int:
    """A convolution over time as converters write it: one dimension put in, and taken out again."""
    x = d.input("signal", (1, 16, 2), 0.037, -11)
    x = d.operator("EXPAND_DIMS", (x, d.constant("axis", np.asarray([1], np.int32))))
    x = d.conv(x, 6, (1, 3), (1, 2), activation=RELU)
    x = d.operator("SQUEEZE", (x,), SqueezeOptions((1,)))
    return d.dense(d.mean(x, [1], d._quantization(x).scale, -3, keep_dims=False), 4)


@_model
def reshape(d: Draft) -> int:
    """From the model's input to its output, which lie in different places."""
    return d.reshape(d.image(2, 3, 4), (1, 24))


@_model
def reshape_between_layers(d: Draft) -> int:
    x = d.reshape(d.conv(d.image(4, 4, 3), 4, stride=(2, 2)), (1, 16))
    return d.dense(x, 5)


@_model
def net_residual(d: Draft) -> int:
    """A stem, two residual blocks (one with a strided short cut), a classifier."""
    x = d.conv(d.image(8, 8, 3), 8, activation=RELU, zero_point=-128)
    y = d.conv(d.conv(x, 8, activation=RELU, zero_point=-128), 8)
    x = d.elementwise("ADD", x, y, d._quantization(y).scale, -128, activation=RELU)
    y = d.conv(d.conv(x, 12, stride=(2, 2), activation=RELU, zero_point=-128), 12)
    x = d.conv(x, 12, (1, 1), (2, 2))
    x = d.elementwise("ADD", x, y, d._quantization(y).scale, -128, activation=RELU)
    x = d.pool("AVERAGE_POOL_2D", x, (4, 4), (4, 4))
    return d.softmax(d.dense(d.reshape(x, (1, 12)), 10))


@_model
def net_separable(d: Draft) -> int:
    """Explicit padding, strided depthwise and pointwise layers, a mean, a classifier."""
    x = d.pad(d.image(9, 9, 3), [(0, 0), (0, 1), (0, 1), (0, 0)])
    x = d.conv(x, 8, stride=(2, 2), padding=VALID, activation=RELU6)
    for out, stride in ((12, (1, 1)), (16, (2, 2))):
        x = d.depthwise(x, stride=stride, activation=RELU6, zero_point=-128)
        x = d.conv(x, out, (1, 1), activation=RELU6, zero_point=-128)
    x = d.mean(x, [1, 2], d._quantization(x).scale, -128, keep_dims=False)
    return d.softmax(d.dense(x, 4))


@_model
def net_int4(d: Draft) -> int:
    """A first layer of int8 weights, and int4 ones behind it up to the last."""
    x = d.conv(d.image(9, 9, 3), 8, stride=(2, 2), activation=RELU6, zero_point=-128)
    d.with_int4()
    for out, stride in ((12, (1, 1)), (16, (2, 2))):
        x = d.depthwise(x, stride=stride, activation=RELU6, zero_point=-128)
        x = d.conv(x, out, (1, 1), activation=RELU6, zero_point=-128)
    y = d.conv(x, 16)
    x = d.elementwise("ADD", x, y, d._quantization(y).scale, -20)
    x = d.reshape(d.pool("AVERAGE_POOL_2D", x, (3, 3), (3, 3)), (1, 16))
    x = d.dense(x, 9, per_channel=True, activation=RELU)
    return d.softmax(d.with_int8().dense(x, 4))


@_model
def net_branches(d: Draft) -> int:
    """Branches that meet in a concatenation, and a gate that multiplies it channel by channel."""
    x = d.conv(d.image(6, 6, 4), 6, activation=RELU)
    scale, zero_point = d._quantization(x).scale, d._quantization(x).zero_point
    left = d.quantize(d.conv(x, 5, (1, 1)), scale, zero_point)
    right = d.pool("MAX_POOL_2D", x, (3, 3), (1, 1), padding=SAME)
    both = d.concatenation([left, right, x], 3)
    gate = d.dense(d.mean(both, [1, 2], scale, zero_point, keep_dims=False), 17)
    gate = d.reshape(gate, (1, 1, 1, 17))
    return d.elementwise("MUL", both, gate, scale * 2, 0)


@_model
def net_shared_memory(d: Draft) -> int:
    """Tensors that share bytes under two shapes, while operators that could work in place must
    not: each result's other readers come later."""
    x = d.conv(d.image(4, 4, 3), 4)
    flat = d.reshape(x, (1, 64))
    positive = d.operator("RELU", (flat,))
    total = d.elementwise("ADD", flat, positive, d._quantization(x).scale * 2, 3)
    again = d.elementwise("MUL", d.reshape(total, (1, 4, 4, 4)), x, 0.9, -20)
    doubled = d.elementwise("ADD", d.reshape(again, (1, 64)), d.reshape(again, (1, 64)), 1.9, 0)
    return d.elementwise("ADD", doubled, positive, 2.3, 5)


@_model
def net_float_ends(d: Draft) -> int:
    """Float32 in, float32 out."""
    x = d.quantize(d.input("x", (1, 20), dtype=DType.FLOAT32), 0.05, 0)
    return d.dequantize(d.dense(d.dense(x, 16, activation=RELU), 20))


@_model
def net_two_inputs_two_outputs(d: Draft) -> list[int]:
    x, y = d.input("x", (1, 12), 0.05, 0), d.input("y", (1, 12), 0.04, 3)
    total = d.elementwise("ADD", x, y, 0.07, 1)
    return [d.dense(total, 6), d.softmax(total)]


@_model
def net_mixed_precision(d: Draft) -> int:
    """int8 layers, int16 ones in the middle, and int8 again, joined by QUANTIZE."""
    x = d.conv(d.image(8, 8, 3), 8, stride=(2, 2), activation=RELU, zero_point=-128)
    x = d.quantize(x, d._quantization(x).scale / 128, 0, DType.INT16)
    y = d.conv(d.depthwise(x, activation=RELU, zero_point=0), 8, (1, 1), zero_point=0)
    x = d.elementwise("ADD", x, y, d._quantization(y).scale * 1.5, 0, activation=RELU)
    x = d.quantize(x, d._quantization(x).scale * 128, -128)
    x = d.pool("AVERAGE_POOL_2D", x, (4, 4), (4, 4))
    return d.softmax(d.dense(d.reshape(x, (1, 8)), 5))


def _int16_bias32(kind: str) -> Callable[[Draft], int]:
    def build(d: Draft) -> int:
        assert isinstance(d, Int16)
        x = d.image(5, 5, 4) if kind == "conv" else d.input("x", (1, 24), 0.05)
        weights, scales = d._weights((6, 3, 3, 4) if kind == "conv" else (6, 24), 0, True)
        bias = d.int32_bias(x, weights, 6)
        scale = d._spread(x, scales, 36)
        make = d.conv_2d if kind == "conv" else d.fully_connected
        return make(x, weights, bias, scale, 0)

    return build


_INT16_RELUS = {
    "relu": lambda d: d.operator("RELU", (d.image(3, 5, 7),)),
    "relu_rescaled": lambda d: d.operator("RELU", (d.image(3, 5, 7),), scale=0.0191 * d.unit),
    "relu6": lambda d: d.operator("RELU6", (d.input("x", (1, 3, 5, 7), 0.09),)),
    "logistic": lambda d: d.activation("LOGISTIC", d.input("x", (1, 256), 0.047)),
    "tanh": lambda d: d.activation("TANH", d.input("x", (1, 256), 0.047)),
    "tanh_power_of_two": lambda d: d.activation("TANH", d.input("x", (1, 256), 0.125)),
    "softmax": lambda d: d.softmax(d.input("x", (3, 10), 0.05)),
    "softmax_beta": lambda d: d.softmax(d.input("x", (1, 12), 0.11), beta=0.35),
    "pad": lambda d: d.pad(d.image(3, 4, 3), [(0, 0), (0, 1), (2, 0), (1, 0)]),
    "reshape": lambda d: d.reshape(d.image(2, 3, 4), (1, 24)),
    "conv_int32_bias": _int16_bias32("conv"),
    "dense_int32_bias": _int16_bias32("dense"),
}
# The variants in which int16 kernels differ from each other; built as their int8 namesakes are.
_INT16_OF = (
    *("conv_same", "conv_valid_stride2", "conv_dilated_valid", "conv_per_tensor", "conv_no_bias"),
    *("conv_relu6", "conv_1x1_odd_channels", "conv_kernel_larger_than_image"),
    *("depthwise_same_stride2", "depthwise_multiplier2", "depthwise_dilated"),
    *("depthwise_per_tensor", "depthwise_no_bias", "depthwise_relu"),
    *("dense_per_tensor", "dense_per_channel", "dense_relu6", "dense_no_bias", "dense_rows"),
    *("add_same_shape", "add_relu", "add_both_broadcast", "add_constant", "add_to_itself"),
    *("sub_same_shape", "sub_relu6", "sub_channels_broadcast", "sub_constant"),
    *("sub_constant_first", "mul_same_shape", "mul_relu", "mul_positions_broadcast"),
    *("mul_constant_first", "average_pool_same_stride2", "average_pool_relu"),
    *("max_pool_same", "mean_image", "mean_image_keep_dims", "mean_height_and_channels"),
    *("concatenation_channels", "pad_with_a_value"),
    *("net_one_dimensional", "net_residual", "net_separable"),
)
_family("int16", _INT16_RELUS | {name: _MODELS[name] for name in _INT16_OF})


def names() -> tuple[str, ...]:
    return tuple(sorted(_MODELS))


def graph(name: str) -> Graph:
    draft = (Int16 if name.startswith("int16_") else Draft)(name)
    outputs = _MODELS[name](draft)
    return draft.build(outputs if isinstance(outputs, list) else [outputs])


def content(name: str) -> bytes:
    """The model's file."""
    return write_tflite(graph(name))


def main(folder: Path = FOLDER) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # In a folder that somebody names, other models are somebody's.
    for stale in folder.glob("*.tflite") if folder == FOLDER else ():
        stale.unlink()
    for name in names():
        (folder / f"{name}.tflite").write_bytes(content(name))


if __name__ == "__main__":
    main(*(Path(argument) for argument in sys.argv[1:2]))
