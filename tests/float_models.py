"""Small float graphs, as converters make them."""

from __future__ import annotations

import numpy as np

from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import FullyConnectedOptions, SchemaOptions


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


def lstm(cells: int = 3, inputs: int = 2, steps: int = 4) -> Graph:
    """A float LSTM without peepholes, projection or normalization; random weights."""
    random = np.random.default_rng(7)
    b = GraphBuilder("lstm")
    x = b.input("x", (1, steps, inputs), dtype=DType.FLOAT32)

    def weights(name: str, *shape: int) -> int:
        return b.constant(name, random.normal(size=shape).astype(np.float32))

    input_weights = [weights(f"w_{gate}", cells, inputs) for gate in "ifco"]
    recurrent = [weights(f"r_{gate}", cells, cells) for gate in "ifco"]
    biases = [weights(f"b_{gate}", cells) for gate in "ifco"]
    states = [b.tensor(f"state_{i}", (1, cells), DType.FLOAT32, variable=True) for i in (0, 1)]
    operands = [x, *input_weights, *recurrent, -1, -1, -1, *biases, -1, -1, *states]
    operands += [-1] * 4
    inside = tuple(b.tensor(f"inside_{i}", (0,), DType.FLOAT32) for i in range(5))
    options = SchemaOptions(
        "UnidirectionalSequenceLSTMOptions",
        {"fused_activation_function": 4, "cell_clip": 10.0, "proj_clip": 0.0, "time_major": False}
        | {"asymmetric_quantize_inputs": False, "diagonal_recurrent_tensors": False},
    )
    y = b.operator(
        "UNIDIRECTIONAL_SEQUENCE_LSTM",
        operands,
        options,
        dtype=DType.FLOAT32,
        shape=(1, steps, cells),
        intermediates=inside,
    )
    return b.build([y])
