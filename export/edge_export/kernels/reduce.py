"""MEAN of int8 and int16 tensors over any axes."""

from __future__ import annotations

import math

from edge_export.aot.program import Struct
from edge_quantize.fixed_point import mean_multiplier
from edge_quantize.graph import DType, Tensor
from edge_quantize.graph.options import ReducerOptions

from .checks import (
    activation_tensor,
    constant_integers,
    first_reason,
    integers,
    operand_count,
    quantized,
    scale_and_zero_point,
)
from .quant import limits
from .row import Binding, KernelRow, LayerView

_MAX_RUNS = 2  # of kept and of reduced dimensions: `struct eag_mean_params`


def _runs(shape: tuple[int, ...], axes: frozenset[int]) -> list[tuple[bool, int, int]]:
    """(reduced, size, stride) of every run of dimensions that are alike, outermost first."""
    runs: list[tuple[bool, int, int]] = []  # innermost first
    stride = 1
    for axis in reversed(range(len(shape))):
        size = shape[axis]
        reduced = axis in axes
        if size > 1:
            if runs and runs[-1][0] == reduced:
                _, inner, inner_stride = runs[-1]
                runs[-1] = (reduced, inner * size, inner_stride)
            else:
                runs.append((reduced, size, stride))
        stride *= size
    return runs[::-1]


def _axes(layer: LayerView) -> frozenset[int]:
    rank = len(layer.input(0).shape)
    return (
        frozenset(int(axis) % rank for axis in integers(layer.input(1)).reshape(-1))
        if rank
        else frozenset()
    )


def _kept_shape(x: Tensor, axes: frozenset[int], keep_dims: bool) -> tuple[int, ...]:
    if keep_dims:
        return tuple(1 if i in axes else size for i, size in enumerate(x.shape))
    return tuple(size for i, size in enumerate(x.shape) if i not in axes)


def _refuses(layer: LayerView, dtype: DType) -> str | None:
    reason = operand_count(layer, 2)
    if reason:
        return reason
    x, axis, y = layer.input(0), layer.input(1), layer.output
    options = layer.operator.options
    if not isinstance(options, ReducerOptions):
        return "options of MEAN are missing"
    reason = first_reason(
        activation_tensor(x, "the input"),
        quantized(x, "the input", dtype),
        quantized(y, "the output", dtype),
        constant_integers(axis, "the axes"),
    )
    if reason:
        return reason
    rank = len(x.shape)
    wrong = [int(a) for a in integers(axis).reshape(-1) if not -rank <= int(a) < rank]
    if wrong:
        return f"axis {wrong[0]} is outside a tensor of {rank} dimensions"
    axes = _axes(layer)
    if y.elements != math.prod(_kept_shape(x, axes, options.keep_dims)):
        return f"the output {list(y.shape)} is not {list(x.shape)} without axes {sorted(axes)}"
    runs = _runs(x.shape, axes)
    if max(sum(r[0] for r in runs), sum(not r[0] for r in runs)) > _MAX_RUNS:
        return f"axes {sorted(axes)} of {list(x.shape)} leave more than {_MAX_RUNS} runs"
    count = math.prod(size for reduced, size, _ in runs if reduced)
    least, most = limits(dtype)
    width = most - least
    if count >= (1 << 31) // (width + 1):
        return f"sums over {count} elements overflow 32 bits"
    multiplier, shift = mean_multiplier(
        scale_and_zero_point(x)[0], scale_and_zero_point(y)[0], count
    )
    if multiplier and not -31 <= shift <= 30 - (width * count).bit_length():
        return "the scales of input and output are too far apart"
    return None


def _bind(layer: LayerView) -> Binding:
    x, y = layer.input(0), layer.output
    runs = _runs(x.shape, _axes(layer))
    kept = [(size, stride) for reduced, size, stride in runs if not reduced]
    reduced = [(size, stride) for reduced, size, stride in runs if reduced]
    kept = [(1, 0)] * (_MAX_RUNS - len(kept)) + kept
    reduced = [(1, 0)] * (_MAX_RUNS - len(reduced)) + reduced
    count = math.prod(size for size, _ in reduced)
    (in_scale, in_zero), (out_scale, out_zero) = scale_and_zero_point(x), scale_and_zero_point(y)
    multiplier, shift = mean_multiplier(in_scale, out_scale, count)
    return Binding(
        params=Struct(
            "struct eag_mean_params",
            (
                ("kept", tuple(size for size, _ in kept)),
                ("kept_stride", tuple(stride for _, stride in kept)),
                ("reduced", tuple(size for size, _ in reduced)),
                ("reduced_stride", tuple(stride for _, stride in reduced)),
                ("offset", -in_zero * count),
                ("multiplier", multiplier),
                ("shift", shift),
                ("zero_point", out_zero),
            ),
        ),
        constants=(),
        operands=(0,),
    )


def _row(dtype: DType, suffix: str) -> KernelRow:
    return KernelRow(
        name=f"eag_mean_{suffix}",
        op="MEAN",
        sources=(
            f"kernels/eag_mean_{suffix}.c",
            "kernels/eag_dsp.h",
            "kernels/eag_pool.h",
            "kernels/eag_requant.h",
        ),
        refuses=lambda layer: _refuses(layer, dtype),
        bind=_bind,
        dtypes=(dtype,),
        note="any axes",
    )


ROWS: tuple[KernelRow, ...] = (_row(DType.INT8, "s8"), _row(DType.INT16, "s16"))
