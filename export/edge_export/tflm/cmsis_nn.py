"""Scratch memory of CMSIS-NN's kernels in bytes, as its `..._get_buffer_size` functions give it.

Source: `Source/*/arm_*_get_buffer_sizes_s*.c` at the commit that `structs` names. What a kernel
wants depends on the core's instructions (`Simd`), and on the compiler in one place, where gcc is
meant.
"""

from __future__ import annotations

import enum

from edge_quantize.graph.model import Tensor
from edge_quantize.graph.options import Conv2DOptions, DepthwiseConv2DOptions
from edge_quantize.graph.shapes import Window, window

_MVE_CHANNELS = 124  # CH_IN_BLOCK_MVE
# More outputs than this make a depthwise convolution of one channel a convolution, under gcc.
_MVE_ONE_CHANNEL_ABOVE = 1
_REVERSED_ABOVE = 16  # REVERSE_TCOL_EFFICIENT_THRESHOLD


class Simd(enum.Enum):
    """What CMSIS-NN is compiled for."""

    NONE = "none"  # Cortex-M0, M0+, M3
    DSP = "dsp"  # Cortex-M4, M7, M33 with DSP
    MVE = "mve"  # Helium: Cortex-M55, M85


def _round_up(value: int, to: int) -> int:
    return -(-value // to) * to


def _columns(simd: Simd, taps: int) -> int:
    """Two im2col columns of int16, or four of int8 for MVE."""
    return 4 * _round_up(taps, 16) if simd is Simd.MVE else 4 * _round_up(taps, 4)


def convolve_s8(
    simd: Simd, x: Tensor, filter_shape: tuple[int, ...], out_w: int, o: Conv2DOptions
) -> int:
    """arm_convolve_wrapper_s8_get_buffer_size. `filter_shape` is [out, h, w, in]."""
    channels, (_, kernel_h, kernel_w, filter_channels) = x.shape[3], filter_shape
    rows, columns = _windows(x, kernel_h, kernel_w, o)
    plain = (o.dilation_h, o.dilation_w) == (1, 1) and channels == filter_channels
    if plain and kernel_h == kernel_w == 1 and rows.before == columns.before == 0:
        return 0
    taps = kernel_h * kernel_w * channels
    line = x.shape[1] == kernel_h == 1 and o.dilation_w == 1 and channels == filter_channels
    if simd is Simd.MVE and line and o.stride_w * channels % 4 == 0:
        return _line_mve(x, kernel_w, out_w, columns.before, o.stride_w)
    return _columns(simd, taps)


def _line_mve(x: Tensor, kernel_w: int, out_w: int, pad: int, stride: int) -> int:
    """arm_convolve_1_x_n_s8_get_buffer_size_mve."""
    channels = x.shape[3]
    # C's remainder: of the dividend's sign.
    total = (out_w - 1) * stride + kernel_w - x.shape[2]
    asymmetric = abs(total) % 2 * (1 if total >= 0 else -1)
    right = max(1, int((pad + asymmetric + stride - 1) / stride)) if pad + asymmetric else 0
    left = max(1, (pad + stride - 1) // stride) if pad else 0
    if right + max(out_w - right - left, 0) + left != out_w:
        return _columns(Simd.MVE, kernel_w * channels)
    pad_left = pad * channels
    pad_right = right * channels if asymmetric else pad_left
    return max(kernel_w * channels + pad_left, (kernel_w - 1) * channels + pad_right)


def convolve_s16(simd: Simd, x: Tensor, filter_shape: tuple[int, ...]) -> int:
    """arm_convolve_wrapper_s16_get_buffer_size."""
    taps = filter_shape[1] * filter_shape[2] * x.shape[3]
    return 8 * _round_up(taps, 8) if simd is Simd.MVE else 4 * taps


def depthwise(
    simd: Simd, x: Tensor, filter_shape: tuple[int, ...], out: Tensor, o: DepthwiseConv2DOptions
) -> int:
    """arm_depthwise_conv_wrapper_s8_get_buffer_size. `filter_shape` is [1, h, w, out]."""
    batch, _, _, channels = x.shape
    _, kernel_h, kernel_w, filters = filter_shape
    if simd is Simd.MVE and channels == 1 and filters > _MVE_ONE_CHANNEL_ABOVE:
        as_convolution = Conv2DOptions(
            o.padding, o.stride_h, o.stride_w, o.dilation_h, o.dilation_w
        )
        shape = (filters, kernel_h, kernel_w, 1)
        return (
            convolve_s8(simd, x, shape, out.shape[2], as_convolution)
            + filters * kernel_h * kernel_w
        )
    if channels != filters or batch != 1 or (o.dilation_h, o.dilation_w) != (1, 1):
        return 0
    if simd is Simd.MVE:
        return 4 * _MVE_CHANNELS * kernel_h * kernel_w
    rows, columns = _windows(x, kernel_h, kernel_w, o)
    if kernel_h == kernel_w == 3 and max(rows.before, columns.before) <= 1:
        return 0
    return 2 * channels * kernel_h * kernel_w if simd is Simd.DSP else 0


def depthwise_s4(simd: Simd, x: Tensor, filter_shape: tuple[int, ...], dilated: bool) -> int:
    """arm_depthwise_conv_wrapper_s4_get_buffer_size."""
    batch, _, _, channels = x.shape
    _, kernel_h, kernel_w, filters = filter_shape
    if channels != filters or batch != 1 or dilated:
        return 0
    if simd is Simd.MVE:
        return 4 * _MVE_CHANNELS * kernel_h * kernel_w
    return 2 * channels * kernel_h * kernel_w


def sums(simd: Simd, outputs: int) -> int:
    """arm_fully_connected_s8_get_buffer_size and arm_svdf_s8_get_buffer_size: one sum a row."""
    return 4 * outputs if simd is Simd.MVE else 0


def average_pool(simd: Simd, channels: int) -> int:
    """arm_avgpool_s8_get_buffer_size and its s16 twin."""
    return 4 * channels if simd is Simd.DSP else 0


def transpose_convolve(
    simd: Simd, x: Tensor, filter_shape: tuple[int, ...], stride: tuple[int, int]
) -> tuple[int, int]:
    """arm_transpose_conv_s8_get_buffer_size, and what the reversed filter takes."""
    outputs, kernel_h, kernel_w, _ = filter_shape
    channels = x.shape[3]
    taps = kernel_h * kernel_w * channels
    if max(stride) <= 2 and channels > _REVERSED_ABOVE:
        return _columns(simd, taps), taps * outputs
    # The width is compared with the vertical stride there, too.
    row = ((x.shape[2] - 1) * stride[1] + max(kernel_w, stride[0])) * outputs
    return 4 * row * max(kernel_h, stride[0]), 0


def _windows(
    x: Tensor, kernel_h: int, kernel_w: int, o: Conv2DOptions | DepthwiseConv2DOptions
) -> tuple[Window, Window]:
    rows = window(x.shape[1], kernel_h, o.stride_h, o.dilation_h, o.padding)
    columns = window(x.shape[2], kernel_w, o.stride_w, o.dilation_w, o.padding)
    return rows, columns
