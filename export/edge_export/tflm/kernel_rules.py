"""Per kernel: the bytes that it asks for by shape and type, beyond the structs of its row.

Each rule is what the kernel's `Prepare` computes; the functions of CMSIS-NN that it calls are in
`cmsis_nn`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_quantize.graph.model import DType, Tensor
from edge_quantize.graph.options import (
    Conv2DOptions,
    DepthwiseConv2DOptions,
    Options,
    SchemaOptions,
)

from . import cmsis_nn
from .cmsis_nn import Simd
from .structs import CORE, KERNELS

_INT16_TABLE = 2 * 513  # of softmax: 513 entries of int16


@dataclass(frozen=True)
class View:
    """An operator with its tensors. `simd` is None for the reference kernels."""

    inputs: tuple[Tensor | None, ...]
    outputs: tuple[Tensor, ...]
    options: Options
    simd: Simd | None

    def input(self, position: int) -> Tensor | None:
        return self.inputs[position] if position < len(self.inputs) else None

    def operand(self, position: int) -> Tensor:
        """An input that the operator cannot do without. Raises ValueError when it is left out."""
        tensor = self.input(position)
        if tensor is None:
            raise ValueError(f"input {position} is left out")
        return tensor

    def listed(self, field: str) -> int:
        """A number of the operator's option table. Raises ValueError when it is not there."""
        values = self.options.values if isinstance(self.options, SchemaOptions) else {}
        value = values.get(field)
        if not isinstance(value, int):
            raise ValueError(f"{field} was not read")
        return int(value)

    @property
    def output(self) -> Tensor:
        return self.outputs[0]

    @property
    def core(self) -> Simd:
        assert self.simd is not None
        return self.simd


@dataclass(frozen=True)
class Need:
    """Bytes: what stays allocated, and what is scratch while the operator runs."""

    kept: tuple[int, ...] = ()
    scratch: tuple[int, ...] = ()


Rule = Callable[[View], Need]


def nothing(_: View) -> Need:
    return Need()


def _scales(tensor: Tensor) -> int:
    return len(tensor.quantization.scales) if tensor.quantization else 0


def _dims(tensor: Tensor) -> int:
    """TfLiteIntArrayGetSizeInBytes."""
    return 4 + 4 * len(tensor.shape)


def _per_channel(channels: int) -> tuple[int, int]:
    """Multipliers and shifts, int32 each."""
    return 4 * channels, 4 * channels


def of_int8(struct: str) -> Rule:
    """Prepare keeps `struct` when the result is int8."""

    def rule(view: View) -> Need:
        return Need(kept=(KERNELS[struct].size,)) if view.output.dtype is DType.INT8 else Need()

    return rule


def writable_output(view: View) -> Need:
    """CreateWritableTensorDimsWithCopy of the output."""
    return Need(kept=(_dims(view.output),))


def embedding_lookup(view: View) -> Need:
    return Need(kept=(_dims(view.output), KERNELS["embedding_lookup.cc OpData"].size))


def add_n(view: View) -> Need:
    kept = (KERNELS["add_n.cc OpData"].size,) if view.output.dtype is DType.INT8 else ()
    return Need(kept, (4 * len(view.inputs),))


def mirror_pad(view: View) -> Need:
    iterator = 4 * len(view.operand(0).shape)
    return Need(scratch=(iterator, iterator))


def reduce(view: View) -> Need:
    return Need(scratch=(4 * len(view.operand(0).shape), 4 * view.operand(1).elements))


def mean(view: View) -> Need:
    quantized = view.operand(0).dtype in (DType.INT8, DType.INT16)
    accumulators = (4 * view.output.elements,) if quantized else ()
    return Need(scratch=accumulators + reduce(view).scratch)


def softmax(view: View) -> Need:
    return Need(kept=(_INT16_TABLE,) * 2 if view.operand(0).dtype is DType.INT16 else ())


def batch_matmul(view: View) -> Need:
    """A copy of what has to be transposed: the left operand where the options say so, the right
    one where they do not."""
    left, right = view.operand(0), view.operand(1)
    kept: list[int] = []
    transposed = [left] if view.listed("adj_x") else []
    if not view.listed("adj_y"):
        transposed.append(right)
    for tensor in transposed:
        kept += [CORE["TfLiteEvalTensor"].size, _dims(tensor), tensor.nbytes]
    kept.append(_dims(view.output))
    if left.dtype is not DType.FLOAT32:
        kept.append(KERNELS["QuantizationOpDataBatchMatmul"].size)
    scratch = 0
    if view.simd is not None and left.dtype is DType.INT8:
        scratch = cmsis_nn.sums(view.simd, view.output.shape[-1])
    return Need(tuple(kept), (scratch,) if scratch else ())


def convolution(channel_axis: int) -> Rule:
    """CONV_2D and DEPTHWISE_CONV_2D of the reference kernels."""

    def rule(view: View) -> Need:
        weights = view.operand(1)
        unpacked = (weights.elements,) if weights.dtype is DType.INT4 else ()
        return Need(_per_channel(weights.shape[channel_axis]), unpacked)

    return rule


def average_pool_cmsis(view: View) -> Need:
    x = view.operand(0)
    if x.dtype not in (DType.INT8, DType.INT16):
        return Need()
    scratch = cmsis_nn.average_pool(view.core, x.shape[-1])
    return Need(scratch=(scratch,) if scratch else ())


def convolution_cmsis(view: View) -> Need:
    x, weights = view.operand(0), view.operand(1)
    assert isinstance(view.options, Conv2DOptions)
    if x.dtype is DType.FLOAT32:
        return Need()
    if x.dtype is DType.INT8:
        scratch = cmsis_nn.convolve_s8(
            view.core, x, weights.shape, view.output.shape[2], view.options
        )
    else:
        scratch = cmsis_nn.convolve_s16(view.core, x, weights.shape)
    return Need(_per_channel(weights.shape[0]), (scratch,) if scratch else ())


def depthwise_cmsis(view: View) -> Need:
    x, weights, o = view.operand(0), view.operand(1), view.options
    assert isinstance(o, DepthwiseConv2DOptions)
    if x.dtype is DType.FLOAT32:
        return Need()
    scratch = 0
    if weights.dtype is DType.INT4:
        dilated = (o.dilation_h, o.dilation_w) != (1, 1)
        scratch = cmsis_nn.depthwise_s4(view.core, x, weights.shape, dilated)
    elif x.dtype is DType.INT8:
        scratch = cmsis_nn.depthwise(view.core, x, weights.shape, view.output, o)
    return Need(_per_channel(weights.shape[3]), (scratch,) if scratch else ())


def _dense_channels(view: View) -> tuple[int, ...]:
    """Of weights with a scale a row; a single scale goes into the kernel's own struct."""
    scales = _scales(view.operand(1))
    quantized = view.operand(0).dtype is not DType.FLOAT32
    return _per_channel(scales) if quantized and scales > 1 else ()


def fully_connected(view: View) -> Need:
    weights = view.operand(1)
    unpacked = (weights.elements,) if weights.dtype is DType.INT4 else ()
    return Need(_dense_channels(view), unpacked)


def fully_connected_cmsis(view: View) -> Need:
    x, weights, bias = view.operand(0), view.operand(1), view.input(2)
    kept = _dense_channels(view)
    if x.dtype is not DType.INT8 or weights.dtype is DType.INT4:
        return Need(kept)
    outputs = view.output.shape[-1]
    if len(view.output.shape) > 2 and weights.shape[-1] % 4 == 0:
        # A 1x1 convolution, which wants a multiplier and a shift for every channel.
        return Need(kept, () if kept else (sum(_per_channel(outputs)),))
    sums = cmsis_nn.sums(view.core, outputs)
    if not sums:
        return Need(kept)
    if weights.is_constant and (bias is None or bias.is_constant):
        return Need((*kept, sums))
    return Need(kept, (sums,))


def svdf(view: View) -> Need:
    x, features = view.operand(0), view.operand(1)
    state = 4 * x.shape[0] * features.shape[0]
    if x.dtype is DType.FLOAT32:
        return Need(scratch=(state,))
    return Need(scratch=(state, 4 * view.output.elements))


def svdf_cmsis(view: View) -> Need:
    need = svdf(view)
    sums = cmsis_nn.sums(view.core, view.operand(1).shape[0])
    if view.operand(0).dtype is DType.FLOAT32 or not sums:
        return need
    return Need((sums,), need.scratch)


def _wide_bias(view: View) -> tuple[int, ...]:
    """A bias of int16 is widened to int64."""
    bias = view.input(3)
    return (8 * bias.elements,) if bias is not None and bias.dtype is DType.INT16 else ()


def transpose_convolution(view: View) -> Need:
    x, weights = view.operand(2), view.operand(1)
    kept = _per_channel(weights.shape[0])
    if x.dtype is DType.FLOAT32:
        return Need(kept)
    width = 4 if x.dtype is DType.INT8 else 8
    return Need(kept, (width * view.output.elements, *_wide_bias(view)))


def transpose_convolution_cmsis(view: View) -> Need:
    x, weights = view.operand(2), view.operand(1)
    if x.dtype is not DType.INT8:
        return transpose_convolution(view)
    stride = view.listed("stride_h"), view.listed("stride_w")
    scratch = cmsis_nn.transpose_convolve(view.core, x, weights.shape, stride)
    return Need(_per_channel(weights.shape[0]), scratch)
