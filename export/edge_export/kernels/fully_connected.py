"""Rows of FULLY_CONNECTED."""

from __future__ import annotations

from edge_export.aot.program import Struct
from edge_quantize.graph.options import FullyConnectedOptions

from .mac import mac_layer, pointer_fields, portable_constants, refuses_mac
from .row import Binding, KernelRow, LayerView

CHANNEL_AXIS = 0


def refuses(layer: LayerView) -> str | None:
    """Why the portable kernel cannot take a FULLY_CONNECTED."""
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
    return refuses_mac(layer, CHANNEL_AXIS)


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
            ("out_zero", mac.out_zero),
            ("act_min", mac.act_min),
            ("act_max", mac.act_max),
        ),
    )
    return Binding(params, constants, operands=(0,), macs=rows * out_c * depth)


ROWS: tuple[KernelRow, ...] = (
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
)
