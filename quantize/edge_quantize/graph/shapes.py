"""Shapes of operators' results, as TensorFlow Lite defines them.

A result whose shape in the file differs from the one computed here would let a kernel write
outside its buffer, so `check` compares every one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from .model import Graph, Operator, Tensor
from .options import (
    ConcatenationOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Options,
    Padding,
    Pool2DOptions,
    ReducerOptions,
    ReshapeOptions,
    SqueezeOptions,
)

Shape = tuple[int, ...]
# One element in, one element out: of one operand, and of two that broadcast together.
UNARY = (
    *("RELU", "RELU6", "RELU_N1_TO_1", "LEAKY_RELU", "ELU", "GELU", "LOGISTIC", "TANH"),
    *("HARD_SWISH", "ABS", "NEG", "EXP", "SQRT", "RSQRT", "SQUARE", "QUANTIZE", "DEQUANTIZE"),
)
BINARY = ("ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "SQUARED_DIFFERENCE", "PRELU")


_NO_OPTIONS = "its options are missing"


class ShapeError(ValueError):
    """Operands or options that no result shape follows from; the message is the reason."""


@dataclass(frozen=True)
class Window:
    """One dimension of a sliding window: outputs, and zeros before and after the input."""

    outputs: int
    before: int
    after: int


def window(size: int, taps: int, stride: int, dilation: int, padding: Padding) -> Window:
    """A window of `taps` over `size` inputs. Source: TensorFlow Lite's `padding.h` rules.

    Raises ShapeError when a number is not positive or the window does not fit.
    """
    if min(size, taps, stride, dilation) < 1:
        raise ShapeError(
            f"size {size}, window {taps}, stride {stride} and dilation {dilation} must be positive"
        )
    extent = (taps - 1) * dilation + 1
    if padding is Padding.VALID:
        if extent > size:
            raise ShapeError(f"a window of {extent} does not fit into {size} without padding")
        return Window((size - extent) // stride + 1, 0, 0)
    outputs = -(-size // stride)
    total = max(0, (outputs - 1) * stride + extent - size)
    return Window(outputs, total // 2, total - total // 2)


def infer_shape(op: str, operands: Sequence[Tensor | None], options: Options) -> Shape | None:
    """Shape of the only result, or None for an operator that is not known here.

    Raises ShapeError when the operands do not go together.
    """
    rule = _RULES.get(op)
    return None if rule is None else rule(operands, options)


def shape_fault(graph: Graph, operator: Operator) -> str | None:
    """Why the operator's operands and the shape of its result in the file do not go together; None
    where they do, or where that cannot be told from here.

    Whoever edits a graph relies on this before: the file may say anything.
    """
    rule = _RULES.get(operator.op)
    if rule is None:
        return None
    if len(operator.outputs) != 1:
        return f"has {len(operator.outputs)} results instead of 1"
    operands, (result,) = graph.operands(operator), graph.results(operator)
    try:
        source = _operand(operands, 0, "input")
        if operator.op in _BY_CONSTANTS and any(t and not t.is_constant for t in operands[1:]):
            # What it makes is known while running; a RESHAPE has the elements it is given.
            wrong = operator.op == "RESHAPE" and source.elements != result.elements
            return f"makes {list(result.shape)} of {list(source.shape)}" if wrong else None
        expected = rule(operands, operator.options)
    except ShapeError as error:
        return str(error)
    if expected != result.shape:
        return f"has a result of {list(result.shape)} where its operands give {list(expected)}"
    bias = operands[2] if operator.op in _BIASED and len(operands) > 2 else None
    if bias is not None and bias.elements != result.shape[-1]:
        return f"has {bias.elements} biases for {result.shape[-1]} channels"
    return None


def _operand(operands: Sequence[Tensor | None], position: int, what: str) -> Tensor:
    tensor = operands[position] if position < len(operands) else None
    if tensor is None:
        raise ShapeError(f"its {what} (input {position}) is missing")
    return tensor


def _rank(tensor: Tensor, rank: int, what: str) -> Shape:
    if len(tensor.shape) != rank:
        raise ShapeError(f"its {what} has shape {list(tensor.shape)}; {rank} dimensions are needed")
    return tensor.shape


def _constant(operands: Sequence[Tensor | None], position: int, what: str) -> list[int]:
    """The numbers of a constant operand, flattened."""
    tensor = _operand(operands, position, what)
    if tensor.data is None:
        raise ShapeError(f"its {what} '{tensor.name}' is computed while running, not constant")
    if tensor.data.dtype.kind not in "iu" or tensor.encoding:
        raise ShapeError(f"its {what} '{tensor.name}' is not a plain integer constant")
    if tensor.data.size > 16:
        raise ShapeError(f"its {what} '{tensor.name}' has {tensor.data.size} numbers")
    return [int(value) for value in np.ravel(tensor.data)]


def _conv(operands: Sequence[Tensor | None], options: Options) -> Shape:
    if not isinstance(options, Conv2DOptions):
        raise ShapeError(_NO_OPTIONS)
    batch, height, width, channels = _rank(_operand(operands, 0, "input"), 4, "input")
    outputs, taps_h, taps_w, depth = _rank(_operand(operands, 1, "weights"), 4, "weights")
    if depth == 0 or channels == 0 or channels % depth or outputs % (channels // depth):
        raise ShapeError(f"weights for {depth} channels do not go with {channels} input channels")
    o, p = options, options.padding
    return (
        batch,
        window(height, taps_h, o.stride_h, o.dilation_h, p).outputs,
        window(width, taps_w, o.stride_w, o.dilation_w, p).outputs,
        outputs,
    )


def _depthwise(operands: Sequence[Tensor | None], options: Options) -> Shape:
    if not isinstance(options, DepthwiseConv2DOptions):
        raise ShapeError(_NO_OPTIONS)
    batch, height, width, channels = _rank(_operand(operands, 0, "input"), 4, "input")
    one, taps_h, taps_w, outputs = _rank(_operand(operands, 1, "weights"), 4, "weights")
    if one != 1 or channels * options.depth_multiplier != outputs:
        raise ShapeError(
            f"depthwise weights {[one, taps_h, taps_w, outputs]} do not go with {channels} input "
            f"channels and depth multiplier {options.depth_multiplier}"
        )
    o, p = options, options.padding
    return (
        batch,
        window(height, taps_h, o.stride_h, o.dilation_h, p).outputs,
        window(width, taps_w, o.stride_w, o.dilation_w, p).outputs,
        outputs,
    )


def _pool(operands: Sequence[Tensor | None], options: Options) -> Shape:
    if not isinstance(options, Pool2DOptions):
        raise ShapeError(_NO_OPTIONS)
    batch, height, width, channels = _rank(_operand(operands, 0, "input"), 4, "input")
    o = options
    return (
        batch,
        window(height, o.filter_h, o.stride_h, 1, o.padding).outputs,
        window(width, o.filter_w, o.stride_w, 1, o.padding).outputs,
        channels,
    )


def _fully_connected(operands: Sequence[Tensor | None], options: Options) -> Shape:
    if not isinstance(options, FullyConnectedOptions):
        raise ShapeError(_NO_OPTIONS)
    source = _operand(operands, 0, "input")
    outputs, depth = _rank(_operand(operands, 1, "weights"), 2, "weights")
    if depth == 0 or source.elements % depth:
        raise ShapeError(f"{source.elements} input elements are no multiple of depth {depth}")
    if options.keep_num_dims:
        if not source.shape or source.shape[-1] != depth:
            raise ShapeError(f"input {list(source.shape)} does not end in depth {depth}")
        return (*source.shape[:-1], outputs)
    return (source.elements // depth, outputs)


def _elementwise(operands: Sequence[Tensor | None], _: Options) -> Shape:
    first, second = _operand(operands, 0, "first operand"), _operand(operands, 1, "second operand")
    rank = max(len(first.shape), len(second.shape))
    padded = [(1,) * (rank - len(t.shape)) + t.shape for t in (first, second)]
    if any(a != b and 1 not in (a, b) for a, b in zip(*padded, strict=True)):
        raise ShapeError(
            f"shapes {list(first.shape)} and {list(second.shape)} do not broadcast together"
        )
    return tuple(b if a == 1 else a for a, b in zip(*padded, strict=True))


def _same(operands: Sequence[Tensor | None], _: Options) -> Shape:
    return _operand(operands, 0, "input").shape


def _mean(operands: Sequence[Tensor | None], options: Options) -> Shape:
    keep = isinstance(options, ReducerOptions) and options.keep_dims
    shape = _operand(operands, 0, "input").shape
    axes = set()
    for axis in _constant(operands, 1, "axes"):
        if not -len(shape) <= axis < len(shape):
            raise ShapeError(f"axis {axis} is outside shape {list(shape)}")
        axes.add(axis % len(shape))
    if keep:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _pad(operands: Sequence[Tensor | None], _: Options) -> Shape:
    shape = _operand(operands, 0, "input").shape
    paddings = _operand(operands, 1, "paddings")
    if paddings.shape != (len(shape), 2):
        raise ShapeError(
            f"paddings of shape {list(paddings.shape)} do not go with an input of "
            f"{len(shape)} dimensions"
        )
    numbers = _constant(operands, 1, "paddings")
    if min(numbers, default=0) < 0:
        raise ShapeError(f"negative paddings {numbers}")
    return tuple(numbers[2 * i] + n + numbers[2 * i + 1] for i, n in enumerate(shape))


def _transpose(operands: Sequence[Tensor | None], _: Options) -> Shape:
    shape = _operand(operands, 0, "input").shape
    order = _constant(operands, 1, "permutation")
    rank = len(shape)
    inside = all(-rank <= axis < rank for axis in order)
    if not inside or sorted(axis % rank for axis in order) != list(range(rank)):
        raise ShapeError(f"{order} is no permutation of {len(shape)} dimensions")
    return tuple(shape[axis] for axis in order)


def _reshape(operands: Sequence[Tensor | None], options: Options) -> Shape:
    source = _operand(operands, 0, "input")
    if len(operands) > 1 and operands[1] is not None:
        wanted = _constant(operands, 1, "new shape")
    elif isinstance(options, ReshapeOptions):
        wanted = list(options.new_shape)
    else:
        raise ShapeError("it names no new shape")
    known = math.prod(n for n in wanted if n != -1)
    if min(wanted, default=0) < -1 or wanted.count(-1) > 1:
        raise ShapeError(f"new shape {wanted} is not a shape")
    if -1 in wanted:
        if known == 0 or source.elements % known:
            raise ShapeError(f"{source.elements} elements cannot be shaped {wanted}")
        wanted[wanted.index(-1)] = source.elements // known
    elif known != source.elements:
        raise ShapeError(f"{source.elements} elements cannot be shaped {wanted}")
    return tuple(wanted)


def _expand_dims(operands: Sequence[Tensor | None], _: Options) -> Shape:
    shape = _operand(operands, 0, "input").shape
    axes = _constant(operands, 1, "axis")
    if len(axes) != 1 or not -len(shape) - 1 <= axes[0] <= len(shape):
        raise ShapeError(f"axis {axes} is not a place in shape {list(shape)}")
    at = axes[0] % (len(shape) + 1)
    return (*shape[:at], 1, *shape[at:])


def _squeeze(operands: Sequence[Tensor | None], options: Options) -> Shape:
    if not isinstance(options, SqueezeOptions):
        raise ShapeError(_NO_OPTIONS)
    shape = _operand(operands, 0, "input").shape
    wrong = [i for i in options.dims if not -len(shape) <= i < len(shape) or shape[i] != 1]
    if wrong:
        raise ShapeError(f"dimension {wrong[0]} of shape {list(shape)} is not of size 1")
    gone = {i % len(shape) for i in options.dims}
    if not options.dims:
        gone = {i for i, n in enumerate(shape) if n == 1}
    return tuple(n for i, n in enumerate(shape) if i not in gone)


def _concatenation(operands: Sequence[Tensor | None], options: Options) -> Shape:
    if not isinstance(options, ConcatenationOptions):
        raise ShapeError(_NO_OPTIONS)
    shapes = [_operand(operands, i, "input").shape for i in range(max(1, len(operands)))]
    rank = len(shapes[0])
    if not -rank <= options.axis < rank:
        raise ShapeError(f"axis {options.axis} is outside shape {list(shapes[0])}")
    axis = options.axis % rank
    rests = {shape[:axis] + shape[axis + 1 :] if len(shape) == rank else None for shape in shapes}
    if len(rests) > 1:
        raise ShapeError(
            f"shapes {[list(shape) for shape in shapes]} differ outside axis {options.axis}"
        )
    total = sum(shape[axis] for shape in shapes)
    return (*shapes[0][:axis], total, *shapes[0][axis + 1 :])


def _resize(operands: Sequence[Tensor | None], _: Options) -> Shape:
    shape = _rank(_operand(operands, 0, "input"), 4, "input")
    size = _constant(operands, 1, "size")
    if len(size) != 2 or min(size) < 1:
        raise ShapeError(f"{size} is no height and width")
    return (shape[0], *size, shape[3])


# Their further operands say what to do, and may be computed while running.
_BY_CONSTANTS = frozenset(
    {
        *("MEAN", "PAD", "PADV2", "TRANSPOSE", "RESHAPE", "EXPAND_DIMS"),
        *("RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"),
    }
)
_BIASED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
_RULES: dict[str, Callable[[Sequence[Tensor | None], Options], Shape]] = {
    **dict.fromkeys(UNARY, _same),
    **dict.fromkeys(BINARY, _elementwise),
    "CONV_2D": _conv,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _fully_connected,
    "AVERAGE_POOL_2D": _pool,
    "MAX_POOL_2D": _pool,
    "L2_POOL_2D": _pool,
    "RESIZE_BILINEAR": _resize,
    "RESIZE_NEAREST_NEIGHBOR": _resize,
    "MEAN": _mean,
    "PAD": _pad,
    "PADV2": _pad,
    "TRANSPOSE": _transpose,
    "RESHAPE": _reshape,
    "EXPAND_DIMS": _expand_dims,
    "SQUEEZE": _squeeze,
    "SOFTMAX": _same,
    "CONCATENATION": _concatenation,
}
