"""Models for the backends' tests, `.onnx` ones written byte by byte, and backends with a fault."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest

from edge_autoglm.backends.base import Array, Inference, Loaded
from edge_autoglm.backends.litert_cpu import LiteRtCpu
from edge_autoglm.backends.litert_gpu import LiteRtGpu
from edge_autoglm.backends.model import RunModel
from edge_quantize.graph import DType, Graph
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import Activation, Conv2DOptions, FullyConnectedOptions, Padding

FLOAT, INT64 = 1, 7  # TensorProto.DataType


def need_onnxruntime() -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


def need_gpu() -> LiteRtGpu:
    backend = LiteRtGpu()
    found = backend.available()
    if not found.ok:
        pytest.skip(f"no Vulkan driver: {found.why}")
    return backend


def float_net(name: str = "net") -> Graph:
    """A convolution with ReLU of [1, 6, 6, 2]."""
    random = np.random.default_rng(7)
    b = GraphBuilder(name)
    x = b.input("x", (1, 6, 6, 2), dtype=DType.FLOAT32)
    w = b.constant("w", random.standard_normal((3, 3, 3, 2)).astype(np.float32))
    bias = b.constant("b", random.standard_normal(3).astype(np.float32))
    y = b.operator(
        "CONV_2D", [x, w, bias], Conv2DOptions(Padding.SAME, 1, 1, activation=Activation.RELU),
        dtype=DType.FLOAT32,
    )  # fmt: skip
    return b.build([y])


def linear_int8() -> Graph:
    """A layer of [1, 4] whose outputs stay far from the ends of int8."""
    b = GraphBuilder("linear")
    x = b.input("x", (1, 4), scale=0.1)
    w = b.weights("w", np.array([[3, -2, 1, 4], [5, 1, -3, 2]], np.int8), [0.01])
    return b.build([b.fully_connected(x, w, None, 0.1, 0)])


def two_inputs() -> Graph:
    """a[1, 4] and b[1, 3], each through a layer of its own; outputs of 2 and of 5."""
    random = np.random.default_rng(8)
    builder = GraphBuilder("two")
    results = []
    for name, size, width in (("b", 3, 5), ("a", 4, 2)):
        x = builder.input(name, (1, size), dtype=DType.FLOAT32)
        w = builder.constant(f"w{name}", random.standard_normal((width, size)).astype(np.float32))
        results.append(
            builder.operator(
                "FULLY_CONNECTED", [x, w, -1], FullyConnectedOptions(), dtype=DType.FLOAT32
            )
        )
    return builder.build(results)


class Slow(LiteRtCpu):
    """Right and slow, and no CPU in its own words."""

    name, title, last_resort = "slow", "slow", False
    seconds = 0.02

    def load(self, model: RunModel) -> Loaded:
        return _Altered(super().load(model), self.seconds, 0.0)


class Fast(Slow):
    """Right, and said to take less time than anything."""

    name, title, seconds = "fast", "fast", -1.0


class Wrong(Slow):
    """The fastest, with outputs that are off by `error`."""

    name, title, seconds, error = "wrong", "wrong", -1.0, 2.0

    def load(self, model: RunModel) -> Loaded:
        return _Altered(LiteRtCpu.load(self, model), self.seconds, self.error)


class _Altered(Loaded):
    """A negative `seconds` is what the clock is said to show, a positive one is slept."""

    def __init__(self, inner: Loaded, seconds: float, error: float) -> None:
        super().__init__(None)
        self._inner, self._seconds, self._error = inner, seconds, error

    def _infer(self, inputs: Sequence[Array], repeats: int) -> Inference:
        found = self._inner.infer(inputs, repeats)
        assert found.seconds is not None
        if self._seconds > 0:
            time.sleep(self._seconds * repeats)
            taken = tuple(each + self._seconds for each in found.seconds)
        else:
            taken = (1e-9,) * repeats
        off = tuple((each + each.dtype.type(self._error)).astype(each.dtype)
                    for each in found.outputs)  # fmt: skip
        return Inference(off if self._error else found.outputs, taken)

    def close(self) -> None:
        self._inner.close()


def linear_onnx(
    weights: npt.NDArray[np.float32], *, element: int = FLOAT, batch: int | str = "n"
) -> bytes:
    """An `.onnx` of y = Relu(x @ weights), `batch` a number or an open dimension's name."""
    rows, columns = weights.shape
    constant = (
        _number(1, rows) + _number(1, columns) + _number(2, FLOAT) + _text(8, "w")
        + _message(9, weights.astype("<f4").tobytes())
    )  # fmt: skip
    product = _text(1, "x") + _text(1, "w") + _text(2, "p") + _text(4, "MatMul")
    relu = _text(1, "p") + _text(2, "y") + _text(4, "Relu")
    graph = (
        _message(1, product) + _message(1, relu) + _text(2, "linear") + _message(5, constant)
        + _message(11, _port("x", element, batch, rows))
        + _message(12, _port("y", element, batch, columns))
    )  # fmt: skip
    opset = _text(1, "") + _number(2, 13)
    return _number(1, 8) + _message(7, graph) + _message(8, opset)


def _port(name: str, element: int, *dims: int | str) -> bytes:
    shape = b"".join(
        _message(1, _text(2, dim) if isinstance(dim, str) else _number(1, dim)) for dim in dims
    )
    kind = _number(1, element) + _message(2, shape)
    return _text(1, name) + _message(2, _message(1, kind))


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _message(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content
