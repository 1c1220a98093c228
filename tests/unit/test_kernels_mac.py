"""CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED: every row of the table, bit for bit."""

from __future__ import annotations

import math
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from kernel_harness import KERNELS, ArmKernels, HostKernels, Kernels

from edge_export.errors import LoweringError
from edge_export.kernels.row import KernelRow, LayerView
from edge_export.kernels.table import choose, rows_for
from edge_quantize.graph import DType, Graph
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.options import (
    Activation,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    Padding,
)
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite

OPS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
SOURCES = tuple(
    sorted({Path(s).name for op in OPS for r in rows_for(op) for s in r.sources if s[-1] == "c"})
)
DSP = frozenset({"dsp"})
ACTIVATIONS = (Activation.NONE, Activation.RELU, Activation.RELU6, Activation.RELU_N1_TO_1)
Int8 = npt.NDArray[np.int8]


def requantized(acc: int, real: float) -> int:
    """MultiplyByQuantizedMultiplier, with the multiplier of QuantizeMultiplier."""
    fraction, shift = math.frexp(real)
    mantissa = math.floor(fraction * 2**31 + 0.5)
    if mantissa == 2**31:
        mantissa, shift = mantissa // 2, shift + 1
    if shift < -31 or real == 0:
        mantissa, shift = 0, 0
    product = acc * 2 ** max(shift, 0) * mantissa
    nudge = 2**30 if product >= 0 else 1 - 2**30
    high = abs(product + nudge) // 2**31 * (1 if product + nudge >= 0 else -1)
    if shift >= 0:
        return high
    divisor = 2**-shift
    return (abs(high) + divisor // 2) // divisor * (1 if high >= 0 else -1)


def bounds(activation: Activation, scale: float, zero: int) -> tuple[int, int]:
    def q(real: float) -> int:
        quotient = float(np.float32(real) / np.float32(scale))
        return zero + math.floor(abs(quotient) + 0.5) * (1 if quotient >= 0 else -1)

    low, high = {
        Activation.NONE: (-128, 127),
        Activation.RELU: (q(0), 127),
        Activation.RELU6: (q(0), q(6)),
        Activation.RELU_N1_TO_1: (q(-1), q(1)),
    }[activation]
    return max(low, -128), min(high, 127)


def windows(
    x: Int8, options: Conv2DOptions | DepthwiseConv2DOptions, kernel: tuple[int, int]
) -> npt.NDArray[np.int64]:
    """[out_h, out_w, kernel_h, kernel_w, in_c] of x less its zero point; `x` is int64 already."""
    counts, starts = [], []
    for axis, (size, k) in enumerate(zip(x.shape[1:3], kernel, strict=True)):
        stride = (options.stride_h, options.stride_w)[axis]
        dilation = (options.dilation_h, options.dilation_w)[axis]
        reach = (k - 1) * dilation + 1
        if options.padding is Padding.SAME:
            count = -(-size // stride)
            before = max((count - 1) * stride + reach - size, 0) // 2
        else:
            count, before = (size - reach) // stride + 1, 0
        counts.append(count)
        starts.append(
            [[i * stride - before + j * dilation for j in range(k)] for i in range(count)]
        )
    out = np.zeros((*counts, *kernel, x.shape[3]), np.int64)
    for i, rows in enumerate(starts[0]):
        for j, columns in enumerate(starts[1]):
            for a, row in enumerate(rows):
                for b, column in enumerate(columns):
                    if 0 <= row < x.shape[1] and 0 <= column < x.shape[2]:
                        out[i, j, a, b] = x[0, row, column]
    return out


def expected(graph: Graph, x: Int8) -> Int8:
    """The layer's output, flat."""
    (operator,) = graph.operators
    source, w, bias = (*graph.operands(operator), None)[:3]
    out = graph.results(operator)[0]
    assert source is not None
    assert source.quantization is not None
    assert w is not None
    assert w.data is not None
    assert w.quantization is not None
    assert out.quantization is not None
    shifted = x.astype(np.int64).reshape(source.shape) - source.quantization.zero_point
    weights = w.data.astype(np.int64)
    options = operator.options
    if operator.op == "CONV_2D":
        assert isinstance(options, Conv2DOptions)
        sums = np.einsum("yxabc,oabc->yxo", windows(shifted, options, w.shape[1:3]), weights)
    elif operator.op == "DEPTHWISE_CONV_2D":
        assert isinstance(options, DepthwiseConv2DOptions)
        taps = np.repeat(windows(shifted, options, w.shape[1:3]), options.depth_multiplier, axis=4)
        sums = np.einsum("yxabo,abo->yxo", taps, weights[0])
    else:
        sums = shifted.reshape(-1, w.shape[1]) @ weights.T
    channels = sums.shape[-1]
    if bias is not None and bias.data is not None:
        sums = sums + bias.data.astype(np.int64)
    scales = w.quantization.scales
    if operator.op == "FULLY_CONNECTED" and len(scales) == 1:
        products = [float(np.float32(source.quantization.scale) * np.float32(scales[0]))]
    else:
        products = [source.quantization.scale * scale for scale in scales]
    reals = [product / out.quantization.scale for product in products]
    reals *= channels // len(reals)
    zero = out.quantization.zero_point
    low, high = bounds(options.activation, out.quantization.scale, zero)  # type: ignore[union-attr]
    flat = [
        min(max(requantized(int(acc), reals[i % channels]) + zero, low), high)
        for i, acc in enumerate(sums.reshape(-1))
    ]
    return np.array(flat, np.int8)


@dataclass(frozen=True)
class Numbers:
    """The random part of a layer."""

    seed: int
    in_zero: int
    out_zero: int
    per_channel: bool
    bias: str  # "none", "small" or "huge"
    factor: float  # real multiplier of channel 0
    activation: Activation


def numbers() -> st.SearchStrategy[Numbers]:
    return st.builds(
        Numbers,
        seed=st.integers(0, 2**32 - 1),
        in_zero=st.sampled_from([-128, 127, 0]) | st.integers(-128, 127),
        out_zero=st.sampled_from([-128, 127, 0]) | st.integers(-128, 127),
        per_channel=st.booleans(),
        bias=st.sampled_from(["none", "small", "small", "huge"]),
        factor=st.sampled_from([2**-4, 2**-7, 2**-10, 2**-24, 1.5]) | st.floats(2**-12, 0.9),
        activation=st.sampled_from(ACTIVATIONS),
    )


def weights_and_bias(
    b: GraphBuilder, n: Numbers, x: int, shape: tuple[int, ...], axis: int, out_scale: float
) -> tuple[int, int | None]:
    generator = np.random.default_rng(n.seed)
    channels = shape[axis]
    # Few random bits and many extremes: sums that saturate, and sums that end on a half.
    kind = generator.integers(3)
    values = generator.integers(-128, 128, shape) if kind else generator.choice([-128, 127], shape)
    spread = 2.0 ** generator.integers(-3, 4, channels) * generator.uniform(0.5, 1.0, channels)
    spread[0] = 1.0
    scales = n.factor * out_scale / 0.5 * (spread if n.per_channel else spread[:1])
    w = b.weights("w", values.astype(np.int8), list(scales), axis)
    if n.bias == "none":
        return w, None
    limit = 3000 if n.bias == "small" else 2**29
    return w, b.bias("b", generator.integers(-limit, limit, channels), x, w)


@st.composite
def convolutions(draw: st.DrawFn) -> Graph:
    n = draw(numbers())
    in_c = draw(st.sampled_from([1, 2, 3, 4, 5, 8, 12]))
    out_c = draw(st.integers(1, 9))
    kernel = draw(st.sampled_from([(1, 1), (3, 3), (1, 4), (5, 2), (2, 2)]))
    size = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (1, 3)]))
    padding = draw(st.sampled_from(Padding))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    assume(padding is Padding.SAME or (reach[0] <= size[0] and reach[1] <= size[1]))
    b = GraphBuilder("conv")
    x = b.input("x", (1, *size, in_c), 0.5, n.in_zero)
    w, bias = weights_and_bias(b, n, x, (out_c, *kernel, in_c), 0, 0.25)
    y = b.conv_2d(
        x, w, bias, 0.25, n.out_zero,
        stride=stride, padding=padding, dilation=dilation, activation=n.activation,
    )  # fmt: skip
    return b.build([y])


@st.composite
def depthwise_convolutions(draw: st.DrawFn, same_size: bool = False) -> Graph:
    """`same_size`: 3 x 3 windows whose output is as large as their input."""
    n = draw(numbers())
    in_c = draw(st.sampled_from([4, 8, 12] if same_size else [1, 3, 4, 8, 12]))
    multiplier, kernel, stride, dilation, padding = 1, (3, 3), (1, 1), (1, 1), Padding.SAME
    if not same_size:
        multiplier = draw(st.sampled_from([1, 1, 1, 2, 3]))
        kernel = draw(st.sampled_from([(3, 3), (3, 3), (3, 3), (1, 1), (5, 4)]))
        stride = (draw(st.integers(1, 3)), draw(st.integers(1, 3)))
        dilation = draw(st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 3)]))
        padding = draw(st.sampled_from(Padding))
    size = (draw(st.integers(1, 9)), draw(st.integers(1, 9)))
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation, strict=True)]
    assume(padding is Padding.SAME or (reach[0] <= size[0] and reach[1] <= size[1]))
    b = GraphBuilder("depthwise")
    x = b.input("x", (1, *size, in_c), 0.5, n.in_zero)
    w, bias = weights_and_bias(b, n, x, (1, *kernel, in_c * multiplier), 3, 0.25)
    y = b.depthwise_conv_2d(
        x, w, bias, 0.25, n.out_zero,
        stride=stride, padding=padding, dilation=dilation, depth_multiplier=multiplier,
        activation=n.activation,
    )  # fmt: skip
    return b.build([y])


@st.composite
def fully_connected_layers(draw: st.DrawFn) -> Graph:
    n = draw(numbers())
    depth = draw(st.sampled_from([1, 3, 4, 8, 12, 20]))
    out_c = draw(st.integers(1, 11))
    rows = draw(st.sampled_from([1, 1, 3]))
    b = GraphBuilder("fully_connected")
    x = b.input("x", (rows, depth), 0.5, n.in_zero)
    w, bias = weights_and_bias(b, n, x, (out_c, depth), 0, 0.25)
    y = b.fully_connected(x, w, bias, 0.25, n.out_zero, activation=n.activation)
    return b.build([y])


LAYERS = st.one_of(convolutions(), depthwise_convolutions(), fully_connected_layers())


def only_layer(graph: Graph) -> LayerView:
    return LayerView(graph, graph.operators[0])


def an_input(graph: Graph, seed: int) -> Int8:
    shape = graph.tensor(graph.inputs[0]).shape
    return np.random.default_rng(seed).integers(-128, 128, shape).astype(np.int8)


def accepting(graph: Graph) -> list[KernelRow]:
    layer = only_layer(graph)
    return [row for row in rows_for(layer.operator.op) if row.refuses(layer) is None]


def run(kernels: Kernels, row: KernelRow, graph: Graph, x: Int8, in_place: bool = False) -> Int8:
    layer = only_layer(graph)
    return kernels.run(row.name, row.bind(layer), x, layer.output.elements, in_place)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=LAYERS, seed=st.integers(0, 999))
def test_every_row_that_accepts_a_layer_computes_it_exactly(
    host: HostKernels, graph: Graph, seed: int
) -> None:
    x = an_input(graph, seed)
    want = expected(graph, x)
    for row in accepting(graph):
        np.testing.assert_array_equal(run(host, row, graph, x), want, err_msg=row.name)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=LAYERS, seed=st.integers(0, 999))
def test_code_for_the_core_computes_every_layer_exactly_on_under_512_bytes_of_stack(
    arm: ArmKernels, graph: Graph, seed: int
) -> None:
    x = an_input(graph, seed)
    want = expected(graph, x)
    for row in accepting(graph):
        np.testing.assert_array_equal(run(arm, row, graph, x), want, err_msg=row.name)
        assert arm.stack_bytes <= 512, row.name


@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7", "cortex-m33"])
@pytest.mark.parametrize("level", ["-O0", "-Og", "-Os", "-O3"])
def test_users_may_compile_the_kernels_at_any_optimization_level(
    tmp_path: Path, core: str, level: str
) -> None:
    if shutil.which("arm-none-eabi-gcc") is None:
        pytest.skip("no arm-none-eabi-gcc")
    flags = [f"-mcpu={core}", "-mthumb", level, "-std=c99", "-ffreestanding", "-Wall", "-Werror"]
    sources = [str(KERNELS / source) for source in SOURCES]
    done = subprocess.run(
        ["arm-none-eabi-gcc", *flags, "-c", *sources],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=LAYERS, seed=st.integers(0, 999))
def test_rows_equal_the_tflite_micro_interpreter(
    host: HostKernels, graph: Graph, seed: int
) -> None:
    runtime = pytest.importorskip(
        "tflite_micro.python.tflite_micro.runtime", reason="no tflite_micro"
    )
    x = an_input(graph, seed)
    rows = accepting(graph)
    # What TFLM itself would overflow on is refused here, and undefined there.
    assume(rows)
    interpreter = runtime.Interpreter.from_bytes(write_tflite(graph), arena_size=1 << 18)
    interpreter.set_input(x, 0)
    interpreter.invoke()
    want = interpreter.get_output(0).reshape(-1)
    for row in rows:
        np.testing.assert_array_equal(run(host, row, graph, x), want, err_msg=row.name)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=LAYERS)
def test_the_scratch_that_a_row_asks_for_is_what_the_c_twin_says(
    host: HostKernels, graph: Graph
) -> None:
    for row in accepting(graph):
        binding = row.bind(only_layer(graph))
        assert host.scratch_bytes(row.name, binding) == binding.scratch_bytes, row.name


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(graph=depthwise_convolutions(same_size=True), seed=st.integers(0, 999))
def test_a_row_that_allows_its_input_to_be_overwritten_gives_the_same_output(
    host: HostKernels, graph: Graph, seed: int
) -> None:
    rows = [row for row in accepting(graph) if row.bind(only_layer(graph)).in_place]
    assume(rows)
    x = an_input(graph, seed)
    for row in rows:
        np.testing.assert_array_equal(
            run(host, row, graph, x, in_place=True), expected(graph, x), err_msg=row.name
        )


@pytest.mark.parametrize("model", ["ad", "kws", "ic", "vww"])
@pytest.mark.parametrize("core", ["dsp", "plain"])
def test_every_layer_of_the_real_models_is_exact(
    host: HostKernels, mlperf_tiny: Callable[[str], Path], model: str, core: str
) -> None:
    runtime = pytest.importorskip(
        "tflite_micro.python.tflite_micro.runtime", reason="no tflite_micro"
    )
    data = mlperf_tiny(model).read_bytes()
    graph = read_tflite(data)
    keep = runtime.InterpreterConfig.kPreserveAllTensors
    interpreter = runtime.Interpreter.from_bytes(data, intrepreter_config=keep)
    source = graph.inputs[0]
    x = np.random.default_rng(7).integers(-128, 128, graph.tensor(source).shape).astype(np.int8)
    interpreter.set_input(x, 0)
    interpreter.invoke()

    def tensor(index: int) -> Int8:
        if index == source:
            return x
        if index == graph.outputs[0]:
            return interpreter.get_output(0).astype(np.int8)
        return interpreter.GetTensor(index, 0)["tensor_data"].astype(np.int8)

    seen = set()
    for operator in graph.operators:
        if operator.op not in OPS:
            continue
        features = DSP if core == "dsp" else frozenset[str]()
        row, binding = choose(LayerView(graph, operator), features)
        seen.add(row.name)
        want = tensor(operator.outputs[0]).reshape(-1)
        got = host.run(row.name, binding, tensor(operator.inputs[0]), want.size)
        np.testing.assert_array_equal(got, want, err_msg=f"layer {operator.index}, {row.name}")
    assert seen
    assert all(name.endswith("dsp") == (core == "dsp") for name in seen)


def still_channels() -> Graph:
    """One channel that moves, and three whose scale or bias leave them no choice."""
    b = GraphBuilder("still")
    x = b.input("x", (1, 3, 3, 4), 0.5, -128)
    data = np.arange(-24, 24).reshape(4, 1, 1, 12)[:, :, :, :4].astype(np.int8)
    w = b.weights("w", data, [2**-6, 2**-40, 2**-28, 2**-28])
    bias = b.bias("b", [10, 5, 1 << 30, -(1 << 30)], x, w)
    return b.build([b.conv_2d(x, w, bias, 1.0, 3)])


def test_channels_that_never_change_are_brought_into_the_dsp_kernels_range(
    host: HostKernels,
) -> None:
    graph = still_channels()
    row, _ = choose(only_layer(graph), DSP)
    assert row.name == "eag_conv_2d_dsp"
    x = an_input(graph, 1)
    got = run(host, row, graph, x)
    np.testing.assert_array_equal(got, expected(graph, x))
    by_channel = got.reshape(-1, 4)
    assert [len(set(by_channel[:, c])) > 1 for c in range(4)] == [True, False, False, False]


def test_weights_that_stand_in_the_file_are_told_from_what_packing_adds() -> None:
    b = GraphBuilder("odd")
    x = b.input("x", (1, 4, 4, 3), 0.5, 0)
    w = b.weights("w", np.ones((3, 3, 3, 3), np.int8), [0.01, 0.02, 0.03])
    bias = b.bias("b", [1, 2, 3], x, w)
    graph = b.build([b.conv_2d(x, w, bias, 1.0, 0)])
    _, binding = choose(only_layer(graph), DSP)
    sizes = {c.name: (c.nbytes, c.source_bytes) for c in binding.constants}
    # 27 taps become 28, and 3 channels 4; multipliers and shifts are not in the file.
    assert sizes == {
        "mac_0_weights": (4 * 28, 3 * 27),
        "mac_0_bias": (16, 12),
        "mac_0_doubled": (16, 0),
        "mac_0_exponent": (4, 0),
    }
    assert binding.macs == 4 * 4 * 3 * 27


def test_a_refusal_names_the_reason_of_every_row() -> None:
    b = GraphBuilder("tanh")
    x = b.input("x", (1, 4), 0.5, 0)
    w = b.weights("w", np.ones((2, 4), np.int8), [0.01])
    graph = b.build([b.fully_connected(x, w, None, 1.0, 0, activation=Activation.TANH)])
    with pytest.raises(LoweringError, match="TANH") as caught:
        choose(only_layer(graph), DSP)
    problems = caught.value.problems
    assert all(problem.startswith("layer 0 (FULLY_CONNECTED): ") for problem in problems)
    of_its_type = [row for row in rows_for("FULLY_CONNECTED") if DType.INT8 in row.dtypes]
    assert all(row.name in " ".join(problems) for row in of_its_type)
    assert not any("int16" in problem for problem in problems)


def test_a_sum_that_can_leave_int32_is_refused() -> None:
    b = GraphBuilder("overflow")
    x = b.input("x", (1, 4), 0.5, 0)
    w = b.weights("w", np.full((1, 4), 127, np.int8), [0.01])
    bias = b.bias("b", [2**31 - 1], x, w)
    graph = b.build([b.fully_connected(x, w, bias, 1.0, 0)])
    with pytest.raises(LoweringError, match="beyond int32"):
        choose(only_layer(graph), frozenset())


def test_a_kernel_can_be_chosen_by_name_but_not_against_its_refusal() -> None:
    b = GraphBuilder("depth")
    x = b.input("x", (1, 6), 0.5, 0)
    w = b.weights("w", np.ones((2, 6), np.int8), [0.01])
    layer = only_layer(b.build([b.fully_connected(x, w, None, 1.0, 0)]))
    row, _ = choose(layer, DSP, "eag_fully_connected")
    assert row.name == "eag_fully_connected"
    with pytest.raises(LoweringError, match="depth 6 is no multiple of 4"):
        choose(layer, DSP, "eag_fully_connected_dsp")
    with pytest.raises(LoweringError, match="eag_fully_connected_dsp, eag_fully_connected"):
        choose(layer, DSP, "eag_fully_conected")
    with pytest.raises(LoweringError, match="the core lacks dsp"):
        choose(layer, frozenset(), "eag_fully_connected_dsp")


def test_every_source_that_a_row_names_is_there_with_its_headers() -> None:
    for op in OPS:
        for row in rows_for(op):
            for source in row.sources:
                text = (KERNELS.parent / source).read_text()
                included = [
                    line.split('"')[1] for line in text.splitlines() if '#include "' in line
                ]
                assert {f"kernels/{name}" for name in included} <= set(row.sources), row.name


@pytest.mark.parametrize(
    ("activation", "factor", "row"),
    [
        (Activation.RELU, 0.9, "eag_conv_2d_dsp"),
        (Activation.RELU6, 1.49, "eag_conv_2d_dsp"),
        (Activation.RELU, 1.51, "eag_conv_2d"),
        # What is negative is not clamped there, and would come out 1 too small.
        (Activation.NONE, 0.9, "eag_conv_2d"),
    ],
)
def test_factors_from_one_half_on_are_the_dsp_kernels_where_negative_results_are_clamped(
    host: HostKernels, activation: Activation, factor: float, row: str
) -> None:
    b = GraphBuilder("large")
    x = b.input("x", (1, 6, 6, 4), 0.5, 3)
    data = np.random.default_rng(1).integers(-3, 4, (4, 1, 1, 4)).astype(np.int8)
    w = b.weights("v", data, [factor / 2 * s for s in (1.0, 0.1, 0.9, 0.01)])
    graph = b.build([b.conv_2d(x, w, None, 0.25, -20, activation=activation)])
    chosen, _ = choose(only_layer(graph), DSP)
    assert chosen.name == row
    for seed in range(20):
        inputs = an_input(graph, seed)
        got = run(host, chosen, graph, inputs)
        np.testing.assert_array_equal(got, expected(graph, inputs))
