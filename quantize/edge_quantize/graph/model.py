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
    INT4 = "int4"  # packed two a byte in the file; unpacked to int8 in `Tensor.data`
    INT8 = "int8"
    UINT8 = "uint8"
    INT16 = "int16"
    INT32 = "int32"
    INT64 = "int64"
    BOOL = "bool"

    @property
    def itemsize(self) -> int:
        """Bytes an element takes in RAM (int4 counts as one: it is unpacked)."""
        return 1 if self is DType.INT4 else np.dtype(self.value).itemsize

    @property
    def numpy(self) -> np.dtype[np.generic]:
        return np.dtype("int8" if self is DType.INT4 else self.value)


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

    @property
    def elements(self) -> int:
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes in RAM when held densely."""
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

    def tensor(self, index: int) -> Tensor:
        return self.tensors[index]

    def operands(self, operator: Operator) -> tuple[Tensor | None, ...]:
        """The operator's inputs as tensors, None where an optional one is left out."""
        return tuple(self.tensors[i] if i >= 0 else None for i in operator.inputs)

    def results(self, operator: Operator) -> tuple[Tensor, ...]:
        return tuple(self.tensors[i] for i in operator.outputs)

    def constants(self) -> Iterator[Tensor]:
        return (tensor for tensor in self.tensors if tensor.is_constant)

    @property
    def constant_bytes(self) -> int:
        """Bytes of every constant that some operator reads: the file's own weights."""
        read = {i for operator in self.operators for i in operator.inputs if i >= 0}
        return sum(self.tensors[i].nbytes for i in sorted(read) if self.tensors[i].is_constant)
