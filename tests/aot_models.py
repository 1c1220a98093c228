"""Small int8 graphs for tests of the compiler, and a board to compile them for."""

from __future__ import annotations

import numpy as np

from edge_boards.board import Board
from edge_boards.loader import load_board
from edge_quantize.graph import DType, Graph
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import Activation, Padding


def board() -> Board:
    return load_board("stm32f746")


def classifier(name: str = "tiny", seed: int = 0, side: int = 8) -> Graph:
    """Conv, depthwise, a skip connection, pooling, dense, softmax: every kind of step."""
    generator = np.random.default_rng(seed)

    def int8(*shape: int) -> np.ndarray:
        return generator.integers(-127, 128, shape).astype(np.int8)

    def int32(count: int) -> np.ndarray:
        return generator.integers(-900, 900, count).astype(np.int32)

    def scales(count: int) -> list[float]:
        return [0.004 + 0.001 * i for i in range(count)]

    b = GraphBuilder(name)
    x = b.input("image", (1, side, side, 3), scale=0.05, zero_point=-4)
    w = b.weights("w0", int8(8, 3, 3, 3), scales(8))
    y = b.conv_2d(x, w, b.bias("b0", int32(8), x, w), 0.11, 3, stride=(2, 2))
    w = b.weights("w1", int8(1, 3, 3, 8), scales(8), axis=3)
    z = b.depthwise_conv_2d(y, w, b.bias("b1", int32(8), y, w), 0.09, -7)
    w = b.weights("w2", int8(8, 1, 1, 8), scales(8))
    u = b.conv_2d(z, w, b.bias("b2", int32(8), z, w), 0.12, 1, padding=Padding.VALID)
    v = b.elementwise("ADD", y, u, 0.15, 2)
    v = b.pool("AVERAGE_POOL_2D", v, (side // 2, side // 2), (1, 1))
    v = b.reshape(v, (1, 8))
    w = b.weights("w3", int8(5, 8), [0.01])
    v = b.fully_connected(v, w, b.bias("b3", int32(5), v, w), 0.2, 0)
    return b.build([b.softmax(v)], labels=("a", "b", "c", "d", "e"))


def keyword_spotter(channels: int = 64, int16: tuple[int, ...] | None = None) -> Graph:
    """A DS-CNN for keyword spotting: 49 x 10 features, a convolution, four separable blocks, 12
    classes. `int16` names the parts (0 the convolution, 1..4 the blocks, 5 the classifier) that
    have int16 activations with int8 weights, all where None is given; QUANTIZE joins them to int8.
    """
    generator = np.random.default_rng(channels)
    chosen = tuple(range(6)) if int16 is None else int16
    b = GraphBuilder("keyword_spotter")

    def like(x: int, part: int) -> int:
        """`x` in the type of `part`, at the same real range."""
        tensor = b._tensors[x]
        wide = tensor.dtype is DType.INT16
        if wide == (part in chosen):
            return x
        assert tensor.quantization is not None
        scale = tensor.quantization.scale
        if wide:
            return b.quantize(x, scale * 128, -128)
        return b.quantize(x, scale / 128, 0, DType.INT16)

    def weighted(x: int, shape: tuple[int, ...], axis: int) -> tuple[int, int, float]:
        """Weights, bias, and a scale at which the output's range is used."""
        data = generator.integers(-127, 128, shape).astype(np.int8)
        count = shape[axis]
        taps = data.size // count
        # One scale for all rows of a matrix, which CMSIS-NN asks for beside int16.
        steps = count if len(shape) == 4 else 1
        scales = generator.uniform(0.7, 1.3, steps) / (80 * np.sqrt(taps))
        w = b.weights(f"w{x}", data, scales.tolist(), axis)
        wide = b._tensors[x].dtype is DType.INT16
        bias = generator.integers(-100, 101, count) * (3000 if wide else 12)
        quantization = b._tensors[x].quantization
        assert quantization is not None
        return w, b.bias(f"b{x}", bias, x, w), quantization.scale * 1.1

    def zero(x: int) -> int:
        return 0 if b._tensors[x].dtype is DType.INT16 else -128

    relu = Activation.RELU
    wide = 0 in chosen
    x = b.input(
        "features", (1, 49, 10, 1), 0.0003 if wide else 0.08, 0 if wide else 5,
        DType.INT16 if wide else DType.INT8,
    )  # fmt: skip
    w, bias, scale = weighted(x, (channels, 10, 4, 1), 0)
    x = b.conv_2d(x, w, bias, scale, zero(x), stride=(2, 2), activation=relu)
    for part in range(1, 5):
        x = like(x, part)
        w, bias, scale = weighted(x, (1, 3, 3, channels), 3)
        x = b.depthwise_conv_2d(x, w, bias, scale, zero(x), activation=relu)
        w, bias, scale = weighted(x, (channels, 1, 1, channels), 0)
        x = b.conv_2d(x, w, bias, scale, zero(x), activation=relu)
    x = like(x, 5)
    x = b.pool("AVERAGE_POOL_2D", x, (25, 5), (25, 5))
    x = b.reshape(x, (1, channels))
    w, bias, scale = weighted(x, (12, channels), 0)
    x = b.fully_connected(x, w, bias, scale, 0)
    return b.build([b.softmax(x)], labels=tuple(f"word {i}" for i in range(12)))
