"""No row of the kernel table raises on a layer, however malformed, and what a row accepts it can
bind."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_export.kernels.row import KernelRow, LayerView
from edge_export.kernels.table import KERNELS
from edge_quantize.graph import DType, Graph, Operator, Quantization, Tensor
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import (
    Activation,
    ConcatenationOptions,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    ElementwiseOptions,
    FullyConnectedOptions,
    NoOptions,
    Padding,
    Pool2DOptions,
    ReducerOptions,
    ReshapeOptions,
    SchemaOptions,
    SoftmaxOptions,
    SqueezeOptions,
)

small = st.integers(-2, 5)
likely = st.sampled_from([1, 1, 2, 4, 0, -1])
paddings = st.sampled_from(Padding)
activations = st.sampled_from(Activation)
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "CONV_2D": st.builds(Conv2DOptions, paddings, small, small, small, small, activations),
    "DEPTHWISE_CONV_2D": st.builds(
        DepthwiseConv2DOptions, paddings, small, small, small, small, small, activations
    ),
    "FULLY_CONNECTED": st.builds(FullyConnectedOptions, activations, st.booleans(), st.booleans()),
    "AVERAGE_POOL_2D": st.builds(Pool2DOptions, paddings, small, small, small, small, activations),
    "MAX_POOL_2D": st.builds(Pool2DOptions, paddings, small, small, small, small, activations),
    "ADD": st.builds(ElementwiseOptions, activations),
    "MUL": st.builds(ElementwiseOptions, activations),
    "MEAN": st.builds(ReducerOptions, st.booleans()),
    "SOFTMAX": st.builds(SoftmaxOptions, st.floats()),
    "CONCATENATION": st.builds(ConcatenationOptions, small, activations),
    "RESHAPE": st.builds(ReshapeOptions),
    "SQUEEZE": st.builds(SqueezeOptions),
}
NO_OPTIONS: st.SearchStrategy[Any] = st.sampled_from([NoOptions(), SchemaOptions("Odd")])


@st.composite
def tensors(draw: st.DrawFn, index: int) -> Tensor:
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 1, 2, 3, 4]), max_size=5)))
    usual = [
        DType.INT8,
        DType.INT8,
        DType.INT4,
        DType.INT32,
        DType.INT16,
        DType.UINT8,
        DType.FLOAT32,
    ]
    dtype = draw(st.sampled_from(usual))
    quantization = None
    if draw(st.integers(0, 5)):
        count = draw(st.sampled_from([1, 1, 1, 1, 0, 2, 4]))
        scales = [0.1, 1.0, 1 / 256, 1e-30, 0.0, -1.0, float("nan"), float("inf")]
        quantization = Quantization(
            tuple(draw(st.sampled_from(scales)) for _ in range(count)),
            tuple(draw(st.sampled_from([0, 0, -128, 900])) for _ in range(count)),
            draw(st.integers(0, 3)),
        )
    data = None
    if draw(st.booleans()):
        data = np.full(shape, draw(st.integers(-3, 4)) % 128, dtype.numpy)
    return Tensor(index, f"t{index}", shape, dtype, quantization, data)


@st.composite
def layers(draw: st.DrawFn, op: str) -> LayerView:
    inputs = draw(st.integers(0, 4))
    outputs = draw(st.sampled_from([1, 1, 1, 0, 2]))
    made = tuple(draw(tensors(i)) for i in range(inputs + outputs))
    if made and draw(st.booleans()):  # everything alike, so that deeper checks are reached
        first = made[0]
        made = tuple(
            Tensor(t.index, t.name, first.shape, first.dtype, first.quantization, t.data)
            if t.data is None
            else t
            for t in made
        )
    left_out = draw(st.sampled_from([None, None, None, 0, 1]))
    operands = tuple(-1 if i == left_out else i for i in range(inputs))
    options = draw(OPTIONS.get(op, NO_OPTIONS) | NO_OPTIONS)
    operator = Operator(0, op, operands, tuple(range(inputs, inputs + outputs)), options)
    return LayerView(Graph("g", made, (operator,), (), ()), operator)


@pytest.mark.parametrize("row", KERNELS, ids=lambda row: f"{row.op}-{row.name}")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_a_row_answers_whatever_the_layer(row: KernelRow, data: st.DataObject) -> None:
    layer = data.draw(layers(row.op))
    reason = row.refuses(layer)
    if reason is None:
        row.bind(layer)
    else:
        assert reason
        assert "\n" not in reason


def test_scales_whose_product_is_infinite_are_refused() -> None:
    b = GraphBuilder("g")
    x = b.input("x", (1, 4), 1e30, 0)
    w = b.weights("w", np.ones((2, 4), np.int8), [1e30])
    graph = b.build([b.fully_connected(x, w, None, 1.0, 0)])
    layer = LayerView(graph, graph.operators[0])
    for row in KERNELS:
        if row.op == "FULLY_CONNECTED":
            assert row.refuses(layer) is not None
