"""What convolutions and pooling have in common: sliding windows over NHWC images of batch 1."""

from __future__ import annotations

from edge_export.aot.program import FieldValue
from edge_quantize.graph.options import Conv2DOptions, DepthwiseConv2DOptions, Padding
from edge_quantize.graph.shapes import ShapeError, Window, window

from .mac import MacLayer
from .row import LayerView

ConvOptions = Conv2DOptions | DepthwiseConv2DOptions
_MAX_EXTENT = 65535  # members of the parameter structs are uint16_t


def windows(
    shape: tuple[int, ...],
    filter_size: tuple[int, int],
    stride: tuple[int, int],
    dilation: tuple[int, int],
    padding: Padding,
) -> tuple[Window, Window]:
    """Windows over the rows and over the columns of an image; pairs are (height, width).

    Raises ShapeError when a number is not positive or a window does not fit.
    """
    rows = window(shape[1], filter_size[0], stride[0], dilation[0], padding)
    columns = window(shape[2], filter_size[1], stride[1], dilation[1], padding)
    return rows, columns


def convolution_windows(layer: LayerView, o: ConvOptions) -> tuple[Window, Window]:
    """Windows over the image's rows and columns, the layer's border counted as padding.

    Raises ShapeError as `windows` does.
    """
    border, (_, height, width, _) = layer.border, layer.input(0).shape
    _, *taps, _ = layer.input(1).shape
    rows, columns = windows(
        (1, height + border.top + border.bottom, width + border.left + border.right),
        (taps[0], taps[1]),
        (o.stride_h, o.stride_w),
        (o.dilation_h, o.dilation_w),
        o.padding,
    )
    return (
        Window(rows.outputs, rows.before + border.top, rows.after + border.bottom),
        Window(columns.outputs, columns.before + border.left, columns.after + border.right),
    )


def refuses_convolution(layer: LayerView, options: ConvOptions, channel_axis: int) -> str | None:
    """Why the shapes of a CONV_2D or DEPTHWISE_CONV_2D do not go together; None when they do.

    `channel_axis` is the axis of the weights that output channels run along.
    """
    operands = layer.inputs
    if len(operands) < 2 or operands[0] is None or operands[1] is None:
        return "its input or its weights are left out"
    if len(layer.outputs) != 1:
        return f"has {len(layer.outputs)} outputs"
    x, w, out = operands[0].shape, operands[1].shape, layer.outputs[0].shape
    if len(x) != 4 or len(w) != 4 or len(out) != 4:
        return f"shapes {x}, {w} -> {out} are not four-dimensional"
    if min(*x, *w, *out) < 1 or max(*x, *w, *out) > _MAX_EXTENT:
        return f"shapes {x}, {w} -> {out} are out of range"
    if x[0] != 1:
        return f"batch is {x[0]}, not 1"
    try:
        rows, columns = convolution_windows(layer, options)
    except ShapeError as error:
        return str(error)
    expected = (1, rows.outputs, columns.outputs, w[channel_axis])
    return None if out == expected else f"output shape is {out}, expected {expected}"


def convolution_fields(
    layer: LayerView, mac: MacLayer, options: ConvOptions
) -> tuple[tuple[str, FieldValue], ...]:
    """Shape, window and padding members that all parameter structs of convolutions have."""
    _, in_h, in_w, in_c = mac.x.shape
    _, out_h, out_w, _ = mac.out.shape
    rows, columns = convolution_windows(layer, options)
    return (
        ("in_h", in_h),
        ("in_w", in_w),
        ("in_c", in_c),
        ("out_h", out_h),
        ("out_w", out_w),
        ("kernel_h", mac.w.shape[1]),
        ("kernel_w", mac.w.shape[2]),
        ("stride_h", options.stride_h),
        ("stride_w", options.stride_w),
        ("dilation_h", options.dilation_h),
        ("dilation_w", options.dilation_w),
        ("pad_h", rows.before),
        ("pad_w", columns.before),
    )


def convolution_macs(mac: MacLayer) -> int:
    """Multiply-accumulates: every output element over every tap, padding included."""
    return mac.out.elements * int(mac.weights.shape[1])
