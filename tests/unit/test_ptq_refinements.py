"""Each refinement makes better what it is for, on a case where that can be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ptq_models import FloatBuilder, cnn, lost, samples

from edge_quantize.data import Samples
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import (
    Activation,
    Conv2DOptions,
    DepthwiseConv2DOptions,
    ElementwiseOptions,
    Padding,
    Pool2DOptions,
)
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.layer_quality import layer_sqnr, scaled_apart
from edge_quantize.ptq import Observer, Precision, Recipe, Scheme, quantize
from edge_quantize.ptq.calibrate import Bounds, Histogram
from edge_quantize.ptq.equalize import equalize, pairs
from edge_quantize.ptq.observers import affine, clip, squared_error
from edge_quantize.ptq.patches import patches, weight_rows
from edge_quantize.ptq.rounding import compensated, damped, descend, factors, output_error, shifted
from edge_quantize.ptq.weights import quantize_weights, weight_scales
from edge_quantize.run import activations, outputs


def histogram(values: np.ndarray) -> Histogram:
    counts, _ = np.histogram(values, 2048)
    return Histogram(float(values.min()), float(values.max()), counts.astype(float))


bounds = st.tuples(
    st.floats(-1e4, 1e4, allow_nan=False, width=32), st.floats(-1e4, 1e4, allow_nan=False, width=32)
).map(lambda pair: Bounds(min(pair), max(pair)))


@given(bounds, st.sampled_from([DType.INT8, DType.INT16]))
def test_zero_and_both_bounds_can_be_told(limits: Bounds, dtype: DType) -> None:
    made = affine(limits, dtype)
    kind = np.iinfo(dtype.value)
    assert kind.min <= made.zero_point <= kind.max
    assert made.scale > 0
    assert made.scale == np.float32(made.scale)
    low = (kind.min - made.zero_point) * made.scale
    high = (kind.max - made.zero_point) * made.scale
    # The zero point is rounded, which moves both ends by up to half a step.
    assert low <= limits.low + 0.51 * made.scale
    assert high >= limits.high - 0.51 * made.scale
    assert dtype is DType.INT8 or made.zero_point == 0


@given(st.integers(0, 1000), st.sampled_from([DType.INT8, DType.INT16]))
@settings(max_examples=25)
def test_mse_ranges_lose_no_more_than_min_max(seed: int, dtype: DType) -> None:
    random = np.random.default_rng(seed)
    values = random.standard_t(2, 4000) * random.uniform(0.1, 10)
    seen = histogram(values)

    def error(observer: Observer) -> float:
        made = affine(clip(seen, observer, dtype, 99.9), dtype)
        return squared_error(seen.centres, seen.counts, made, dtype)

    assert error(Observer.MSE) <= error(Observer.MINMAX) * 1.001


def test_an_outlier_costs_mse_ranges_little() -> None:
    values = np.append(np.random.default_rng(0).normal(size=200_000), 60.0)
    seen = histogram(values)
    assert clip(seen, Observer.MINMAX, DType.INT8, 100).high == 60
    assert clip(seen, Observer.MSE, DType.INT8, 100).high < 50
    assert clip(seen, Observer.PERCENTILE, DType.INT8, 99.9).high < 5


@given(st.integers(0, 10**6), st.sampled_from([DType.INT8, DType.INT4]), st.booleans())
@settings(max_examples=40)
def test_weights_stay_within_their_range(seed: int, dtype: DType, per_channel: bool) -> None:
    random = np.random.default_rng(seed)
    weights = random.standard_t(3, (5, 3, 3, 2)) * 10 ** random.uniform(-4, 4)
    weights[random.integers(5)] = 0
    for observer in Observer:
        scales = weight_scales(weights, 0, dtype, per_channel, observer, 99)
        assert (scales > 0).all()
        integers = quantize_weights(weights, scales, 0, dtype)
        most = 7 if dtype is DType.INT4 else 127
        assert np.abs(integers.astype(int)).max() <= most


def test_weights_with_mse_scales_lose_less_most_of_all_in_four_bits() -> None:
    weights = np.random.default_rng(0).standard_t(4, (8, 64))

    def error(dtype: DType, observer: Observer) -> float:
        scales = weight_scales(weights, 0, dtype, True, observer)
        given_ = quantize_weights(weights, scales, 0, dtype) * scales[:, None]
        return float(((given_ - weights) ** 2).sum())

    assert error(DType.INT4, Observer.MSE) < 0.95 * error(DType.INT4, Observer.MINMAX)
    assert error(DType.INT8, Observer.MSE) <= error(DType.INT8, Observer.MINMAX)


def spread_inputs(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Correlated columns, as activations are."""
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, 4)) @ random.normal(size=(4, columns)) + 0.3 * random.normal(
        size=(rows, columns)
    )


@given(st.integers(0, 10**6), st.sampled_from([7, 127]))
@settings(max_examples=25)
def test_rounding_by_the_output_loses_no_more_than_to_nearest(seed: int, most: int) -> None:
    x = spread_inputs(200, 12, seed)
    hessian = damped(x.T @ x / len(x), 0.01)
    weights = np.random.default_rng(seed).normal(size=(6, 12))
    scales = np.abs(weights).max(axis=1) / most
    nearest = np.clip(np.rint(weights / scales[:, None]), -most, most).astype(np.int64)

    def error(integers: np.ndarray) -> np.ndarray:
        return output_error(integers * scales[:, None] - weights, hessian)

    descended = descend(nearest, weights, scales, hessian, most)
    both = descend(
        compensated(weights, scales, factors(hessian), most), weights, scales, hessian, most
    )
    assert (error(descended) <= error(nearest) + 1e-9).all()
    assert error(both).sum() <= error(nearest).sum() + 1e-9
    assert np.abs(both).max() <= most


def test_rounding_by_the_output_halves_the_error_of_correlated_inputs() -> None:
    x = spread_inputs(500, 32)
    hessian = damped(x.T @ x / len(x), 0.01)
    weights = np.random.default_rng(1).normal(size=(16, 32))
    scales = np.abs(weights).max(axis=1) / 7
    nearest = np.rint(weights / scales[:, None]).astype(np.int64)
    better = compensated(weights, scales, factors(hessian), 7)
    errors = [output_error(i * scales[:, None] - weights, hessian).sum() for i in (nearest, better)]
    assert errors[1] < 0.5 * errors[0]


def test_weights_of_each_channel_by_itself_are_those_of_all_together() -> None:
    """Depthwise layers have an H for each channel."""
    x = spread_inputs(300, 9)
    hessian = damped(x.T @ x / len(x), 0.01)
    weights = np.random.default_rng(2).normal(size=(5, 9))
    scales = np.abs(weights).max(axis=1) / 127
    each = np.stack([hessian] * 5)
    assert (
        compensated(weights, scales, factors(each), 127)
        == compensated(weights, scales, factors(hessian), 127)
    ).all()
    nearest = np.rint(weights / scales[:, None]).astype(np.int64)
    assert (
        descend(nearest, weights, scales, each, 127)
        == descend(nearest, weights, scales, hessian, 127)
    ).all()


def test_shifted_weights_make_up_for_a_scaled_input() -> None:
    x = spread_inputs(400, 8)
    given_ = 0.5 * x
    hessian, cross = given_.T @ given_ / len(x), x.T @ given_ / len(x)
    weights = np.random.default_rng(3).normal(size=(4, 8))
    found = shifted(weights, hessian, cross, 1e-9 * np.eye(8))
    assert np.allclose(found, 2 * weights, atol=1e-5)


@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"])
def test_patches_times_weights_are_the_layer(op: str) -> None:
    b = FloatBuilder("one")
    x = b.source((1, 6, 5, 4) if op != "FULLY_CONNECTED" else (1, 12))
    none = Activation.NONE
    if op == "CONV_2D":
        y = b.conv(x, 6, activation=none, stride=2)
    elif op == "DEPTHWISE_CONV_2D":
        y = b.depthwise(x, activation=none)
    else:
        y = b.dense(x, 6)
    graph = b.build([y])
    (operator,) = graph.operators
    data = samples(graph, 5)
    rows = weight_rows(operator, np.asarray(graph.tensors[operator.inputs[1]].data, np.float64))
    found = patches(graph, operator, data.inputs[0])
    bias = np.asarray(graph.tensors[operator.inputs[2]].data)
    if found.ndim == 2:
        given_ = found @ rows.T + bias
    else:
        given_ = np.einsum("cpk,ck->pc", found, rows) + bias
    (wanted,) = outputs(graph, data)
    assert np.allclose(given_.reshape(wanted.shape), wanted, atol=1e-4)


def test_bias_correction_brings_the_means_back() -> None:
    """Inputs that are all positive: each weight's rounding shifts the output's mean."""
    b = FloatBuilder("means")
    graph = b.build([b.dense(b.source((1, 64)), 16)])
    random = np.random.default_rng(0)
    data = Samples((random.uniform(4, 5, (64, 64)).astype(np.float32),))
    recipe = Recipe(
        default=Scheme(Precision.INT4, activations=Observer.MINMAX),
        adaptive_rounding=False, correct_bias=False,
    )  # fmt: skip
    (wanted,) = outputs(graph, data)

    def shift(asked: Recipe) -> float:
        made = quantize(graph, data, asked, verify=False).graph
        (given_,) = outputs(made, data)
        return float(np.abs((given_ - wanted).mean(axis=0)).max())

    assert shift(replace(recipe, correct_bias=True)) < 0.2 * shift(recipe)


@pytest.mark.parametrize(("precision", "gain"), [(Precision.INT16X8, 3.0), (Precision.INT4, 6.0)])
def test_adaptive_rounding_of_a_network(precision: Precision, gain: float) -> None:
    graph = cnn(3)
    data, others = samples(graph, 64), samples(graph, 32, seed=1)
    plain = Recipe.uniform(precision, adaptive_rounding=False, correct_bias=False)
    better = Recipe.uniform(precision)
    before = lost(graph, quantize(graph, data, plain, verify=False).graph, others)
    after = lost(graph, quantize(graph, data, better, verify=False).graph, others)
    assert after > before + gain


def uneven(activation: Activation = Activation.RELU, pooled: bool = False) -> Graph:
    """Channels whose weights differ by a thousand, taken back by the next layer, or (`pooled`) the
    one behind a pooling."""
    b = FloatBuilder("uneven")
    factors = np.geomspace(0.03, 30, 8)
    random = np.random.default_rng(0)
    first = random.normal(size=(8, 3, 3, 4)) * factors[:, None, None, None] / 6
    second = random.normal(size=(1, 3, 3, 8)) / 3
    third = random.normal(size=(6, 1, 1, 8)) / factors / 3
    options = Conv2DOptions(Padding.SAME, 1, 1, 1, 1, activation)
    x = b.source((1, 6, 6, 4))

    def constants(name: str, w: np.ndarray, bias: np.ndarray) -> tuple[int, int]:
        return (
            b.constant(f"{name}_w", w.astype(np.float32)),
            b.constant(f"{name}_b", bias.astype(np.float32)),
        )

    y = b.add("CONV_2D", (x, *constants("one", first, 0.1 * factors)), options)
    if pooled:
        window = Pool2DOptions(Padding.VALID, 2, 2, 2, 2, Activation.NONE)
        y = b.add("MAX_POOL_2D", (y,), window)
    middle = DepthwiseConv2DOptions(Padding.SAME, 1, 1, 1, 1, 1, activation)
    y = b.add("DEPTHWISE_CONV_2D", (y, *constants("two", second, 0.1 * factors)), middle)
    last = Conv2DOptions(Padding.SAME, 1, 1, 1, 1, Activation.NONE)
    return b.build([b.add("CONV_2D", (y, *constants("three", third, np.zeros(6))), last)])


def test_equalization_goes_through_depthwise_and_leaves_the_function() -> None:
    graph = uneven()
    data = samples(graph)
    assert [(p.first.op, p.second.op) for p in pairs(graph)] == [
        ("CONV_2D", "DEPTHWISE_CONV_2D"),
        ("DEPTHWISE_CONV_2D", "CONV_2D"),
    ]
    made = equalize(graph, data)
    assert lost(graph, made, data) > 100
    largest = [
        np.abs(next(iter(activations(g, data)))[g.operators[0].outputs[0]]).max(axis=(0, 1, 2))
        for g in (graph, made)
    ]
    assert np.ptp(np.log(largest[1])) < 0.5 * np.ptp(np.log(largest[0]))


def test_equalization_makes_per_tensor_weights_usable() -> None:
    graph = uneven()
    data, others = samples(graph, 48), samples(graph, 24, seed=1)
    scheme = Scheme(per_channel=False, weights=Observer.MINMAX)
    plain = Recipe(default=scheme, adaptive_rounding=False)
    before = lost(graph, quantize(graph, data, plain).graph, others)
    result = quantize(graph, data, replace(plain, equalize=True))
    assert lost(graph, result.graph, others) > before + 6
    assert any("2 pairs of layers equalized" in note for note in result.notes)


def test_scaled_layers_are_compared_with_layers_scaled_alike_alone() -> None:
    graph = uneven(pooled=True)
    data, others = samples(graph, 48), samples(graph, 24, seed=1)
    scheme = Scheme(per_channel=False, weights=Observer.MINMAX)
    result = quantize(graph, data, Recipe(default=scheme, equalize=True))
    assert any("equalized" in note for note in result.notes)
    # As `compare` has it: two files.
    made = read_tflite(write_tflite(result.graph))
    names = [graph.layer_name(operator) for operator in graph.operators]
    assert [o.op for o in graph.operators][:3] == ["CONV_2D", "MAX_POOL_2D", "DEPTHWISE_CONV_2D"]
    assert scaled_apart(graph, made) == scaled_apart(made, graph) == tuple(names[:3])
    assert [layer.name for layer in layer_sqnr(graph, made, others)] == names[3:]
    whole = layer_sqnr(result.floating, made, others)
    assert [layer.name for layer in whole] == names
    assert not any(layer.hurts for layer in whole)
    # Two results of one equalized model can be compared; of two that were scaled otherwise, not.
    assert not scaled_apart(made, made)
    weights = graph.tensors[graph.operators[0].inputs[1]]
    larger = np.asarray(weights.data) * np.linspace(1, 2, 8, dtype=np.float32)[:, None, None, None]
    tensors = [replace(t, data=larger) if t is weights else t for t in graph.tensors]
    trained = equalize(replace(graph, tensors=tuple(tensors)), data)
    assert scaled_apart(made, trained) == tuple(names[:3])


def test_equalization_stops_at_a_clamp_and_at_a_second_reader() -> None:
    assert not pairs(uneven(Activation.RELU6))
    assert equalize(uneven(Activation.RELU6), samples(uneven())).metadata == {}
    b = FloatBuilder("two readers")
    y = b.conv(b.source(), 8)
    graph = b.build([b.add("ADD", (b.conv(y, 8), y), ElementwiseOptions())])
    assert not pairs(graph)


def test_equalization_that_costs_more_than_it_brings_is_left() -> None:
    graph = cnn()
    result = quantize(
        graph, samples(graph), Recipe(equalize=True, adaptive_rounding=False), verify=False
    )
    plain = quantize(graph, samples(graph), Recipe(adaptive_rounding=False), verify=False)
    data = samples(graph)
    assert lost(graph, result.graph, data) >= lost(graph, plain.graph, data) - 0.5
