"""MUL of int8 and int16 tensors, with broadcasting and constant operands."""

from __future__ import annotations

from edge_export.aot.program import FieldValue
from edge_quantize.graph import DType
from edge_quantize.graph.options import ElementwiseOptions

from .binary import (
    HEADERS,
    bind_binary,
    order_of,
    refuses_binary,
    takes_activations,
    takes_constant,
)
from .checks import scale_and_zero_point
from .quant import activation_range, quantize_multiplier
from .row import Binding, KernelRow, LayerView

_SUFFIX = {DType.INT8: "s8", DType.INT16: "s16"}
# The largest left shift at which the product of two operands stays below 2^31.
_MOST_SHIFT = {DType.INT8: 13, DType.INT16: 0}


def _multiplier(layer: LayerView) -> tuple[int, int]:
    scales = [scale_and_zero_point(layer.input(i))[0] for i in (0, 1)]
    return quantize_multiplier(scales[0] * scales[1] / scale_and_zero_point(layer.output)[0])


def _refuses(layer: LayerView, dtype: DType) -> str | None:
    reason = refuses_binary(layer, dtype)
    if reason:
        return reason
    _, shift = _multiplier(layer)
    if shift > _MOST_SHIFT[dtype]:
        return f"input scales over the output's give 2^{shift}; products would overflow 32 bits"
    return None


def _bind(layer: LayerView) -> Binding:
    options = layer.operator.options
    assert isinstance(options, ElementwiseOptions)
    multiplier, shift = _multiplier(layer)
    low, high = activation_range(layer.output, options.activation)
    rescaling: tuple[tuple[str, FieldValue], ...] = (
        ("multiplier", multiplier),
        ("shift", shift),
        ("min", low),
        ("max", high),
    )
    if layer.output.dtype is DType.INT16:
        return bind_binary(layer, "struct eag_mul_s16_params", rescaling)
    zeros = [scale_and_zero_point(layer.input(position))[1] for position in order_of(layer)]
    offsets = (
        ("offset0", -zeros[0]),
        ("offset1", -zeros[1]),
        ("zero_point", scale_and_zero_point(layer.output)[1]),
    )
    return bind_binary(layer, "struct eag_mul_s8_params", (*offsets, *rescaling))


def _rows(dtype: DType) -> tuple[KernelRow, KernelRow]:
    suffix = _SUFFIX[dtype]
    sources = (f"kernels/eag_mul_{suffix}.c", *HEADERS)
    return (
        KernelRow(
            name=f"eag_mul_{suffix}",
            op="MUL",
            sources=sources,
            refuses=lambda layer: _refuses(layer, dtype) or takes_activations(layer),
            bind=_bind,
            dtypes=(dtype,),
            note="any shapes that broadcast",
        ),
        KernelRow(
            name=f"eag_mul_constant_{suffix}",
            op="MUL",
            sources=sources,
            refuses=lambda layer: _refuses(layer, dtype) or takes_constant(layer, 0, 1),
            bind=_bind,
            dtypes=(dtype,),
            note="one operand is a constant",
        ),
    )


ROWS: tuple[KernelRow, ...] = tuple(row for dtype in _SUFFIX for row in _rows(dtype))
