"""int16 activations: every row equals tflite_micro bit for bit, on the host and on an emulated
Cortex-M7; what TFLM's kernels do not take is refused with a reason, by check and rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from kernel_harness import ArmKernels, HostKernels, Kernels
from operator_harness import (
    Array,
    accepting_rows,
    layer_of,
    random_inputs,
    reference,
    refusals,
    run_row,
)

from edge_export.kernels.activation import lookup_table
from edge_export.kernels.table import KERNELS, activation_dtypes
from edge_quantize.check import SUPPORTED_OPS, check_supported
from edge_quantize.graph import DType, Graph, Quantization
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import (
    Activation,
    FullyConnectedOptions,
    Padding,
    SoftmaxOptions,
)

EXAMPLES = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
FEW = settings(EXAMPLES, max_examples=12)
INT16 = DType.INT16
ACTIVATIONS = (Activation.NONE, Activation.RELU, Activation.RELU6, Activation.RELU_N1_TO_1)
EXTREMES = (-32768, 32767)


def check(graph: Graph, kernels: Kernels, inputs: list[Array], *expected: str) -> None:
    """The check takes the graph, and all rows that do give the reference's bytes, in place too
    where they say so; `expected` rows are among them."""
    assert not check_supported(graph)
    rows = accepting_rows(graph)
    assert rows, refusals(graph)
    assert set(expected) <= {row.name for row in rows}, refusals(graph)
    wanted = reference(graph, inputs)
    for row in rows:
        for place in (None, *row.bind(layer_of(graph)).in_place):
            got = run_row(row, graph, inputs, kernels, place)
            np.testing.assert_array_equal(
                got.reshape(wanted.shape), wanted, f"{row.name}, in place: {place}"
            )
        if isinstance(kernels, ArmKernels):
            assert kernels.stack_bytes <= 512


scales = st.floats(-11.0, -3.0).map(lambda x: float(np.float32(math.exp(x))))
activations = st.sampled_from(ACTIVATIONS)
seeds = st.integers(0, 2**32 - 1)
paddings = st.sampled_from(Padding)


# Layers with weights.


def weights_and_bias(
    draw: st.DrawFn, b: GraphBuilder, x: int, shape: tuple[int, ...], axis: int, out_scale: float
) -> tuple[int, int | None]:
    """Weights whose products fill the output's range to some degree, with any bias there is."""
    generator = np.random.default_rng(draw(seeds))
    channels = shape[axis]
    extreme = draw(st.booleans())
    values = generator.integers(-128, 128, shape)
    if extreme:
        values = generator.choice([-128, 127], shape)
    taps = values.size // channels
    per_channel = draw(st.booleans())
    spread = 2.0 ** generator.integers(-3, 4, channels) * generator.uniform(0.5, 1.0, channels)
    quantization = b._tensors[x].quantization
    assert quantization is not None
    factor = draw(st.sampled_from([2.0**-14, 2.0**-7, 1.0, 40.0]) | st.floats(2**-9, 2.0))
    step = factor * out_scale / (quantization.scale * 128 * math.sqrt(taps))
    w = b.weights(
        "w", values.astype(np.int8), list(step * (spread if per_channel else spread[:1])), axis
    )
    kind = draw(st.sampled_from(["none", "int64", "int64", "huge", "int32"]))
    depthwise = axis == 3
    if kind == "none":
        return w, None
    if kind == "int32" and not depthwise:
        return w, b.bias("b", generator.integers(-(2**22), 2**22, channels), x, w, DType.INT32)
    limit = 2**40 if kind == "huge" else 2**20
    return w, b.bias("b", generator.integers(-limit, limit, channels), x, w)


@st.composite
def convolutions(draw: st.DrawFn) -> Graph:
    in_c, out_c = draw(st.integers(1, 9)), draw(st.integers(1, 6))
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (1, 4), (5, 2), (2, 2)]))
    size = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 3)]))
    padding = draw(paddings)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    assume(padding is Padding.SAME or (reach[0] <= size[0] and reach[1] <= size[1]))
    b = GraphBuilder("conv")
    x = b.input("x", (1, *size, in_c), draw(scales), 0, INT16)
    out_scale = draw(scales)
    w, bias = weights_and_bias(draw, b, x, (out_c, *kernel, in_c), 0, out_scale)
    y = b.conv_2d(
        x, w, bias, out_scale, 0,
        stride=stride, padding=padding, dilation=dilation, activation=draw(activations),
    )  # fmt: skip
    return b.build([y])


@st.composite
def depthwise_convolutions(draw: st.DrawFn) -> Graph:
    in_c, multiplier = draw(st.integers(1, 9)), draw(st.sampled_from([1, 1, 1, 2, 3]))
    kernel = draw(st.sampled_from([(3, 3), (3, 3), (1, 1), (5, 4)]))
    size = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 3)]))
    padding = draw(paddings)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    assume(padding is Padding.SAME or (reach[0] <= size[0] and reach[1] <= size[1]))
    b = GraphBuilder("depthwise")
    x = b.input("x", (1, *size, in_c), draw(scales), 0, INT16)
    out_scale = draw(scales)
    w, bias = weights_and_bias(draw, b, x, (1, *kernel, in_c * multiplier), 3, out_scale)
    y = b.depthwise_conv_2d(
        x, w, bias, out_scale, 0,
        stride=stride, padding=padding, dilation=dilation, depth_multiplier=multiplier,
        activation=draw(activations),
    )  # fmt: skip
    return b.build([y])


@st.composite
def fully_connected_layers(draw: st.DrawFn) -> Graph:
    depth, out_c = draw(st.integers(1, 40)), draw(st.integers(1, 9))
    b = GraphBuilder("fully_connected")
    x = b.input("x", (draw(st.sampled_from([1, 1, 3])), depth), draw(scales), 0, INT16)
    out_scale = draw(scales)
    w, bias = weights_and_bias(draw, b, x, (out_c, depth), 0, out_scale)
    return b.build([b.fully_connected(x, w, bias, out_scale, 0, activation=draw(activations))])


LAYERS = st.one_of(convolutions(), depthwise_convolutions(), fully_connected_layers())


def constant_input(graph: Graph, value: int) -> list[Array]:
    return [np.full(graph.tensor(graph.inputs[0]).shape, value, np.int16)]


@settings(EXAMPLES, max_examples=200)
@given(graph=LAYERS, seed=seeds)
def test_layers_with_weights(host: HostKernels, graph: Graph, seed: int) -> None:
    # What saturates 32 bits is refused by the row, rarely: such a graph says nothing here.
    assume(accepting_rows(graph) and not check_supported(graph))
    for inputs in (random_inputs(graph, seed), *(constant_input(graph, v) for v in EXTREMES)):
        check(graph, host, inputs)


@settings(EXAMPLES, max_examples=40)
@given(graph=LAYERS, seed=seeds)
def test_layers_with_weights_on_an_emulated_core(arm: ArmKernels, graph: Graph, seed: int) -> None:
    assume(accepting_rows(graph) and not check_supported(graph))
    check(graph, arm, random_inputs(graph, seed))


@pytest.mark.parametrize("value", EXTREMES)
@pytest.mark.parametrize("weight", [-128, 127])
def test_sums_past_32_bits(host: HostKernels, arm: ArmKernels, value: int, weight: int) -> None:
    """3000 products of one sign; the sum needs 35 bits, and a bias may carry it past 40."""
    for bias in (0, 2**40):
        b = GraphBuilder("long")
        x = b.input("x", (1, 3000), 1e-4, 0, INT16)
        w = b.weights("w", np.full((3, 3000), weight, np.int8), [0.01])
        graph = b.build([b.fully_connected(x, w, b.bias("b", [bias, -bias, 1], x, w), 0.5, 0)])
        for kernels in (host, arm):
            check(graph, kernels, constant_input(graph, value), "eag_fully_connected_s16")


def test_the_two_widths_of_bias_round_differently_and_both_are_matched(host: HostKernels) -> None:
    outputs = []
    for dtype in (DType.INT32, DType.INT64):
        generator = np.random.default_rng(5)
        b = GraphBuilder("fc")
        x = b.input("x", (40, 16), 0.001, 0, INT16)
        w = b.weights("w", generator.integers(-127, 128, (24, 16)).astype(np.int8), [0.0123])
        bias = b.bias("b", generator.integers(-9999, 9999, 24), x, w, dtype)
        graph = b.build([b.fully_connected(x, w, bias, 0.0047, 0)])
        inputs = random_inputs(graph, 3)
        check(graph, host, inputs)
        outputs.append(reference(graph, inputs))
    assert (outputs[0] != outputs[1]).any()


def test_a_layer_without_bias_may_ask_for_sums_of_32_bits(host: HostKernels) -> None:
    outputs = []
    for kind in ("INT32", "FLOAT32"):
        b = GraphBuilder("fc")
        x = b.input("x", (40, 16), 0.001, 0, INT16)
        values = np.random.default_rng(5).integers(-127, 128, (24, 16)).astype(np.int8)
        w = b.weights("w", values, [0.0123])
        options = FullyConnectedOptions(quantized_bias_type=kind)
        y = b.operator("FULLY_CONNECTED", (x, w), options, scale=0.0047)
        graph = b.build([y])
        inputs = random_inputs(graph, 3)
        check(graph, host, inputs)
        outputs.append(reference(graph, inputs))
    assert (outputs[0] != outputs[1]).any()


def test_a_channel_that_never_changes_costs_no_precision(host: HostKernels) -> None:
    """Pruning and quantizers leave channels with a scale of next to nothing, or one that a clamp
    holds; the DSP kernels take the layer all the same."""
    for activation, bias in (
        (Activation.NONE, 7),
        (Activation.RELU, -(2**35)),
        (Activation.RELU6, 2**35),
    ):
        b = GraphBuilder("still")
        x = b.input("x", (1, 5, 5, 4), 0.001, 0, INT16)
        values = np.random.default_rng(2).integers(-127, 128, (3, 3, 3, 4)).astype(np.int8)
        w = b.weights("w", values, [0.01, 1e-12 if bias == 7 else 0.01, 0.02])
        y = b.conv_2d(x, w, b.bias("b", [5, bias, -9], x, w), 0.002, 0, activation=activation)
        graph = b.build([y])
        check(graph, host, random_inputs(graph, 4), "eag_conv_2d_s16_dsp")


def test_a_channel_out_of_the_dsp_kernels_range_is_left_to_the_portable_one() -> None:
    b = GraphBuilder("wide")
    x = b.input("x", (1, 8), 0.001, 0, INT16)
    w = b.weights("w", np.full((2, 8), 100, np.int8), [0.01])
    graph = b.build([b.fully_connected(x, w, b.bias("b", [2**33, 0], x, w), 10.0, 0)])
    assert [row.name for row in accepting_rows(graph)] == ["eag_fully_connected_s16"]
    assert "out of this kernel's range" in refusals(graph)["eag_fully_connected_s16_dsp"]


@settings(EXAMPLES, max_examples=60)
@given(graph=LAYERS)
def test_scratch_is_what_the_c_function_says(host: HostKernels, graph: Graph) -> None:
    for row in accepting_rows(graph):
        binding = row.bind(layer_of(graph))
        assert host.scratch_bytes(row.name, binding) == binding.scratch_bytes, row.name


@pytest.mark.parametrize(
    ("op", "most"), [("CONV_2D", 2.5), ("DEPTHWISE_CONV_2D", 8.0), ("FULLY_CONNECTED", 2.0)]
)
def test_instructions_a_multiply_accumulate(arm: ArmKernels, op: str, most: float) -> None:
    generator = np.random.default_rng(1)
    b = GraphBuilder(op)
    if op == "FULLY_CONNECTED":
        x = b.input("x", (1, 640), 0.001, 0, INT16)
        w = b.weights("w", generator.integers(-127, 128, (128, 640)).astype(np.int8), [0.01])
        y = b.fully_connected(x, w, None, 0.1, 0)
    elif op == "CONV_2D":
        x = b.input("x", (1, 10, 10, 64), 0.001, 0, INT16)
        w = b.weights("w", generator.integers(-127, 128, (64, 1, 1, 64)).astype(np.int8), [0.01])
        y = b.conv_2d(x, w, b.bias("b", [3] * 64, x, w), 0.1, 0)
    else:
        x = b.input("x", (1, 10, 10, 64), 0.001, 0, INT16)
        w = b.weights("w", generator.integers(-127, 128, (1, 3, 3, 64)).astype(np.int8), [0.01], 3)
        y = b.depthwise_conv_2d(x, w, b.bias("b", [3] * 64, x, w), 0.1, 0)
    graph = b.build([y])
    (row,) = (row for row in accepting_rows(graph) if row.needs)
    run_row(row, graph, random_inputs(graph, 1), arm)
    # gcc needs 1.8, 6.6 and 1.9, clang more.
    assert arm.instructions < most * row.bind(layer_of(graph)).macs


# Two operands.


@st.composite
def broadcast_shapes(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...]]:
    shape = draw(st.lists(st.integers(1, 6), min_size=1, max_size=4))

    def thinned() -> tuple[int, ...]:
        dims = [draw(st.sampled_from([d, d, 1])) for d in shape]
        return tuple(dims[draw(st.integers(0, len(dims) - 1)) :])

    return thinned(), thinned()


@st.composite
def binaries(
    draw: st.DrawFn, dtypes: Sequence[DType] = (INT16,), ops: str = "ADD SUB MUL"
) -> Graph:
    op, dtype = draw(st.sampled_from(ops.split())), draw(st.sampled_from(dtypes))
    b = GraphBuilder(op)
    constant = draw(st.sampled_from([None, 0, 1]))
    limits = np.iinfo(dtype.value)
    wide = dtype is INT16
    operands, own_scales = [], []
    for position, shape in enumerate(draw(broadcast_shapes())):
        scale = draw(scales) * (1 if wide else 200)
        own_scales.append(scale)
        zero = 0 if wide else draw(st.integers(-128, 127))
        if position == constant:
            generator = np.random.default_rng(draw(seeds))
            data = generator.integers(limits.min, limits.max, shape, endpoint=True)
            quantization = Quantization((float(np.float32(scale)),), (zero,))
            operands.append(b.constant("constant", data.astype(dtype.value), quantization))
        else:
            operands.append(b.input(f"x{position}", shape, scale, zero, dtype))
    usual = max(own_scales) if op != "MUL" else math.prod(own_scales) * (2**15 if wide else 2**6)
    scale = usual * draw(st.floats(0.3, 3.0))
    zero = 0 if wide else draw(st.integers(-128, 127))
    return b.build([b.elementwise(op, *operands, scale, zero, activation=draw(activations))])


@EXAMPLES
@given(graph=binaries(), seed=seeds)
def test_add_sub_and_mul(host: HostKernels, graph: Graph, seed: int) -> None:
    check(graph, host, random_inputs(graph, seed))


@EXAMPLES
@given(graph=binaries(dtypes=(DType.INT8,), ops="SUB"), seed=seeds)
def test_sub_of_int8(host: HostKernels, graph: Graph, seed: int) -> None:
    check(graph, host, random_inputs(graph, seed))


@EXAMPLES
@given(
    first=scales,
    second=scales,
    factor=st.floats(0.6, 2.0),
    zeros=st.tuples(*[st.integers(-128, 127)] * 3),
)
def test_sub_of_int8_over_all_pairs(
    host: HostKernels, first: float, second: float, factor: float, zeros: tuple[int, int, int]
) -> None:
    b = GraphBuilder("sub")
    x0, x1 = b.input("x0", (256, 256), first, zeros[0]), b.input("x1", (256, 256), second, zeros[1])
    graph = b.build([b.elementwise("SUB", x0, x1, max(first, second) * factor, zeros[2])])
    grid = np.arange(-128, 128, dtype=np.int8)
    inputs: list[Array] = [np.repeat(grid, 256).reshape(256, 256), np.tile(grid, (256, 1))]
    check(graph, host, inputs, "eag_sub_s8")


@FEW
@given(graph=binaries(dtypes=(DType.INT8, INT16)), seed=seeds)
def test_add_sub_and_mul_on_an_emulated_core(arm: ArmKernels, graph: Graph, seed: int) -> None:
    check(graph, arm, random_inputs(graph, seed))


# Functions of one operand.


@pytest.mark.parametrize("op", ["LOGISTIC", "TANH"])
@EXAMPLES
@given(exponent=st.floats(-8.0, 4.0), zero=st.integers(-128, 127))
def test_int8_functions_over_all_inputs(
    host: HostKernels, op: str, exponent: float, zero: int
) -> None:
    b = GraphBuilder(op)
    x = b.input("x", (256,), math.exp(exponent), zero)
    graph = b.build([b.activation(op, x)])
    check(graph, host, [np.arange(-128, 128, dtype=np.int8)], "eag_lookup_s8")


@pytest.mark.parametrize("op", ["LOGISTIC", "TANH"])
def test_int8_functions_are_near_the_real_ones(op: str) -> None:
    table = lookup_table(op, 0.05, -7).astype(float)
    x = 0.05 * (np.arange(-128, 128) + 7)
    if op == "LOGISTIC":
        assert np.abs((table + 128) / 256 - 1 / (1 + np.exp(-x))).max() < 0.7 / 128
    else:
        assert np.abs(table / 128 - np.tanh(x)).max() < 0.7 / 64


EVERY = np.arange(-32768, 32768, dtype=np.int64).astype(np.int16)


@pytest.mark.parametrize("op", ["LOGISTIC", "TANH"])
@settings(EXAMPLES, max_examples=25)
@given(
    scale=st.sampled_from([2.0**-12, 2.0**-11, 2.0**-10, 2.0**-15, 1.9])
    | scales
    | st.floats(-0.002, 0.002).map(lambda off: 2.0 ** (off - 12))  # nearly a power of two
)
def test_int16_functions_over_all_inputs(host: HostKernels, op: str, scale: float) -> None:
    b = GraphBuilder(op)
    graph = b.build([b.activation(op, b.input("x", (65536,), scale, 0, INT16))])
    check(graph, host, [EVERY], f"eag_{op.lower()}_s16")


@pytest.mark.parametrize("op", ["LOGISTIC", "TANH"])
@pytest.mark.parametrize("dtype", [DType.INT8, INT16])
def test_functions_on_an_emulated_core(arm: ArmKernels, op: str, dtype: DType) -> None:
    b = GraphBuilder(op)
    graph = b.build([b.activation(op, b.input("x", (3, 50), 0.0007, 0, dtype))])
    check(graph, arm, random_inputs(graph, 1))


@pytest.mark.parametrize("scale", [10 / 65535, 2.0**-11, 0.00071])
def test_softmax_over_every_entry_of_its_tables(host: HostKernels, scale: float) -> None:
    """Pairs at every difference walk through the whole table of exponentials; rows of up to 256
    equal elements through that of reciprocals."""
    b = GraphBuilder("softmax")
    graph = b.build([b.softmax(b.input("x", (65536, 2), scale, 0, INT16))])
    pairs = np.stack([EVERY, np.full_like(EVERY, 32767)], axis=1)
    check(graph, host, [pairs], "eag_softmax_s16")
    b = GraphBuilder("softmax")
    graph = b.build([b.softmax(b.input("x", (256, 256), scale, 0, INT16))])
    steps = np.where(np.tri(256, dtype=bool), 0, -30000).astype(np.int16)
    check(graph, host, [steps])


softmaxes: dict[str, Any] = {
    "shape": st.tuples(st.integers(1, 4), st.integers(1, 40)),
    "scale": scales,
    "beta": st.sampled_from([1.0, 0.3, 2.5]),
    "seed": seeds,
}


def softmax(shape: tuple[int, int], scale: float, beta: float) -> Graph:
    b = GraphBuilder("softmax")
    return b.build([b.softmax(b.input("x", shape, scale, 0, INT16), beta)])


@EXAMPLES
@given(**softmaxes)
def test_softmax(host: HostKernels, seed: int, **layer: Any) -> None:
    graph = softmax(**layer)
    check(graph, host, random_inputs(graph, seed))
    for value in EXTREMES:
        check(graph, host, constant_input(graph, value))


@FEW
@given(**softmaxes)
def test_softmax_on_an_emulated_core(arm: ArmKernels, seed: int, **layer: Any) -> None:
    graph = softmax(**layer)
    check(graph, arm, random_inputs(graph, seed))


PLAIN = (
    *("AVERAGE_POOL_2D", "MAX_POOL_2D", "MEAN", "RELU", "RELU6", "PAD", "PADV2", "CONCATENATION"),
    *("TO_INT8", "FROM_INT8", "RESCALE", "FROM_FLOAT", "TO_FLOAT", "RESHAPE"),
)


@st.composite
def plain(draw: st.DrawFn) -> Graph:
    """Pools, means, clamps, paddings, concatenations, conversions, other shapes."""
    kind = draw(st.sampled_from(PLAIN))
    shape = (1, draw(st.integers(3, 7)), draw(st.integers(3, 7)), draw(st.integers(1, 6)))
    scale, other = draw(scales), draw(scales)
    assume(1 / 500 < scale / other < 500)
    b = GraphBuilder(kind)
    sources = {"FROM_FLOAT": DType.FLOAT32, "FROM_INT8": DType.INT8}
    x = b.input("x", shape, scale, 0, sources.get(kind, INT16))
    if kind.endswith("POOL_2D"):
        size = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        y = b.pool(kind, x, size, stride, padding=draw(paddings), activation=draw(activations))
    elif kind == "MEAN":
        axes = sorted(draw(st.sets(st.integers(0, 3), min_size=1)))
        y = b.mean(x, axes, other, draw(st.sampled_from([0, 77])), draw(st.booleans()))
    elif kind == "RELU":
        y = b.operator(kind, (x,), scale=draw(st.sampled_from([scale, other])))
    elif kind == "RELU6":
        y = b.operator(kind, (x,))
    elif kind in ("PAD", "PADV2"):
        amounts = [(draw(st.integers(0, 2)), draw(st.integers(0, 2))) for _ in shape]
        paddings_ = b.constant("paddings", np.asarray(amounts, np.int32))
        operands = [x, paddings_]
        if kind == "PADV2":
            quantization = b._tensors[x].quantization
            value = np.array([draw(st.integers(-32768, 32767))], np.int16)
            operands.append(b.constant("value", value, quantization))
        y = b.operator(kind, operands)
    elif kind == "CONCATENATION":
        y = b.concatenation([x, b.input("z", shape, scale, 0, INT16)], draw(st.integers(-4, 3)))
    elif kind == "RESHAPE":
        y = b.reshape(x, (math.prod(shape),))
    elif kind == "TO_FLOAT":
        y = b.dequantize(x)
    else:
        target = DType.INT8 if kind == "TO_INT8" else INT16
        factor = {"TO_INT8": 200.0, "FROM_INT8": 0.01}.get(kind, 1.0)
        y = b.quantize(x, other * factor, 5 if target is DType.INT8 else 0, target)
    return b.build([y])


@settings(EXAMPLES, max_examples=150)
@given(graph=plain(), seed=seeds)
def test_everything_else(host: HostKernels, graph: Graph, seed: int) -> None:
    check(graph, host, random_inputs(graph, seed))


@settings(EXAMPLES, max_examples=40)
@given(graph=plain(), seed=seeds)
def test_everything_else_on_an_emulated_core(arm: ArmKernels, graph: Graph, seed: int) -> None:
    check(graph, arm, random_inputs(graph, seed))


def test_relu_over_all_inputs_of_many_scales(host: HostKernels) -> None:
    """One more bit in the multiplier, or one less, would show."""
    generator = np.random.default_rng(9)
    for dtype, values in ((INT16, EVERY), (DType.INT8, (EVERY >> 8).astype(np.int8))):
        for _ in range(20):
            b = GraphBuilder("relu")
            x = b.input("x", (65536,), generator.uniform(0.0005, 0.002), 0, dtype)
            scale = generator.uniform(0.0005, 0.002)
            check(b.build([b.operator("RELU", (x,), scale=scale)]), host, [values])


# What is refused.


def only_problem(graph: Graph) -> str:
    problems = [str(problem) for problem in check_supported(graph)]
    assert len(problems) == 1, problems
    layer = layer_of(graph)
    of_type = [r for r in KERNELS if r.op == layer.operator.op and INT16 in r.dtypes]
    assert of_type
    assert all(row.refuses(layer) is not None for row in of_type)
    return problems[0]


def weighted(op: str, **change: Any) -> Graph:
    """A small layer; `change` replaces its scales, zero points, bias or types."""
    given_ = {
        "x_zero": 0,
        "y_zero": 0,
        "bias": DType.INT64,
        "value": 5,
        "y_type": INT16,
        "step": 0.01,
    }
    o = given_ | change
    b = GraphBuilder(op)
    dense = op == "FULLY_CONNECTED"
    x = b.input("x", (1, 8) if dense else (1, 4, 4, 3), 0.001, o["x_zero"], INT16)
    shape, axis = {
        "CONV_2D": ((2, 3, 3, 3), 0),
        "DEPTHWISE_CONV_2D": ((1, 3, 3, 3), 3),
        "FULLY_CONNECTED": ((2, 8), 0),
    }[op]
    w = b.weights("w", np.ones(shape, np.int8), [o["step"]], axis)
    bias = b.bias("b", np.full(shape[axis], o["value"], np.int64), x, w, o["bias"])
    make = {
        "CONV_2D": b.conv_2d,
        "DEPTHWISE_CONV_2D": b.depthwise_conv_2d,
        "FULLY_CONNECTED": b.fully_connected,
    }[op]
    y = make(x, w, bias, 0.001, o["y_zero"])
    if o["y_type"] is not INT16:
        b._tensors[y] = replace(b._tensors[y], dtype=o["y_type"])
    return b.build([y])


WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")


@pytest.mark.parametrize("op", WEIGHTED)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"x_zero": 3}, "'x': is int16 with a zero point other than 0"),
        ({"y_zero": -1}, "is int16 with a zero point other than 0"),
        ({"y_type": DType.INT8}, "is int8 where 'x' is int16"),
        ({"value": 2**47}, "sums exceed 47 bits"),
        ({"value": -(2**62)}, "sums exceed 47 bits"),
        ({"step": 128.0}, "needs an output multiplier of 128"),
    ],
)
def test_weighted_layers_that_tflm_would_compute_wrongly(
    op: str, change: dict[str, Any], reason: str
) -> None:
    assert reason in only_problem(weighted(op, **change))


def test_a_depthwise_layer_takes_no_int32_bias() -> None:
    graph = weighted("DEPTHWISE_CONV_2D", bias=DType.INT32)
    assert "'b': is int32; only int64 is supported here" in only_problem(graph)


def test_a_32_bit_bias_needs_sums_of_32_bits() -> None:
    b = GraphBuilder("long")
    x = b.input("x", (1, 600), 0.001, 0, INT16)
    w = b.weights("w", np.full((2, 600), 127, np.int8), [0.01])
    graph = b.build([b.fully_connected(x, w, b.bias("b", [0, 0], x, w, DType.INT32), 0.1, 0)])
    (reason,) = {r for name, r in refusals(graph).items() if name.endswith("s16")}
    assert "the int32 of its bias" in reason


def unary(op: str, scale: float, zero: int, y_scale: float, y_zero: int) -> Graph:
    b = GraphBuilder(op)
    x = b.input("x", (1, 8), scale, zero, INT16)
    options = SoftmaxOptions() if op == "SOFTMAX" else None
    return b.build([b.operator(op, (x,), options, scale=y_scale, zero_point=y_zero)])


@pytest.mark.parametrize(
    ("graph", "reason"),
    [
        (unary("SOFTMAX", 0.001, 0, 1 / 65536, -32768), "must have scale 1/32768"),
        (unary("SOFTMAX", 0.001, 4, 1 / 32768, 0), "zero point other than 0"),
        (unary("SOFTMAX", 6.0, 0, 1 / 32768, 0), "is too large for input scale 6"),
        (unary("SOFTMAX", 1e-38, 0, 1 / 32768, 0), "is too small for input scale"),
        (unary("LOGISTIC", 0.001, 0, 1 / 256, 0), "must have scale 1/32768"),
        (unary("LOGISTIC", 3.0, 0, 1 / 32768, 0), "has scale 3, not within"),
        (unary("TANH", 0.001, 9, 1 / 32768, 0), "zero point other than 0"),
        (unary("TANH", 1e-20, 0, 1 / 32768, 0), "has scale 1e-20, not within"),
        (unary("RELU", 0.001, 0, 0.001, 5), "zero point other than 0"),
    ],
    ids=lambda value: value.name if isinstance(value, Graph) else "",
)
def test_functions_of_scales_that_tflm_does_not_take(graph: Graph, reason: str) -> None:
    assert reason in only_problem(graph)


@pytest.mark.parametrize("op", ["ADD", "SUB", "MUL"])
def test_two_operands_of_scales_that_tflm_does_not_take(op: str) -> None:
    def graph(zero: int, y_scale: float) -> Graph:
        b = GraphBuilder(op)
        x, y = (b.input(name, (4,), 0.001, zero, INT16) for name in "xy")
        return b.build([b.elementwise(op, x, y, y_scale, 0)])

    assert "'x': is int16 with a zero point other than 0" in str(check_supported(graph(1, 0.1))[0])
    assert "too small for operands" in only_problem(graph(0, 1e-9))


def test_int8_and_int16_meet_only_in_quantize() -> None:
    b = GraphBuilder("mixed")
    x, y = b.input("x", (4,), 0.1, 0), b.input("y", (4,), 0.1, 0, INT16)
    graph = b.build([b.elementwise("ADD", x, y, 0.1, 0, activation=Activation.NONE)])
    assert any("is int16 where 'x' is int8" in str(p) for p in check_supported(graph))


def test_the_table_names_the_types_of_every_operator() -> None:
    found = activation_dtypes()
    assert set(found) >= SUPPORTED_OPS
    assert all({DType.INT8, INT16} <= dtypes for dtypes in found.values())
