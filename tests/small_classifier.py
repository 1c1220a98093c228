"""A small float classifier that works, and samples for it, both by fixed seeds."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from edge_quantize.data import Samples
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import (
    Activation,
    Conv2DOptions,
    FullyConnectedOptions,
    Options,
    Padding,
    ReducerOptions,
    SoftmaxOptions,
)
from edge_quantize.run import outputs

CLASSES = 3
Floats = npt.NDArray[np.floating]


class _Builder(GraphBuilder):
    def layer(
        self, name: str, source: int, weights: Floats, bias: Floats, options: Options, op: str,
        shape: tuple[int, ...],
    ) -> int:  # fmt: skip
        w = self.constant(f"{name}/weights", weights.astype(np.float32))
        b = self.constant(f"{name}/bias", bias.astype(np.float32))
        return self.operator(
            op, (source, w, b), options, dtype=DType.FLOAT32, name=name, shape=shape, version=1
        )

    def features(self) -> int:
        """Two convolutions with random weights over an 8x8 image, and the mean of each channel."""
        random = np.random.default_rng(5)
        x = self.input("image", (1, 8, 8, 1), dtype=DType.FLOAT32)
        conv = Conv2DOptions(Padding.SAME, 1, 1, activation=Activation.RELU)
        for name, out, into, size in (("first", 8, 1, 0.4), ("second", 12, 8, 0.2)):
            weights = random.normal(0, size, (out, 3, 3, into))
            bias = random.normal(0, 0.1, out)
            x = self.layer(name, x, weights, bias, conv, "CONV_2D", (1, 8, 8, out))
        axes = self.constant("axes", np.array([1, 2], np.int32))
        return self.operator(
            "MEAN", (x, axes), ReducerOptions(), dtype=DType.FLOAT32, name="mean", shape=(1, 12)
        )


@cache
def float_classifier() -> Graph:
    """first, second (convolutions), mean, dense (fitted to `images` of another seed), SOFTMAX."""
    head = _Builder("head")
    features = head.build([head.features()])
    shown = images(120, seed=1)
    found = outputs(features, Samples(shown.inputs))[0]
    assert shown.labels is not None
    wanted = 8 * np.eye(CLASSES)[shown.labels.astype(int)]
    fit = np.linalg.lstsq(np.column_stack([found, np.ones(len(found))]), wanted, rcond=None)[0]
    b = _Builder("small_float")
    mean = b.features()
    dense = b.layer(
        "dense", mean, fit[:-1].T, fit[-1], FullyConnectedOptions(), "FULLY_CONNECTED",
        (1, CLASSES),
    )  # fmt: skip
    soft = b.operator(
        "SOFTMAX", (dense,), SoftmaxOptions(), dtype=DType.FLOAT32, name="probabilities"
    )
    return b.build([soft])


def images(count: int = 40, seed: int = 6) -> Samples:
    """Stripes across, stripes down and checks, with noise; labels say which."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:8, :8] // 2 % 2
    kinds = np.stack([rows, columns, rows ^ columns]).astype(float)
    labels = np.arange(count) % CLASSES
    x = kinds[labels] + random.normal(0, 0.35, (count, 8, 8))
    return Samples((x[..., np.newaxis].astype(np.float32),), labels, "images")
