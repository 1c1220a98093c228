"""SOFTMAX over the last dimension: int8 to int8 or int16, int16 to int16."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

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
from .fixed_point import exp_on_negative_values
from .quant import limits, quantize_multiplier, round_half_away, rounding_doubling_high_mul
from .row import Binding, KernelRow, LayerView

_INTEGER_BITS = 5  # differences are Q5.26 when they enter the exponential
_FRACTION_BITS = 31 - _INTEGER_BITS
# A smaller exponential rounds to 0 both in the sum (Q12.19) and in an int8 or int16 output.
_LEAST_EXP = 1 << 11
_STEPS = 512  # of the int16 kernel's tables
_MAX_DEPTH_S16 = 65535  # sums of Q0.15 stay below 2^31
_MAX_SHIFT_S16 = 15  # so do differences, shifted
_MAX_DEPTH = 4095  # one(Q12.19) * 4096 would overflow the sum


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


def _refuses_tensors(
    layer: LayerView, dtype: DType, out_dtype: DType, scale: float, zero_point: int
) -> str | None:
    reason = operand_count(layer, 1)
    if reason:
        return reason
    x, y = layer.input(0), layer.output
    options = layer.operator.options
    if not isinstance(options, SoftmaxOptions):
        return "options of SOFTMAX are missing"
    reason = first_reason(
        activation_tensor(x, "the input"),
        quantized(x, "the input", dtype),
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
    return None


def _refuses(layer: LayerView, out_dtype: DType, scale: float, zero_point: int) -> str | None:
    reason = _refuses_tensors(layer, DType.INT8, out_dtype, scale, zero_point)
    if reason:
        return reason
    x, options = layer.input(0), layer.operator.options
    assert isinstance(options, SoftmaxOptions)
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


def interpolation_table(
    function: Callable[[float], float], least: float, most: float, scaling: float
) -> npt.NDArray[np.int16]:
    """513 samples of a function on [least, most], times `scaling`, as TensorFlow Lite tabulates
    them: each is moved by half of the error that interpolation makes halfway to the next one.

    The reference computes in float32, and so is it done here.
    """
    f32 = np.float32
    step = f32((f32(most) - f32(least)) / f32(_STEPS))

    def at(place: np.float32) -> np.float32:
        return f32(f32(function(float(place))) * f32(scaling))

    table = []
    for i in range(_STEPS):
        place = f32(f32(least) + f32(i) * step)
        value = round_half_away(float(at(place)))
        following = at(f32(f32(least) + f32(i + 1) * step))
        halfway = round_half_away(float(f32((following + f32(value)) / f32(2))))
        error = halfway - round_half_away(float(at(f32(place + step / f32(2)))))
        table.append(value - round_half_away(error / 2))
    table.append(round_half_away(float(at(f32(most)))))
    return np.clip(table, *limits(DType.INT16)).astype(np.int16)


@functools.cache
def _tables_s16() -> tuple[npt.NDArray[np.int16], npt.NDArray[np.int16]]:
    """exp on [-10, 0] and 1 / (1 + x) on [0, 1], both Q0.15."""
    exponentials = interpolation_table(math.exp, -10.0, 0.0, 32768.0)
    return exponentials, interpolation_table(lambda x: 1 / (1 + x), 0.0, 1.0, 32768.0)


def _multiplier_s16(layer: LayerView) -> tuple[int, int]:
    """From the input's differences to 1 / 65535 of 10."""
    options = layer.operator.options
    assert isinstance(options, SoftmaxOptions)
    in_scale, _ = scale_and_zero_point(layer.input(0))
    return quantize_multiplier(in_scale * options.beta / (10.0 / 65535.0))


def _refuses_s16(layer: LayerView) -> str | None:
    reason = _refuses_tensors(layer, DType.INT16, DType.INT16, 1.0 / 32768.0, 0)
    if reason:
        return reason
    x = layer.input(0)
    if scale_and_zero_point(x)[1]:
        return f"'{x.name}' has a zero point that is not 0"
    if x.shape[-1] > _MAX_DEPTH_S16:
        return f"{x.shape[-1]} classes, more than {_MAX_DEPTH_S16}"
    multiplier, shift = _multiplier_s16(layer)
    if multiplier <= 0 or shift > _MAX_SHIFT_S16:
        beta, scale = layer.operator.options, scale_and_zero_point(x)[0]
        assert isinstance(beta, SoftmaxOptions)
        return f"beta {beta.beta:g} times input scale {scale:g} is out of range"
    return None


def _bind_s16(layer: LayerView) -> Binding:
    x = layer.input(0)
    depth = x.shape[-1]
    multiplier, shift = _multiplier_s16(layer)
    names = [f"softmax_{layer.operator.index}_{what}" for what in ("exp", "reciprocal")]
    return Binding(
        params=Struct(
            "struct eag_softmax_s16_params",
            (
                ("rows", x.elements // depth),
                ("depth", depth),
                ("multiplier", multiplier),
                ("shift", shift),
                ("exp_table", ConstantRef(names[0])),
                ("reciprocal_table", ConstantRef(names[1])),
            ),
        ),
        constants=tuple(
            Constant(name, table, ConstantKind.TABLE)
            for name, table in zip(names, _tables_s16(), strict=True)
        ),
        operands=(0,),
        in_place=(0,),
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
    KernelRow(
        name="eag_softmax_s16",
        op="SOFTMAX",
        sources=(
            "kernels/eag_dsp.h",
            "kernels/eag_requant.h",
            "kernels/eag_softmax.h",
            "kernels/eag_softmax_s16.c",
        ),
        refuses=_refuses_s16,
        bind=_bind_s16,
        dtypes=(DType.INT16,),
        note="exponentials and reciprocal interpolated in tables",
    ),
)
