"""SOFTMAX over the last dimension, int8 to int8 or int16."""

from __future__ import annotations

import math

import numpy as np

from edge_export.aot.program import Constant, ConstantKind, ConstantRef, Struct
from edge_quantize.graph import DType
from edge_quantize.graph.options import SoftmaxOptions

from .checks import (
    activation_tensor,
    first_reason,
    has_dtype,
    operand_count,
    quantized,
    scale_and_zero_point,
)
from .quant import quantize_multiplier, rounding_doubling_high_mul, rounding_shift_right
from .row import Binding, KernelRow, LayerView

_INTEGER_BITS = 5  # differences are Q5.26 when they enter the exponential
_FRACTION_BITS = 31 - _INTEGER_BITS
# A smaller exponential rounds to 0 both in the sum (Q12.19) and in an int8 or int16 output.
_LEAST_EXP = 1 << 11
_MAX_DEPTH = 4095  # one(Q12.19) * 4096 would overflow the sum
# exp(-2^k) in Q0.31 for k = -2..4, the factors of the binary digits of an exponent.
_EXP_POWERS = tuple(round(math.exp(-(2.0**k)) * (1 << 31)) for k in range(-2, 5))
_EXP_EIGHTH = round(math.exp(-0.125) * (1 << 31))
_THIRD = round((1 << 31) / 3)


def exp_on_negative_values(x: int) -> int:
    """exp of a Q5.26 number that is not positive, as Q0.31, bit for bit what gemmlowp computes:
    a polynomial on [-1/4, 0) around -1/8, times a factor for every binary digit above."""
    if x == 0:
        return (1 << 31) - 1
    quarter = 1 << (_FRACTION_BITS - 2)
    low = (x & (quarter - 1)) - quarter
    result = _exp_on_quarter(low << _INTEGER_BITS)
    rest = low - x
    for bit, factor in zip(range(-2, 5), _EXP_POWERS, strict=True):
        if rest & (1 << (_FRACTION_BITS + bit)):
            result = rounding_doubling_high_mul(result, factor)
    return result


def _exp_on_quarter(a: int) -> int:
    """exp of a Q0.31 number in [-1/4, 0)."""
    x = a + (1 << 28)
    x2 = rounding_doubling_high_mul(x, x)
    x3 = rounding_doubling_high_mul(x2, x)
    x4_over_4 = rounding_shift_right(rounding_doubling_high_mul(x2, x2), 2)
    higher = rounding_doubling_high_mul(x4_over_4 + x3, _THIRD) + x2
    return _EXP_EIGHTH + rounding_doubling_high_mul(
        _EXP_EIGHTH, x + rounding_shift_right(higher, 1)
    )


def exp_table(input_scale: float, beta: float) -> tuple[int, ...]:
    """exp(-d * beta * input_scale) in Q0.31 for d = 0, 1, ... up to the last that matters."""
    # The reference multiplies in this order, in double precision; beta is a float32.
    real = min(beta * input_scale * (1 << _FRACTION_BITS), float((1 << 31) - 1))
    multiplier, shift = quantize_multiplier(real)
    largest = math.floor(
        float(((1 << _INTEGER_BITS) - 1) * (1 << _FRACTION_BITS)) / float(1 << shift)
    )
    table: list[int] = []
    for difference in range(min(255, largest) + 1):
        scaled = rounding_doubling_high_mul(-difference << shift, multiplier)
        value = exp_on_negative_values(scaled)
        if value < _LEAST_EXP:
            break
        table.append(value)
    return tuple(table)


def _refuses(layer: LayerView, out_dtype: DType, scale: float, zero_point: int) -> str | None:
    reason = operand_count(layer, 1)
    if reason:
        return reason
    x, y = layer.input(0), layer.output
    options = layer.operator.options
    if not isinstance(options, SoftmaxOptions):
        return "options of SOFTMAX are missing"
    reason = first_reason(
        activation_tensor(x, "the input"),
        quantized(x, "the input"),
        has_dtype(y, "the output", out_dtype),
    ) or quantized(y, "the output", out_dtype)
    if reason:
        return reason
    if not x.shape or x.shape != y.shape:
        return f"input {list(x.shape)} and output {list(y.shape)} are not of one shape"
    if scale_and_zero_point(y) != (scale, zero_point):
        got = scale_and_zero_point(y)
        return (
            f"the output has scale {got[0]:g} and zero point {got[1]}, "
            f"not {scale:g} and {zero_point}"
        )
    if x.shape[-1] > _MAX_DEPTH:
        return f"{x.shape[-1]} classes, more than {_MAX_DEPTH}"
    in_scale, _ = scale_and_zero_point(x)
    real = options.beta * in_scale * (1 << _FRACTION_BITS)
    if not math.isfinite(real) or real <= 1.0:
        return f"beta {options.beta:g} times input scale {in_scale:g} is out of range"
    return None


def _bind(layer: LayerView) -> Binding:
    x = layer.input(0)
    options = layer.operator.options
    assert isinstance(options, SoftmaxOptions)
    in_scale, _ = scale_and_zero_point(x)
    table = np.array(exp_table(in_scale, options.beta), dtype=np.int32)
    name = f"softmax_{layer.operator.index}_exp"
    depth = x.shape[-1]
    return Binding(
        params=Struct(
            "struct eag_softmax_s8_params",
            (
                ("rows", x.elements // depth),
                ("depth", depth),
                ("exp_table", ConstantRef(name)),
                ("exp_count", len(table)),
            ),
        ),
        constants=(Constant(name, table, ConstantKind.TABLE),),
        operands=(0,),
        in_place=(0,) if layer.output.dtype is DType.INT8 else (),
    )


_HEADERS = (
    "kernels/eag_dsp.h",
    "kernels/eag_requant.h",
    "kernels/eag_softmax.h",
    "kernels/eag_softmax_core.h",
)

ROWS: tuple[KernelRow, ...] = (
    KernelRow(
        name="eag_softmax_s8",
        op="SOFTMAX",
        sources=("kernels/eag_softmax_s8.c", *_HEADERS),
        refuses=lambda layer: _refuses(layer, DType.INT8, 1.0 / 256.0, -128),
        bind=_bind,
        note="exponentials from a table made at compile time",
    ),
    KernelRow(
        name="eag_softmax_s8_s16",
        op="SOFTMAX",
        sources=("kernels/eag_softmax_s8_s16.c", *_HEADERS),
        refuses=lambda layer: _refuses(layer, DType.INT16, 1.0 / 65536.0, -32768),
        bind=_bind,
        note="exponentials from a table made at compile time",
    ),
)
