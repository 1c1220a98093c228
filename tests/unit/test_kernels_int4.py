"""Layers with int4 weights: packed two in a byte in the image, and bit for bit what tflite_micro
computes; where it has no such kernel, what it computes with the same weights as int8."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from kernel_harness import ArmKernels, HostKernels, Kernels
from operator_harness import accepting_rows, layer_of, random_inputs, reference, refusals, run_row

from edge_export.errors import LoweringError
from edge_export.kernels.int4 import pack_int4
from edge_export.kernels.table import choose
from edge_quantize.check import check_supported
from edge_quantize.errors import ModelFileError, UnsupportedModelError
from edge_quantize.graph import DType, Graph
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import Activation, Padding
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.reference import TflmReference

ACTIVATIONS = (Activation.NONE, Activation.RELU, Activation.RELU6, Activation.RELU_N1_TO_1)
PORTABLE = frozenset[str]()
DSP = frozenset({"dsp"})


def examples(count: int) -> Any:
    return settings(max_examples=count, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@st.composite
def int4_layers(draw: st.DrawFn, op: str) -> Graph:
    """A layer of one operator; its filter has an odd number of elements as often as an even one."""
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    zero_points = st.sampled_from([-128, 127, 0]) | st.integers(-128, 127)
    b = GraphBuilder(op.lower())
    if op == "FULLY_CONNECTED":
        depth = draw(st.sampled_from([1, 2, 3, 4, 8, 9, 16, 20, 31]))
        x = b.input("x", (draw(st.sampled_from([1, 1, 3])), depth), 0.5, draw(zero_points))
        shape: tuple[int, ...] = (draw(st.integers(1, 11)), depth)
        axis, window = 0, {}
    else:
        in_c = draw(st.sampled_from([1, 2, 3, 4, 5, 8, 12]))
        kernel = draw(st.sampled_from([(1, 1), (3, 3), (3, 3), (1, 4), (5, 2), (2, 2)]))
        size = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
        dilation = draw(st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 1), (1, 3)]))
        padding = draw(st.sampled_from(Padding))
        reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
        assume(padding is Padding.SAME or (reach[0] <= size[0] and reach[1] <= size[1]))
        stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        x = b.input("x", (1, *size, in_c), 0.5, draw(zero_points))
        window = {"stride": stride, "padding": padding, "dilation": dilation}
        if op == "CONV_2D":
            shape, axis = (draw(st.integers(1, 9)), *kernel, in_c), 0
        else:
            multiplier = draw(st.sampled_from([1, 1, 1, 2, 3]))
            shape, axis = (1, *kernel, in_c * multiplier), 3
            window["depth_multiplier"] = multiplier
    channels = shape[axis] if draw(st.booleans()) else 1
    # Many extremes: sums that saturate.
    values = generator.integers(-8, 8, shape)
    if draw(st.integers(0, 3)) == 0:
        values = generator.choice([-8, 7], shape)
    factor = draw(st.sampled_from([2**-2, 2**-4, 2**-8, 2**-24]) | st.floats(2**-9, 4.0))
    scales = factor * generator.uniform(0.3, 1.0, channels)
    w = b.weights("w", values, list(scales), axis, DType.INT4)
    limit = draw(st.sampled_from([0, 300, 300, 2**28]))
    biases = generator.integers(-limit, limit, shape[axis]) if limit else None
    bias = None if biases is None else b.bias("b", biases, x, w)
    add = {
        "CONV_2D": b.conv_2d,
        "DEPTHWISE_CONV_2D": b.depthwise_conv_2d,
        "FULLY_CONNECTED": b.fully_connected,
    }[op]
    activation = draw(st.sampled_from(ACTIVATIONS))
    y = add(x, w, bias, 0.5, draw(zero_points), activation=activation, **window)  # type: ignore[operator]
    return b.build([y])


CONVOLUTIONS = st.one_of(int4_layers("CONV_2D"), int4_layers("DEPTHWISE_CONV_2D"))
LAYERS = st.one_of(CONVOLUTIONS, int4_layers("FULLY_CONNECTED"))


def unpacked(graph: Graph) -> Graph:
    """The same layer with its weights as int8."""
    tensors = [replace(t, dtype=DType.INT8) if t.dtype is DType.INT4 else t for t in graph.tensors]
    return replace(graph, tensors=tuple(tensors))


def tflm_takes(graph: Graph) -> bool:
    """tflite_micro has int4 FULLY_CONNECTED with one scale only."""
    weights = layer_of(graph).input(1)
    assert weights.quantization is not None
    return graph.operators[0].op != "FULLY_CONNECTED" or not weights.quantization.per_channel


def check(graph: Graph, kernels: Kernels, seed: int, wanted: npt.NDArray[Any]) -> None:
    rows = accepting_rows(graph)
    assume(rows)  # what the reference would overflow on is refused here
    assert all("_w4" in row.name for row in rows)
    inputs = random_inputs(graph, seed)
    for row in rows:
        for place in (None, *row.bind(layer_of(graph)).in_place):
            got = run_row(row, graph, inputs, kernels, place)
            np.testing.assert_array_equal(
                got.reshape(wanted.shape), wanted, f"{row.name}, in place: {place}"
            )
        if isinstance(kernels, ArmKernels):
            assert kernels.stack_bytes <= 512, row.name


@examples(150)
@given(graph=LAYERS, seed=st.integers(0, 999))
def test_int4_kernels_equal_tflite_micro_s(host: HostKernels, graph: Graph, seed: int) -> None:
    assume(accepting_rows(graph))
    same = graph if tflm_takes(graph) else unpacked(graph)
    check(graph, host, seed, reference(same, random_inputs(graph, seed)))


@examples(100)
@given(graph=LAYERS, seed=st.integers(0, 999))
def test_int4_kernels_equal_the_int8_kernels_with_the_weights_unpacked(
    host: HostKernels, graph: Graph, seed: int
) -> None:
    wide = unpacked(graph)
    rows = accepting_rows(wide)
    assert bool(rows) == bool(accepting_rows(graph)), refusals(graph)
    assume(rows)
    check(graph, host, seed, run_row(rows[-1], wide, random_inputs(graph, seed), host))


@examples(40)
@given(graph=LAYERS, seed=st.integers(0, 999))
def test_int4_code_for_the_core_is_exact_on_under_512_bytes_of_stack(
    host: HostKernels, arm: ArmKernels, graph: Graph, seed: int
) -> None:
    wide = unpacked(graph)
    rows = accepting_rows(wide)
    assume(rows)
    check(graph, arm, seed, run_row(rows[-1], wide, random_inputs(graph, seed), host))


@examples(80)
@given(graph=LAYERS)
def test_the_scratch_of_int4_kernels_is_what_the_c_twin_says(
    host: HostKernels, graph: Graph
) -> None:
    for row in accepting_rows(graph):
        binding = row.bind(layer_of(graph))
        assert host.scratch_bytes(row.name, binding) == binding.scratch_bytes, row.name


@examples(50)
@given(graph=LAYERS)
def test_an_int4_layer_survives_the_file_and_is_supported(graph: Graph) -> None:
    again = read_tflite(write_tflite(graph))
    weights, back = graph.tensor(1), again.tensor(1)
    assert back.dtype is DType.INT4
    np.testing.assert_array_equal(weights.data, back.data)
    assert bool(check_supported(again)) == bool(check_supported(graph))


def dense(values: Any, scales: list[float], depth: int) -> Graph:
    b = GraphBuilder("dense")
    x = b.input("x", (1, depth), 0.5, 3)
    w = b.weights("w", np.asarray(values).reshape(-1, depth), scales, 0, DType.INT4)
    return b.build([b.fully_connected(x, w, None, 0.5, 0)])


def test_the_first_of_two_lies_in_the_low_half_and_rows_end_with_whole_bytes() -> None:
    packed = pack_int4(np.array([[-8, 7, 1], [-1, 0, 2]], np.int8))
    assert packed.view(np.uint8).tolist() == [[0x78, 0x01], [0x0F, 0x02]]


@pytest.mark.parametrize(("depth", "rows", "in_file"), [(8, 4, 16), (5, 3, 8), (1, 1, 1)])
def test_the_image_holds_the_packed_bytes_and_the_sizes_say_so(
    depth: int, rows: int, in_file: int
) -> None:
    graph = dense([[1] * depth] * rows, [0.1], depth)
    assert graph.tensor(1).nbytes == in_file
    assert graph.constant_bytes == in_file
    for features in (PORTABLE, DSP):
        _, binding = choose(layer_of(graph), features)
        (weights,) = (c for c in binding.constants if c.name.endswith("_weights"))
        assert weights.source_bytes == in_file
        assert in_file <= weights.nbytes <= rows * (depth + 1) // 2 + 3


def test_tflite_micro_refuses_int4_with_a_scale_a_row_and_is_given_the_same_weights_as_int8() -> (
    None
):
    graph = dense([[-8, 7, 3, 1, 2]] * 3, [0.1, 0.2, 0.3], 5)
    with pytest.raises(RuntimeError):
        reference(graph, random_inputs(graph, 0))
    runtime = TflmReference(graph)
    assert runtime.name == "tflite_micro (int4 weights of FULLY_CONNECTED as int8)"
    x = random_inputs(graph, 0)
    wide = unpacked(graph)
    np.testing.assert_array_equal(runtime.run(x)[0], reference(wide, x))
    assert TflmReference(wide).name == "tflite_micro"
    assert TflmReference(dense([[1] * 5], [0.1], 5)).name == "tflite_micro"


# What is not sound is refused, with its reason.


def replaced(graph: Graph, index: int, **changes: Any) -> Graph:
    tensors = list(graph.tensors)
    tensors[index] = replace(tensors[index], **changes)
    return replace(graph, tensors=tuple(tensors))


def said(graph: Graph) -> str:
    return "; ".join(str(problem) for problem in check_supported(graph))


def test_values_that_four_bits_do_not_hold_are_refused_wherever_they_come_in() -> None:
    with pytest.raises(ValueError, match="'w' is to be int4, and runs from -9 to 7"):
        dense([[-9, 7]], [0.1], 2)
    wide = replaced(dense([[1, 2]], [0.1], 2), 1, data=np.array([[1, 8]], np.int8))
    assert "tensor 'w': is int4, and runs from 1 to 8" in said(wide)
    with pytest.raises(UnsupportedModelError, match="'w': is int4, and runs from 1 to 8"):
        write_tflite(wide)
    with pytest.raises(LoweringError, match="int4 weights 'w' are not all within -8 to 7"):
        choose(layer_of(wide), PORTABLE)


def test_int4_is_for_weights_alone() -> None:
    b = GraphBuilder("activations")
    x = b.input("x", (1, 4), 0.5, 0, DType.INT4)
    assert "tensor 'x': int4 activations are not supported" in said(b.build([b.reshape(x, (4,))]))
    b = GraphBuilder("operand")
    x = b.input("x", (1, 4), 0.5, 0)
    other = b.weights("other", np.ones((1, 4)), [0.1], 0, DType.INT4)
    graph = b.build([b.elementwise("ADD", x, other, 1.0, 0)])
    assert "tensor 'other': is int4; only int8 or int16 is supported here" in said(graph)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"data": None}, "int4 activations are not supported"),
        ({"dtype": DType.INT2}, "int2 weights are not supported: quantize them to int8 or int4"),
        ({"dtype": DType.INT16}, "is int16; only int8 or int4 is supported here"),
        ({"encoding": "sparse"}, "sparse is not supported"),
        ({"quantization": None}, "has no scale"),
    ],
)
def test_faults_of_int4_weights_are_named(changes: dict[str, Any], reason: str) -> None:
    assert reason in said(replaced(dense([[1, 2]], [0.1], 2), 1, **changes))


def test_int4_weights_beside_int16_activations_are_refused() -> None:
    graph = dense([[1, 2]], [0.1], 2)
    for index in (0, 2):
        tensor = graph.tensor(index)
        assert tensor.quantization is not None
        wide = replace(tensor.quantization, zero_points=(0,))
        graph = replaced(graph, index, dtype=DType.INT16, quantization=wide)
    assert "tensor 'w': is int4; beside int16 activations only int8 is supported" in said(graph)


@pytest.mark.parametrize("cut", [-1, 1])
def test_a_buffer_of_another_size_than_the_packed_weights_is_refused(cut: int) -> None:
    graph = dense([[1, 2, 3, 4, 5]], [0.1], 5)
    content = write_tflite(replaced(graph, 1, shape=(1, 5 + 2 * cut), data=graph.tensor(1).data))
    with pytest.raises(ModelFileError, match=r"of int4 takes \d+ bytes, its buffer has 3"):
        read_tflite(content)
