"""AVERAGE_POOL_2D and MAX_POOL_2D of int8 and int16 tensors."""

from __future__ import annotations

from edge_export.aot.program import Struct
from edge_quantize.graph import DType
from edge_quantize.graph.options import Activation, Pool2DOptions
from edge_quantize.graph.shapes import ShapeError, Window

from .checks import activation_tensor, first_reason, operand_count, quantized, same_quantization
from .overlap import Windows, overlap_distance
from .quant import activation_range
from .row import Binding, KernelRow, LayerView
from .window import windows

_RANGES = (Activation.NONE, Activation.RELU, Activation.RELU6, Activation.RELU_N1_TO_1)
# Sums of eag_average_pool_s8_dsp are 16 bits wide: 256 * -128 just fits.
_DSP_WINDOW = 256
_S16_WINDOW = 65535


def _refuses(layer: LayerView, dtype: DType = DType.INT8) -> str | None:
    reason = operand_count(layer, 1)
    if reason:
        return reason
    options = layer.operator.options
    if not isinstance(options, Pool2DOptions):
        return f"options of {layer.operator.op} are missing"
    x, y = layer.input(0), layer.output
    reason = first_reason(
        activation_tensor(x, "the input"),
        quantized(x, "the input", dtype),
        quantized(y, "the output", dtype),
    )
    if reason:
        return reason
    reason = same_quantization(x, y, "input and output")
    if reason:
        return reason
    if len(x.shape) != 4 or len(y.shape) != 4:
        return f"shapes {list(x.shape)} and {list(y.shape)} are not NHWC"
    if x.shape[0] != 1 or y.shape[0] != 1:
        return f"batch {x.shape[0]} is not 1"
    if x.shape[3] != y.shape[3]:
        return f"{x.shape[3]} channels in, {y.shape[3]} out"
    if options.activation not in _RANGES:
        return f"fused activation {options.activation.value} is not supported"
    try:
        rows, columns = _windows(x.shape, options)
    except ShapeError as error:
        return str(error)
    if y.shape[1:3] != (rows.outputs, columns.outputs):
        return f"the output {list(y.shape)} does not follow from the input {list(x.shape)}"
    return None


def _windows(shape: tuple[int, ...], options: Pool2DOptions) -> tuple[Window, Window]:
    size = (options.filter_h, options.filter_w)
    return windows(shape, size, (options.stride_h, options.stride_w), (1, 1), options.padding)


def _refuses_average_dsp(layer: LayerView) -> str | None:
    reason = _refuses(layer) or _refuses_few_channels(layer)
    if reason:
        return reason
    options = layer.operator.options
    assert isinstance(options, Pool2DOptions)
    rows = min(options.filter_h, layer.input(0).shape[1])
    columns = min(options.filter_w, layer.input(0).shape[2])
    if rows * columns > _DSP_WINDOW:
        return f"a window of {rows}x{columns} elements overflows 16-bit sums"
    return None


def _refuses_average_s16(layer: LayerView) -> str | None:
    reason = _refuses(layer, DType.INT16)
    if reason:
        return reason
    options = layer.operator.options
    assert isinstance(options, Pool2DOptions)
    rows = min(options.filter_h, layer.input(0).shape[1])
    columns = min(options.filter_w, layer.input(0).shape[2])
    if rows * columns > _S16_WINDOW:
        return f"a window of {rows}x{columns} elements overflows 32-bit sums"
    return None


def _refuses_few_channels(layer: LayerView) -> str | None:
    channels = layer.input(0).shape[3]
    return f"{channels} channels, fewer than 4" if channels < 4 else None


def _bind(layer: LayerView) -> Binding:
    options = layer.operator.options
    assert isinstance(options, Pool2DOptions)
    _, in_h, in_w, channels = layer.input(0).shape
    _, out_h, out_w, _ = layer.output.shape
    low, high = activation_range(layer.output, options.activation)
    pad_h, pad_w = (window.before for window in _windows(layer.input(0).shape, options))
    stride = (options.stride_h, options.stride_w)
    windows = Windows(in_h, in_w, channels, out_h, out_w, channels, *stride, pad_h, pad_w)
    distance = overlap_distance(windows) * layer.output.dtype.itemsize
    return Binding(
        params=Struct(
            "struct eag_pool_params",
            (
                ("in_h", in_h),
                ("in_w", in_w),
                ("channels", channels),
                ("out_h", out_h),
                ("out_w", out_w),
                ("filter_h", options.filter_h),
                ("filter_w", options.filter_w),
                ("stride_h", options.stride_h),
                ("stride_w", options.stride_w),
                ("pad_h", pad_h),
                ("pad_w", pad_w),
                ("min", low),
                ("max", high),
            ),
        ),
        constants=(),
        operands=(0,),
        overlap=((0, distance),),
    )


_HEADERS = (
    "kernels/eag_dsp.h",
    "kernels/eag_pool.h",
    "kernels/eag_pool_window.h",
    "kernels/eag_requant.h",
)
_PLAIN = ("kernels/eag_pool_plain.h", *_HEADERS)
_DSP = frozenset({"dsp"})

ROWS: tuple[KernelRow, ...] = (
    KernelRow(
        name="eag_average_pool_s8_dsp",
        op="AVERAGE_POOL_2D",
        sources=("kernels/eag_average_pool_s8_dsp.c", *_HEADERS),
        refuses=_refuses_average_dsp,
        bind=_bind,
        needs=_DSP,
        rank=50,
        note="SXTAB16, four channels at a time",
    ),
    KernelRow(
        name="eag_average_pool_s8",
        op="AVERAGE_POOL_2D",
        sources=("kernels/eag_pool_s8.c", *_PLAIN),
        refuses=_refuses,
        bind=_bind,
        note="one channel at a time",
    ),
    KernelRow(
        name="eag_max_pool_s8_dsp",
        op="MAX_POOL_2D",
        sources=("kernels/eag_max_pool_s8_dsp.c", *_HEADERS),
        refuses=lambda layer: _refuses(layer) or _refuses_few_channels(layer),
        bind=_bind,
        needs=_DSP,
        rank=50,
        note="SSUB8 and SEL, four channels at a time",
    ),
    KernelRow(
        name="eag_max_pool_s8",
        op="MAX_POOL_2D",
        sources=("kernels/eag_pool_s8.c", *_PLAIN),
        refuses=_refuses,
        bind=_bind,
        note="one channel at a time",
    ),
    KernelRow(
        name="eag_average_pool_s16",
        op="AVERAGE_POOL_2D",
        sources=("kernels/eag_pool_s16.c", *_PLAIN),
        refuses=_refuses_average_s16,
        bind=_bind,
        dtypes=(DType.INT16,),
        note="int16, one channel at a time",
    ),
    KernelRow(
        name="eag_max_pool_s16",
        op="MAX_POOL_2D",
        sources=("kernels/eag_pool_s16.c", *_PLAIN),
        refuses=lambda layer: _refuses(layer, DType.INT16),
        bind=_bind,
        dtypes=(DType.INT16,),
        note="int16, one channel at a time",
    ),
)
