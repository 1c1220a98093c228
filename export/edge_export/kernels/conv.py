"""Rows of CONV_2D."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from edge_export.aot.program import FieldValue, Struct
from edge_quantize.graph import DType
from edge_quantize.graph.options import Conv2DOptions

from .mac import MacLayer, mac_layer, pointer_fields, portable_constants, range_fields, refuses_mac
from .mac_dsp import DspConstants, dsp_constants, refuses_factors
from .mac_s16 import (
    DspConstantsS16,
    constants_s16,
    dsp_constants_s16,
    dsp_range_fields_s16,
    mac_layer_s16,
    pack_pairs_s16,
    range_fields_s16,
    refuses_dsp_s16,
    refuses_mac_s16,
)
from .overlap import Windows, overlap_distance
from .row import Binding, KernelRow, LayerView
from .window import convolution_fields, convolution_macs, refuses_convolution

CHANNEL_AXIS = 0

SCRATCH_GOAL = 2048  # bytes of widened windows
MAX_TILE = 16  # windows; more save little


def _refuses_shapes(layer: LayerView) -> str | None:
    """Why shapes and options are not those of a CONV_2D."""
    options = layer.operator.options
    if not isinstance(options, Conv2DOptions):
        return "its options are missing"
    reason = refuses_convolution(layer, options, CHANNEL_AXIS)
    if reason is not None:
        return reason
    depth, channels = layer.input(1).shape[3], layer.input(0).shape[3]
    if depth != channels:
        return f"is grouped: {channels} input channels, {depth} in the weights"
    return None


def refuses(layer: LayerView, weights: DType = DType.INT8) -> str | None:
    """Why the portable kernel for such weights cannot take a CONV_2D."""
    return _refuses_shapes(layer) or refuses_mac(layer, CHANNEL_AXIS, weights)


def refuses_s16(layer: LayerView) -> str | None:
    """Why the kernel of int16 activations cannot take a CONV_2D."""
    return _refuses_shapes(layer) or refuses_mac_s16(
        layer, CHANNEL_AXIS, (DType.INT32, DType.INT64)
    )


def window_fields(layer: LayerView, mac: MacLayer) -> tuple[tuple[str, FieldValue], ...]:
    """Shape, window and padding members of the parameter structs."""
    options = layer.operator.options
    if not isinstance(options, Conv2DOptions):
        raise ValueError("`refuses` was not asked")
    return (*convolution_fields(layer, mac, options), ("out_c", mac.channels))


def bind(layer: LayerView) -> Binding:
    mac = mac_layer(layer, CHANNEL_AXIS)
    constants = portable_constants(mac, mac.weights)
    params = Struct(
        "struct eag_conv_2d_params",
        (
            *pointer_fields(constants),
            *window_fields(layer, mac),
            ("per_channel", int(mac.per_channel)),
            ("in_zero", mac.in_zero),
            *range_fields(mac),
        ),
    )
    distance = overlap_distance(Windows.of(window_fields(layer, mac)))
    return Binding(
        params, constants, operands=(0,), overlap=((0, distance),), macs=convolution_macs(mac)
    )


def bind_s16(layer: LayerView) -> Binding:
    mac = mac_layer_s16(layer, CHANNEL_AXIS)
    constants = constants_s16(layer, mac, mac.weights)
    fields = window_fields(layer, mac)
    params = Struct(
        "struct eag_conv_2d_s16_params",
        (*pointer_fields(constants), *fields, *range_fields_s16(layer, mac)),
    )
    distance = overlap_distance(Windows.of(fields)) * mac.x.dtype.itemsize
    return Binding(
        params, constants, operands=(0,), overlap=((0, distance),), macs=convolution_macs(mac)
    )


def refuses_s16_dsp(layer: LayerView) -> str | None:
    """Why the DSP kernel of int16 activations cannot take a CONV_2D."""
    reason = refuses_s16(layer) or refuses_dsp_s16(layer, CHANNEL_AXIS)
    if reason is None and row_bytes(mac_layer_s16(layer, CHANNEL_AXIS)) > 65535:
        return "its windows have over 65535 elements"
    return reason


def read_in_place(fields: Mapping[str, FieldValue]) -> bool:
    """Whether every window is one pixel, pixels follow each other, and all lie at words."""
    ones = ("kernel_h", "kernel_w", "stride_h", "stride_w")
    same = (fields["in_h"], fields["in_w"]) == (fields["out_h"], fields["out_w"])
    in_c = fields["in_c"]
    assert isinstance(in_c, int)
    return same and all(fields[name] == 1 for name in ones) and in_c % 4 == 0


def bind_s16_dsp(layer: LayerView) -> Binding:
    mac = mac_layer_s16(layer, CHANNEL_AXIS)
    dsp = DspConstantsS16(layer, mac)
    constants = dsp_constants_s16(layer, mac, dsp, pack_pairs_s16(dsp.weights))
    fields = window_fields(layer, mac)
    row = row_bytes(mac)
    direct = read_in_place(dict(fields))
    tile = 0 if direct else tile_pixels(row, mac.out.shape[1] * mac.out.shape[2])
    params = Struct(
        "struct eag_conv_2d_s16_dsp_params",
        (
            *pointer_fields(constants),
            *fields,
            ("row", row),
            ("tile_pixels", tile),
            ("per_channel", int(dsp.per_channel)),
            *dsp_range_fields_s16(mac),
        ),
    )
    windows = Windows.of(fields)
    distance = overlap_distance(windows, tile or 2, gathered=not direct) * mac.x.dtype.itemsize
    return Binding(
        params,
        constants,
        operands=(0,),
        scratch_bytes=2 * tile * row,
        overlap=((0, distance),),
        macs=convolution_macs(mac),
    )


def row_bytes(mac: MacLayer) -> int:
    """An output channel's taps, padded to whole words of int8."""
    return -(-int(mac.weights.shape[1]) // 4) * 4


def pack_pairs(weights: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Weights [channels, taps] as the DSP kernel reads them: of two channels four taps each in
    turn; taps are padded to a multiple of 4 and channels to a multiple of 2 with zeros."""
    channels, taps = weights.shape
    padded = np.pad(weights, ((0, channels % 2), (0, -taps % 4)))
    return padded.reshape(-1, 2, padded.shape[1] // 4, 4).transpose(0, 2, 1, 3)


def tile_pixels(row: int, pixels: int) -> int:
    """Windows widened at a time: as many as fit SCRATCH_GOAL, an even number, at least 2.

    Every tile reads all weights again, so few tiles are good where weights lie in flash.
    """
    fit = SCRATCH_GOAL // (2 * row)
    return max(2, min(MAX_TILE, fit, pixels + pixels % 2) // 2 * 2)


def scratch_bytes(row: int, tile: int, in_c: int) -> int:
    """Twin of `eag_conv_2d_dsp_scratch_bytes`."""
    return 2 * tile * row + (row if in_c % 4 else 0)


def refuses_dsp(layer: LayerView, weights: DType = DType.INT8) -> str | None:
    """Why the DSP kernel for such weights cannot take a CONV_2D."""
    reason = refuses(layer, weights) or refuses_factors(layer, CHANNEL_AXIS)
    if reason is None and row_bytes(mac_layer(layer, CHANNEL_AXIS)) > 65535:
        return "its windows have over 65535 elements"
    return reason


def bind_dsp(layer: LayerView) -> Binding:
    mac = mac_layer(layer, CHANNEL_AXIS)
    factors = DspConstants(mac)
    constants = dsp_constants(mac, factors, pack_pairs(mac.weights), pad=mac.channels % 2)
    row = row_bytes(mac)
    tile = tile_pixels(row, mac.out.shape[1] * mac.out.shape[2])
    params = Struct(
        "struct eag_conv_2d_dsp_params",
        (
            *pointer_fields(constants),
            *window_fields(layer, mac),
            ("row_bytes", row),
            ("tile_pixels", tile),
            ("per_channel", int(factors.per_channel)),
            ("in_zero", mac.in_zero),
            *range_fields(mac),
        ),
    )
    return Binding(
        params,
        constants,
        operands=(0,),
        scratch_bytes=scratch_bytes(row, tile, mac.x.shape[3]),
        # A tile's windows are widened before the first of its elements is written.
        overlap=(
            (0, overlap_distance(Windows.of(window_fields(layer, mac)), tile, gathered=True)),
        ),
        macs=convolution_macs(mac),
    )


ROWS: tuple[KernelRow, ...] = (
    KernelRow(
        name="eag_conv_2d_dsp",
        op="CONV_2D",
        sources=(
            "kernels/eag_clamp_range.h",
            "kernels/eag_conv_2d_dsp.c",
            "kernels/eag_conv_2d_dsp.h",
            "kernels/eag_conv_2d_tile.h",
            "kernels/eag_dsp.h",
            "kernels/eag_requant.h",
        ),
        refuses=refuses_dsp,
        bind=bind_dsp,
        needs=frozenset({"dsp"}),
        rank=10,
        note="SMLAD, 2 channels x 2 pixels, windows widened to int16",
    ),
    KernelRow(
        name="eag_conv_2d",
        op="CONV_2D",
        sources=(
            "kernels/eag_conv_2d.c",
            "kernels/eag_conv_2d.h",
            "kernels/eag_conv_2d_window.h",
            "kernels/eag_dsp.h",
            "kernels/eag_requant.h",
        ),
        refuses=refuses,
        bind=bind,
        rank=100,
        note="portable C99",
    ),
    KernelRow(
        name="eag_conv_2d_s16_dsp",
        op="CONV_2D",
        sources=(
            "kernels/eag_conv_2d_s16_dsp.c",
            "kernels/eag_conv_2d_s16_dsp.h",
            "kernels/eag_dsp.h",
            "kernels/eag_mac_s16.h",
            "kernels/eag_requant.h",
            "kernels/eag_taps.h",
        ),
        refuses=refuses_s16_dsp,
        bind=bind_s16_dsp,
        dtypes=(DType.INT16,),
        needs=frozenset({"dsp"}),
        rank=10,
        note="int16 activations, SMLAD, 2 channels x 2 pixels",
    ),
    KernelRow(
        name="eag_conv_2d_s16",
        op="CONV_2D",
        sources=(
            "kernels/eag_conv_2d_s16.c",
            "kernels/eag_conv_2d_s16.h",
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
