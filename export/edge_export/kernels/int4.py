"""Rows of layers with int4 weights beside int8 activations ("w4a8").

The weights stay packed in the image, two in a byte; kernels unpack what they work on. Everything
else (folded biases, factors, windows) is as it is for int8 weights.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from edge_quantize.graph import DType

from . import conv, depthwise, fully_connected
from .mac import mac_layer
from .overlap import Windows, overlap_distance
from .row import Binding, KernelRow, LayerView

CONV_TILE = 16  # EAG_CONV_2D_W4_TILE
_MOST_DEPTH = 65532  # sums of 16 times the products stay within int32


def pack_int4(values: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """[rows, count] of -8 to 7 as [rows, (count + 1) // 2]: two in a byte, the first in the low
    half, each row in whole bytes."""
    even = np.pad(values, ((0, 0), (0, values.shape[1] % 2))).view(np.uint8)
    return ((even[:, 0::2] & 15) | (even[:, 1::2] << 4)).view(np.int8)


def _packed(binding: Binding, rows: int) -> Binding:
    """The int8 kernel's binding with its weights packed; every row of them has whole bytes."""
    return replace(
        binding,
        constants=tuple(
            replace(c, data=pack_int4(c.data.astype(np.int8).reshape(rows, -1)).reshape(-1))
            if c.name.endswith("_weights")
            else c
            for c in binding.constants
        ),
    )


def _bind_conv(layer: LayerView) -> Binding:
    mac = mac_layer(layer, conv.CHANNEL_AXIS)
    windows = Windows.of(conv.window_fields(layer, mac))
    return replace(
        _packed(conv.bind(layer), mac.channels),
        scratch_bytes=int(mac.weights.shape[1]),
        # A tile is written channel by channel while its windows are read.
        overlap=((0, overlap_distance(windows, CONV_TILE)),),
    )


def _bind_depthwise(layer: LayerView) -> Binding:
    return replace(_packed(depthwise.bind(layer), 1), scratch_bytes=layer.input(1).elements)


def _packed_pairs(binding: Binding, pairs: npt.NDArray[np.int8]) -> Binding:
    """The binding with weights of [pairs, taps / 4, 2, 4], each tap of two channels in a byte."""
    even, odd = pairs[:, :, 0].view(np.uint8), pairs[:, :, 1].view(np.uint8)
    packed = ((even & 15) | (odd << 4)).view(np.int8).reshape(-1)
    return replace(
        binding,
        constants=tuple(
            replace(c, data=packed) if c.name.endswith("_weights") else c for c in binding.constants
        ),
    )


def _bind_conv_dsp(layer: LayerView) -> Binding:
    pairs = conv.pack_pairs(mac_layer(layer, conv.CHANNEL_AXIS).weights)
    return _packed_pairs(conv.bind_dsp(layer), pairs)


def _bind_depthwise_dsp(layer: LayerView) -> Binding:
    binding = depthwise.bind_3x3_dsp(layer)
    scratch = layer.input(1).elements + binding.scratch_bytes
    return replace(_packed(binding, 1), scratch_bytes=scratch)


def _refuses_dense_dsp(layer: LayerView) -> str | None:
    reason = fully_connected.refuses_dsp(layer, DType.INT4)
    if reason is None and layer.input(1).shape[1] > _MOST_DEPTH:
        return f"its rows have over {_MOST_DEPTH} elements"
    return reason


def _bind_dense_dsp(layer: LayerView) -> Binding:
    pairs = conv.pack_pairs(mac_layer(layer, fully_connected.CHANNEL_AXIS).weights)
    return _packed_pairs(fully_connected.bind_dsp(layer), pairs)


def _bind_dense(layer: LayerView) -> Binding:
    return _packed(fully_connected.bind(layer), layer.input(1).shape[0])


_HEADERS = ("kernels/eag_dsp.h", "kernels/eag_int4.h", "kernels/eag_requant.h")

_DSP = frozenset({"dsp"})
_TILE = ("kernels/eag_clamp_range.h", "kernels/eag_conv_2d_dsp.h", "kernels/eag_conv_2d_tile.h")

ROWS: tuple[KernelRow, ...] = (
    KernelRow(
        name="eag_conv_2d_w4_dsp",
        op="CONV_2D",
        sources=(
            "kernels/eag_conv_2d_w4_dsp.c",
            "kernels/eag_conv_2d_w4_dsp.h",
            "kernels/eag_dsp.h",
            "kernels/eag_requant.h",
            *_TILE,
        ),
        refuses=lambda layer: conv.refuses_dsp(layer, DType.INT4),
        bind=_bind_conv_dsp,
        needs=_DSP,
        rank=10,
        note="int4 weights; SMLAD, 2 channels x 2 pixels, windows widened to int16",
    ),
    KernelRow(
        name="eag_depthwise_conv_3x3_w4_dsp",
        op="DEPTHWISE_CONV_2D",
        sources=(
            "kernels/eag_clamp_range.h",
            "kernels/eag_depthwise_conv_3x3_dsp.c",
            "kernels/eag_depthwise_conv_3x3_dsp.h",
            "kernels/eag_depthwise_conv_3x3_w4_dsp.c",
            "kernels/eag_depthwise_conv_3x3_w4_dsp.h",
            *_HEADERS,
        ),
        refuses=lambda layer: depthwise.refuses_3x3_dsp(layer, DType.INT4),
        bind=_bind_depthwise_dsp,
        needs=_DSP,
        rank=10,
        note="int4 weights, unpacked once; SMLAD over pairs of rows, 4 channels at a time",
    ),
    KernelRow(
        name="eag_fully_connected_w4_dsp",
        op="FULLY_CONNECTED",
        sources=(
            "kernels/eag_clamp_range.h",
            "kernels/eag_dsp.h",
            "kernels/eag_fully_connected_dsp.h",
            "kernels/eag_fully_connected_w4_dsp.c",
            "kernels/eag_fully_connected_w4_dsp.h",
            "kernels/eag_requant.h",
        ),
        refuses=_refuses_dense_dsp,
        bind=_bind_dense_dsp,
        needs=_DSP,
        rank=10,
        note="int4 weights; SMLAD, 4 rows at a time",
    ),
    KernelRow(
        name="eag_conv_2d_w4",
        op="CONV_2D",
        sources=(
            "kernels/eag_conv_2d.h",
            "kernels/eag_conv_2d_w4.c",
            "kernels/eag_conv_2d_w4.h",
            "kernels/eag_conv_2d_window.h",
            *_HEADERS,
        ),
        refuses=lambda layer: conv.refuses(layer, DType.INT4),
        bind=_bind_conv,
        note="int4 weights, unpacked a channel at a time for 16 pixels; portable C99",
    ),
    KernelRow(
        name="eag_depthwise_conv_2d_w4",
        op="DEPTHWISE_CONV_2D",
        sources=(
            "kernels/eag_depthwise_conv_2d.c",
            "kernels/eag_depthwise_conv_2d.h",
            "kernels/eag_depthwise_conv_2d_w4.c",
            "kernels/eag_depthwise_conv_2d_w4.h",
            *_HEADERS,
        ),
        refuses=lambda layer: depthwise.refuses(layer, DType.INT4),
        bind=_bind_depthwise,
        note="int4 weights, unpacked once; portable C99",
    ),
    KernelRow(
        name="eag_fully_connected_w4",
        op="FULLY_CONNECTED",
        sources=(
            "kernels/eag_fully_connected.h",
            "kernels/eag_fully_connected_w4.c",
            "kernels/eag_fully_connected_w4.h",
            *_HEADERS,
        ),
        refuses=lambda layer: fully_connected.refuses(layer, DType.INT4),
        bind=_bind_dense,
        note="int4 weights, unpacked as they are read; portable C99",
    ),
)
