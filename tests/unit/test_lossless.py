"""Lossless passes on whole models: what goes, what stays, and that nothing else changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lossless_models import random_graph

import edge_quantize.passes.pipeline as pipeline
from edge_quantize.errors import LosslessError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import Activation, Conv2DOptions, ElementwiseOptions, Padding
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.passes import lossless
from edge_quantize.passes.arithmetic import Multipliers, Rounding, requantize
from edge_quantize.passes.result import Change, Edit, Pass, Settings
from edge_quantize.passes.verify import check_same, structured_batches
from edge_quantize.reference import best_reference, tflm_available

needs_tflm = pytest.mark.skipif(not tflm_available(), reason="no tflite_micro wheel here")
RNG = np.random.default_rng()
REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _same_numbers_in_every_test() -> None:
    RNG.bit_generator.state = np.random.default_rng(11).bit_generator.state


def channels_of(graph: Graph, op: str = "CONV_2D") -> list[int]:
    return [graph.results(o)[0].shape[-1] for o in graph.operators if o.op == op]


def conv_options(activation: Activation = Activation.NONE) -> Conv2DOptions:
    return Conv2DOptions(Padding.SAME, 1, 1, activation=activation)


# Random models


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 4]))
def test_outputs_of_random_models_stay_bit_identical(seed: int, align: int) -> None:
    graph = random_graph(seed)
    result = lossless(graph, align=align)
    if result.changes:
        check_same(graph, result.graph, random_runs=12)
    assert result.after.macs <= result.before.macs


def test_random_models_do_have_channels_to_remove() -> None:
    results = [lossless(random_graph(seed)) for seed in range(40)]
    folded = [c for r in results for c in r.changes if "constant for every input" in c.proof]
    unread = [c for r in results for c in r.changes if "weights of zero" in c.proof]
    assert len(folded) > 10
    assert len(unread) > 10


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_second_run_finds_nothing(seed: int) -> None:
    once = lossless(random_graph(seed)).graph
    again = lossless(once)
    assert again.graph is once
    assert again.changes == ()


# What the proof is worth


def one_channel_graph(weight: int, bias: int, scale: float) -> Graph:
    """A channel that depends on one int8 number, beside one that copies it, and their sum."""
    b = GraphBuilder("one")
    x = b.input("x", (1, 1, 1, 1), 1.0, 0)
    w = b.weights("w", np.array([weight, 127], np.int8).reshape(2, 1, 1, 1), [scale, 1 / 127])
    inner = b.conv_2d(x, w, b.bias("b", [bias, 0], x, w), 1.0, -128, activation=Activation.RELU)
    v = b.weights("v", np.array([50, 3], np.int8).reshape(1, 1, 1, 2), [0.02])
    return b.build([b.conv_2d(inner, v, None, 1.5, -20)])


def values_of_first_channel(graph: Graph) -> set[int]:
    cut = replace(graph, operators=graph.operators[:1], outputs=graph.operators[0].outputs)
    reference = best_reference(cut)
    inputs = np.arange(-128, 128).astype(np.int8)
    outputs = [reference.run([v.reshape(1, 1, 1, 1)])[0][..., 0].item() for v in inputs]
    return set(outputs)


@needs_tflm
@settings(max_examples=100, deadline=None)
@given(
    st.integers(-127, 127),
    st.integers(-40000, 40000),
    st.sampled_from([0.003, 0.011, 0.5, 1.7]),
)
def test_a_channel_goes_exactly_when_no_input_moves_it(
    weight: int, bias: int, scale: float
) -> None:
    graph = one_channel_graph(weight, bias, scale)
    values = values_of_first_channel(graph)
    # Other runtimes round once instead of twice; a channel that differs between them stays.
    sums = np.arange(-128, 128) * weight + bias
    once = requantize(sums, Multipliers.of(float(np.float32(scale))), Rounding.SINGLE) - 128
    values |= set(np.clip(once, -128, 127).tolist())
    assert (channels_of(lossless(graph).graph)[0] == 1) == (len(values) == 1)


def test_a_channel_constant_on_all_data_but_not_for_a_crafted_input_stays() -> None:
    # On inputs up to 126 the clamp swallows the channel; 127 alone gets through.
    graph = one_channel_graph(weight=127, bias=-127 * 126, scale=0.5)
    data = np.random.default_rng(0).integers(-128, 127, 500)
    cut = replace(graph, operators=graph.operators[:1], outputs=graph.operators[0].outputs)
    reference = best_reference(cut)

    def first(value: int) -> int:
        x = np.full((1, 1, 1, 1), value, np.int8)
        return int(reference.run([x])[0][..., 0].item())

    assert {first(int(value)) for value in data} == {-128}
    assert first(127) > -128
    assert lossless(graph).graph is graph
    # One step further nothing gets through, and the channel goes.
    assert channels_of(lossless(one_channel_graph(127, -127 * 127, 0.5)).graph) == [1, 1]


# Borders


def border_graph(value: int, taps: np.ndarray, padding: Padding) -> Graph:
    """Channel 0 is `value` for every input (its zero point is -10), and read by `taps` [3, 3]."""
    b = GraphBuilder("border")
    x = b.input("x", (1, 4, 4, 2), 0.05, 3)
    w = b.weights("w", np.array([[0, 0], [90, -70]], np.int8).reshape(2, 1, 1, 2), [0.02])
    bias = b.bias("b", [(value + 10) * 100, 40], x, w)
    inner = b.conv_2d(x, w, bias, 0.1, -10)
    data = RNG.integers(-90, 90, (3, 3, 3, 2)).astype(np.int8)
    data[..., 0] = taps
    v = b.weights("v", data, [0.01, 0.004, 0.02])
    return b.build([b.conv_2d(inner, v, None, 0.3, 7, padding=padding)])


ALL_TAPS = np.arange(1, 10).reshape(3, 3)
CENTRE = np.zeros((3, 3), int)
CENTRE[1, 1] = 77


@pytest.mark.parametrize(
    ("value", "taps", "padding", "left"),
    [
        pytest.param(25, ALL_TAPS, Padding.SAME, 2, id="borders see less of it: stays"),
        pytest.param(-10, ALL_TAPS, Padding.SAME, 1, id="at the zero point borders are alike"),
        pytest.param(25, CENTRE, Padding.SAME, 1, id="only the centre reads it"),
        pytest.param(25, ALL_TAPS, Padding.VALID, 1, id="no border"),
        pytest.param(25, np.zeros((3, 3), int), Padding.SAME, 1, id="nothing reads it"),
    ],
)
def test_a_constant_channel_under_padding(
    value: int, taps: np.ndarray, padding: Padding, left: int
) -> None:
    graph = border_graph(value, taps, padding)
    smaller = lossless(graph).graph
    assert channels_of(smaller) == [left, 3]
    if left == 1:
        check_same(graph, smaller, random_runs=40)


def test_a_constant_that_differs_from_pixel_to_pixel_folds_into_a_flattened_row() -> None:
    b = GraphBuilder("row")
    x = b.input("x", (1, 4, 4, 2), 0.05, 3)
    w = b.weights("w", np.array([[0, 0], [90, -70]], np.int8).reshape(2, 1, 1, 2), [0.02])
    inner = b.conv_2d(x, w, b.bias("b", [3000, 40], x, w), 0.1, -10)
    d = b.weights("d", RNG.integers(-90, 90, (1, 3, 3, 2)).astype(np.int8), [0.01], axis=3)
    deep = b.depthwise_conv_2d(inner, d, None, 0.3, 4)
    v = b.weights("v", RNG.integers(-90, 90, (3, 32)).astype(np.int8), [0.01])
    graph = b.build([b.fully_connected(b.reshape(deep, (1, 32)), v, None, 0.9, 1)])
    smaller = lossless(graph).graph
    assert channels_of(smaller) == [1]
    assert channels_of(smaller, "DEPTHWISE_CONV_2D") == [1]


# Groups


def silent_part_graph(both: bool) -> Graph:
    b = GraphBuilder("parts")
    x = b.input("x", (1, 3, 3, 2), 0.05, 3)

    def part(out: int) -> int:
        w = b.weights("w", RNG.integers(-90, 90, (out, 1, 1, 2)).astype(np.int8), [0.02])
        return b.conv_2d(x, w, None, 0.1, -10)

    joined = b.concatenation([part(3), part(4)], 3)
    data = RNG.integers(-90, 90, (2, 3, 3, 7)).astype(np.int8)
    data[..., 3:] = 0
    if both:
        data[...] = 0
    v = b.weights("v", data, [0.01])
    return b.build([b.conv_2d(joined, v, None, 0.3, 7)])


def test_a_part_of_a_concatenation_that_nobody_reads_goes_as_a_whole() -> None:
    smaller = lossless(silent_part_graph(both=False)).graph
    assert [o.op for o in smaller.operators] == ["CONV_2D", "CONV_2D"]
    assert channels_of(smaller) == [3, 2]


def test_a_layer_keeps_one_channel_whatever_is_proven() -> None:
    smaller = lossless(silent_part_graph(both=True)).graph
    assert channels_of(smaller) == [1, 1, 2]


def test_channels_of_an_addition_go_when_the_sum_is_not_read() -> None:
    b = GraphBuilder("sum")
    x = b.input("x", (1, 3, 3, 2), 0.05, 3)
    parts = []
    for _ in range(2):
        w = b.weights("w", RNG.integers(-90, 90, (4, 1, 1, 2)).astype(np.int8), [0.02])
        parts.append(b.conv_2d(x, w, None, 0.1, -10))
    total = b.elementwise("ADD", *parts, 0.15, 3, activation=Activation.RELU)
    pooled = b.pool("MAX_POOL_2D", total, (2, 2), (1, 1))
    data = RNG.integers(-90, 90, (2, 1, 1, 4)).astype(np.int8)
    data[..., 2] = 0
    v = b.weights("v", data, [0.01])
    smaller = lossless(b.build([b.conv_2d(pooled, v, None, 0.3, 7)])).graph
    assert channels_of(smaller) == [3, 3, 2]


def test_a_bias_that_would_leave_int32_keeps_its_channel() -> None:
    b = GraphBuilder("full")
    x = b.input("x", (1, 1, 1, 1), 1.0, 0)
    w = b.weights("w", np.array([0, 1], np.int8).reshape(2, 1, 1, 1), [1.0])
    inner = b.conv_2d(x, w, b.bias("b", [100, 0], x, w), 1.0, 0)
    v = b.weights("v", np.array([127, 1], np.int8).reshape(1, 1, 1, 2), [1.0])
    bias = b.bias("c", [2**31 - 12000], inner, v)
    graph = b.build([b.conv_2d(inner, v, bias, 2.0**24, 0)])
    assert lossless(graph).graph is graph


def test_layers_of_int16_activations_lose_what_the_clamp_swallows_and_what_nobody_reads() -> None:
    b = GraphBuilder("wide")
    x = b.input("x", (1, 2, 2, 2), 0.001, 0, dtype=DType.INT16)
    wide = {"scale": 0.001, "dtype": DType.INT16}
    data = np.array([[0, 0], [5, 6], [7, 8], [9, -9]], np.int8).reshape(4, 1, 1, 2)
    w = b.weights("w", data, [0.02])
    bias = b.constant("b", np.array([900, 5, 6, -30 * 32768], np.int64))
    inner = b.operator("CONV_2D", (x, w, bias), conv_options(Activation.RELU), **wide)
    v = b.weights("v", np.array([[50, 3, 0, 70]], np.int8).reshape(1, 1, 1, 4), [0.02])
    zero = b.constant("c", np.zeros(1, np.int64))
    graph = b.build([b.operator("CONV_2D", (inner, v, zero), conv_options(), **wide)])
    assert channels_of(lossless(graph).graph) == [2, 1]


def test_int4_weights_are_bounded_like_int8_ones() -> None:
    b = GraphBuilder("narrow")
    x = b.input("x", (1, 2, 2, 2), 0.05, 3)
    quantization = b._tensors[b.weights("q", np.zeros(1, np.int8), [0.02])].quantization
    data = np.array([[0, 0], [5, -6], [7, -8]]).reshape(3, 1, 1, 2)
    w = b.tensor("w", data.shape, DType.INT4, quantization, data)
    inner = b.conv_2d(x, w, b.bias("b", [200, 0, 0], x, w), 0.1, -10)
    v = b.weights("v", np.array([[50, 3, 7]], np.int8).reshape(1, 1, 1, 3), [0.02])
    graph = b.build([b.conv_2d(inner, v, b.bias("c", [0], inner, v), 0.1, 0)])
    assert channels_of(lossless(graph).graph) == [2, 1]


# Alignment


def aligned_graph(size: int) -> Graph:
    """Nine channels of which five do nothing, through a depthwise layer."""
    b = GraphBuilder("aligned")
    x = b.input("x", (1, 4, 4, 2), 0.05, 3)
    data = RNG.integers(-90, 90, (9, 1, 1, 2)).astype(np.int8)
    data[4:] = 0
    w = b.weights("w", data, [0.02])
    inner = b.conv_2d(x, w, None, 0.1, -10)
    d = b.weights("d", np.ones((1, size, size, 9), np.int8), [0.1], axis=3)
    deep = b.depthwise_conv_2d(inner, d, None, 0.1, -10)
    v = b.weights("v", RNG.integers(1, 90, (3, 1, 1, 9)).astype(np.int8), [0.01])
    return b.build([b.conv_2d(deep, v, None, 0.3, 7)])


@pytest.mark.parametrize(("size", "align", "left"), [(3, 1, 4), (3, 3, 6), (3, 8, 8), (5, 8, 4)])
def test_depthwise_layers_keep_channels_up_to_a_multiple(size: int, align: int, left: int) -> None:
    result = lossless(aligned_graph(size), align=align)
    assert channels_of(result.graph, "DEPTHWISE_CONV_2D") == [left]
    assert lossless(result.graph, align=align).graph is result.graph


@pytest.mark.parametrize(("even", "left"), [(True, 8), (False, 4)])
def test_a_cost_decides_which_groups_are_aligned(even: bool, left: int) -> None:
    def cost(graph: Graph) -> float:
        (channels,) = channels_of(graph, "DEPTHWISE_CONV_2D")
        return channels + (10 if even and channels % 8 else 0)

    result = lossless(aligned_graph(5), align=8, cost=cost)
    assert channels_of(result.graph, "DEPTHWISE_CONV_2D") == [left]


# Float models


def float_graph(scale: float = 1.0) -> Graph:
    """Convolution, batch norm and RELU twice; the second batch norm stands before its layer."""
    b = GraphBuilder("float")
    x = b.input("x", (1, 6, 6, 2), dtype=DType.FLOAT32)

    def constant(*shape: int) -> int:
        return b.constant("c", RNG.normal(0, scale, shape).astype(np.float32))

    def op(name: str, *inputs: int, options: object = None) -> int:
        return b.operator(name, inputs, options, dtype=DType.FLOAT32)  # type: ignore[arg-type]

    y = op("CONV_2D", x, constant(5, 3, 3, 2), constant(5), options=conv_options())
    y = op("MUL", y, constant(5), options=ElementwiseOptions())
    y = op("ADD", y, constant(1, 1, 1, 5), options=ElementwiseOptions())
    y = op("RELU", y)
    y = op("MUL", y, constant(5), options=ElementwiseOptions())
    y = op("SUB", y, constant(5), options=ElementwiseOptions())
    return b.build([op("CONV_2D", y, constant(3, 1, 1, 5), constant(3), options=conv_options())])


def test_batch_norm_and_activation_are_folded_into_float_layers() -> None:
    result = lossless(float_graph())
    assert [o.op for o in result.graph.operators] == ["CONV_2D", "CONV_2D"]
    assert result.graph.operators[0].options == conv_options(Activation.RELU)
    assert "within" in result.checked


def test_a_float_channel_goes_when_its_weights_are_zero_and_its_constant_is_folded() -> None:
    b = GraphBuilder("float")
    x = b.input("x", (1, 4, 4, 2), dtype=DType.FLOAT32)
    weights = RNG.normal(size=(6, 3, 3, 2)).astype(np.float32)
    weights[[1, 4]] = 0
    bias = np.array([0.3, -2, 0.1, 0.2, 1.7, 0.4], np.float32)
    w, c = b.constant("w", weights), b.constant("b", bias)
    options = conv_options(Activation.RELU)
    y = b.operator("CONV_2D", (x, w, c), options, dtype=DType.FLOAT32)
    v = b.constant("v", RNG.normal(size=(3, 1, 1, 6)).astype(np.float32))
    z = b.constant("z", np.zeros(3, np.float32))
    y = b.operator("CONV_2D", (y, v, z), conv_options(), dtype=DType.FLOAT32)
    assert channels_of(lossless(b.build([y])).graph) == [4, 3]


# The check behind it


def breaking(graph: Graph, _: Settings) -> Edit:
    """A pass with a mistake: it doubles a bias."""
    operator = graph.operators[0]
    tensor = graph.tensors[operator.inputs[2]]
    if tensor.name == "broken":
        return graph, ()
    broken = replace(tensor, name="broken", data=np.asarray(tensor.data) * 2 + 900)
    tensors = tuple(broken if t is tensor else t for t in graph.tensors)
    return replace(graph, tensors=tensors), (Change("breaking", "x", "y", "z"),)


def test_a_mistake_in_a_pass_never_reaches_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PASSES", (Pass("breaking", breaking, "a mistake"),))
    with pytest.raises(LosslessError, match="differs by up to"):
        lossless(border_graph(25, ALL_TAPS, Padding.SAME))


def test_structured_inputs_are_many_and_reach_both_ends() -> None:
    batches = [batch[0] for batch in structured_batches(border_graph(0, CENTRE, Padding.SAME))]
    assert len({batch.tobytes() for batch in batches}) == len(batches)
    assert min(b.min() for b in batches) == -128
    assert max(b.max() for b in batches) == 127


# Real models


@pytest.mark.parametrize("name", ["ad", "kws", "ic"])
def test_models_without_anything_to_remove_are_returned_as_they_are(
    name: str, shared_data: Path
) -> None:
    graph = read_tflite(shared_data / "mlperf_tiny" / f"{name}_int8.tflite")
    result = lossless(graph)
    assert result.graph is graph
    assert result.lines() == ("nothing to remove: the model is returned as it is",)


def test_the_demo_model_is_returned_as_it_is() -> None:
    graph = read_tflite(REPOSITORY / "examples" / "digits" / "digits_int8.tflite")
    assert lossless(graph).graph is graph


@needs_tflm
def test_half_of_vww_is_dead(shared_data: Path, tmp_path: Path) -> None:
    graph = read_tflite(shared_data / "mlperf_tiny" / "vww_int8.tflite")
    result = lossless(graph)
    assert (result.before.macs, result.after.macs) == (7_489_664, 3_727_313)
    assert (result.before.weight_bytes, result.after.weight_bytes) == (219_064, 33_122)
    path = tmp_path / "smaller.tflite"
    path.write_bytes(write_tflite(result.graph))
    said = check_same(graph, read_tflite(path), random_runs=86)
    assert said == (
        "checked: outputs bit-identical on 100 random and structured inputs in tflite_micro"
    )


@needs_tflm
def test_vww_with_channels_for_four_at_a_time(shared_data: Path) -> None:
    graph = read_tflite(shared_data / "mlperf_tiny" / "vww_int8.tflite")
    smaller = lossless(graph, align=4).graph
    assert all(n % 4 == 0 for n in channels_of(smaller, "DEPTHWISE_CONV_2D"))


def test_progress_is_told() -> None:
    told: list[tuple[int, int, str]] = []
    report: Callable[[int, int, str], None] = lambda *args: told.append(args)  # noqa: E731
    lossless(border_graph(-10, ALL_TAPS, Padding.SAME), report)
    assert {doing for _, _, doing in told} >= {"dead-channels", "checking"}
    assert all(0 <= done < total for done, total, _ in told)
