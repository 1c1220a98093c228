"""A small float classifier for the search, and samples that it tells apart."""

from __future__ import annotations

import numpy as np

from edge_quantize.data import Samples
from edge_quantize.graph import DType, Graph
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import (
    Activation,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    FullyConnectedOptions,
    Padding,
    ReducerOptions,
    SoftmaxOptions,
)
from edge_quantize.run import outputs

SIDE, CLASSES = 6, 4
_FLOAT = DType.FLOAT32


def classifier(channels: int = 8, seed: int = 0) -> Graph:
    """Convolution, depthwise, 1x1, mean, dense, softmax; 6 x 6 x 2 in, 4 classes out."""
    random = np.random.default_rng(seed)
    b = GraphBuilder("small")

    def constant(name: str, *shape: int) -> int:
        return b.constant(name, random.normal(0, 0.5, shape).astype(np.float32))

    relu = Activation.RELU
    x = b.input("image", (1, SIDE, SIDE, 2), dtype=_FLOAT)
    w, v = constant("w0", channels, 3, 3, 2), constant("b0", channels)
    options = Conv2DOptions(Padding.SAME, 1, 1, 1, 1, relu)
    y = b.operator("CONV_2D", (x, w, v), options, dtype=_FLOAT, name="stem", version=1)
    w, v = constant("w1", 1, 3, 3, channels), constant("b1", channels)
    across = DepthwiseConv2DOptions(Padding.SAME, 1, 1, 1, 1, 1, relu)
    y = b.operator("DEPTHWISE_CONV_2D", (y, w, v), across, dtype=_FLOAT, name="spatial", version=1)
    w, v = constant("w2", 2 * channels, 1, 1, channels), constant("b2", 2 * channels)
    y = b.operator("CONV_2D", (y, w, v), options, dtype=_FLOAT, name="mix", version=1)
    axes = b.constant("axes", np.array([1, 2], np.int32))
    y = b.operator("MEAN", (y, axes), ReducerOptions(False), dtype=_FLOAT, name="pool", version=1)
    w, v = constant("w3", CLASSES, 2 * channels), constant("b3", CLASSES)
    dense = FullyConnectedOptions(Activation.NONE, False)
    y = b.operator("FULLY_CONNECTED", (y, w, v), dense, dtype=_FLOAT, name="classify", version=1)
    y = b.operator("SOFTMAX", (y,), SoftmaxOptions(1.0), dtype=_FLOAT, name="class", version=1)
    return b.build([y])


def samples(count: int = 80, seed: int = 1, labelled: bool = True) -> Samples:
    """Images, labelled by the model itself: the float model is right on all of them."""
    random = np.random.default_rng(seed)
    images = random.normal(0, 1, (count, SIDE, SIDE, 2)).astype(np.float32)
    images += random.normal(0, 2, (count, 1, 1, 2)).astype(np.float32)
    found = Samples((images,), None, "images")
    if not labelled:
        return found
    (scores,) = outputs(classifier(), found)
    return Samples((images,), scores.argmax(1).astype(np.int64), "images")
