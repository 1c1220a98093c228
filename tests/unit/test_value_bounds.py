"""Bounds of activations: exact for a single input, and never narrower than the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lossless_models import random_graph

from edge_export.kernels import add_linear, quant
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph, Quantization, Tensor
from edge_quantize.graph.options import Padding
from edge_quantize.inputs import lcg_inputs
from edge_quantize.passes import arithmetic
from edge_quantize.passes.arithmetic import Multipliers, Rounding, requantize
from edge_quantize.passes.bounds import Bounds, tensor_bounds
from edge_quantize.reference import TflmReference, tflm_available

needs_tflm = pytest.mark.skipif(not tflm_available(), reason="no tflite_micro wheel here")


def run_all(graph: Graph, inputs: tuple[np.ndarray, ...]) -> dict[int, np.ndarray]:
    reference = TflmReference(graph, preserve=True)
    reference.run(inputs)
    return dict(reference.tensors())


@needs_tflm
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_bounds_of_one_input_are_what_tflite_micro_computes(seed: int) -> None:
    graph = random_graph(seed)
    inputs, _ = lcg_inputs(graph, seed)
    points = {i: Bounds(a, a) for i, a in zip(graph.inputs, inputs, strict=True)}
    bounds = tensor_bounds(graph, points, (Rounding.DOUBLE,))
    for index, computed in run_all(graph, inputs).items():
        found = bounds[index]
        if found.constant.all():
            assert np.array_equal(found.low, computed), graph.tensors[index].name
        else:  # SOFTMAX has no rule
            assert graph.tensors[index].name.startswith("softmax")


@needs_tflm
@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_nothing_leaves_the_bounds_of_all_inputs(seed: int) -> None:
    graph = random_graph(seed)
    bounds = tensor_bounds(graph)
    state = seed
    for _ in range(4):
        inputs, state = lcg_inputs(graph, state)
        for index, computed in run_all(graph, inputs).items():
            assert (bounds[index].low <= computed).all()
            assert (computed <= bounds[index].high).all()


def test_borders_have_bounds_of_their_own() -> None:
    b = GraphBuilder("border")
    x = b.input("x", (1, 3, 3, 1), 1.0, 0)
    w = b.weights("w", np.ones((1, 3, 3, 1), np.int8), [1.0])
    graph = b.build([b.conv_2d(x, w, None, 8.0, 0)])
    found = tensor_bounds(graph)[graph.outputs[0]]
    assert found.high[0, :, :, 0].tolist() == [[64, 95, 64], [95, 127, 95], [64, 95, 64]]


def test_an_accumulator_that_may_leave_int32_proves_nothing() -> None:
    b = GraphBuilder("wrap")
    x = b.input("x", (1, 1, 1, 1), 1.0, 0)
    w = b.weights("w", np.ones((1, 1, 1, 1), np.int8), [1.0])
    bias = b.bias("b", [2**31 - 10], x, w)
    graph = b.build([b.conv_2d(x, w, bias, 1.0, 0)])
    found = tensor_bounds(graph)[graph.outputs[0]]
    assert (found.low.item(), found.high.item()) == (-128, 127)


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-9, 100.0), st.integers(-(2**24), 2**24), st.sampled_from(Rounding))
def test_requantizing_is_monotone(real: float, x: int, rounding: Rounding) -> None:
    by = Multipliers.of(real)
    if not by.fits(np.array([abs(x) + 1])).all():
        return
    pair = requantize(np.array([x, x + 1]), by, rounding)
    assert pair[0] <= pair[1]


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-9, 100.0), st.integers(-(2**24), 2**24))
def test_the_arithmetic_is_that_of_the_kernels(real: float, x: int) -> None:
    by = Multipliers.of(real)
    mantissa, shift = quant.quantize_multiplier(real)
    assert (int(by.mantissa[0]), int(by.shift[0])) == (mantissa, shift)
    if by.fits(np.array([abs(x)])).all():
        assert int(requantize(np.array([x]), by)[0]) == quant.requantize(x, mantissa, shift)


def test_adding_is_that_of_the_kernels() -> None:
    quantizations = [Quantization((s,), (z,)) for s, z in ((0.031, 3), (0.0071, -9), (0.044, 1))]
    first, second, output = (
        Tensor(i, "t", (256,), DType.INT8, q) for i, q in enumerate(quantizations)
    )
    every = np.arange(-128, 128)
    m = add_linear.add_multipliers(
        "ADD", DType.INT8, (0.031, 0.0071, 0.044), (3, -9, 1), (-(1 << 30), 1 << 30)
    )
    x, y = every[:, None], every[None, :]
    assert np.array_equal(
        arithmetic.added((x, y), (first, second), output), add_linear.add_reference(m, x, y)
    )


def test_a_padded_average_counts_what_lies_inside() -> None:
    b = GraphBuilder("average")
    x = b.input("x", (1, 3, 3, 1), 1.0, 0)
    y = b.pool("AVERAGE_POOL_2D", x, (2, 2), (2, 2), padding=Padding.SAME)
    graph = b.build([y])
    point = np.arange(9, dtype=np.int8).reshape(1, 3, 3, 1)
    found = tensor_bounds(graph, {0: Bounds(point, point)})[graph.outputs[0]]
    assert found.low.reshape(-1).tolist() == [2, 4, 7, 8]
