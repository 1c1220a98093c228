"""Models whose int8 weights are made int4: the upper half of each, 16 times as large.

Not a good quantization, which is not the point here: the arithmetic is what is compared.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from edge_quantize.graph import DType, Graph, Tensor

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


def with_int4_weights(graph: Graph, every: int = 1) -> Graph:
    """The graph with the weights of every so-manieth weighted layer as int4, biases to match."""
    made = list(graph.tensors)
    weighted = [operator for operator in graph.operators if operator.op in WEIGHTED]
    for operator in weighted[::every]:
        _, weights, *rest = operator.inputs
        made[weights] = _int4(graph.tensor(weights))
        for bias in rest:
            if bias >= 0:
                made[bias] = _scaled(graph.tensor(bias))
    return replace(graph, tensors=tuple(made), sha256="")


def _int4(weights: Tensor) -> Tensor:
    assert weights.data is not None
    data = (weights.data.astype(np.int8) >> 4).astype(np.int8)
    return replace(_wider(weights), dtype=DType.INT4, data=data)


def _scaled(bias: Tensor) -> Tensor:
    assert bias.data is not None
    return replace(_wider(bias), data=(bias.data.astype(np.int32) >> 4).astype(np.int32))


def _wider(tensor: Tensor) -> Tensor:
    if tensor.quantization is None:
        return tensor
    scales = tuple(float(np.float32(16 * scale)) for scale in tensor.quantization.scales)
    return replace(tensor, quantization=replace(tensor.quantization, scales=scales))
