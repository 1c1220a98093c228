"""Rows of DEPTHWISE_CONV_2D."""

from __future__ import annotations

import numpy as np

from edge_export.aot.program import FieldValue, Struct
from edge_quantize.graph import DType
from edge_quantize.graph.options import DepthwiseConv2DOptions

from .mac import MacLayer, mac_layer, pointer_fields, portable_constants, range_fields, refuses_mac
from .mac_dsp import DspConstants, dsp_constants, refuses_factors
from .mac_s16 import (
    DspConstantsS16,
    constants_s16,
    dsp_constants_s16,
    dsp_range_fields_s16,
    mac_layer_s16,
    range_fields_s16,
    refuses_dsp_s16,
    refuses_mac_s16,
    refuses_products,
)
from .overlap import Windows, overlap_distance
from .row import NO_BORDER, Binding, KernelRow, LayerView
from .window import (
    convolution_fields,
    convolution_macs,
    convolution_windows,
    refuses_convolution,
)

CHANNEL_AXIS = 3


def _refuses_shapes(layer: LayerView) -> str | None:
    """Why shapes and options are not those of a DEPTHWISE_CONV_2D."""
    options = layer.operator.options
    if not isinstance(options, DepthwiseConv2DOptions):
        return "its options are missing"
    reason = refuses_convolution(layer, options, CHANNEL_AXIS)
    if reason is not None:
        return reason
    x, w = layer.input(0).shape, layer.input(1).shape
    if w[0] != 1:
        return f"its weights' first dimension is {w[0]}, not 1"
    if w[3] % x[3]:
        return f"{w[3]} output channels are no multiple of {x[3]} input channels"
    return None


def refuses(layer: LayerView, weights: DType = DType.INT8) -> str | None:
    """Why the portable kernel for such weights cannot take a DEPTHWISE_CONV_2D."""
    return _refuses_shapes(layer) or refuses_mac(layer, CHANNEL_AXIS, weights)


def refuses_s16(layer: LayerView) -> str | None:
    """Why the kernel of int16 activations cannot take a DEPTHWISE_CONV_2D."""
    reason = _refuses_shapes(layer) or refuses_mac_s16(layer, CHANNEL_AXIS, (DType.INT64,))
    return reason or refuses_products(layer, CHANNEL_AXIS)


def window_fields(layer: LayerView, mac: MacLayer) -> tuple[tuple[str, FieldValue], ...]:
    """Shape, window and padding members of the portable parameter struct."""
    options = layer.operator.options
    if not isinstance(options, DepthwiseConv2DOptions):
        raise ValueError("`refuses` was not asked")
    multiplicity = mac.channels // mac.x.shape[3]
    return (*convolution_fields(layer, mac, options), ("multiplicity", multiplicity))


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
            *range_fields(mac),
        ),
    )
    fields = (*window_fields(layer, mac), ("out_c", mac.out.shape[3]))
    distance = overlap_distance(Windows.of(fields))
    return Binding(
        params, constants, operands=(0,), overlap=((0, distance),), macs=convolution_macs(mac)
    )


def bind_s16(layer: LayerView) -> Binding:
    mac = mac_layer_s16(layer, CHANNEL_AXIS)
    constants = constants_s16(layer, mac, np.ascontiguousarray(mac.weights.T))
    fields = window_fields(layer, mac)
    params = Struct(
        "struct eag_depthwise_conv_2d_s16_params",
        (*pointer_fields(constants), *fields, *range_fields_s16(layer, mac)),
    )
    windows = Windows.of((*fields, ("out_c", mac.out.shape[3])))
    distance = overlap_distance(windows) * mac.x.dtype.itemsize
    return Binding(
        params, constants, operands=(0,), overlap=((0, distance),), macs=convolution_macs(mac)
    )


def refuses_s16_dsp(layer: LayerView) -> str | None:
    """Why the DSP kernel of int16 activations cannot take a DEPTHWISE_CONV_2D."""
    return refuses_s16(layer) or refuses_dsp_s16(layer, CHANNEL_AXIS)


def bind_s16_dsp(layer: LayerView) -> Binding:
    mac = mac_layer_s16(layer, CHANNEL_AXIS)
    dsp = DspConstantsS16(layer, mac)
    if not dsp.per_channel:
        dsp.factor = np.repeat(dsp.factor, mac.channels)
    weights = np.ascontiguousarray(dsp.weights.T)  # [taps, channels]
    if mac.channels == mac.x.shape[3] and mac.channels % 4 == 0:
        quads = weights.reshape(len(weights), -1, 4)
        weights = np.ascontiguousarray(quads[:, :, [0, 2, 1, 3]])
    constants = dsp_constants_s16(layer, mac, dsp, weights)
    fields = window_fields(layer, mac)
    params = Struct(
        "struct eag_depthwise_conv_2d_s16_dsp_params",
        (*pointer_fields(constants), *fields, *dsp_range_fields_s16(mac)),
    )
    windows = Windows.of((*fields, ("out_c", mac.out.shape[3])))
    distance = overlap_distance(windows) * mac.x.dtype.itemsize
    return Binding(
        params, constants, operands=(0,), overlap=((0, distance),), macs=convolution_macs(mac)
    )


def scratch_bytes_3x3(out_w: int, stride_w: int) -> int:
    """Twin of `eag_depthwise_conv_3x3_dsp_scratch_bytes`."""
    return 288 + 32 * ((out_w - 1) * stride_w + 3)


def refuses_3x3_dsp(layer: LayerView, weights: DType = DType.INT8) -> str | None:
    """Why the DSP kernel for such weights cannot take a DEPTHWISE_CONV_2D."""
    reason = refuses(layer, weights)
    if reason is not None:
        return reason
    options = layer.operator.options
    x, w = layer.input(0), layer.input(1)
    if w.shape[1:3] != (3, 3):
        return f"windows are {w.shape[1]} x {w.shape[2]}, not 3 x 3"
    if w.shape[3] != x.shape[3]:
        return f"depth multiplier is {w.shape[3] // x.shape[3]}, not 1"
    if x.shape[3] % 4:
        return f"{x.shape[3]} channels are no multiple of 4"
    if not isinstance(options, DepthwiseConv2DOptions) or options.stride_h > 2:
        return "stride_h is over 2"
    if (options.dilation_h, options.dilation_w) != (1, 1):
        return "windows are dilated"
    if max(window.before for window in convolution_windows(layer, options)) > 2:
        return "more than 2 rows or columns are padded"
    return refuses_factors(layer, CHANNEL_AXIS)


def bind_3x3_dsp(layer: LayerView) -> Binding:
    mac = mac_layer(layer, CHANNEL_AXIS)
    factors = DspConstants(mac)
    constants = dsp_constants(mac, factors, np.ascontiguousarray(mac.weights.T))
    options = layer.operator.options
    if not isinstance(options, DepthwiseConv2DOptions):
        raise ValueError("`refuses` was not asked")
    window = dict(convolution_fields(layer, mac, options))
    _, out_h, out_w, channels = mac.out.shape
    stride, same = (options.stride_h, options.stride_w), mac.x.shape == mac.out.shape
    params = Struct(
        "struct eag_depthwise_conv_3x3_dsp_params",
        (
            *pointer_fields(constants),
            ("in_h", window["in_h"]),
            ("in_w", window["in_w"]),
            ("out_h", out_h),
            ("out_w", out_w),
            ("channels", channels),
            ("stride_h", options.stride_h),
            ("stride_w", options.stride_w),
            ("pad_h", window["pad_h"]),
            ("pad_w", window["pad_w"]),
            ("per_channel", int(factors.per_channel)),
            ("in_zero", mac.in_zero),
            *range_fields(mac),
        ),
    )
    return Binding(
        params,
        constants,
        operands=(0,),
        scratch_bytes=scratch_bytes_3x3(out_w, options.stride_w),
        in_place=(0,) if stride == (1, 1) and layer.border == NO_BORDER and same else (),
        macs=convolution_macs(mac),
    )


ROWS: tuple[KernelRow, ...] = (
    KernelRow(
        name="eag_depthwise_conv_3x3_dsp",
        op="DEPTHWISE_CONV_2D",
        sources=(
            "kernels/eag_clamp_range.h",
            "kernels/eag_depthwise_conv_3x3_dsp.c",
            "kernels/eag_depthwise_conv_3x3_dsp.h",
            "kernels/eag_dsp.h",
            "kernels/eag_requant.h",
        ),
        refuses=refuses_3x3_dsp,
        bind=bind_3x3_dsp,
        needs=frozenset({"dsp"}),
        rank=10,
        note="SMLAD over pairs of rows, 4 channels at a time",
    ),
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
    KernelRow(
        name="eag_depthwise_conv_2d_s16_dsp",
        op="DEPTHWISE_CONV_2D",
        sources=(
            "kernels/eag_depthwise_conv_2d_s16_dsp.c",
            "kernels/eag_depthwise_conv_2d_s16_dsp.h",
            "kernels/eag_depthwise_s16.h",
            "kernels/eag_dsp.h",
            "kernels/eag_requant.h",
            "kernels/eag_taps.h",
        ),
        refuses=refuses_s16_dsp,
        bind=bind_s16_dsp,
        dtypes=(DType.INT16,),
        needs=frozenset({"dsp"}),
        rank=10,
        note="int16 activations, 4 channels at a time",
    ),
    KernelRow(
        name="eag_depthwise_conv_2d_s16",
        op="DEPTHWISE_CONV_2D",
        sources=(
            "kernels/eag_depthwise_conv_2d_s16.c",
            "kernels/eag_depthwise_conv_2d_s16.h",
            "kernels/eag_depthwise_s16.h",
            "kernels/eag_dsp.h",
            "kernels/eag_requant.h",
            "kernels/eag_taps.h",
        ),
        refuses=refuses_s16,
        bind=bind_s16,
        dtypes=(DType.INT16,),
        rank=100,
        note="int16 activations, 64-bit sums, portable C99",
    ),
)
