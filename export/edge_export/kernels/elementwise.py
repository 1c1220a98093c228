"""ADD and MUL of int8 tensors, with broadcasting and constant operands."""

from __future__ import annotations

from edge_export.aot.program import Constant, ConstantKind, ConstantRef, FieldValue, Struct
from edge_quantize.graph import Tensor
from edge_quantize.graph.options import Activation, ElementwiseOptions

from .add_linear import AddMultipliers, LinearAdd, add_multipliers, find_linear_add
from .broadcast import MAX_DIMS, Broadcast, broadcast
from .checks import first_reason, operand_count, quantized, scale_and_zero_point
from .quant import activation_range, quantize_multiplier
from .row import Binding, KernelRow, LayerView

_RANGES = (Activation.NONE, Activation.RELU, Activation.RELU6, Activation.RELU_N1_TO_1)


def _refuses_binary(layer: LayerView) -> str | None:
    reason = operand_count(layer, 2)
    if reason:
        return reason
    a, b, out = layer.input(0), layer.input(1), layer.output
    options = layer.operator.options
    if not isinstance(options, ElementwiseOptions):
        return f"options of {layer.operator.op} are missing"
    reason = first_reason(
        quantized(a, "input 0"), quantized(b, "input 1"), quantized(out, "the output")
    )
    if reason:
        return reason
    if options.activation not in _RANGES:
        return f"fused activation {options.activation.value} is not supported"
    if a.is_constant and b.is_constant:
        return "both inputs are constants"
    walk = broadcast(a.shape, b.shape)
    if walk is None:
        return f"shapes {list(a.shape)} and {list(b.shape)} do not broadcast"
    if len(walk.dims) > MAX_DIMS:
        return (
            f"broadcasting {list(a.shape)} with {list(b.shape)} needs {len(walk.dims)} loops; "
            f"at most {MAX_DIMS} are supported"
        )
    elements = 1
    for dim in walk.dims:
        elements *= dim
    if elements != out.elements:
        return f"the output {list(out.shape)} is not the broadcast of its inputs"
    return None


def _takes_constant(layer: LayerView) -> str | None:
    """For rows whose operand 1 is a constant."""
    if not (layer.input(0).is_constant or layer.input(1).is_constant):
        return "no input is a constant"
    return None


def _takes_activations(layer: LayerView) -> str | None:
    for position in (0, 1):
        if layer.input(position).is_constant:
            return f"input {position} is a constant"
    return None


def _order(layer: LayerView) -> tuple[int, int]:
    """Positions of operand 0 and 1 as the kernel takes them: a constant comes last, which is
    sound because ADD and MUL commute in the reference too."""
    return (1, 0) if layer.input(0).is_constant else (0, 1)


def _walk(a: Tensor, b: Tensor) -> Broadcast:
    walk = broadcast(a.shape, b.shape)
    assert walk is not None
    return walk


def _constant(layer: LayerView, tensor: Tensor) -> tuple[tuple[Constant, ...], ConstantRef]:
    if tensor.data is None:
        return (), ConstantRef(None)
    name = f"{layer.operator.op.lower()}_{layer.operator.index}_operand"
    data = tensor.data.reshape(-1)
    constant = Constant(name, data, ConstantKind.WEIGHTS, source_bytes=int(data.nbytes))
    return (constant,), ConstantRef(name)


def _bind(
    layer: LayerView,
    ctype: str,
    a: Tensor,
    b: Tensor,
    order: tuple[int, int],
    numbers: tuple[tuple[str, FieldValue], ...],
) -> Binding:
    walk = _walk(a, b)
    constants, pointer = _constant(layer, b)
    operands = order[:1] if b.is_constant else order
    return Binding(
        params=Struct(ctype, (*walk.fields("shape"), *numbers, ("constant", pointer))),
        constants=constants,
        operands=operands,
        in_place=tuple(i for i in range(len(operands)) if walk.dense(i)),
    )


def _add_numbers(layer: LayerView, order: tuple[int, int]) -> AddMultipliers:
    options = layer.operator.options
    assert isinstance(options, ElementwiseOptions)
    tensors = (layer.input(order[0]), layer.input(order[1]), layer.output)
    (s0, z0), (s1, z1), (s2, z2) = (scale_and_zero_point(tensor) for tensor in tensors)
    return add_multipliers(
        (s0, s1, s2), (z0, z1, z2), activation_range(layer.output, options.activation)
    )


def _refuses_add(layer: LayerView) -> str | None:
    reason = _refuses_binary(layer)
    if reason:
        return reason
    m = _add_numbers(layer, (0, 1))
    for what, multiplier, shift in (
        ("input 0", m.multiplier0, m.right_shift0),
        ("input 1", m.multiplier1, m.right_shift1),
        ("the output", m.multiplier, m.right_shift),
    ):
        # The reference asks the same: every one of the three multipliers is below one.
        if multiplier and not 0 <= shift <= 31:
            return f"the scale of {what} is too far from the others"
    return None


def _bind_add(layer: LayerView) -> Binding:
    order = _order(layer)
    m = _add_numbers(layer, order)
    numbers: tuple[tuple[str, FieldValue], ...] = (
        ("offset0", m.offset0),
        ("multiplier0", m.multiplier0),
        ("right_shift0", m.right_shift0),
        ("offset1", m.offset1),
        ("multiplier1", m.multiplier1),
        ("right_shift1", m.right_shift1),
        ("multiplier", m.multiplier),
        ("right_shift", m.right_shift),
        ("zero_point", m.zero_point),
        ("min", m.min),
        ("max", m.max),
    )
    a, b = layer.input(order[0]), layer.input(order[1])
    return _bind(layer, "struct eag_add_s8_params", a, b, order, numbers)


def _linear(layer: LayerView) -> LinearAdd | None:
    out_scale, _ = scale_and_zero_point(layer.output)
    ratios = (
        scale_and_zero_point(layer.input(0))[0] / out_scale,
        scale_and_zero_point(layer.input(1))[0] / out_scale,
    )
    return find_linear_add(_add_numbers(layer, (0, 1)), ratios)


def _refuses_add_linear(layer: LayerView) -> str | None:
    reason = first_reason(_refuses_add(layer)) or _takes_activations(layer)
    if reason:
        return reason
    a, b = layer.input(0), layer.input(1)
    walk = _walk(a, b)
    if not (walk.dense(0) and walk.dense(1)):
        return f"shapes {list(a.shape)} and {list(b.shape)} differ"
    if _linear(layer) is None:
        return "no exact linear form exists for these scales"
    return None


def _bind_add_linear(layer: LayerView) -> Binding:
    form = _linear(layer)
    assert form is not None
    m = _add_numbers(layer, (0, 1))
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


def _mul_numbers(layer: LayerView) -> tuple[int, int]:
    scales = [scale_and_zero_point(layer.input(i))[0] for i in (0, 1)]
    return quantize_multiplier(scales[0] * scales[1] / scale_and_zero_point(layer.output)[0])


def _refuses_mul(layer: LayerView) -> str | None:
    reason = _refuses_binary(layer)
    if reason:
        return reason
    _, shift = _mul_numbers(layer)
    if shift > 13:
        return f"input scales over the output's give 2^{shift}; products would overflow 32 bits"
    return None


def _bind_mul(layer: LayerView) -> Binding:
    order = _order(layer)
    a, b = layer.input(order[0]), layer.input(order[1])
    options = layer.operator.options
    assert isinstance(options, ElementwiseOptions)
    multiplier, shift = _mul_numbers(layer)
    low, high = activation_range(layer.output, options.activation)
    numbers: tuple[tuple[str, FieldValue], ...] = (
        ("offset0", -scale_and_zero_point(a)[1]),
        ("offset1", -scale_and_zero_point(b)[1]),
        ("multiplier", multiplier),
        ("shift", shift),
        ("zero_point", scale_and_zero_point(layer.output)[1]),
        ("min", low),
        ("max", high),
    )
    return _bind(layer, "struct eag_mul_s8_params", a, b, order, numbers)


_HEADERS = ("kernels/eag_binary.h", "kernels/eag_dsp.h", "kernels/eag_requant.h")

ROWS: tuple[KernelRow, ...] = (
    KernelRow(
        name="eag_add_linear_s8",
        op="ADD",
        sources=("kernels/eag_add_linear_s8.c", *_HEADERS),
        refuses=_refuses_add_linear,
        bind=_bind_add_linear,
        rank=50,
        note="one multiply an operand, proven exact for all 65536 pairs",
    ),
    KernelRow(
        name="eag_add_s8",
        op="ADD",
        sources=("kernels/eag_add_s8.c", *_HEADERS),
        refuses=lambda layer: _refuses_add(layer) or _takes_activations(layer),
        bind=_bind_add,
        note="any shapes that broadcast",
    ),
    KernelRow(
        name="eag_add_constant_s8",
        op="ADD",
        sources=("kernels/eag_add_s8.c", *_HEADERS),
        refuses=lambda layer: _refuses_add(layer) or _takes_constant(layer),
        bind=_bind_add,
        note="one operand is a constant",
    ),
    KernelRow(
        name="eag_mul_s8",
        op="MUL",
        sources=("kernels/eag_mul_s8.c", *_HEADERS),
        refuses=lambda layer: _refuses_mul(layer) or _takes_activations(layer),
        bind=_bind_mul,
        note="any shapes that broadcast",
    ),
    KernelRow(
        name="eag_mul_constant_s8",
        op="MUL",
        sources=("kernels/eag_mul_s8.c", *_HEADERS),
        refuses=lambda layer: _refuses_mul(layer) or _takes_constant(layer),
        bind=_bind_mul,
        note="one operand is a constant",
    ),
)
