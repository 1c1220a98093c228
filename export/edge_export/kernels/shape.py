"""RESHAPE and its like, CONCATENATION, PAD and PADV2: bytes move, nothing is computed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from edge_export.aot.program import Struct
from edge_quantize.graph import DType
from edge_quantize.graph.options import Activation, ConcatenationOptions

from .checks import (
    activation_tensor,
    constant_integers,
    first_reason,
    has_dtype,
    integers,
    operand_count,
    per_tensor,
    quantized,
    same_quantization,
    scale_and_zero_point,
)
from .row import ALIAS, NO_PARAMS, Binding, KernelRow, LayerView

_MOVABLE = (DType.INT8, DType.UINT8, DType.INT16, DType.INT32, DType.FLOAT32, DType.BOOL)
_PADDABLE = {DType.INT8: "s8", DType.INT16: "s16"}
_MAX_RANK = 4  # of `struct eag_pad_params`
_MAX_CONCAT = 8  # EAG_CONCAT_MAX

# RESHAPE carries its new shape as input 1, EXPAND_DIMS its axis; the output's shape in the file
# already says it.
_RESHAPES = {"RESHAPE": 2, "EXPAND_DIMS": 2, "SQUEEZE": 1}


def _refuses_reshape(layer: LayerView) -> str | None:
    reason = operand_count(layer, 1, _RESHAPES[layer.operator.op])
    if reason:
        return reason
    x, y = layer.input(0), layer.output
    reason = first_reason(
        activation_tensor(x, "the input"),
        has_dtype(x, "the input", *_MOVABLE),
        has_dtype(y, "the output", x.dtype),
    )
    if reason:
        return reason
    if x.elements != y.elements:
        return f"{x.elements} elements in, {y.elements} out"
    return None


def _refuses_alias(layer: LayerView) -> str | None:
    reason = _refuses_reshape(layer)
    if reason:
        return reason
    operator, graph = layer.operator, layer.graph
    if operator.outputs[0] in graph.outputs and (
        operator.inputs[0] in graph.inputs or operator.inputs[0] in graph.outputs
    ):
        return "the model's input or another output of it needs memory of its own"
    return None


def _bind_alias(_layer: LayerView) -> Binding:
    return Binding(params=NO_PARAMS, constants=(), operands=(0,))


def _bind_copy(layer: LayerView) -> Binding:
    return Binding(
        params=Struct("struct eag_copy_params", (("size", layer.output.nbytes),)),
        constants=(),
        operands=(0,),
    )


def _refuses_concat(layer: LayerView, count: int) -> str | None:
    if len(layer.inputs) != count:
        if not 2 <= len(layer.inputs) <= _MAX_CONCAT:
            return f"{len(layer.inputs)} inputs, not 2 to {_MAX_CONCAT}"
        return "for another number of inputs"
    reason = operand_count(layer, count)
    if reason:
        return reason
    options = layer.operator.options
    if not isinstance(options, ConcatenationOptions):
        return "options of CONCATENATION are missing"
    if options.activation is not Activation.NONE:
        return f"fused activation {options.activation.value} is not supported"
    y = layer.output
    rank = len(y.shape)
    if not -rank <= options.axis < rank:
        return f"axis {options.axis} is outside a tensor of {rank} dimensions"
    axis = options.axis % rank
    reason = has_dtype(y, "the output", *_MOVABLE)
    if reason:
        return reason
    total = 0
    for position in range(count):
        x = layer.input(position)
        what = f"input {position}"
        reason = first_reason(
            activation_tensor(x, what),
            has_dtype(x, what, y.dtype),
            _same_if_quantized(layer, position),
        )
        if reason:
            return reason
        others = x.shape[:axis] + x.shape[axis + 1 :]
        if len(x.shape) != rank or others != y.shape[:axis] + y.shape[axis + 1 :]:
            return f"{what} {list(x.shape)} does not fit the output {list(y.shape)}"
        total += x.shape[axis]
    if total != y.shape[axis]:
        return f"the inputs have {total} elements along axis {axis}, the output {y.shape[axis]}"
    return None


def _same_if_quantized(layer: LayerView, position: int) -> str | None:
    """The reference copies bytes whatever their scales are, which would silently be wrong."""
    x, y = layer.input(position), layer.output
    if y.dtype not in (DType.INT8, DType.UINT8, DType.INT16):
        return None
    what = f"input {position}"
    reason = per_tensor(x, what) or per_tensor(y, "the output")
    if reason:
        return reason
    reason = same_quantization(x, y, f"{what} and the output")
    return f"{reason}; requantize the input first" if reason else None


def _bind_concat(layer: LayerView) -> Binding:
    options = layer.operator.options
    assert isinstance(options, ConcatenationOptions)
    y = layer.output
    axis = options.axis % len(y.shape)
    outer = int(np.prod(y.shape[:axis], dtype=np.int64))
    count = len(layer.inputs)
    widths = tuple(layer.input(i).nbytes // outer for i in range(count))
    return Binding(
        params=Struct(
            "struct eag_concat_params",
            (("outer", outer), ("widths", widths + (0,) * (_MAX_CONCAT - count))),
        ),
        constants=(),
        operands=tuple(range(count)),
    )


def _concat_row(count: int) -> KernelRow:
    return KernelRow(
        name=f"eag_concat_{count}",
        op="CONCATENATION",
        sources=("kernels/eag_concat.c", "kernels/eag_shape.h"),
        refuses=lambda layer: _refuses_concat(layer, count),
        bind=_bind_concat,
        dtypes=_MOVABLE,
        note="byte copies",
    )


def _refuses_pad(layer: LayerView, dtype: DType) -> str | None:
    wanted = 3 if layer.operator.op == "PADV2" else 2
    reason = operand_count(layer, wanted)
    if reason:
        return reason
    x, paddings, y = layer.input(0), layer.input(1), layer.output
    reason = first_reason(
        activation_tensor(x, "the input"),
        quantized(x, "the input", dtype),
        quantized(y, "the output", dtype),
        constant_integers(paddings, "the paddings"),
    )
    if reason:
        return reason
    reason = same_quantization(x, y, "input and output")
    if reason:
        return reason
    if wanted == 2 and dtype is DType.INT16 and scale_and_zero_point(y)[1]:
        return "int16 is padded with 0, which is not its zero point"
    rank = len(x.shape)
    if not 1 <= rank <= _MAX_RANK:
        return f"{rank} dimensions, not 1 to {_MAX_RANK}"
    pads = integers(paddings)
    if pads.shape != (rank, 2) or (pads < 0).any():
        return f"paddings {pads.tolist()} do not fit a tensor of {rank} dimensions"
    padded = tuple(int(size + pads[i].sum()) for i, size in enumerate(x.shape))
    if padded != y.shape:
        return f"the output is {list(y.shape)}, not {list(padded)}"
    if wanted == 3:
        value = layer.input(2)
        reason = quantized(value, "the pad value", dtype)
        if reason:
            return reason
        if value.data is None or value.elements != 1:
            return f"the pad value '{value.name}' is not one constant"
        return same_quantization(value, y, "pad value and output")
    return None


def _bind_pad(layer: LayerView) -> Binding:
    x, y = layer.input(0), layer.output
    pads = integers(layer.input(1))
    if layer.operator.op == "PADV2":
        data = layer.input(2).data
        assert data is not None
        value = int(data.reshape(-1)[0])
    else:
        _, value = scale_and_zero_point(y)
    missing = _MAX_RANK - len(x.shape)
    zeros = (0,) * missing
    # The innermost dimension is counted in bytes.
    widths = (1,) * (len(x.shape) - 1) + (x.dtype.itemsize,)

    def sizes(numbers: Iterable[int]) -> tuple[int, ...]:
        return tuple(int(n) * width for n, width in zip(numbers, widths, strict=True))

    return Binding(
        params=Struct(
            "struct eag_pad_params",
            (
                ("dims", (1,) * missing + sizes(x.shape)),
                ("before", zeros + sizes(pads[:, 0])),
                ("after", zeros + sizes(pads[:, 1])),
                ("value", value),
            ),
        ),
        constants=(),
        operands=(0,),
    )


def _pad_row(op: str, dtype: DType) -> KernelRow:
    return KernelRow(
        name=f"eag_pad_{_PADDABLE[dtype]}",
        op=op,
        sources=("kernels/eag_dsp.h", "kernels/eag_pad.c", "kernels/eag_shape.h"),
        refuses=lambda layer: _refuses_pad(layer, dtype),
        bind=_bind_pad,
        dtypes=(dtype,),
        note="up to four dimensions",
    )


ROWS: tuple[KernelRow, ...] = (
    *(
        KernelRow(
            name=ALIAS,
            op=op,
            sources=(),
            refuses=_refuses_alias,
            bind=_bind_alias,
            dtypes=_MOVABLE,
            rank=10,
            note="no code: another shape of the same memory",
        )
        for op in _RESHAPES
    ),
    *(
        KernelRow(
            name="eag_copy",
            op=op,
            sources=("kernels/eag_copy.c", "kernels/eag_shape.h"),
            refuses=_refuses_reshape,
            bind=_bind_copy,
            dtypes=_MOVABLE,
            rank=200,
            note="a copy, where operand and result need memory of their own",
        )
        for op in _RESHAPES
    ),
    *(_concat_row(count) for count in range(2, _MAX_CONCAT + 1)),
    *(_pad_row(op, dtype) for dtype in _PADDABLE for op in ("PAD", "PADV2")),
)
