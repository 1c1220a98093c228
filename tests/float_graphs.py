"""Small random float graphs of the kinds that pruning has to follow channels through."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

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
    Options,
    Padding,
    Pool2DOptions,
    ReducerOptions,
    ReshapeOptions,
    SoftmaxOptions,
)


class FloatNet:
    """Layers with normal weights, one after the other; methods take and return tensors."""

    def __init__(self, name: str, seed: int) -> None:
        self.builder = GraphBuilder(name)
        self.random = np.random.default_rng(seed)

    def input(self, *shape: int) -> int:
        return self.builder.input("x", (1, *shape), dtype=DType.FLOAT32)

    def normal(self, name: str, *shape: int, fan_in: int = 1) -> int:
        data = self.random.standard_normal(shape) / np.sqrt(fan_in)
        return self.builder.constant(name, data.astype(np.float32))

    def op(
        self, op: str, sources: list[int], options: Options | None = None, name: str = ""
    ) -> int:
        return self.builder.operator(
            op, sources, options, dtype=DType.FLOAT32, name=name or None, version=1
        )

    def depth(self, tensor: int) -> int:
        return self.builder.shape_of(tensor)[-1]

    def conv(
        self, x: int, out: int, name: str, size: int = 1, stride: int = 1,
        activation: Activation = Activation.RELU, padding: Padding = Padding.SAME,
    ) -> int:  # fmt: skip
        depth = self.depth(x)
        w = self.normal(f"{name}/w", out, size, size, depth, fan_in=size * size * depth)
        b = self.normal(f"{name}/b", out)
        options = Conv2DOptions(padding, stride, stride, activation=activation)
        return self.op("CONV_2D", [x, w, b], options, name)

    def depthwise(self, x: int, name: str, multiplier: int = 1, stride: int = 1) -> int:
        out = self.depth(x) * multiplier
        w = self.normal(f"{name}/w", 1, 3, 3, out, fan_in=9)
        b = self.normal(f"{name}/b", out)
        options = DepthwiseConv2DOptions(
            Padding.SAME, stride, stride, multiplier, activation=Activation.RELU6
        )
        return self.op("DEPTHWISE_CONV_2D", [x, w, b], options, name)

    def dense(self, x: int, out: int, name: str, activation: Activation = Activation.NONE) -> int:
        depth = self.depth(x)
        w = self.normal(f"{name}/w", out, depth, fan_in=depth)
        b = self.normal(f"{name}/b", out)
        return self.op("FULLY_CONNECTED", [x, w, b], FullyConnectedOptions(activation), name)

    def add(self, x: int, y: int, name: str) -> int:
        return self.op("ADD", [x, y], ElementwiseOptions(Activation.RELU), name)

    def concat(self, parts: list[int], name: str) -> int:
        return self.op("CONCATENATION", parts, ConcatenationOptions(3), name)

    def norm(self, x: int, name: str) -> int:
        """Batch norm that was not folded."""
        scale = self.normal(f"{name}/scale", self.depth(x))
        offset = self.normal(f"{name}/offset", self.depth(x))
        scaled = self.op("MUL", [x, scale], ElementwiseOptions(), f"{name}/mul")
        return self.op("ADD", [scaled, offset], ElementwiseOptions(), f"{name}/add")

    def pool(self, x: int, op: str, name: str) -> int:
        return self.op(op, [x], Pool2DOptions(Padding.SAME, 2, 2, 2, 2), name)

    def flatten(self, x: int) -> int:
        shape = (1, int(np.prod(self.builder.shape_of(x))))
        constant = self.builder.constant("shape", np.array(shape, np.int32))
        return self.op("RESHAPE", [x, constant], ReshapeOptions(shape), "flatten")

    def mean(self, x: int) -> int:
        axes = self.builder.constant("axes", np.array([1, 2], np.int32))
        return self.op("MEAN", [x, axes], ReducerOptions(), "mean")

    def softmax(self, x: int) -> int:
        return self.op("SOFTMAX", [x], SoftmaxOptions(), "softmax")

    def build(self, output: int) -> Graph:
        return self.builder.build([output])

    def samples(self, graph: Graph, count: int) -> Samples:
        shape = graph.tensors[graph.inputs[0]].shape[1:]
        return Samples((self.random.standard_normal((count, *shape)).astype(np.float32),))


_BLOCKS = ("conv", "depthwise", "residual", "concat", "norm", "pool", "mixed")


@st.composite
def float_nets(draw: st.DrawFn) -> tuple[FloatNet, Graph]:
    """A stem, one to four blocks, and a classifier behind a flatten or a mean."""
    net = FloatNet("random", draw(st.integers(0, 2**20)))
    x = net.input(draw(st.integers(4, 7)), draw(st.integers(4, 7)), draw(st.integers(1, 3)))
    x = net.conv(x, draw(st.integers(2, 6)), "stem", size=3)
    for number, block in enumerate(draw(st.lists(st.sampled_from(_BLOCKS), max_size=4))):
        name = f"{block}{number}"
        if block == "conv":
            size, stride = draw(st.sampled_from([1, 3])), draw(st.sampled_from([1, 2]))
            x = net.conv(x, draw(st.integers(2, 6)), name, size, stride)
        elif block == "depthwise":
            x = net.depthwise(x, name, draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 2])))
        elif block == "residual":
            branch = net.conv(net.depthwise(x, f"{name}/dw"), net.depth(x), f"{name}/pw")
            x = net.add(x, branch, name)
        elif block == "concat":
            other = net.conv(x, draw(st.integers(2, 4)), f"{name}/a", size=3)
            x = net.concat([x, other] if draw(st.booleans()) else [other, x], name)
        elif block == "norm":
            x = net.norm(net.conv(x, draw(st.integers(2, 6)), f"{name}/c"), name)
        elif block == "pool":
            x = net.pool(x, draw(st.sampled_from(["AVERAGE_POOL_2D", "MAX_POOL_2D"])), name)
        else:
            first, second = (net.conv(x, 4, f"{name}/{side}") for side in "ab")
            x = net.concat([net.add(first, second, f"{name}/sum"), x], name)
    x = net.flatten(x) if draw(st.booleans()) else net.mean(x)
    if draw(st.booleans()):
        x = net.dense(x, draw(st.integers(2, 8)), "hidden", Activation.RELU)
    x = net.dense(x, 3, "classes")
    return net, net.build(net.softmax(x) if draw(st.booleans()) else x)
