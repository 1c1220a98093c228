"""Integer quantization arithmetic shared by all kernel rows, as TensorFlow Lite Micro has it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_quantize.graph import DType, Quantization
from edge_quantize.graph.options import Activation, Padding

INT8_MIN = -128
INT8_MAX = 127


def round_away(value: float) -> int:
    """Round to the nearest integer, ties away from zero: C's `round`."""
    return math.floor(abs(value) + 0.5) * (1 if value >= 0 else -1)


def quantize_multiplier(real: float) -> tuple[int, int]:
    """A non-negative factor as `(multiplier, shift)`: `real ~= multiplier * 2**(shift - 31)`.

    The multiplier is in [2**30, 2**31), or 0 for factors that no shift of 31 can express
    (TFLM's QuantizeMultiplier).
    """
    if real == 0.0:
        return 0, 0
    significand, shift = math.frexp(real)
    multiplier = round_away(significand * (1 << 31))
    if multiplier == 1 << 31:
        multiplier //= 2
        shift += 1
    if shift < -31:
        return 0, 0
    return multiplier, shift


def requantize(x: int, multiplier: int, shift: int) -> int:
    """TFLM's MultiplyByQuantizedMultiplier with double rounding, in unbounded integers."""
    high = ((x << max(shift, 0)) * multiplier + (1 << 30)) >> 31
    exponent = max(-shift, 0)
    if exponent == 0:
        return high
    half = 1 << (exponent - 1)
    return (high + half - (high < 0)) >> exponent


def activation_range(activation: Activation, quantization: Quantization) -> tuple[int, int] | None:
    """The int8 bounds of a fused activation; None for one that is not a clamp.

    The bounds are quantized with float32 arithmetic, as TFLM does.
    """
    bounds: dict[Activation, tuple[float | None, float | None]] = {
        Activation.NONE: (None, None),
        Activation.RELU: (0.0, None),
        Activation.RELU6: (0.0, 6.0),
        Activation.RELU_N1_TO_1: (-1.0, 1.0),
    }
    if activation not in bounds:
        return None
    scale = np.float32(quantization.scale)

    def quantized(bound: float | None, default: int) -> int:
        if bound is None:
            return default
        return quantization.zero_point + round_away(float(np.float32(bound) / scale))

    low, high = bounds[activation]
    return (
        max(INT8_MIN, quantized(low, INT8_MIN)),
        min(INT8_MAX, quantized(high, INT8_MAX)),
    )


def padding_before(
    padding: Padding, size: int, out: int, kernel: int, stride: int, dil: int
) -> int:
    """Rows above (or columns left of) the image that TFLM pads; the smaller half under SAME."""
    if padding is Padding.VALID:
        return 0
    effective = (kernel - 1) * dil + 1
    return max((out - 1) * stride + effective - size, 0) // 2


def output_size(padding: Padding, size: int, kernel: int, stride: int, dil: int) -> int:
    """Output rows (or columns) of a window that slides over `size` of them."""
    effective = (kernel - 1) * dil + 1
    if padding is Padding.SAME:
        return -(-size // stride)
    return (size - effective + stride) // stride


@dataclass(frozen=True, eq=False)
class Accumulation:
    """What the int32 accumulators of a multiply-accumulate layer can hold.

    `bias` int64[channels] has the input's zero point folded in. `low` and `high` int64[channels]
    bound the finished accumulator over every int8 input; `bound` bounds every partial sum too.
    """

    bias: npt.NDArray[np.int64]
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    bound: int


def accumulate(
    weights: npt.NDArray[np.int8], bias: npt.NDArray[np.int32] | None, in_zero: int
) -> Accumulation:
    """Fold the input's zero point into the bias; `weights` are [channels, taps]."""
    wide = weights.astype(np.int64)
    folded = np.zeros(len(wide), np.int64) if bias is None else bias.astype(np.int64)
    folded = folded - in_zero * wide.sum(axis=1)
    positive = np.where(wide > 0, wide, 0).sum(axis=1)
    negative = np.where(wide < 0, wide, 0).sum(axis=1)
    partial = np.abs(folded) + 128 * (positive - negative)
    return Accumulation(
        bias=folded,
        low=folded + INT8_MIN * positive + INT8_MAX * negative,
        high=folded + INT8_MAX * positive + INT8_MIN * negative,
        bound=int(partial.max(initial=0)),
    )


def has_scale(quantization: Quantization | None) -> bool:
    """Whether a tensor is quantized per tensor with a usable scale."""
    return (
        quantization is not None
        and len(quantization.scales) == 1
        and len(quantization.zero_points) == 1
        and math.isfinite(quantization.scales[0])
        and quantization.scales[0] > 0
    )


def is_int8_activation(dtype: DType, quantization: Quantization | None) -> bool:
    return dtype is DType.INT8 and has_scale(quantization)
