"""ADD and SUB of int8 and int16 tensors, with broadcasting and constant operands."""

from __future__ import annotations

from edge_export.aot.program import FieldValue, Struct
from edge_quantize.graph import DType
from edge_quantize.graph.options import ElementwiseOptions

from .add_linear import AddMultipliers, LinearAdd, add_multipliers, find_linear_add
from .binary import (
    HEADERS,
    bind_binary,
    order_of,
    refuses_binary,
    takes_activations,
    takes_constant,
    walk_of,
)
from .checks import scale_and_zero_point
from .quant import activation_range
from .row import Binding, KernelRow, LayerView

_SUFFIX = {DType.INT8: "s8", DType.INT16: "s16"}


def _multipliers(layer: LayerView) -> AddMultipliers:
    """Of the operands in the model's order."""
    options = layer.operator.options
    assert isinstance(options, ElementwiseOptions)
    out = layer.output
    (s0, z0), (s1, z1), (s2, z2) = (
        scale_and_zero_point(tensor) for tensor in (layer.input(0), layer.input(1), out)
    )
    bounds = activation_range(out, options.activation)
    return add_multipliers(layer.operator.op, out.dtype, (s0, s1, s2), (z0, z1, z2), bounds)


def _refuses(layer: LayerView, dtype: DType) -> str | None:
    reason = refuses_binary(layer, dtype)
    if reason:
        return reason
    m = _multipliers(layer)
    for what, multiplier, shift in (
        ("input 0", m.multiplier0, m.right_shift0),
        ("input 1", m.multiplier1, m.right_shift1),
        ("the output", m.multiplier, m.right_shift),
    ):
        # The reference asks the same: every one of the three multipliers is below one.
        if multiplier and not 0 <= shift <= 31:
            return f"the scale of {what} is too far from the others"
    return None


def _bind(layer: LayerView) -> Binding:
    m = _multipliers(layer)
    if order_of(layer) == (1, 0):
        m = m.swapped
    rescaling: tuple[tuple[str, FieldValue], ...] = (
        ("multiplier0", m.multiplier0),
        ("right_shift0", m.right_shift0),
        ("multiplier1", m.multiplier1),
        ("right_shift1", m.right_shift1),
        ("multiplier", m.multiplier),
        ("right_shift", m.right_shift),
        ("min", m.min),
        ("max", m.max),
    )
    if layer.output.dtype is DType.INT16:
        return bind_binary(layer, "struct eag_add_s16_params", rescaling)
    offsets = (("offset0", m.offset0), ("offset1", m.offset1), ("zero_point", m.zero_point))
    return bind_binary(layer, "struct eag_add_s8_params", (*offsets, *rescaling))


def _linear(layer: LayerView) -> LinearAdd | None:
    out_scale, _ = scale_and_zero_point(layer.output)
    ratios = (
        scale_and_zero_point(layer.input(0))[0] / out_scale,
        scale_and_zero_point(layer.input(1))[0] / out_scale,
    )
    return find_linear_add(_multipliers(layer), ratios)


def _refuses_linear(layer: LayerView) -> str | None:
    reason = _refuses(layer, DType.INT8) or takes_activations(layer)
    if reason:
        return reason
    a, b = layer.input(0), layer.input(1)
    walk = walk_of(a, b)
    if not (walk.dense(0) and walk.dense(1)):
        return f"shapes {list(a.shape)} and {list(b.shape)} differ"
    if _linear(layer) is None:
        return "no exact linear form exists for these scales"
    return None


def _bind_linear(layer: LayerView) -> Binding:
    form = _linear(layer)
    assert form is not None
    m = _multipliers(layer)
    return Binding(
        params=Struct(
            "struct eag_add_linear_s8_params",
            (
                ("size", layer.output.elements),
                ("a", form.a),
                ("b", form.b),
                ("c", form.c),
                ("shift", form.shift),
                ("min", m.min),
                ("max", m.max),
            ),
        ),
        constants=(),
        operands=(0, 1),
        in_place=(0, 1),
    )


def _linear_row(op: str) -> KernelRow:
    return KernelRow(
        name="eag_add_linear_s8",
        op=op,
        sources=("kernels/eag_add_linear_s8.c", *HEADERS),
        refuses=_refuses_linear,
        bind=_bind_linear,
        rank=50,
        note="one multiply an operand, proven exact for all 65536 pairs",
    )


_TEMPLATE = ("kernels/eag_add_broadcast.h", "kernels/eag_add_rescale.h")


def _row(op: str, dtype: DType) -> KernelRow:
    suffix = _SUFFIX[dtype]
    return KernelRow(
        name=f"eag_{op.lower()}_{suffix}",
        op=op,
        sources=(f"kernels/eag_add_{suffix}.c", *_TEMPLATE, *HEADERS),
        refuses=lambda layer: _refuses(layer, dtype) or takes_activations(layer),
        bind=_bind,
        dtypes=(dtype,),
        note="any shapes that broadcast",
    )


def _constant_row(op: str, what: str, dtype: DType, *positions: int) -> KernelRow:
    suffix = _SUFFIX[dtype]
    return KernelRow(
        name=f"eag_{op.lower()}_{what}_{suffix}",
        op=op,
        sources=(f"kernels/eag_add_{suffix}.c", *_TEMPLATE, *HEADERS),
        refuses=lambda layer: _refuses(layer, dtype) or takes_constant(layer, *positions),
        bind=_bind,
        dtypes=(dtype,),
        note="one operand is a constant",
    )


ROWS: tuple[KernelRow, ...] = (
    *(_linear_row(op) for op in ("ADD", "SUB")),
    *(_row(op, dtype) for dtype in _SUFFIX for op in ("ADD", "SUB")),
    *(_constant_row("ADD", "constant", dtype, 0, 1) for dtype in _SUFFIX),
    *(_constant_row("SUB", "constant", dtype, 1) for dtype in _SUFFIX),
    *(_constant_row("SUB", "from_constant", dtype, 0) for dtype in _SUFFIX),
)
