"""The model as a typed graph: what a `.tflite` file says, checked, in frozen values.

Layout follows TensorFlow Lite: activations are NHWC, convolution weights are
`[out_channels, kernel_h, kernel_w, in_channels]`, depthwise weights are
`[1, kernel_h, kernel_w, out_channels]`, fully-connected weights are `[out, in]`.
Batch is 1 in everything that runs on a board.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .options import Options


class DType(enum.Enum):
    """Element types of `.tflite` tensors; the value is the numpy name where there is one."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    FLOAT64 = "float64"
    INT4 = "int4"  # packed two a byte in the file; unpacked to int8 in `Tensor.data`
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    UINT16 = "uint16"
    INT32 = "int32"
    UINT32 = "uint32"
    INT64 = "int64"
    UINT64 = "uint64"
    BOOL = "bool"
    COMPLEX64 = "complex64"
    COMPLEX128 = "complex128"
    # These have no numpy element of their own; a constant's data is its bytes as uint8.
    STRING = "string"
    RESOURCE = "resource"
    VARIANT = "variant"
    BFLOAT16 = "bfloat16"
    INT2 = "int2"
    UINT4 = "uint4"
    FLOAT8_E4M3FN = "float8_e4m3fn"
    FLOAT8_E5M2 = "float8_e5m2"

    @property
    def opaque(self) -> bool:
        """Whether numpy has no such element, so that constants are held as raw bytes."""
        return self in _OPAQUE

    @property
    def itemsize(self) -> int:
        """Bytes of one element of `Tensor.data` (int4 counts as one: it is unpacked there)."""
        return self.numpy.itemsize

    @property
    def numpy(self) -> np.dtype[np.generic]:
        """The element of `Tensor.data`: int8 for int4, uint8 for the opaque types."""
        if self is DType.INT4:
            return np.dtype("int8")
        return np.dtype("uint8" if self in _OPAQUE else self.value)


_OPAQUE = frozenset(
    {
        DType.STRING,
        DType.RESOURCE,
        DType.VARIANT,
        DType.BFLOAT16,
        DType.INT2,
        DType.UINT4,
        DType.FLOAT8_E4M3FN,
        DType.FLOAT8_E5M2,
    }
)


def fits_int4(data: npt.NDArray[np.generic]) -> bool:
    """Whether four bits hold every element: -8 to 7."""
    return data.size == 0 or bool(-8 <= data.min() <= data.max() <= 7)


@dataclass(frozen=True)
class Quantization:
    """Affine quantization: `real = scale * (q - zero_point)`.

    `scales` and `zero_points` have one entry (per tensor) or one per slice of `axis`
    (per channel). Scales are float32 values held in Python floats, without loss.
    """

    scales: tuple[float, ...]
    zero_points: tuple[int, ...]
    axis: int = 0

    @property
    def per_channel(self) -> bool:
        return len(self.scales) > 1

    @property
    def scale(self) -> float:
        """The only scale. Raises ValueError when quantized per channel."""
        (scale,) = self.scales
        return scale

    @property
    def zero_point(self) -> int:
        """The only zero point. Raises ValueError when quantized per channel."""
        (zero_point,) = self.zero_points
        return zero_point


@dataclass(frozen=True, eq=False)
class Tensor:
    """One tensor. `data` is the constant's content, read-only, or None for an activation."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: DType
    quantization: Quantization | None = None
    data: npt.NDArray[np.generic] | None = None
    # The shape the converter saw, -1 for a dimension it left open; empty when all are fixed.
    shape_signature: tuple[int, ...] = ()
    is_variable: bool = False  # keeps its value from one inference to the next
    # How the content is stored when not densely with an affine quantization ("sparse",
    # "blockwise quantization", ...); such content is not read.
    encoding: str = ""

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes when held densely, in the file as on the board: int4 two in a byte."""
        if self.dtype is DType.INT4:
            return (self.elements + 1) // 2
        return self.elements * self.dtype.itemsize

    @property
    def is_constant(self) -> bool:
        return self.data is not None


@dataclass(frozen=True)
class Operator:
    """One operator. `inputs` holds tensor indices; -1 stands for an optional input left out."""

    index: int
    op: str  # the schema's name: "CONV_2D", "FULLY_CONNECTED", ...
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Options
    version: int = 1
    # Tensors that only carry the quantization of what an LSTM computes inside.
    intermediates: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False)
class Graph:
    """One subgraph with its tensors; operators are in execution order."""

    name: str
    tensors: tuple[Tensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    description: str = ""
    sha256: str = ""  # of the file it was read from, hex; empty for a graph built in memory
    labels: tuple[str, ...] = ()
    metadata: dict[str, bytes] = field(default_factory=dict)
    # Further subgraphs of the file (control flow, several signatures), by name; not read.
    other_subgraphs: tuple[str, ...] = ()

    def tensor(self, index: int) -> Tensor:
        return self.tensors[index]

    def operands(self, operator: Operator) -> tuple[Tensor | None, ...]:
        """The operator's inputs as tensors, None where an optional one is left out."""
        return tuple(self.tensors[i] if i >= 0 else None for i in operator.inputs)

    def results(self, operator: Operator) -> tuple[Tensor, ...]:
        return tuple(self.tensors[i] for i in operator.outputs)

    def layer_name(self, operator: Operator) -> str:
        """What the operator is called in messages and reports: its first output's name."""
        return self.tensors[operator.outputs[0]].name if operator.outputs else operator.op

    def constants(self) -> Iterator[Tensor]:
        return (tensor for tensor in self.tensors if tensor.is_constant)

    @property
    def constant_bytes(self) -> int:
        """Bytes of every constant that some operator reads: the file's own weights."""
        read = {i for operator in self.operators for i in operator.inputs if i >= 0}
        return sum(self.tensors[i].nbytes for i in sorted(read) if self.tensors[i].is_constant)
