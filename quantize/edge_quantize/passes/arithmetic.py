"""The integer arithmetic of quantized layers, on whole arrays.

Sources: the TensorFlow Lite quantization specification, gemmlowp's description of fixed-point
output pipelines, and TensorFlow Lite Micro's int8 kernels, whose order of operations is kept.

Every function from integers to integers here is monotone: larger in, not smaller out. That is what
lets bounds be carried through a layer by computing with the bounds alone.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_quantize.fixed_point import ADD_LEFT_SHIFTS, quantize_multiplier, sum_multipliers
from edge_quantize.graph.model import DType, Tensor

Ints = npt.NDArray[np.int64]
_ACCUMULATOR_LIMIT = 1 << 31


class Rounding(enum.Enum):
    """How a product is brought back to 8 bits; the runtimes differ in it."""

    DOUBLE = "double"  # at bit 31, then at the shift: tflite_micro, and the kernels here
    SINGLE = "single"  # once: LiteRT's FULLY_CONNECTED, builds with TFLITE_SINGLE_ROUNDING


@dataclass(frozen=True, eq=False)
class Multipliers:
    """Mantissas and shifts, int64, broadcast along the last axis of what they scale."""

    mantissa: Ints
    shift: Ints

    @classmethod
    def of(cls, reals: npt.ArrayLike) -> Multipliers:
        pairs = [quantize_multiplier(float(real)) for real in np.atleast_1d(reals)]
        return cls(*(np.array(column, np.int64) for column in zip(*pairs, strict=True)))

    def fits(self, bound: Ints) -> npt.NDArray[np.bool_]:
        """Whether accumulators of that magnitude go through without leaving int32."""
        left = np.clip(self.shift, 0, 31)
        return (self.shift <= 30) & ((bound << left) < _ACCUMULATOR_LIMIT)


def requantize(x: Ints, by: Multipliers, rounding: Rounding = Rounding.DOUBLE) -> Ints:
    """round(x * mantissa * 2^(shift - 31)) as the runtimes round it; |x| << shift within int32."""
    if rounding is Rounding.SINGLE:
        total = np.maximum(31 - by.shift, 1)
        half: Ints = np.left_shift(1, total - 1, dtype=np.int64)
        rounded: Ints = np.right_shift(x * by.mantissa + half, total)
        return rounded
    left, right = np.maximum(by.shift, 0), np.maximum(-by.shift, 0)
    high = ((x << left) * by.mantissa + (1 << 30)) >> 31
    mask = (np.int64(1) << right) - 1
    return (high >> right) + ((high & mask) > (mask >> 1) + (high < 0))


def added(
    operands: tuple[Ints, Ints],
    tensors: tuple[Tensor, Tensor],
    output: Tensor,
    rounding: Rounding = Rounding.DOUBLE,
) -> Ints:
    """What ADD makes of int8 operands that broadcast, before its clamp.

    Both operands are rescaled to a common scale with 20 bits more, added, and rescaled again.
    """
    zeros = [_affine(t)[1] for t in (*tensors, output)]
    *each, last = _of_sum(tensors, output)
    total: Ints = np.zeros((), np.int64)
    for x, by, zero in zip(operands, each, zeros[:2], strict=True):
        total = total + requantize((x - zero) << ADD_LEFT_SHIFTS[DType.INT8], by, rounding)
    result: Ints = requantize(total, last, rounding) + zeros[2]
    return result


def sum_fits(tensors: tuple[Tensor, Tensor], output: Tensor) -> bool:
    """Whether ADD's sums are rescaled by less than one, as the runtimes demand."""
    return not (_of_sum(tensors, output)[-1].shift > 0).any()


def _of_sum(tensors: tuple[Tensor, Tensor], output: Tensor) -> list[Multipliers]:
    """Of the two operands and of their sum."""
    first, second, last = (_affine(t)[0] for t in (*tensors, output))
    pairs = sum_multipliers(DType.INT8, (first, second, last))
    return [Multipliers(np.array([m], np.int64), np.array([s], np.int64)) for m, s in pairs]


def _affine(tensor: Tensor) -> tuple[float, int]:
    assert tensor.quantization is not None
    return tensor.quantization.scale, tensor.quantization.zero_point


def divided_half_away(total: Ints, count: Ints) -> Ints:
    """AVERAGE_POOL_2D's division: to nearest, halves away from zero."""
    half = count // 2
    quotient: Ints = np.where(total > 0, (total + half) // count, -((half - total) // count))
    return quotient
