"""QUANTIZE, DEQUANTIZE, RELU and its like: one element in, one element out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from edge_export.aot.program import Struct
from edge_quantize.graph import DType
from edge_quantize.graph.options import Activation

from .checks import (
    activation_tensor,
    first_reason,
    has_dtype,
    operand_count,
    quantized,
    same_quantization,
    scale_and_zero_point,
)
from .quant import activation_range, limits, quantize_multiplier
from .row import ALIAS, NO_PARAMS, Binding, KernelRow, LayerView

# The conversions that TensorFlow Lite Micro's QUANTIZE has and this table too.
_SUFFIX = {DType.INT8: "s8", DType.UINT8: "u8", DType.INT16: "s16"}
_REQUANTIZE = (
    (DType.INT8, DType.INT8),
    (DType.INT8, DType.UINT8),
    (DType.UINT8, DType.INT8),
    (DType.INT8, DType.INT16),
    (DType.INT16, DType.INT8),
    (DType.INT16, DType.INT16),
)


def _refuses_unary(layer: LayerView) -> str | None:
    reason = operand_count(layer, 1)
    if reason:
        return reason
    x, y = layer.input(0), layer.output
    if x.elements != y.elements:
        return f"{x.elements} elements in, {y.elements} out"
    return activation_tensor(x, "the input")


def _multiplier(layer: LayerView) -> tuple[int, int]:
    in_scale, _ = scale_and_zero_point(layer.input(0))
    out_scale, _ = scale_and_zero_point(layer.output)
    return quantize_multiplier(in_scale / out_scale)


def _refuses_requantize(layer: LayerView, source: DType, target: DType) -> str | None:
    reason = _refuses_unary(layer)
    if reason:
        return reason
    x, y = layer.input(0), layer.output
    reason = quantized(x, "the input", source) or quantized(y, "the output", target)
    if reason:
        return reason
    _, zero_point = scale_and_zero_point(x)
    widest = max(abs(bound - zero_point) for bound in limits(source))
    _, shift = _multiplier(layer)
    if widest << max(shift, 0) >= 1 << 31:
        return "the input's scale is too many times the output's"
    return None


def _bind_requantize(layer: LayerView, low: int, high: int) -> Binding:
    multiplier, shift = _multiplier(layer)
    x, y = layer.input(0), layer.output
    return Binding(
        params=Struct(
            "struct eag_requantize_params",
            (
                ("size", y.elements),
                ("offset", -scale_and_zero_point(x)[1]),
                ("multiplier", multiplier),
                ("shift", shift),
                ("zero_point", scale_and_zero_point(y)[1]),
                ("min", low),
                ("max", high),
            ),
        ),
        constants=(),
        operands=(0,),
        in_place=(0,) if y.dtype.itemsize <= x.dtype.itemsize else (),
    )


def _requantize_row(source: DType, target: DType) -> KernelRow:
    return KernelRow(
        name=f"eag_requantize_{_SUFFIX[source]}_{_SUFFIX[target]}",
        op="QUANTIZE",
        sources=_REQUANTIZE_SOURCES,
        refuses=lambda layer: _refuses_requantize(layer, source, target),
        bind=lambda layer: _bind_requantize(layer, *limits(target)),
        dtypes=(source,),
        note=f"{source.value} to {target.value}",
    )


def _refuses_identity(layer: LayerView) -> str | None:
    """QUANTIZE between equal quantizations: its multiplier is exactly one."""
    reason = _refuses_unary(layer)
    if reason:
        return reason
    x, y = layer.input(0), layer.output
    reason = quantized(x, "the input", DType.INT8, DType.INT16) or quantized(
        y, "the output", x.dtype
    )
    if reason:
        return reason
    operator, graph = layer.operator, layer.graph
    if operator.outputs[0] in graph.outputs and (
        operator.inputs[0] in graph.inputs or operator.inputs[0] in graph.outputs
    ):
        return "the model's input or another output of it needs memory of its own"
    return same_quantization(x, y, "input and output")


def _refuses_relu(layer: LayerView, dtype: DType) -> str | None:
    reason = _refuses_requantize(layer, dtype, dtype)
    if reason is None and dtype is DType.INT16:
        for tensor in (layer.input(0), layer.output):
            if scale_and_zero_point(tensor)[1]:
                return f"'{tensor.name}' has a zero point that is not 0"
    return reason


def _refuses_relu_clamp(layer: LayerView, dtype: DType) -> str | None:
    return _refuses_relu(layer, dtype) or same_quantization(
        layer.input(0), layer.output, "input and output"
    )


def _refuses_relu6(layer: LayerView, dtype: DType) -> str | None:
    """RELU6 clamps in the input's quantization; the reference never rescales it. RELU_N1_TO_1,
    which the reference lacks as an operator, does the same."""
    reason = _refuses_unary(layer)
    if reason:
        return reason
    x, y = layer.input(0), layer.output
    reason = quantized(x, "the input", dtype) or quantized(y, "the output", dtype)
    return reason or same_quantization(x, y, "input and output")


def _bind_clamp(layer: LayerView) -> Binding:
    low, high = activation_range(layer.output, Activation(layer.operator.op))
    return Binding(
        params=Struct(
            "struct eag_clamp_params",
            (("size", layer.output.elements), ("min", low), ("max", high)),
        ),
        constants=(),
        operands=(0,),
        in_place=(0,),
    )


def _bind_relu(layer: LayerView) -> Binding:
    _, zero_point = scale_and_zero_point(layer.output)
    return _bind_requantize(layer, zero_point, limits(layer.output.dtype)[1])


def _refuses_float(layer: LayerView, real: int, dtype: DType) -> str | None:
    """`real`: 0 when the input is the float, 1 when the output is."""
    reason = _refuses_unary(layer)
    if reason:
        return reason
    ends = ((layer.input(0), "the input"), (layer.output, "the output"))
    return first_reason(
        has_dtype(*ends[real], DType.FLOAT32), has_dtype(*ends[1 - real], dtype)
    ) or (quantized(*ends[1 - real], dtype))


def _bind_float(layer: LayerView, ctype: str, real: int) -> Binding:
    tensor = layer.output if real == 0 else layer.input(0)
    scale, zero_point = scale_and_zero_point(tensor)
    return Binding(
        params=Struct(
            ctype,
            (("size", layer.output.elements), ("scale", scale), ("zero_point", zero_point)),
        ),
        constants=(),
        operands=(0,),
        in_place=(0,) if real == 0 else (),
    )


def _quantize_row(target: DType) -> KernelRow:
    return KernelRow(
        name=f"eag_quantize_f32_{_SUFFIX[target]}",
        op="QUANTIZE",
        sources=_FLOAT_SOURCES,
        refuses=lambda layer: _refuses_float(layer, 0, target),
        bind=lambda layer: _bind_float(layer, "struct eag_quantize_f32_params", 0),
        dtypes=(DType.FLOAT32,),
        note=f"float32 to {target.value}",
    )


def _dequantize_row(source: DType) -> KernelRow:
    return KernelRow(
        name=f"eag_dequantize_{_SUFFIX[source]}_f32",
        op="DEQUANTIZE",
        sources=_FLOAT_SOURCES,
        refuses=lambda layer: _refuses_float(layer, 1, source),
        bind=lambda layer: _bind_float(layer, "struct eag_dequantize_f32_params", 1),
        dtypes=(source,),
        note=f"{source.value} to float32",
    )


def _clamp_rows(op: str, dtype: DType) -> tuple[KernelRow, ...]:
    refuses = _CLAMPS[op]
    plain = KernelRow(
        name=f"eag_clamp_{_SUFFIX[dtype]}",
        op=op,
        sources=_REQUANTIZE_SOURCES,
        refuses=lambda layer: refuses(layer, dtype),
        bind=_bind_clamp,
        dtypes=(dtype,),
        rank=50,
        note="a clamp",
    )
    if dtype is not DType.INT8:
        return (plain,)
    dsp = replace(
        plain,
        name="eag_clamp_s8_dsp",
        sources=("kernels/eag_clamp_s8_dsp.c", *_REQUANTIZE_SOURCES[:-1]),
        needs=frozenset({"dsp"}),
        rank=40,
        note="a clamp, four elements at a time",
    )
    return dsp, plain


def _relu_row(dtype: DType) -> KernelRow:
    return KernelRow(
        name=f"eag_requantize_{_SUFFIX[dtype]}_{_SUFFIX[dtype]}",
        op="RELU",
        sources=_REQUANTIZE_SOURCES,
        refuses=lambda layer: _refuses_relu(layer, dtype),
        bind=_bind_relu,
        dtypes=(dtype,),
        note="rescales and clamps",
    )


_RELUS = (DType.INT8, DType.INT16)
_REQUANTIZE_SOURCES = (
    "kernels/eag_dsp.h",
    "kernels/eag_quantize.h",
    "kernels/eag_requant.h",
    "kernels/eag_requantize.c",
)
_FLOAT_SOURCES = (
    "kernels/eag_dsp.h",
    "kernels/eag_quantize.h",
    "kernels/eag_quantize_f32.c",
    "kernels/eag_requant.h",
)

_CLAMPS: dict[str, Callable[[LayerView, DType], str | None]] = {
    "RELU": _refuses_relu_clamp,
    "RELU6": _refuses_relu6,
    "RELU_N1_TO_1": _refuses_relu6,
}

ROWS: tuple[KernelRow, ...] = (
    KernelRow(
        name=ALIAS,
        op="QUANTIZE",
        sources=(),
        refuses=_refuses_identity,
        bind=lambda _layer: Binding(params=NO_PARAMS, constants=(), operands=(0,)),
        dtypes=(DType.INT8, DType.INT16),
        rank=10,
        note="no code: the quantization stays the same",
    ),
    *(_requantize_row(source, target) for source, target in _REQUANTIZE),
    *(_quantize_row(target) for target in (DType.INT8, DType.INT16)),
    *(_dequantize_row(source) for source in (DType.INT8, DType.UINT8, DType.INT16)),
    *(row for op in _CLAMPS for dtype in _RELUS for row in _clamp_rows(op, dtype)),
    *(_relu_row(dtype) for dtype in _RELUS),
)
