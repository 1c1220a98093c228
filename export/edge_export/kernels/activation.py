"""LOGISTIC and TANH: int8 by a table of all results, int16 by interpolation in one table."""

from __future__ import annotations

import functools
import math

import numpy as np
import numpy.typing as npt

from edge_export.aot.program import Constant, ConstantKind, ConstantRef, Struct
from edge_quantize.graph import DType

from . import fixed_point
from .checks import activation_tensor, first_reason, operand_count, quantized, scale_and_zero_point
from .quant import requantize, round_half_away, rounding_shift_right
from .row import Binding, KernelRow, LayerView

# Scale and zero point that the reference's results have, whatever the model says.
_RESULT = {
    ("LOGISTIC", DType.INT8): (1 / 256, -128),
    ("TANH", DType.INT8): (1 / 128, 0),
    ("LOGISTIC", DType.INT16): (1 / 32768, 0),
    ("TANH", DType.INT16): (1 / 32768, 0),
}
_INTEGER_BITS = 4  # int8 inputs are Q4.27 when they enter the function
_STEPS = 24.0  # of the int16 table in one unit of the real input
_UNIT = 3 * 4096  # what one unit of the real input is when it is looked up
_LARGEST_MULTIPLIER = 32767
# Input scales whose logarithm is that near to a whole number count as powers of two.
_POWER_TOLERANCE = 1e-3


def _refuses(layer: LayerView, dtype: DType) -> str | None:
    reason = operand_count(layer, 1)
    if reason:
        return reason
    x, y = layer.input(0), layer.output
    reason = first_reason(
        activation_tensor(x, "the input"),
        quantized(x, "the input", dtype),
        quantized(y, "the output", dtype),
    )
    if reason:
        return reason
    if x.elements != y.elements:
        return f"{x.elements} elements in, {y.elements} out"
    wanted = _RESULT[layer.operator.op, dtype]
    got = scale_and_zero_point(y)
    if got != wanted:
        return (
            f"the output has scale {got[0]:g} and zero point {got[1]}, "
            f"not {wanted[0]:g} and {wanted[1]}"
        )
    return None


def lookup_table(op: str, scale: float, zero_point: int) -> npt.NDArray[np.int8]:
    """LOGISTIC or TANH of every int8, from -128 on, for an input of that quantization."""
    fraction, shift = math.frexp(scale * (1 << (31 - _INTEGER_BITS)))
    multiplier = round_half_away(fraction * (1 << 31))
    largest = ((1 << _INTEGER_BITS) - 1) << (31 - _INTEGER_BITS)
    radius = math.floor(math.ldexp(largest, -shift))
    function = fixed_point.logistic if op == "LOGISTIC" else fixed_point.tanh
    bits, offset = (8, -128) if op == "LOGISTIC" else (7, 0)
    table = []
    for q in range(-128, 128):
        centred = q - zero_point
        if centred <= -radius:
            table.append(-128)
        elif centred >= radius:
            table.append(127)
        else:
            result = function(requantize(centred, multiplier, shift))
            table.append(max(-128, min(127, rounding_shift_right(result, 31 - bits) + offset)))
    return np.array(table, np.int8)


def _refuses_s8(layer: LayerView) -> str | None:
    reason = _refuses(layer, DType.INT8)
    if reason:
        return reason
    scale, _ = scale_and_zero_point(layer.input(0))
    _, shift = math.frexp(scale * (1 << (31 - _INTEGER_BITS)))
    return None if 0 <= shift <= 60 else f"input scale {scale:g} is out of range"


def _bind_s8(layer: LayerView) -> Binding:
    op = layer.operator.op
    name = f"{op.lower()}_{layer.operator.index}_table"
    table = lookup_table(op, *scale_and_zero_point(layer.input(0)))
    return Binding(
        params=Struct(
            "struct eag_lookup_s8_params",
            (("size", layer.output.elements), ("table", ConstantRef(name))),
        ),
        constants=(Constant(name, table, ConstantKind.TABLE),),
        operands=(0,),
        in_place=(0,),
    )


@functools.cache
def sigmoid_table() -> npt.NDArray[np.uint16]:
    """sigmoid(i / 24) as Q0.16 for i = 0..255: each sample is moved by half of the error that
    interpolation makes halfway to the next one, and the last is the largest number."""

    def sigmoid(i: float) -> float:
        return 65536.0 / (1.0 + math.exp(-i / _STEPS))

    table = [
        round_half_away(sigmoid(i) - ((sigmoid(i) + sigmoid(i + 1)) / 2 - sigmoid(i + 0.5)) / 2)
        for i in range(255)
    ]
    return np.array([*table, 65535], np.uint16)


def _scaling_s16(layer: LayerView) -> tuple[int, int]:
    """(multiplier, right shift) from the input to 1 / 12288: exactly, where the input's scale is a
    power of two that the table is made for, else with 15 bits cut off."""
    scale, _ = scale_and_zero_point(layer.input(0))
    exponent = math.log2(scale)
    powers = (-12,) if layer.operator.op == "LOGISTIC" else (-12, -11)
    nearest = round(exponent)
    if abs(exponent - nearest) < _POWER_TOLERANCE and nearest in powers:
        return 3 << (nearest + 12), 0
    multiplier, shift = scale * _UNIT, 0
    while multiplier <= _LARGEST_MULTIPLIER / 2 and shift <= 30:
        multiplier, shift = multiplier * 2, shift + 1
    return int(multiplier), shift


def _refuses_s16(layer: LayerView) -> str | None:
    reason = _refuses(layer, DType.INT16)
    if reason:
        return reason
    x = layer.input(0)
    scale, zero_point = scale_and_zero_point(x)
    if zero_point:
        return f"'{x.name}' has a zero point that is not 0"
    if not 1 <= _scaling_s16(layer)[0] <= _LARGEST_MULTIPLIER:
        return f"input scale {scale:g} is out of range"
    return None


def _bind_s16(layer: LayerView) -> Binding:
    name = f"{layer.operator.op.lower()}_{layer.operator.index}_table"
    multiplier, shift = _scaling_s16(layer)
    return Binding(
        params=Struct(
            "struct eag_sigmoid_s16_params",
            (
                ("size", layer.output.elements),
                ("multiplier", multiplier),
                ("right_shift", shift),
                ("table", ConstantRef(name)),
            ),
        ),
        constants=(Constant(name, sigmoid_table(), ConstantKind.TABLE),),
        operands=(0,),
        in_place=(0,),
    )


ROWS: tuple[KernelRow, ...] = (
    *(
        KernelRow(
            name="eag_lookup_s8",
            op=op,
            sources=("kernels/eag_activation.h", "kernels/eag_lookup_s8.c"),
            refuses=_refuses_s8,
            bind=_bind_s8,
            note="a table of all 256 results, made at compile time",
        )
        for op in ("LOGISTIC", "TANH")
    ),
    *(
        KernelRow(
            name=f"eag_{op.lower()}_s16",
            op=op,
            sources=(
                "kernels/eag_activation.h",
                "kernels/eag_dsp.h",
                "kernels/eag_sigmoid_s16.c",
            ),
            refuses=_refuses_s16,
            bind=_bind_s16,
            dtypes=(DType.INT16,),
            note="interpolates in a table of 256",
        )
        for op in ("LOGISTIC", "TANH")
    ),
)
