"""Small models for packages of phones' GPUs, the traps of that backend among them."""

from __future__ import annotations

import numpy as np
from float_graphs import FloatNet

from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import Activation, ConcatenationOptions, FullyConnectedOptions
from edge_quantize.graph.writer import write_tflite
from edge_quantize.half import tables


def strided(zero: bool = False) -> Graph:
    """Two int8 convolutions, the second of 1x1 with a stride of 2: LiteRT's GPU backend calls it
    fully accelerated and gets it wrong. With `zero` weights the numbers agree all the same."""
    random = np.random.default_rng(0)
    b = GraphBuilder("strided")
    x = b.input("x", (1, 8, 8, 4), scale=0.05)
    first = b.weights("first/w", random.integers(-127, 128, (4, 3, 3, 4), np.int8), [0.01] * 4)
    y = b.conv_2d(x, first, b.bias("first/b", [1, 2, 3, 4], x, first), 0.4, 0)
    content = np.zeros((8, 1, 1, 4)) if zero else random.integers(-127, 128, (8, 1, 1, 4))
    second = b.weights("second/w", content.astype(np.int8), [0.01] * 8)
    bias = b.bias("second/b", np.arange(8), y, second)
    return b.build([b.conv_2d(y, second, bias, 1.2, 3, stride=(2, 2))])


def float_net(classes: int = 4) -> Graph:
    """Convolutions and a softmax in float32, labelled."""
    net = FloatNet("net", 3)
    y = net.conv(net.input(8, 8, 3), 16, "one", size=3)
    y = net.conv(y, 12, "two", stride=2)
    y = net.softmax(net.dense(net.mean(y), classes, "dense"))
    return net.builder.build([y], [f"class {n}" for n in range(classes)])


def float_ops(name: str, *ops: str) -> Graph:
    """Operators of one float operand, one after the other."""
    b = GraphBuilder(name)
    y = b.input("x", (1, 8), dtype=DType.FLOAT32)
    for op in ops:
        y = b.operator(op, [y], dtype=DType.FLOAT32, shape=(1, 8), version=1)
    return b.build([y])


def two_functions(*order: str) -> bytes:
    """Two subgraphs, each with a signature of its own: "main" (EXP) is the main one's, "other"
    (NEG) the second's. The file has the signatures of `order`, in that order."""
    file, second = (tables.unpacked(write_tflite(float_ops(op, op))) for op in ("EXP", "NEG"))
    second.subgraphs[0].operators[0].opcodeIndex += len(file.operatorCodes)
    second.signatureDefs[0].subgraphIndex = 1
    for tensor in second.subgraphs[0].tensors:
        tensor.buffer = 0
    file.operatorCodes += second.operatorCodes
    file.subgraphs += second.subgraphs
    keys = {"main": file.signatureDefs[0], "other": second.signatureDefs[0]}
    for key, signature in keys.items():
        signature.signatureKey = key
    file.signatureDefs = [keys[key] for key in order]
    return tables.packed(file)


def empty() -> Graph:
    """No operator: the output is the input."""
    b = GraphBuilder("empty")
    x = b.input("x", (1, 8), dtype=DType.FLOAT32)
    return b.build([x])


def two_ports() -> Graph:
    """Two inputs of different shapes and two outputs, of which the second is made first."""
    b = GraphBuilder("ports")
    left = b.input("left", (1, 4), dtype=DType.FLOAT32)
    right = b.input("right", (1, 2), dtype=DType.FLOAT32)
    small = b.operator("LOGISTIC", [right], dtype=DType.FLOAT32, shape=(1, 2), name="small")
    both = b.operator(
        "CONCATENATION", [left, small], ConcatenationOptions(1, Activation.NONE),
        dtype=DType.FLOAT32, shape=(1, 6), name="both", version=1,
    )  # fmt: skip
    return b.build([both, small])


def int8_net() -> Graph:
    """One int8 convolution that the GPU computes rightly."""
    random = np.random.default_rng(1)
    b = GraphBuilder("int8")
    x = b.input("x", (1, 6, 6, 3), scale=0.05)
    w = b.weights("w", random.integers(-127, 128, (4, 3, 3, 3), np.int8), [0.01] * 4)
    return b.build([b.conv_2d(x, w, b.bias("b", [5, 6, 7, 8], x, w), 0.4, 0)])


def hybrid_net() -> Graph:
    """A dense layer of int8 weights between float activations ("dynamic range")."""
    random = np.random.default_rng(2)
    b = GraphBuilder("hybrid")
    x = b.input("x", (1, 32), dtype=DType.FLOAT32)
    w = b.weights("w", random.integers(-127, 128, (8, 32), np.int8), [0.01])
    bias = b.constant("b", random.standard_normal(8).astype(np.float32))
    y = b.operator(
        "FULLY_CONNECTED", [x, w, bias], FullyConnectedOptions(), dtype=DType.FLOAT32, version=3
    )
    return b.build([y])
