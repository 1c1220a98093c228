"""Small float graphs to quantize, and what they lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from edge_quantize.data import Samples
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import (
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
    SchemaOptions,
    SoftmaxOptions,
    SqueezeOptions,
)
from edge_quantize.run import outputs

SHAPE = (1, 4, 4, 8)


class FloatBuilder(GraphBuilder):
    """A GraphBuilder whose operators are float32; weights are drawn from `seed`."""

    def __init__(self, name: str, seed: int = 0) -> None:
        super().__init__(name)
        self.random = np.random.default_rng(seed)

    def add(self, op: str, inputs: Sequence[int], options: Options | None = None, **more) -> int:  # type: ignore[no-untyped-def]
        return self.operator(op, inputs, options or NoOptions(), dtype=DType.FLOAT32, **more)

    def source(self, shape: Sequence[int] = SHAPE, name: str = "x") -> int:
        return self.input(name, shape, dtype=DType.FLOAT32)

    def normal(self, name: str, shape: Sequence[int], spread: float | None = None) -> int:
        spread = spread or 1 / np.sqrt(max(1, np.prod(shape[1:])))
        return self.constant(name, (spread * self.random.normal(size=shape)).astype(np.float32))

    def ints(self, name: str, values: object) -> int:
        return self.constant(name, np.asarray(values, np.int32))

    def conv(
        self, x: int, channels: int, size: int = 3, activation: Activation = Activation.RELU,
        stride: int = 1,
    ) -> int:  # fmt: skip
        depth = self._tensors[x].shape[-1]
        n = len(self._tensors)
        w = self.normal(f"w{n}", (channels, size, size, depth))
        b = self.normal(f"b{n}", (channels,), 0.3)
        options = Conv2DOptions(Padding.SAME, stride, stride, 1, 1, activation)
        return self.add("CONV_2D", (x, w, b), options)

    def depthwise(self, x: int, activation: Activation = Activation.RELU) -> int:
        depth = self._tensors[x].shape[-1]
        n = len(self._tensors)
        w = self.normal(f"w{n}", (1, 3, 3, depth))
        b = self.normal(f"b{n}", (depth,), 0.3)
        options = DepthwiseConv2DOptions(Padding.SAME, 1, 1, 1, 1, 1, activation)
        return self.add("DEPTHWISE_CONV_2D", (x, w, b), options)

    def dense(self, x: int, rows: int, activation: Activation = Activation.NONE) -> int:
        depth = self._tensors[x].shape[-1]
        n = len(self._tensors)
        w, b = self.normal(f"w{n}", (rows, depth)), self.normal(f"b{n}", (rows,), 0.3)
        return self.add("FULLY_CONNECTED", (x, w, b), FullyConnectedOptions(activation))


def cnn(seed: int = 0, side: int = 8, classes: int = 10) -> Graph:
    """As for scikit-learn's digits: convolutions, a skip connection, pooling, dense, softmax."""
    b = FloatBuilder("cnn", seed)
    x = b.source((1, side, side, 1), "image")
    y = b.conv(x, 8)
    z = b.conv(b.depthwise(y), 8, size=1, activation=Activation.NONE)
    v = b.add("ADD", (y, z), ElementwiseOptions(Activation.RELU))
    v = b.add("AVERAGE_POOL_2D", (v,), Pool2DOptions(Padding.VALID, 4, 4, 4, 4))
    v = b.add("RESHAPE", (v, b.ints("flat", (1, 32))), ReshapeOptions((1, 32)))
    logits = b.dense(v, classes)
    return b.build([b.add("SOFTMAX", (logits,), SoftmaxOptions(1.0))])


def samples(graph: Graph, count: int = 24, seed: int = 0, spread: float = 1.0) -> Samples:
    random = np.random.default_rng(seed)
    return Samples(
        tuple(
            (spread * random.normal(size=(count, *graph.tensors[i].shape[1:]))).astype(np.float32)
            for i in graph.inputs
        ),
        source="normal",
    )


def sqnr(reference: npt.NDArray[np.floating], given: npt.NDArray[np.floating]) -> float:
    noise = float(((reference - given).astype(np.float64) ** 2).sum())
    return 10 * np.log10(float((reference.astype(np.float64) ** 2).sum()) / max(noise, 1e-30))


def lost(before: Graph, after: Graph, data: Samples) -> float:
    """SQNR of the worst output, dB."""
    pairs = zip(outputs(before, data), outputs(after, data), strict=True)
    return min(sqnr(a, b) for a, b in pairs)


@dataclass(frozen=True)
class Case:
    """An operator on an input of SHAPE. `make` returns the results' indices."""

    op: str
    make: Callable[[FloatBuilder, int], Sequence[int]]
    least: float = 30.0  # dB with int8


def _one(op: str, options: Options | None = None, shape: Sequence[int] | None = None) -> Case:
    return Case(op, lambda b, x: [b.add(op, (x,), options, shape=shape)])


def _with(
    op: str,
    constants: Sequence[object],
    options: Options | None = None,
    shape: Sequence[int] | None = None,
) -> Case:
    """Further operands are integers."""

    def make(b: FloatBuilder, x: int) -> list[int]:
        more = [b.ints(f"c{n}", values) for n, values in enumerate(constants)]
        return [b.add(op, (x, *more), options, shape=shape)]

    return Case(op, make)


def _two(op: str, options: Options | None = None, shape: Sequence[int] | None = None) -> Case:
    """The second operand is a convolution of the first: another range."""
    return Case(
        op,
        lambda b, x: [
            b.add(op, (x, b.conv(x, 8, activation=Activation.NONE)), options, shape=shape)
        ],
    )


def _split(b: FloatBuilder, x: int) -> list[int]:
    axis = b.ints("axis", 3)
    first = b.add("SPLIT", (axis, x), SchemaOptions("SplitOptions", {"num_splits": 2}),
                  shape=(1, 4, 4, 4))  # fmt: skip
    return _one_more_result(b, [first], (1, 4, 4, 4))


def _split_v(b: FloatBuilder, x: int) -> list[int]:
    sizes, axis = b.ints("sizes", (3, 5)), b.ints("axis", 3)
    first = b.add("SPLIT_V", (x, sizes, axis), SchemaOptions("SplitVOptions", {"num_splits": 2}),
                  shape=(1, 4, 4, 3))  # fmt: skip
    return _one_more_result(b, [first], (1, 4, 4, 5))


def _unpack(b: FloatBuilder, x: int) -> list[int]:
    options = SchemaOptions("UnpackOptions", {"num": 4, "axis": 1})
    made = [b.add("UNPACK", (x,), options, shape=(1, 4, 8))]
    for _ in range(3):
        made = _one_more_result(b, made, (1, 4, 8))
    return made


def _one_more_result(b: FloatBuilder, results: list[int], shape: Sequence[int]) -> list[int]:
    """Of the operator that was added last."""
    more = b.tensor(f"more{len(results)}", shape, DType.FLOAT32)
    last = b._operators[-1]
    b._operators[-1] = replace(last, outputs=(*last.outputs, more))
    return [*results, more]


def _weights_case(op: str, make: Callable[[FloatBuilder, int], int]) -> Case:
    return Case(op, lambda b, x: [make(b, x)])


def _padv2(b: FloatBuilder, x: int) -> list[int]:
    pads = b.ints("pads", ((0, 0), (1, 1), (1, 0), (0, 0)))
    value = b.constant("value", np.asarray([0.7], np.float32))
    return [b.add("PADV2", (x, pads, value))]


def _strided(b: FloatBuilder, x: int) -> list[int]:
    numbers = [b.ints(n, v) for n, v in
               (("begin", (0, 0, 1, 0)), ("end", (1, 4, 4, 8)), ("by", (1, 2, 1, 3)))]  # fmt: skip
    return [b.add("STRIDED_SLICE", (x, *numbers), SchemaOptions("StridedSliceOptions"),
                  shape=(1, 2, 3, 3))]  # fmt: skip


CASES = (
    _weights_case("CONV_2D", lambda b, x: b.conv(x, 6)),
    _weights_case("DEPTHWISE_CONV_2D", lambda b, x: b.depthwise(x)),
    _weights_case("FULLY_CONNECTED", lambda b, x: b.dense(
        b.add("RESHAPE", (x, b.ints("s", (1, 128))), ReshapeOptions((1, 128))), 10)),
    _one("AVERAGE_POOL_2D", Pool2DOptions(Padding.VALID, 2, 2, 2, 2)),
    _one("MAX_POOL_2D", Pool2DOptions(Padding.SAME, 2, 2, 3, 3)),
    _with("PAD", (((0, 0), (1, 2), (0, 1), (0, 0)),)),
    Case("PADV2", _padv2),
    _with("MIRROR_PAD", (((0, 0), (1, 1), (1, 1), (0, 0)),), SchemaOptions("MirrorPadOptions"),
          (1, 6, 6, 8)),
    _with("RESHAPE", ((1, 128),), ReshapeOptions((1, 128))),
    _with("EXPAND_DIMS", (1,)),
    Case("SQUEEZE", lambda b, x: [b.add("SQUEEZE", (x,), SqueezeOptions((0,)))]),
    _with("TRANSPOSE", ((0, 3, 1, 2),), SchemaOptions("TransposeOptions"), (1, 8, 4, 4)),
    _with("SLICE", ((0, 1, 0, 2), (1, 2, 4, 3)), SchemaOptions("SliceOptions"), (1, 2, 4, 3)),
    Case("STRIDED_SLICE", _strided),
    Case("SPLIT", _split),
    Case("SPLIT_V", _split_v),
    Case("UNPACK", _unpack),
    _two("PACK", SchemaOptions("PackOptions", {"values_count": 2, "axis": 1}), (1, 2, 4, 4, 8)),
    _with("GATHER", ((3, 0, 3),), SchemaOptions("GatherOptions", {"axis": 3}), (1, 4, 4, 3)),
    _one("SPACE_TO_DEPTH", SchemaOptions("SpaceToDepthOptions", {"block_size": 2}), (1, 2, 2, 32)),
    _one("DEPTH_TO_SPACE", SchemaOptions("DepthToSpaceOptions", {"block_size": 2}), (1, 8, 8, 2)),
    _with("RESIZE_NEAREST_NEIGHBOR", ((8, 8),), SchemaOptions("ResizeNearestNeighborOptions"),
          (1, 8, 8, 8)),
    _with("RESIZE_BILINEAR", ((8, 8),), SchemaOptions("ResizeBilinearOptions"), (1, 8, 8, 8)),
    _two("CONCATENATION", ConcatenationOptions(3)),
    _two("MAXIMUM", SchemaOptions("MaximumMinimumOptions"), SHAPE),
    _two("MINIMUM", SchemaOptions("MaximumMinimumOptions"), SHAPE),
    _one("RELU6"),
    _one("RELU"),
    _one("LEAKY_RELU", SchemaOptions("LeakyReluOptions", {"alpha": 0.2}), SHAPE),
    _one("HARD_SWISH", SchemaOptions("HardSwishOptions"), SHAPE),
    _two("ADD", ElementwiseOptions()),
    _two("SUB", ElementwiseOptions()),
    _two("MUL", ElementwiseOptions()),
    _with("MEAN", ((1, 2),), ReducerOptions(True)),
    _one("SOFTMAX", SoftmaxOptions(1.0)),
    _one("LOGISTIC", NoOptions(), SHAPE),
    _one("TANH", NoOptions(), SHAPE),
    _one("L2_NORMALIZATION", SchemaOptions("L2NormOptions"), SHAPE),
)  # fmt: skip


def case_graph(case: Case, seed: int = 0) -> Graph:
    b = FloatBuilder(case.op.lower(), seed)
    return b.build(list(case.make(b, b.source())))
