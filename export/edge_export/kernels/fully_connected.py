"""Rows of FULLY_CONNECTED."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_export.aot.program import Struct
from edge_quantize.graph import DType
from edge_quantize.graph.options import FullyConnectedOptions

from .mac import mac_layer, pointer_fields, portable_constants, range_fields, refuses_mac
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
from .row import Binding, KernelRow, LayerView

CHANNEL_AXIS = 0


def _refuses_shapes(layer: LayerView) -> str | None:
    """Why shapes and options are not those of a FULLY_CONNECTED."""
    options = layer.operator.options
    if not isinstance(options, FullyConnectedOptions):
        return "its options are missing"
    if options.shuffled_weights:
        return "its weights are in the shuffled legacy layout"
    operands = layer.inputs
    if len(operands) < 2 or operands[0] is None or operands[1] is None:
        return "its input or its weights are left out"
    if len(layer.outputs) != 1:
        return f"has {len(layer.outputs)} outputs"
    x, w, out = operands[0], operands[1], layer.outputs[0]
    if len(w.shape) != 2 or min(w.shape) < 1 or x.elements < 1:
        return f"shapes {x.shape}, {w.shape} are not a vector's and a matrix'"
    out_c, depth = w.shape
    if x.elements % depth:
        return f"input of {x.elements} elements does not divide into rows of {depth}"
    if out.elements != x.elements // depth * out_c:
        return f"output shape {out.shape} does not hold {x.elements // depth} rows of {out_c}"
    return None


def refuses(layer: LayerView, weights: DType = DType.INT8) -> str | None:
    """Why the portable kernel for such weights cannot take a FULLY_CONNECTED."""
    return _refuses_shapes(layer) or refuses_mac(layer, CHANNEL_AXIS, weights)


def refuses_s16(layer: LayerView) -> str | None:
    """Why the kernel of int16 activations cannot take a FULLY_CONNECTED."""
    return _refuses_shapes(layer) or refuses_mac_s16(
        layer, CHANNEL_AXIS, (DType.INT32, DType.INT64)
    )


def bind(layer: LayerView) -> Binding:
    mac = mac_layer(layer, CHANNEL_AXIS)
    out_c, depth = mac.w.shape
    rows = mac.x.elements // depth
    constants = portable_constants(mac, mac.weights)
    params = Struct(
        "struct eag_fully_connected_params",
        (
            *pointer_fields(constants),
            ("rows", rows),
            ("depth", depth),
            ("out_c", out_c),
            ("per_channel", int(mac.per_channel)),
            *range_fields(mac),
        ),
    )
    return Binding(params, constants, operands=(0,), macs=rows * out_c * depth)


def refuses_s16_dsp(layer: LayerView) -> str | None:
    """Why the DSP kernel of int16 activations cannot take a FULLY_CONNECTED."""
    reason = refuses_s16(layer)
    if reason is not None:
        return reason
    depth = layer.input(1).shape[1]
    if depth % 4:
        return f"depth {depth} is no multiple of 4"
    return refuses_dsp_s16(layer, CHANNEL_AXIS)


def bind_s16(layer: LayerView) -> Binding:
    mac = mac_layer_s16(layer, CHANNEL_AXIS)
    out_c, depth = mac.w.shape
    rows = mac.x.elements // depth
    constants = constants_s16(layer, mac, mac.weights)
    params = Struct(
        "struct eag_fully_connected_s16_params",
        (
            *pointer_fields(constants),
            ("rows", rows),
            ("depth", depth),
            ("out_c", out_c),
            *range_fields_s16(layer, mac),
        ),
    )
    return Binding(params, constants, operands=(0,), macs=rows * out_c * depth)


def bind_s16_dsp(layer: LayerView) -> Binding:
    mac = mac_layer_s16(layer, CHANNEL_AXIS)
    out_c, depth = mac.w.shape
    rows = mac.x.elements // depth
    dsp = DspConstantsS16(layer, mac)
    constants = dsp_constants_s16(layer, mac, dsp, pack_pairs_s16(dsp.weights))
    params = Struct(
        "struct eag_fully_connected_s16_dsp_params",
        (
            *pointer_fields(constants),
            ("rows", rows),
            ("depth", depth),
            ("out_c", out_c),
            ("per_channel", int(dsp.per_channel)),
            *dsp_range_fields_s16(mac),
        ),
    )
    return Binding(params, constants, operands=(0,), macs=rows * out_c * depth)


def pack_fours(weights: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    """Weights [rows, depth] as the DSP kernel reads them: of four rows four elements each in turn;
    the last `rows % 4` rows one after another. depth is a multiple of 4."""
    rows, depth = weights.shape
    whole = rows // 4 * 4
    fours = weights[:whole].reshape(-1, 4, depth // 4, 4).transpose(0, 2, 1, 3)
    return np.concatenate([fours.reshape(-1), weights[whole:].reshape(-1)])


def refuses_dsp(layer: LayerView, weights: DType = DType.INT8) -> str | None:
    """Why the DSP kernel for such weights cannot take a FULLY_CONNECTED."""
    reason = refuses(layer, weights)
    if reason is not None:
        return reason
    depth = layer.input(1).shape[1]
    if depth % 4:
        return f"depth {depth} is no multiple of 4"
    return refuses_factors(layer, CHANNEL_AXIS)


def bind_dsp(layer: LayerView) -> Binding:
    mac = mac_layer(layer, CHANNEL_AXIS)
    out_c, depth = mac.w.shape
    rows = mac.x.elements // depth
    factors = DspConstants(mac)
    constants = dsp_constants(mac, factors, pack_fours(mac.weights))
    params = Struct(
        "struct eag_fully_connected_dsp_params",
        (
            *pointer_fields(constants),
            ("rows", rows),
            ("depth", depth),
            ("out_c", out_c),
            ("per_channel", int(factors.per_channel)),
            *range_fields(mac),
        ),
    )
    return Binding(params, constants, operands=(0,), macs=rows * out_c * depth)


ROWS: tuple[KernelRow, ...] = (
    KernelRow(
        name="eag_fully_connected_dsp",
        op="FULLY_CONNECTED",
        sources=(
            "kernels/eag_clamp_range.h",
            "kernels/eag_dsp.h",
            "kernels/eag_fully_connected_dsp.c",
            "kernels/eag_fully_connected_dsp.h",
            "kernels/eag_requant.h",
        ),
        refuses=refuses_dsp,
        bind=bind_dsp,
        needs=frozenset({"dsp"}),
        rank=10,
        note="SMLAD, 4 rows at a time",
    ),
    KernelRow(
        name="eag_fully_connected",
        op="FULLY_CONNECTED",
        sources=(
            "kernels/eag_dsp.h",
            "kernels/eag_fully_connected.c",
            "kernels/eag_fully_connected.h",
            "kernels/eag_requant.h",
        ),
        refuses=refuses,
        bind=bind,
        rank=100,
        note="portable C99",
    ),
    KernelRow(
        name="eag_fully_connected_s16_dsp",
        op="FULLY_CONNECTED",
        sources=(
            "kernels/eag_dsp.h",
            "kernels/eag_fully_connected_s16_dsp.c",
            "kernels/eag_fully_connected_s16_dsp.h",
            "kernels/eag_mac_s16.h",
            "kernels/eag_requant.h",
        ),
        refuses=refuses_s16_dsp,
        bind=bind_s16_dsp,
        dtypes=(DType.INT16,),
        needs=frozenset({"dsp"}),
        rank=10,
        note="int16 activations, SMLAD, 2 rows at a time",
    ),
    KernelRow(
        name="eag_fully_connected_s16",
        op="FULLY_CONNECTED",
        sources=(
            "kernels/eag_dsp.h",
            "kernels/eag_fully_connected_s16.c",
            "kernels/eag_fully_connected_s16.h",
            "kernels/eag_requant.h",
        ),
        refuses=refuses_s16,
        bind=bind_s16,
        dtypes=(DType.INT16,),
        rank=100,
        note="int16 activations, 64-bit sums, portable C99",
    ),
)
