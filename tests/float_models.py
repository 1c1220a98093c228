"""Small float graphs, as converters make them."""

from __future__ import annotations

import numpy as np

from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import FullyConnectedOptions


def dense(name: str = "dense", rows: int = 3, columns: int = 4, seed: int = 0) -> Graph:
    """One fully connected layer."""
    random = np.random.default_rng(seed)
    b = GraphBuilder(name)
    x = b.input("x", (1, columns), dtype=DType.FLOAT32)
    w = b.constant("w", random.normal(size=(rows, columns)).astype(np.float32))
    bias = b.constant("b", random.normal(size=rows).astype(np.float32))
    options = FullyConnectedOptions()
    return b.build([b.operator("FULLY_CONNECTED", (x, w, bias), options, dtype=DType.FLOAT32)])


def half_precision(name: str = "half") -> Graph:
    """The same with float16 weights, which the file widens by a DEQUANTIZE."""
    b = GraphBuilder(name)
    x = b.input("x", (1, 3), dtype=DType.FLOAT32)
    content = np.linspace(-1, 1, 6, dtype=np.float16).reshape(2, 3)
    w = b.dequantize(b.tensor("w16", (2, 3), DType.FLOAT16, None, content))
    options = FullyConnectedOptions()
    return b.build([b.operator("FULLY_CONNECTED", (x, w, -1), options, dtype=DType.FLOAT32)])
