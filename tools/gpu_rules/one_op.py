"""A model of a single operator, in a few words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.model import DType, Graph, Operator, Quantization, Tensor
from edge_quantize.graph.options import NoOptions, Options, SchemaOptions

DTYPES = {
    "f32": DType.FLOAT32,
    "f16": DType.FLOAT16,
    "f64": DType.FLOAT64,
    "i4": DType.INT4,
    "i8": DType.INT8,
    "u8": DType.UINT8,
    "i16": DType.INT16,
    "u16": DType.UINT16,
    "i32": DType.INT32,
    "u32": DType.UINT32,
    "i64": DType.INT64,
    "bool": DType.BOOL,
    "c64": DType.COMPLEX64,
}
_QUANTIZED = ("i4", "i8", "u8", "i16")
# What the kernels ask of these results; everything else is free.
_SCALES = {"SOFTMAX": 1 / 256, "LOGISTIC": 1 / 256, "TANH": 1 / 128, "L2_NORMALIZATION": 1 / 128}
_SCALES |= {"LOG_SOFTMAX": 16 / 256}


@dataclass(frozen=True)
class T:
    """A tensor: shape, element type, and content where it is a constant (True: made up)."""

    shape: tuple[int, ...]
    dtype: str = "f32"
    data: Any = None
    channels: int | None = None  # the axis of a per-channel quantization
    quantized: bool = True  # integers of 4 to 16 bits carry a scale
    signature: tuple[int, ...] = ()
    scale: float = 0.05
    zero_point: int | None = None
    variable: bool = False

    def content(self) -> npt.NDArray[np.generic] | None:
        if self.data is None:
            return None
        kind = DTYPES[self.dtype]
        if self.data is True:
            values = np.random.default_rng(7).integers(1, 6, self.shape)
            data = (values / 4 if self.dtype in ("f32", "f16") else values).astype(kind.numpy)
        else:
            data = np.asarray(self.data, kind.numpy).reshape(self.shape)
        data.setflags(write=False)
        return data

    def quantization(self, result_of: str = "") -> Quantization | None:
        if self.channels is None and (self.dtype not in _QUANTIZED or not self.quantized):
            return None
        if self.channels is not None:
            count = self.shape[self.channels]
            return Quantization((float(np.float32(0.01)),) * count, (0,) * count, self.channels)
        scale, zero = self.scale, self.zero_point
        if self.dtype == "i16":
            scale, zero = (1 / 32768 if result_of in _SCALES else scale), 0
        elif result_of in _SCALES:
            scale, zero = _SCALES[result_of], {"i8": -128, "u8": 0}[self.dtype]
            if result_of in ("TANH", "L2_NORMALIZATION"):
                zero = {"i8": 0, "u8": 128}[self.dtype]
            if result_of == "LOG_SOFTMAX":
                zero = {"i8": 127, "u8": 255}[self.dtype]
        if zero is None:
            zero = {"i8": -3, "u8": 120, "i4": 0}[self.dtype]
        return Quantization((float(np.float32(scale)),), (zero,))


def one_op(
    op: str,
    inputs: Sequence[T | None],
    outputs: Sequence[T],
    options: Options | None = None,
    version: int = 1,
    same: Sequence[tuple[int, int]] = (),
) -> Graph:
    """`same` pairs (position, earlier position) of operands that are one tensor."""
    tensors: list[Tensor] = []
    twins = dict(same)

    def add(t: T, name: str, result_of: str = "") -> int:
        data = t.content()
        tensors.append(
            Tensor(
                len(tensors), name, t.shape, DTYPES[t.dtype], t.quantization(result_of), data,
                t.signature, t.variable,
            )
        )  # fmt: skip
        return len(tensors) - 1

    read: list[int] = []
    for position, each in enumerate(inputs):
        if each is None:
            read.append(-1)
        elif position in twins:
            read.append(read[twins[position]])
        else:
            read.append(add(each, f"in{position}"))
    made = [add(t, f"out{i}", op) for i, t in enumerate(outputs)]
    given = [i for i in dict.fromkeys(read) if i >= 0 and tensors[i].data is None]
    given = [i for i in given if not tensors[i].is_variable]
    operator = Operator(0, op, tuple(read), tuple(made), options or NoOptions(), version)
    return Graph("one_op", tuple(tensors), (operator,), tuple(given), tuple(made))


def schema(table: str, **values: Any) -> SchemaOptions:
    return SchemaOptions(table, values)
