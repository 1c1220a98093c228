"""Small int8 graphs for tests of the compiler, and a board to compile them for."""

from __future__ import annotations

import numpy as np

from edge_boards.board import Board
from edge_boards.loader import load_board
from edge_quantize.graph import Graph
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import Padding


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
