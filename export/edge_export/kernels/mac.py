"""What CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED have in common: their operands' checks, the
folded bias and the requantization factors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_export.aot.program import Constant, ConstantKind, ConstantRef, FieldValue
from edge_quantize.graph import DType, Quantization, Tensor
from edge_quantize.graph.model import fits_int4
from edge_quantize.graph.options import Activation

from .quant import activation_range, limits, quantize_multiplier
from .row import LayerView

# Weights are multiplied by int8 inputs and summed in int32 without saturation.
ACCUMULATOR_LIMIT = 1 << 31


@dataclass(frozen=True, eq=False)
class Accumulation:
    """What the accumulators of a multiply-accumulate layer can hold.

    `bias` int64[channels] has the input's zero point folded in. `low` and `high` int64[channels]
    bound the finished accumulator over every input; `bounds` bound every partial sum too.
    """

    bias: npt.NDArray[np.int64]
    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    bounds: npt.NDArray[np.int64]

    @property
    def bound(self) -> int:
        return int(self.bounds.max(initial=0))


def accumulate(
    weights: npt.NDArray[np.int8],
    bias: npt.NDArray[np.integer[Any]] | None,
    in_zero: int,
    dtype: DType = DType.INT8,
) -> Accumulation:
    """Fold the input's zero point into the bias; `weights` are [channels, taps], `dtype` is the
    input's."""
    least, most = limits(dtype)
    wide = weights.astype(np.int64)
    folded = np.zeros(len(wide), np.int64) if bias is None else bias.astype(np.int64)
    folded = folded - in_zero * wide.sum(axis=1)
    positive = np.where(wide > 0, wide, 0).sum(axis=1)
    negative = np.where(wide < 0, wide, 0).sum(axis=1)
    return Accumulation(
        bias=folded,
        low=folded + least * positive + most * negative,
        high=folded + most * positive + least * negative,
        bounds=np.abs(folded) - least * (positive - negative),
    )


@dataclass(frozen=True, eq=False)
class MacLayer:
    """A multiply-accumulate layer, ready to be packed.

    weights int8[channels, taps] (taps in the order of the .tflite), factors one `(multiplier,
    shift)` a channel, or a single one where all channels share it.
    """

    index: int
    x: Tensor
    w: Tensor
    out: Tensor
    weights: npt.NDArray[np.int8]
    sums: Accumulation
    factors: tuple[tuple[int, int], ...]
    act_min: int
    act_max: int
    has_bias: bool

    @property
    def in_zero(self) -> int:
        return _quantization(self.x).zero_point

    @property
    def out_zero(self) -> int:
        return _quantization(self.out).zero_point

    @property
    def channels(self) -> int:
        return len(self.weights)

    @property
    def per_channel(self) -> bool:
        return len(self.factors) > 1

    def constant(
        self,
        suffix: str,
        data: npt.NDArray[np.generic],
        source_bytes: int = 0,
        kind: ConstantKind = ConstantKind.TABLE,
        alignment: int = 4,
    ) -> Constant:
        """A constant of this layer; `source_bytes` of it stand in the .tflite too."""
        flat = np.ascontiguousarray(data).reshape(-1)
        return Constant(f"mac_{self.index}_{suffix}", flat, kind, alignment, source_bytes)

    def weights_constant(self, packed: npt.NDArray[np.int8]) -> Constant:
        return self.constant("weights", packed, int(self.w.nbytes), ConstantKind.WEIGHTS)

    def bias_constant(self, bias: npt.NDArray[np.int64]) -> Constant:
        """The folded bias; it takes the place of the file's own, where there is one."""
        data = bias.astype(np.int32)
        if self.has_bias:
            return self.constant("bias", data, 4 * self.channels, ConstantKind.WEIGHTS)
        return self.constant("bias", data)


def refuses_mac(layer: LayerView, channel_axis: int, weights: DType = DType.INT8) -> str | None:
    """Why no integer kernel can take the layer's operands; None when one can.

    `channel_axis` is the axis of the weights that output channels run along; `weights` is the
    element type that the kernel reads them in.
    """
    operands = layer.inputs
    if len(operands) < 2 or len(layer.outputs) != 1:
        return f"has {len(operands)} inputs and {len(layer.outputs)} outputs, not 2-3 and 1"
    x, w = operands[0], operands[1]
    bias = operands[2] if len(operands) > 2 else None
    out = layer.outputs[0]
    if x is None or w is None:
        return "its input or its weights are left out"
    for role, tensor in (("input", x), ("output", out)):
        if not is_int8_activation(tensor):
            return f"{role} {tensor.name!r} is {tensor.dtype.value}, not int8 with one scale"
    if w.dtype not in (DType.INT8, DType.INT4) or w.data is None:
        return f"weights {w.name!r} are not constant int8 or int4"
    if w.dtype is DType.INT4 and not fits_int4(w.data):
        return f"int4 weights {w.name!r} are not all within -8 to 7"
    if bias is not None and (bias.dtype is not DType.INT32 or bias.data is None):
        return f"bias {bias.name!r} is not constant int32"
    channels = w.shape[channel_axis]
    if bias is not None and bias.elements != channels:
        return f"bias {bias.name!r} has {bias.elements} elements for {channels} channels"
    reason = refuses_scales(w, channels, channel_axis)
    if reason is not None:
        return reason
    activation = getattr(layer.operator.options, "activation", Activation.NONE)
    try:
        activation_range(out, activation)
    except ValueError as error:
        return str(error)
    sums = _sums(layer, channel_axis)
    if sums.bound >= ACCUMULATOR_LIMIT:
        return f"its accumulator can reach {sums.bound}, beyond int32"
    for multiplier, shift in output_factors(layer):
        if multiplier and shift > 30:
            return "its output scale is over 2^30 times smaller than its input's times its weights'"
        if shift > 0 and sums.bound << shift >= ACCUMULATOR_LIMIT:
            return f"its accumulator can reach {sums.bound}, beyond int32 when shifted by {shift}"
    # Last, so that what no kernel takes is said of all of them alike.
    if w.dtype is not weights:
        return f"weights {w.name!r} are {w.dtype.value}, not {weights.value}"
    return None


def refuses_scales(w: Tensor, channels: int, channel_axis: int) -> str | None:
    quantization = w.quantization
    if quantization is None or not quantization.scales:
        return f"weights {w.name!r} have no scale"
    if len(quantization.scales) not in (1, channels):
        return f"weights {w.name!r} have {len(quantization.scales)} scales for {channels} channels"
    if quantization.per_channel and quantization.axis != channel_axis:
        return f"weights {w.name!r} are quantized along axis {quantization.axis}"
    if any(not math.isfinite(scale) or scale < 0 for scale in quantization.scales):
        return f"weights {w.name!r} have a scale that is negative or not finite"
    if any(quantization.zero_points):
        return f"weights {w.name!r} have a zero point that is not 0"
    return None


def mac_layer(layer: LayerView, channel_axis: int) -> MacLayer:
    """The layer's constants; assumes `refuses_mac` returned None."""
    x, w = layer.input(0), layer.input(1)
    activation = getattr(layer.operator.options, "activation", Activation.NONE)
    act_min, act_max = activation_range(layer.output, activation)
    return MacLayer(
        index=layer.operator.index,
        x=x,
        w=w,
        out=layer.output,
        weights=weight_matrix(w, channel_axis),
        sums=_sums(layer, channel_axis),
        factors=output_factors(layer),
        act_min=act_min,
        act_max=act_max,
        has_bias=_bias(layer) is not None,
    )


def portable_constants(mac: MacLayer, weights: npt.NDArray[np.int8]) -> tuple[Constant, ...]:
    """Constants of the portable kernels: weights as in the file, TFLM's own factors."""
    return (
        mac.weights_constant(weights),
        mac.bias_constant(mac.sums.bias),
        mac.constant("multiplier", np.array([m for m, _ in mac.factors], np.int32)),
        mac.constant("shift", np.array([s for _, s in mac.factors], np.int8)),
    )


def range_fields(mac: MacLayer) -> tuple[tuple[str, FieldValue], ...]:
    """The output's members of every parameter struct: zero point and activation range."""
    return (("out_zero", mac.out_zero), ("act_min", mac.act_min), ("act_max", mac.act_max))


def pointer_fields(constants: tuple[Constant, ...]) -> tuple[tuple[str, FieldValue], ...]:
    """Pointer members named as the constants' suffixes."""
    return tuple((c.name.split("_", 2)[2], ConstantRef(c.name)) for c in constants)


def is_int8_activation(tensor: Tensor) -> bool:
    """Whether a tensor is int8, quantized per tensor with a usable scale."""
    quantization = tensor.quantization
    return (
        tensor.dtype is DType.INT8
        and quantization is not None
        and len(quantization.scales) == 1
        and len(quantization.zero_points) == 1
        and math.isfinite(quantization.scales[0])
        and quantization.scales[0] > 0
    )


def _quantization(tensor: Tensor) -> Quantization:
    if tensor.quantization is None:
        raise ValueError(f"tensor {tensor.name!r} is not quantized")
    return tensor.quantization


def _bias(layer: LayerView) -> npt.NDArray[np.int32] | None:
    operands = layer.inputs
    tensor = operands[2] if len(operands) > 2 else None
    if tensor is None or tensor.data is None:
        return None
    return tensor.data.reshape(-1).astype(np.int32)


def weight_matrix(w: Tensor, channel_axis: int) -> npt.NDArray[np.int8]:
    """Weights as [channels, taps]."""
    if w.data is None:
        raise ValueError(f"weights {w.name!r} are not constant")
    data = np.moveaxis(w.data.reshape(w.shape), channel_axis, 0).reshape(w.shape[channel_axis], -1)
    return np.ascontiguousarray(data).astype(np.int8)


def _sums(layer: LayerView, channel_axis: int) -> Accumulation:
    in_zero = _quantization(layer.input(0)).zero_point
    return accumulate(weight_matrix(layer.input(1), channel_axis), _bias(layer), in_zero)


def output_factors(layer: LayerView) -> tuple[tuple[int, int], ...]:
    """`(multiplier, shift)` of each channel, or one where all are equal.

    TFLM multiplies the scales in double precision, except for per-tensor FULLY_CONNECTED, where
    the product of input and weight scale is rounded to float32 first.
    """
    x_scale = _quantization(layer.input(0)).scale
    w_scales = _quantization(layer.input(1)).scales
    out_scale = _quantization(layer.output).scale
    if layer.operator.op == "FULLY_CONNECTED" and len(w_scales) == 1:
        with np.errstate(over="ignore"):  # an infinite product is refused with a reason
            product = float(np.float32(x_scale) * np.float32(w_scales[0]))
        return (quantize_multiplier(product / out_scale),)
    factors = tuple(quantize_multiplier(x_scale * scale / out_scale) for scale in w_scales)
    return factors if len(set(factors)) > 1 else factors[:1]
