"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED of int16 activations with int8 weights: what their
rows have in common."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_export.aot.program import Constant, ConstantKind, FieldValue
from edge_quantize.graph import DType
from edge_quantize.graph.options import Activation

from .checks import first_reason, quantized, scale_and_zero_point
from .mac import (
    ACCUMULATOR_LIMIT,
    MacLayer,
    accumulate,
    output_factors,
    refuses_scales,
    weight_matrix,
)
from .quant import activation_range, narrow_multiplier, requantize_s64
from .row import LayerView

# Sums are multiplied by 15 bits in 64, and the result has to fit an int32.
_SUM_LIMIT = 1 << 47
_RESULT_LIMIT = 1 << 31
_MOST_NARROW_SHIFT = 7
_MOST_SHIFT = 30


def refuses_mac_s16(
    layer: LayerView, channel_axis: int, bias_types: tuple[DType, ...]
) -> str | None:
    """Why the int16 kernel cannot take the layer's operands; None when it can.

    `channel_axis` is the axis of the weights that output channels run along.
    """
    operands = layer.inputs
    if len(operands) < 2 or len(layer.outputs) != 1:
        return f"has {len(operands)} inputs and {len(layer.outputs)} outputs, not 2-3 and 1"
    x, w = operands[0], operands[1]
    bias = operands[2] if len(operands) > 2 else None
    if x is None or w is None:
        return "its input or its weights are left out"
    out = layer.outputs[0]
    reason = first_reason(quantized(x, "input", DType.INT16), quantized(out, "output", DType.INT16))
    if reason is not None:
        return reason
    for tensor in (x, out):
        if scale_and_zero_point(tensor)[1]:
            return f"'{tensor.name}' has a zero point that is not 0"
    if w.dtype is not DType.INT8 or w.data is None:
        return f"weights {w.name!r} are not constant int8"
    channels = w.shape[channel_axis]
    if bias is not None:
        if bias.dtype not in bias_types or bias.data is None:
            wanted = " or ".join(dtype.value for dtype in bias_types)
            return f"bias {bias.name!r} is not constant {wanted}"
        if bias.elements != channels:
            return f"bias {bias.name!r} has {bias.elements} elements for {channels} channels"
    reason = refuses_scales(w, channels, channel_axis)
    if reason is not None:
        return reason
    try:
        activation_range(out, getattr(layer.operator.options, "activation", Activation.NONE))
    except ValueError as error:
        return str(error)
    return _refuses_sums(layer, channel_axis)


def _refuses_sums(layer: LayerView, channel_axis: int) -> str | None:
    if _bias_beyond(layer):
        return f"its bias is not within {_SUM_LIMIT}"
    weights = weight_matrix(layer.input(1), channel_axis)
    bounds = accumulate(weights, _bias(layer), 0, DType.INT16).bounds
    narrow, factors = _is_narrow(layer), output_factors(layer)
    limit, most_shift = (
        (_SUM_LIMIT, _MOST_NARROW_SHIFT) if narrow else (ACCUMULATOR_LIMIT, _MOST_SHIFT)
    )
    for channel in range(len(bounds)):
        bound = int(bounds[channel])
        multiplier, shift = factors[channel if len(factors) > 1 else 0]
        if bound >= limit:
            what = "" if narrow else ", the int32 of its bias"
            return f"its accumulator can reach {bound}, not below {limit}{what}"
        if multiplier and shift > most_shift:
            return f"its output scale is over 2^{most_shift} times smaller than its sums'"
        if not narrow and bound << max(shift, 0) >= ACCUMULATOR_LIMIT:
            return f"its accumulator can reach {bound}, beyond int32 when shifted by {shift}"
        if (bound * multiplier) >> (31 - shift) >= _RESULT_LIMIT - 1:
            return f"its accumulator can reach {bound}, beyond int32 when rescaled"
    return None


def refuses_products(layer: LayerView, channel_axis: int) -> str | None:
    """Why the products of a channel may not be summed in 32 bits; asked after `refuses_mac_s16`."""
    weights = weight_matrix(layer.input(1), channel_axis)
    bound = accumulate(weights, None, 0, DType.INT16).bound
    return (
        f"the products of a channel can reach {bound}, beyond int32"
        if bound >= ACCUMULATOR_LIMIT
        else None
    )


def pack_pairs_s16(weights: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Weights [channels, taps] as eag_mac_s16.h reads them: of two channels four taps each in turn,
    of these in the order 0, 2, 1, 3; taps are padded to a multiple of 4 and channels to a multiple
    of 2 with zeros."""
    channels, taps = weights.shape
    padded = np.pad(weights, ((0, channels % 2), (0, -taps % 4)))
    quads = padded.reshape(len(padded), -1, 4)[:, :, [0, 2, 1, 3]]
    return quads.reshape(-1, 2, quads.shape[1], 4).transpose(0, 2, 1, 3)


class DspConstantsS16:
    """`weights` int8[channels, taps], `bias` and `factor` int32 of the kernels that rescale a sum
    of 32 bits with one multiply; `factor` has one entry where all channels share it.

    A channel whose output is the same for every input may have a factor beyond those kernels'
    range: it gets weights of zero, and a bias that gives the same output. Raises ValueError for any
    other channel that is out of range.
    """

    def __init__(self, layer: LayerView, mac: MacLayer) -> None:
        if not _is_narrow(layer):
            raise ValueError("its bias is int32, and so are its sums rescaled with 31 bits")
        self.weights = mac.weights.copy()
        self.bias = mac.sums.bias.copy()
        factors: list[int] = []
        for channel in range(mac.channels):
            scaling = mac.factors[channel if mac.per_channel else 0]
            factor = _wide_factor(*scaling)
            if factor is None or int(mac.sums.bounds[channel]) >= ACCUMULATOR_LIMIT:
                factor = 1 << 30
                self.weights[channel] = 0
                self.bias[channel] = _only_output(mac, channel, *scaling) << 2
            factors.append(factor)
        self.factor = np.array(factors if len(set(factors)) > 1 else factors[:1], np.int32)

    @property
    def per_channel(self) -> bool:
        return len(self.factor) > 1


def _wide_factor(multiplier: int, shift: int) -> int | None:
    """The factor with which round(sum * factor / 2^32) is what the reference computes."""
    right = 15 - shift
    return multiplier << (32 - right) if multiplier and 16 <= right <= 32 else None


def _only_output(mac: MacLayer, channel: int, multiplier: int, shift: int) -> int:
    low, high = (
        min(max(requantize_s64(int(total[channel]), multiplier, shift), mac.act_min), mac.act_max)
        for total in (mac.sums.low, mac.sums.high)
    )
    if low != high:
        raise ValueError(
            f"channel {channel} is scaled by {multiplier} * 2^{shift - 15} with sums up to "
            f"{int(mac.sums.bounds[channel])}, out of this kernel's range"
        )
    return low


def refuses_dsp_s16(layer: LayerView, channel_axis: int) -> str | None:
    """Why the DSP kernels cannot rescale the layer; asked after `refuses_mac_s16`."""
    try:
        DspConstantsS16(layer, mac_layer_s16(layer, channel_axis))
    except ValueError as error:
        return str(error)
    return None


def dsp_constants_s16(
    layer: LayerView, mac: MacLayer, dsp: DspConstantsS16, weights: npt.NDArray[np.int8]
) -> tuple[Constant, ...]:
    """Constants of the DSP kernels; `weights` are those of `dsp`, packed."""
    bias = layer.inputs[2] if len(layer.inputs) > 2 else None
    kind = ConstantKind.TABLE if bias is None else ConstantKind.WEIGHTS
    stored = 0 if bias is None else dsp.bias.size * 4
    return (
        mac.weights_constant(weights),
        mac.constant("bias", dsp.bias.astype(np.int32), stored, kind),
        mac.constant("factor", dsp.factor),
    )


def dsp_range_fields_s16(mac: MacLayer) -> tuple[tuple[str, FieldValue], ...]:
    return (("act_min", mac.act_min), ("act_max", mac.act_max))


def mac_layer_s16(layer: LayerView, channel_axis: int) -> MacLayer:
    """The layer's constants, its factors as the kernel takes them; assumes `refuses_mac_s16`
    returned None."""
    weights = weight_matrix(layer.input(1), channel_axis)
    bias = _bias(layer)
    activation = getattr(layer.operator.options, "activation", Activation.NONE)
    act_min, act_max = activation_range(layer.output, activation)
    factors = output_factors(layer)
    if _is_narrow(layer):
        factors = tuple((narrow_multiplier(multiplier), shift) for multiplier, shift in factors)
    return MacLayer(
        index=layer.operator.index,
        x=layer.input(0),
        w=layer.input(1),
        out=layer.output,
        weights=weights,
        sums=accumulate(weights, bias, 0, DType.INT16),
        factors=factors,
        act_min=act_min,
        act_max=act_max,
        has_bias=bias is not None,
    )


def constants_s16(
    layer: LayerView, mac: MacLayer, weights: npt.NDArray[np.int8]
) -> tuple[Constant, ...]:
    """Constants of the kernels: weights as given, a bias of 64 bits, TFLM's own factors."""
    bias = layer.inputs[2] if len(layer.inputs) > 2 else None
    kind = ConstantKind.TABLE if bias is None else ConstantKind.WEIGHTS
    stored = 0 if bias is None else int(bias.nbytes)
    return (
        mac.weights_constant(weights),
        mac.constant("bias", mac.sums.bias, stored, kind, alignment=8),
        mac.constant("multiplier", np.array([m for m, _ in mac.factors], np.int32)),
        mac.constant("shift", np.array([s for _, s in mac.factors], np.int8)),
    )


def range_fields_s16(layer: LayerView, mac: MacLayer) -> tuple[tuple[str, FieldValue], ...]:
    """The members that all parameter structs end with."""
    return (
        ("per_channel", int(mac.per_channel)),
        ("narrow", int(_is_narrow(layer))),
        ("act_min", mac.act_min),
        ("act_max", mac.act_max),
    )


def _is_narrow(layer: LayerView) -> bool:
    """Whether sums are rescaled with narrow multipliers: always, but where the bias is int32, or
    would be if there were one."""
    bias = layer.inputs[2] if len(layer.inputs) > 2 else None
    if bias is None:
        return getattr(layer.operator.options, "quantized_bias_type", "") != "INT32"
    return bias.dtype is not DType.INT32


def _bias(layer: LayerView) -> npt.NDArray[np.int64] | None:
    tensor = layer.inputs[2] if len(layer.inputs) > 2 else None
    if tensor is None or tensor.data is None:
        return None
    return tensor.data.reshape(-1).astype(np.int64)


def _bias_beyond(layer: LayerView) -> bool:
    """Asked before sums are made of the bias, which could overflow numpy's int64."""
    bias = _bias(layer)
    return bias is not None and (int(bias.min()) <= -_SUM_LIMIT or int(bias.max()) >= _SUM_LIMIT)
