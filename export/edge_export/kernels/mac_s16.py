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
from .quant import activation_range, narrow_multiplier
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
    bound = accumulate(weights, _bias(layer), 0, DType.INT16).bound
    if _is_narrow(layer):
        if bound >= _SUM_LIMIT:
            return f"its accumulator can reach {bound}, not below {_SUM_LIMIT}"
        most_shift = _MOST_NARROW_SHIFT
    else:
        if bound >= ACCUMULATOR_LIMIT:
            return f"its accumulator can reach {bound}, beyond the int32 of its bias"
        most_shift = _MOST_SHIFT
    for multiplier, shift in output_factors(layer):
        if multiplier and shift > most_shift:
            return f"its output scale is over 2^{most_shift} times smaller than its sums'"
        if not _is_narrow(layer) and bound << max(shift, 0) >= ACCUMULATOR_LIMIT:
            return f"its accumulator can reach {bound}, beyond int32 when shifted by {shift}"
        if (bound * multiplier) >> (31 - shift) >= _RESULT_LIMIT - 1:
            return f"its accumulator can reach {bound}, beyond int32 when rescaled"
    return None


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
    """Whether sums are rescaled with narrow multipliers: always, but where the bias is int32."""
    bias = layer.inputs[2] if len(layer.inputs) > 2 else None
    return bias is None or bias.dtype is not DType.INT32


def _bias(layer: LayerView) -> npt.NDArray[np.int64] | None:
    tensor = layer.inputs[2] if len(layer.inputs) > 2 else None
    if tensor is None or tensor.data is None:
        return None
    return tensor.data.reshape(-1).astype(np.int64)


def _bias_beyond(layer: LayerView) -> bool:
    """Asked before sums are made of the bias, which could overflow numpy's int64."""
    bias = _bias(layer)
    return bias is not None and (int(bias.min()) <= -_SUM_LIMIT or int(bias.max()) >= _SUM_LIMIT)
