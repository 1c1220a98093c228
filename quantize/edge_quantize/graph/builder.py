"""Graphs made in memory: small int8 and int16 models for tests, goldens and examples.

b = GraphBuilder("tiny")
x = b.input("x", (1, 8, 8, 1), scale=0.1, zero_point=-3)
w = b.weights("w", int8_array, scales=[0.02] * 4)
y = b.conv_2d(x, w, None, scale=0.2, zero_point=5, padding=Padding.VALID)
graph = b.build([y])
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import UnsupportedModelError

from .model import DType, Graph, Operator, Quantization, Tensor, fits_int4
from .options import (
    Activation,
    ConcatenationOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    ElementwiseOptions,
    FullyConnectedOptions,
    NoOptions,
    Options,
    Padding,
    Pool2DOptions,
    ReducerOptions,
    ReshapeOptions,
    SoftmaxOptions,
)
from .shapes import infer_shape
from .structure import structure_problems

# The lowest operator versions that mean what the options here say with int8 tensors, and with int16
# ones where those need a later one. Source: TensorFlow Lite's `op_version.cc`.
_VERSIONS = {
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 3,
    "FULLY_CONNECTED": 4,
    "AVERAGE_POOL_2D": 2,
    "MAX_POOL_2D": 2,
    "ADD": 2,
    "SUB": 2,
    "MUL": 2,
    "MEAN": 2,
    "PAD": 2,
    "SOFTMAX": 2,
    "CONCATENATION": 2,
    "RELU": 2,
    "RELU6": 2,
    "LOGISTIC": 2,
    "TANH": 2,
    "DEQUANTIZE": 2,
}
_VERSIONS_INT16 = {
    "CONV_2D": 4,
    "DEPTHWISE_CONV_2D": 5,
    "FULLY_CONNECTED": 7,
    "AVERAGE_POOL_2D": 3,
    "MAX_POOL_2D": 3,
    "ADD": 5,
    "SUB": 5,
    "MUL": 4,
    "MEAN": 3,
    "PAD": 3,
    "PADV2": 3,
    "SOFTMAX": 3,
    "CONCATENATION": 3,
    "RELU": 3,
    "RELU6": 3,
    "LOGISTIC": 3,
    "TANH": 3,
    "QUANTIZE": 2,
    "DEQUANTIZE": 3,
}
Ints = Sequence[int] | npt.NDArray[np.generic]


def _f32(value: float) -> float:
    """Scales are float32 in the file."""
    return float(np.float32(value))


class GraphBuilder:
    """Adds tensors and operators one by one; methods take and return tensor indices."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._tensors: list[Tensor] = []
        self._operators: list[Operator] = []
        self._inputs: list[int] = []

    def tensor(
        self,
        name: str,
        shape: Sequence[int],
        dtype: DType = DType.INT8,
        quantization: Quantization | None = None,
        data: npt.NDArray[np.generic] | None = None,
        variable: bool = False,
    ) -> int:
        index = len(self._tensors)
        if data is not None:
            data = np.array(data, dtype.numpy).reshape(tuple(shape))
            data.setflags(write=False)
        self._tensors.append(
            Tensor(index, name, tuple(shape), dtype, quantization, data, is_variable=variable)
        )
        return index

    def input(
        self,
        name: str,
        shape: Sequence[int],
        scale: float = 1.0,
        zero_point: int = 0,
        dtype: DType = DType.INT8,
    ) -> int:
        """An input of the model; a float32 one has no quantization."""
        quantization = None if dtype is DType.FLOAT32 else _affine(scale, zero_point)
        index = self.tensor(name, shape, dtype, quantization)
        self._inputs.append(index)
        return index

    def weights(
        self,
        name: str,
        data: npt.NDArray[np.generic],
        scales: Sequence[float],
        axis: int = 0,
        dtype: DType = DType.INT8,
    ) -> int:
        """Symmetric int8 or int4 weights, per tensor (one scale) or per channel along `axis`.

        Raises ValueError for int4 weights outside -8 to 7.
        """
        if dtype is DType.INT4 and not fits_int4(data):
            raise ValueError(f"'{name}' is to be int4, and runs from {data.min()} to {data.max()}")
        quantization = Quantization(tuple(_f32(s) for s in scales), (0,) * len(scales), axis)
        return self.tensor(name, data.shape, dtype, quantization, data)

    def bias(
        self, name: str, data: Ints, source: int, weights: int, dtype: DType | None = None
    ) -> int:
        """A bias whose scales are those of the input times those of the weights: int64 for an int16
        input, int32 for an int8 one, unless `dtype` says otherwise."""
        if dtype is None:
            int16 = self._tensors[source].dtype is DType.INT16
            dtype = DType.INT64 if int16 else DType.INT32
        values = np.asarray(data, dtype.numpy)
        in_scale = self._quantization(source).scale
        scales = tuple(_f32(in_scale * s) for s in self._quantization(weights).scales)
        quantization = Quantization(scales, (0,) * len(scales), 0)
        return self.tensor(name, values.shape, dtype, quantization, values)

    def constant(
        self, name: str, data: npt.NDArray[np.generic], quantization: Quantization | None = None
    ) -> int:
        return self.tensor(name, data.shape, DType(data.dtype.name), quantization, data)

    def operator(
        self,
        op: str,
        inputs: Sequence[int],
        options: Options | None = None,
        *,
        scale: float | None = None,
        zero_point: int = 0,
        dtype: DType | None = None,
        shape: Sequence[int] | None = None,
        name: str | None = None,
        version: int | None = None,
        intermediates: Sequence[int] = (),
    ) -> int:
        """Any operator with one result; its shape is inferred unless given.

        Without `scale` the result takes the first input's quantization; without `dtype` it is int16
        where that is, else int8.
        """
        if dtype is None:
            dtype = self._activation_type(inputs[0])
        options = options if options is not None else NoOptions()
        operands = [self._tensors[i] if i >= 0 else None for i in inputs]
        if shape is None:
            shape = infer_shape(op, operands, options)
            if shape is None:
                raise ValueError(f"no shape rule for {op}: give the shape")
        if dtype is DType.FLOAT32:
            quantization = None
        elif scale is None:
            quantization = self._tensors[inputs[0]].quantization
        else:
            quantization = _affine(scale, zero_point)
        number = len(self._operators)
        result = self.tensor(name or f"{op.lower()}_{number}", shape, dtype, quantization)
        if version is None:
            version = _VERSIONS.get(op, 1)
            if DType.INT16 in (dtype, self._tensors[inputs[0]].dtype):
                version = _VERSIONS_INT16.get(op, version)
        self._operators.append(
            Operator(number, op, tuple(inputs), (result,), options, version, tuple(intermediates))
        )
        return result

    def conv_2d(
        self,
        source: int,
        weights: int,
        bias: int | None,
        scale: float,
        zero_point: int,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: Padding = Padding.SAME,
        dilation: tuple[int, int] = (1, 1),
        activation: Activation = Activation.NONE,
    ) -> int:
        """Strides and dilations are (height, width)."""
        sums = self._quantized_bias_type(source, bias)
        options = Conv2DOptions(padding, *stride, *dilation, activation, sums)
        inputs = (source, weights) if bias is None else (source, weights, bias)
        return self.operator("CONV_2D", inputs, options, scale=scale, zero_point=zero_point)

    def depthwise_conv_2d(
        self,
        source: int,
        weights: int,
        bias: int | None,
        scale: float,
        zero_point: int,
        *,
        stride: tuple[int, int] = (1, 1),
        padding: Padding = Padding.SAME,
        dilation: tuple[int, int] = (1, 1),
        depth_multiplier: int = 1,
        activation: Activation = Activation.NONE,
    ) -> int:
        options = DepthwiseConv2DOptions(padding, *stride, depth_multiplier, *dilation, activation)
        inputs = (source, weights) if bias is None else (source, weights, bias)
        return self.operator(
            "DEPTHWISE_CONV_2D", inputs, options, scale=scale, zero_point=zero_point
        )

    def fully_connected(
        self,
        source: int,
        weights: int,
        bias: int | None,
        scale: float,
        zero_point: int,
        *,
        activation: Activation = Activation.NONE,
        keep_num_dims: bool = False,
    ) -> int:
        sums = self._quantized_bias_type(source, bias)
        options = FullyConnectedOptions(activation, keep_num_dims, quantized_bias_type=sums)
        inputs = (source, weights) if bias is None else (source, weights, bias)
        return self.operator("FULLY_CONNECTED", inputs, options, scale=scale, zero_point=zero_point)

    def pool(
        self,
        op: str,
        source: int,
        size: tuple[int, int],
        stride: tuple[int, int],
        *,
        padding: Padding = Padding.VALID,
        activation: Activation = Activation.NONE,
    ) -> int:
        """`op` is AVERAGE_POOL_2D or MAX_POOL_2D; the result keeps the input's quantization."""
        return self.operator(op, (source,), Pool2DOptions(padding, *stride, *size, activation))

    def elementwise(
        self,
        op: str,
        first: int,
        second: int,
        scale: float,
        zero_point: int,
        *,
        activation: Activation = Activation.NONE,
    ) -> int:
        """`op` is ADD, SUB or MUL. Scales of int16 ones need not be powers of two."""
        options = ElementwiseOptions(activation)
        if op != "MUL" and self._activation_type(first) is DType.INT16:
            options = ElementwiseOptions(activation, pot_scale_int16=False)
        return self.operator(op, (first, second), options, scale=scale, zero_point=zero_point)

    def mean(
        self, source: int, axes: Sequence[int], scale: float, zero_point: int, keep_dims: bool
    ) -> int:
        axis = self.constant(f"axes_{len(self._operators)}", np.asarray(axes, np.int32))
        return self.operator(
            "MEAN", (source, axis), ReducerOptions(keep_dims), scale=scale, zero_point=zero_point
        )

    def pad(self, source: int, paddings: Sequence[tuple[int, int]]) -> int:
        constant = self.constant(f"paddings_{len(self._operators)}", np.asarray(paddings, np.int32))
        return self.operator("PAD", (source, constant))

    def reshape(self, source: int, shape: Sequence[int]) -> int:
        constant = self.constant(f"shape_{len(self._operators)}", np.asarray(shape, np.int32))
        return self.operator("RESHAPE", (source, constant), ReshapeOptions(tuple(shape)))

    def softmax(self, source: int, beta: float = 1.0) -> int:
        """The result is the operand's type, in the only quantization that softmax has there."""
        options = SoftmaxOptions(_f32(beta))
        if self._activation_type(source) is DType.INT16:
            return self.operator("SOFTMAX", (source,), options, scale=1 / 32768)
        return self.operator("SOFTMAX", (source,), options, scale=1 / 256, zero_point=-128)

    def activation(self, op: str, source: int) -> int:
        """`op` is LOGISTIC or TANH; the result is quantized in the only way that they have."""
        scale, zero_point = (1 / 256, -128) if op == "LOGISTIC" else (1 / 128, 0)
        if self._activation_type(source) is DType.INT16:
            scale, zero_point = 1 / 32768, 0
        return self.operator(op, (source,), scale=scale, zero_point=zero_point)

    def concatenation(
        self, sources: Sequence[int], axis: int, activation: Activation = Activation.NONE
    ) -> int:
        return self.operator("CONCATENATION", sources, ConcatenationOptions(axis, activation))

    def quantize(
        self, source: int, scale: float, zero_point: int, dtype: DType = DType.INT8
    ) -> int:
        return self.operator("QUANTIZE", (source,), scale=scale, zero_point=zero_point, dtype=dtype)

    def dequantize(self, source: int) -> int:
        return self.operator("DEQUANTIZE", (source,), dtype=DType.FLOAT32)

    def shape_of(self, index: int) -> tuple[int, ...]:
        """The shape of a tensor made earlier."""
        return self._tensors[index].shape

    def build(self, outputs: Sequence[int], labels: Sequence[str] = ()) -> Graph:
        """The graph. Raises UnsupportedModelError when it does not hang together."""
        graph = Graph(
            name=self._name,
            tensors=tuple(self._tensors),
            operators=tuple(self._operators),
            inputs=tuple(self._inputs),
            outputs=tuple(outputs),
            labels=tuple(labels),
            metadata={"labels.txt": "\n".join(labels).encode()} if labels else {},
        )
        problems = tuple(structure_problems(graph))
        if problems:
            raise UnsupportedModelError(f"{self._name}: {problems[0]}", problems)
        return graph

    def _quantized_bias_type(self, source: int, bias: int | None) -> str:
        """A bias of 32 bits makes the sums of int16 activations be of 32 bits, and is to say so."""
        int32 = bias is not None and self._tensors[bias].dtype is DType.INT32
        return "INT32" if int32 and self._tensors[source].dtype is DType.INT16 else "FLOAT32"

    def _activation_type(self, index: int) -> DType:
        return DType.INT16 if self._tensors[index].dtype is DType.INT16 else DType.INT8

    def _quantization(self, index: int) -> Quantization:
        quantization = self._tensors[index].quantization
        if quantization is None:
            raise ValueError(f"tensor '{self._tensors[index].name}' is not quantized")
        return quantization


def _affine(scale: float, zero_point: int) -> Quantization:
    return Quantization((_f32(scale),), (zero_point,))
