"""Small random int8 graphs whose channels often come to nothing."""

from __future__ import annotations

import numpy as np

from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import Graph, Quantization
from edge_quantize.graph.options import Activation, Padding

_ACTIVATIONS = (Activation.NONE, Activation.RELU, Activation.RELU6)


class _Maker:
    """Adds random layers to a graph; weights are sparse, some channels are all zero, and some
    biases are so large that nothing but the clamp comes out."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.b = GraphBuilder(f"random_{seed}")

    def pick(self, *choices: object) -> object:
        return choices[int(self.rng.integers(len(choices)))]

    def affine(self) -> tuple[float, int]:
        return float(self.rng.uniform(0.01, 0.2)), int(self.pick(-128, -128, -5, 0, 17))

    def values(self, shape: tuple[int, ...], channel_axis: int) -> np.ndarray:
        rng = self.rng
        data = rng.integers(-127, 128, shape) * (rng.random(shape) < rng.choice([0.3, 0.8]))
        keep = rng.random(shape[channel_axis]) < 0.7
        data = data * np.expand_dims(keep, [a for a in range(len(shape)) if a != channel_axis])
        if len(shape) == 4 and channel_axis == 0:
            data = data * (rng.random(shape[3]) < 0.8)
        return data.astype(np.int8)

    def bias(self, channels: int, x: int, w: int) -> int | None:
        if self.rng.random() < 0.2:
            return None
        small = self.rng.integers(-3000, 3000, channels)
        large = self.pick(-1, -1, 1) * np.int64(2) ** self.rng.integers(14, 24, channels)
        return self.b.bias("b", np.where(self.rng.random(channels) < 0.7, small, large), x, w)

    def scales(self, channels: int) -> list[float]:
        return self.rng.uniform(0.001, 0.02, int(self.pick(1, channels))).tolist()

    def shape(self, x: int) -> tuple[int, ...]:
        return self.b._tensors[x].shape

    def conv(self, x: int) -> int:
        depth, out = self.shape(x)[3], int(self.rng.integers(1, 9))
        size = int(self.pick(1, 1, 3))
        w = self.b.weights("w", self.values((out, size, size, depth), 0), self.scales(out))
        return self.b.conv_2d(
            x,
            w,
            self.bias(out, x, w),
            *self.affine(),
            stride=(int(self.pick(1, 1, 2)),) * 2,
            padding=self.padding(x, size),
            activation=self.pick(*_ACTIVATIONS),
        )

    def padding(self, x: int, size: int) -> Padding:
        return Padding.SAME if min(self.shape(x)[1:3]) < size else self.pick(*Padding)

    def depthwise(self, x: int) -> int:
        multiplier = int(self.pick(1, 1, 2))
        out = self.shape(x)[3] * multiplier
        w = self.b.weights("w", self.values((1, 3, 3, out), 3), self.scales(out), axis=3)
        return self.b.depthwise_conv_2d(
            x,
            w,
            self.bias(out, x, w),
            *self.affine(),
            padding=self.padding(x, 3),
            depth_multiplier=multiplier,
            activation=self.pick(*_ACTIVATIONS),
        )

    def residual(self, x: int) -> int:
        depth = self.shape(x)[3]
        w = self.b.weights("w", self.values((depth, 3, 3, depth), 0), self.scales(depth))
        branch = self.b.conv_2d(x, w, self.bias(depth, x, w), *self.affine())
        return self.b.elementwise(
            "ADD", x, branch, *self.affine(), activation=self.pick(*_ACTIVATIONS)
        )

    def beside(self, x: int) -> int:
        scale, zero = self.affine()
        parts = []
        for _ in range(2):
            out = int(self.rng.integers(1, 6))
            w = self.b.weights("w", self.values((out, 1, 1, self.shape(x)[3]), 0), self.scales(out))
            parts.append(self.b.conv_2d(x, w, self.bias(out, x, w), scale, zero))
        return self.b.concatenation(parts, 3)

    def pool(self, x: int) -> int:
        op = str(self.pick("MAX_POOL_2D", "AVERAGE_POOL_2D"))
        return self.b.pool(op, x, (2, 2), (1, 1), padding=Padding.SAME)

    def pad(self, x: int) -> int:
        return self.b.pad(x, [(0, 0), (1, 1), (0, 1), (0, 0)])

    def relu(self, x: int) -> int:
        return self.b.operator("RELU", (x,), scale=self.affine()[0], zero_point=-128)

    def clamped(self, x: int) -> int:
        """In one quantization, which other layers may take over."""
        return self.b.operator(str(self.pick("RELU", "RELU6")), (x,))

    def with_constant(self, x: int) -> int:
        """One number for each channel, for each pixel or for all."""
        _, height, width, depth = self.shape(x)
        shape = self.pick((depth,), (1, height, width, 1), (1,))
        data = self.rng.integers(-128, 128, shape) * (self.rng.random(shape) < 0.6)  # type: ignore[arg-type]
        quantization = Quantization((float(self.rng.uniform(0.005, 0.05)),), (0,))
        operands = [x, self.b.constant("c", data.astype(np.int8), quantization)]
        if self.rng.random() < 0.3:
            operands.reverse()
        op = str(self.pick("ADD", "MUL"))
        return self.b.elementwise(
            op, *operands, *self.affine(), activation=self.pick(*_ACTIVATIONS)
        )

    def requantized(self, x: int) -> int:
        return self.b.quantize(x, *self.affine())

    def head(self, x: int) -> int:
        _, height, width, depth = self.shape(x)
        if self.rng.random() < 0.4:
            flat = self.b.mean(x, (1, 2), *self.affine(), keep_dims=False)
            length = depth
        else:
            length = height * width * depth
            flat = self.b.reshape(x, (1, length))
        out = int(self.rng.integers(2, 6))
        w = self.b.weights("w", self.values((out, length), 0), self.scales(out))
        return self.b.fully_connected(flat, w, self.bias(out, flat, w), *self.affine())


def random_graph(seed: int) -> Graph:
    """A chain of one to seven layers of all kinds between an image of 5 x 5 and a classifier."""
    maker = _Maker(seed)
    x = maker.b.input("x", (1, 5, 5, int(maker.pick(1, 3))), 0.03, int(maker.pick(-128, 0, 5)))
    layers = (
        *(maker.conv, maker.conv, maker.depthwise, maker.depthwise, maker.residual),
        *(maker.beside, maker.pool, maker.pad, maker.relu, maker.requantized),
        *(maker.clamped, maker.with_constant),
    )
    x = maker.conv(x)
    for _ in range(int(maker.rng.integers(0, 7))):
        x = layers[int(maker.rng.integers(len(layers)))](x)
    x = maker.head(x)
    return maker.b.build([maker.b.softmax(x) if maker.rng.random() < 0.3 else x])
