"""Rows of DEPTHWISE_CONV_2D."""

from __future__ import annotations

import numpy as np

from edge_export.aot.program import FieldValue, Struct
from edge_quantize.graph.options import DepthwiseConv2DOptions

from .mac import MacLayer, mac_layer, pointer_fields, portable_constants, refuses_mac
from .quant import output_size, padding_before
from .row import Binding, KernelRow, LayerView

CHANNEL_AXIS = 3


def refuses(layer: LayerView) -> str | None:
    """Why the portable kernel cannot take a DEPTHWISE_CONV_2D."""
    options = layer.operator.options
    if not isinstance(options, DepthwiseConv2DOptions):
        return "its options are missing"
    operands = layer.inputs
    if len(operands) < 2 or operands[0] is None or operands[1] is None:
        return "its input or its weights are left out"
    if len(layer.outputs) != 1:
        return f"has {len(layer.outputs)} outputs"
    x, w, out = operands[0], operands[1], layer.outputs[0]
    if len(x.shape) != 4 or len(w.shape) != 4 or len(out.shape) != 4:
        return f"shapes {x.shape}, {w.shape} -> {out.shape} are not four-dimensional"
    if min(*x.shape, *w.shape, *out.shape) < 1 or max(*x.shape, *w.shape, *out.shape) > 65535:
        return f"shapes {x.shape}, {w.shape} -> {out.shape} are out of range"
    if x.shape[0] != 1 or w.shape[0] != 1:
        return f"batch is {x.shape[0]}, not 1"
    if w.shape[3] % x.shape[3]:
        return f"{w.shape[3]} output channels are no multiple of {x.shape[3]} input channels"
    if min(options.stride_h, options.stride_w, options.dilation_h, options.dilation_w) < 1:
        return "a stride or dilation is under 1"
    reach_h = (w.shape[1] - 1) * options.dilation_h + 1
    reach_w = (w.shape[2] - 1) * options.dilation_w + 1
    expected = (
        1,
        output_size(options.padding, x.shape[1], reach_h, options.stride_h),
        output_size(options.padding, x.shape[2], reach_w, options.stride_w),
        w.shape[3],
    )
    if out.shape != expected:
        return f"output shape is {out.shape}, expected {expected}"
    return refuses_mac(layer, CHANNEL_AXIS)


def window_fields(layer: LayerView, mac: MacLayer) -> tuple[tuple[str, FieldValue], ...]:
    """Shape, window and padding members of the portable parameter struct, in their order."""
    options = layer.operator.options
    if not isinstance(options, DepthwiseConv2DOptions):
        raise ValueError("`refuses` was not asked")
    _, in_h, in_w, in_c = mac.x.shape
    _, out_h, out_w, out_c = mac.out.shape
    _, kernel_h, kernel_w, _ = mac.w.shape
    reach_h = (kernel_h - 1) * options.dilation_h + 1
    reach_w = (kernel_w - 1) * options.dilation_w + 1
    pad_h = padding_before(options.padding, in_h, reach_h, options.stride_h, out_h)
    pad_w = padding_before(options.padding, in_w, reach_w, options.stride_w, out_w)
    return (
        ("in_h", in_h),
        ("in_w", in_w),
        ("in_c", in_c),
        ("out_h", out_h),
        ("out_w", out_w),
        ("multiplicity", out_c // in_c),
        ("kernel_h", kernel_h),
        ("kernel_w", kernel_w),
        ("stride_h", options.stride_h),
        ("stride_w", options.stride_w),
        ("dilation_h", options.dilation_h),
        ("dilation_w", options.dilation_w),
        ("pad_h", pad_h),
        ("pad_w", pad_w),
    )


def macs(mac: MacLayer) -> int:
    """Multiply-accumulates: every output element over every tap, padding included."""
    return mac.out.elements * int(mac.weights.shape[1])


def bind(layer: LayerView) -> Binding:
    mac = mac_layer(layer, CHANNEL_AXIS)
    constants = portable_constants(mac, np.ascontiguousarray(mac.weights.T))
    params = Struct(
        "struct eag_depthwise_conv_2d_params",
        (
            *pointer_fields(constants),
            *window_fields(layer, mac),
            ("per_channel", int(mac.per_channel)),
            ("in_zero", mac.in_zero),
            ("out_zero", mac.out_zero),
            ("act_min", mac.act_min),
            ("act_max", mac.act_max),
        ),
    )
    return Binding(params, constants, operands=(0,), macs=macs(mac))


ROWS: tuple[KernelRow, ...] = (
    KernelRow(
        name="eag_depthwise_conv_2d",
        op="DEPTHWISE_CONV_2D",
        sources=(
            "kernels/eag_depthwise_conv_2d.c",
            "kernels/eag_depthwise_conv_2d.h",
            "kernels/eag_dsp.h",
            "kernels/eag_requant.h",
        ),
        refuses=refuses,
        bind=bind,
        rank=100,
        note="portable C99",
    ),
)
