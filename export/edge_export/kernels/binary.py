"""What ADD, SUB and MUL have in common: two operands that are broadcast, of which one may be a
constant."""

from __future__ import annotations

from edge_export.aot.program import Constant, ConstantKind, ConstantRef, FieldValue, Struct
from edge_quantize.graph import DType, Tensor
from edge_quantize.graph.options import Activation, ElementwiseOptions

from .broadcast import MAX_DIMS, Broadcast, broadcast
from .checks import first_reason, operand_count, quantized, scale_and_zero_point
from .row import Binding, LayerView

HEADERS = ("kernels/eag_binary.h", "kernels/eag_dsp.h", "kernels/eag_requant.h")
_RANGES = (Activation.NONE, Activation.RELU, Activation.RELU6, Activation.RELU_N1_TO_1)


def refuses_binary(layer: LayerView, dtype: DType) -> str | None:
    """Why a kernel of `dtype` elements cannot take the layer; int16 ones need zero points of 0."""
    reason = operand_count(layer, 2)
    if reason:
        return reason
    a, b, out = layer.input(0), layer.input(1), layer.output
    options = layer.operator.options
    if not isinstance(options, ElementwiseOptions):
        return f"options of {layer.operator.op} are missing"
    reason = first_reason(
        quantized(a, "input 0", dtype),
        quantized(b, "input 1", dtype),
        quantized(out, "the output", dtype),
    )
    if reason:
        return reason
    if dtype is DType.INT16:
        for tensor in (a, b, out):
            if scale_and_zero_point(tensor)[1]:
                return f"'{tensor.name}' has a zero point that is not 0"
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


def takes_constant(layer: LayerView, *positions: int) -> str | None:
    """For rows that take a constant, at one of `positions`."""
    if not any(layer.input(position).is_constant for position in positions):
        places = " or ".join(str(position) for position in positions)
        return f"input {places} is not a constant"
    return None


def takes_activations(layer: LayerView) -> str | None:
    for position in (0, 1):
        if layer.input(position).is_constant:
            return f"input {position} is a constant"
    return None


def order_of(layer: LayerView) -> tuple[int, int]:
    """Positions of operand 0 and 1 as the kernel takes them: a constant comes last. ADD and MUL
    commute in the reference too; SUB has a kernel for each order."""
    return (1, 0) if layer.input(0).is_constant else (0, 1)


def walk_of(a: Tensor, b: Tensor) -> Broadcast:
    """How two tensors that `refuses_binary` had nothing against are walked."""
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


def bind_binary(
    layer: LayerView, ctype: str, numbers: tuple[tuple[str, FieldValue], ...]
) -> Binding:
    """The layer with `numbers` between its shape and its constant."""
    order = order_of(layer)
    a, b = layer.input(order[0]), layer.input(order[1])
    walk = walk_of(a, b)
    constants, pointer = _constant(layer, b)
    operands = order[:1] if b.is_constant else order
    return Binding(
        params=Struct(ctype, (*walk.fields("shape"), *numbers, ("constant", pointer))),
        constants=constants,
        operands=operands,
        in_place=tuple(i for i in range(len(operands)) if walk.dense(i)),
    )
