"""What float16 arithmetic does to a model, layer by layer: what it names, and what it counts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from float_graphs import FloatNet, float_nets
from float_models import lstm
from hypothesis import given, settings
from hypothesis import strategies as st
from ptq_models import CASES, Case, case_graph, cnn, samples

from edge_quantize.data import Samples
from edge_quantize.errors import InputDataError, UnsupportedModelError
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import Activation, FullyConnectedOptions
from edge_quantize.graph.writer import write_tflite
from edge_quantize.half import float16_weights, half_json, half_lines, simulate_half
from edge_quantize.half.arithmetic import halved
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.ptq.quantize import quantize
from edge_quantize.reference import LiteRtReference
from edge_quantize.run import outputs


def dense(*weights: np.ndarray, activation: Activation = Activation.NONE) -> Graph:
    """Fully connected layers "layer0", "layer1", ... without bias."""
    net = FloatNet("dense", 0)
    x = net.input(weights[0].shape[1])
    for number, array in enumerate(weights):
        w = net.builder.constant(f"w{number}", array.astype(np.float32))
        x = net.op("FULLY_CONNECTED", [x, w], FullyConnectedOptions(activation), f"layer{number}")
    return net.build(x)


def ones(graph: Graph, count: int = 3, value: float = 1.0) -> Samples:
    shape = graph.tensors[graph.inputs[0]].shape[1:]
    return Samples((np.full((count, *shape), value, np.float32),), source="ones")


@pytest.mark.parametrize("accumulate", ["single", "half"])
def test_a_layer_that_passes_65504_is_named(accumulate: str) -> None:
    graph = dense(np.eye(4), np.full((2, 4), 20000.0), np.full((3, 2), 1e-4))
    report = simulate_half(graph, ones(graph), accumulate)  # type: ignore[arg-type]
    first = report.first_overflow
    assert first is not None
    assert (first.name, first.op, first.index) == ("layer1", "FULLY_CONNECTED", 1)
    assert (first.overflowed, first.overflowed_samples, first.own_overflowed) == (6, 3, 6)
    assert first.largest == 80000
    # The layer behind gives nothing finite, and is not to blame.
    assert (report.layers[2].overflowed, report.layers[2].own_overflowed) == (9, 9)
    assert not report.finite
    assert any("'layer1' (FULLY_CONNECTED) passes 65504" in line for line in half_lines(report))


def test_only_the_samples_that_overflow_are_counted() -> None:
    graph = dense(np.full((1, 4), 10000.0))
    data = Samples((np.array([[1] * 4, [2] * 4, [3] * 4], np.float32),))
    (layer,) = simulate_half(graph, data).layers
    assert (layer.overflowed, layer.overflowed_samples) == (2, 2)


def test_a_sum_that_passes_65504_on_its_way_overflows_in_float16_sums_only() -> None:
    graph = dense(np.array([[40000, 40000, -40000, -39999]]))
    assert simulate_half(graph, ones(graph), "single").finite
    report = simulate_half(graph, ones(graph), "half")
    assert report.first_overflow is not None
    assert not report.finite


def test_an_activation_does_not_hide_an_overflow() -> None:
    graph = dense(np.array([[40000, 40000, -40000, -39000]]), activation=Activation.RELU6)
    report = simulate_half(graph, ones(graph), "half")
    assert report.layers[0].overflowed == 3
    assert report.finite  # what comes out is 6, which is right by accident


def test_an_output_that_is_no_vector_of_classes_has_no_agreement() -> None:
    one = dense(np.ones((1, 4)))
    assert simulate_half(one, ones(one)).outputs[0].agreement is None
    net = FloatNet("picture", 0)
    picture = net.build(net.conv(net.input(4, 4, 2), 3, "conv", size=3))
    assert simulate_half(picture, net.samples(picture, 2)).outputs[0].agreement is None
    two = dense(np.eye(4)[:2])
    assert simulate_half(two, ones(two)).outputs[0].agreement == 1.0


def test_weights_that_float16_cannot_hold_are_named() -> None:
    graph = dense(np.full((2, 2), 1e5), np.full((2, 2), 1e-7))
    report = simulate_half(graph, ones(graph))
    assert [name for name, _ in report.constants] == ["w0", "w1"]
    assert "pass 65504" in report.constants[0][1]
    assert "too small" in report.constants[1][1]


def test_results_below_the_normal_numbers_are_counted() -> None:
    graph = dense(np.array([[2.0**-14], [2.0**-16], [2.0**-24]]))
    (layer,) = simulate_half(graph, ones(graph, value=0.5)).layers
    assert (layer.subnormal, layer.vanished) == (6, 3)


def test_float16_sums_lose_what_is_less_than_half_a_unit() -> None:
    # 1 + 2^-11 + 2^-11 + ...: each addition alone is rounded away.
    graph = dense(np.array([[1.0] + [2.0**-11] * 64]))
    single = simulate_half(graph, ones(graph), "single").layers[0]
    half = simulate_half(graph, ones(graph), "half").layers[0]
    assert single.max_abs == 0
    assert half.max_abs == 64 * 2.0**-11
    assert (single.sums, half.sums) == ("float32", "float16")


@settings(max_examples=15)
@given(float_nets())
def test_storage_in_float16_is_litert_with_every_tensor_rounded(
    pair: tuple[FloatNet, Graph],
) -> None:
    net, graph = pair
    data = net.samples(graph, 2)
    report = simulate_half(graph, data, "single")
    assert len(report.layers) == len(graph.operators)
    # An independent chain: one operator after the other, by hand.
    rounded = replace(
        graph,
        tensors=tuple(
            replace(t, data=halved(t.data))
            if t.data is not None and t.dtype is DType.FLOAT32
            else t
            for t in graph.tensors
        ),
    )
    wanted, exact = [], outputs(graph, data)[0]
    for row in data.rows():
        values = {graph.inputs[0]: halved(row[0])}
        for operator in rounded.operators:
            single = _alone(rounded, operator.index)
            loaded = LiteRtReference(single, optimized=True)
            fed = [
                values[rounded.operators[operator.index].inputs[p]]
                for p in _fed(rounded, operator.index)
            ]
            values[operator.outputs[0]] = halved(loaded.run(fed)[0])
        wanted.append(values[graph.outputs[0]])
    difference = float(np.abs(np.concatenate(wanted) - exact).max())
    assert report.outputs[0].max_abs == pytest.approx(difference, rel=1e-3, abs=1e-7)


def _fed(graph: Graph, number: int) -> list[int]:
    """Places of the operator's operands that are activations, each once."""
    operator = graph.operators[number]
    first = {i: p for p, i in reversed(list(enumerate(operator.inputs)))}
    return sorted(p for i, p in first.items() if i >= 0 and not graph.tensors[i].is_constant)


def _alone(graph: Graph, number: int) -> Graph:
    operator = graph.operators[number]
    fed = tuple(operator.inputs[p] for p in _fed(graph, number))
    return replace(
        graph, operators=(replace(operator, index=0),), inputs=fed, outputs=operator.outputs
    )


@settings(max_examples=15)
@given(float_nets(), st.sampled_from(["single", "half"]))
def test_ordinary_models_stay_near_and_finite(
    pair: tuple[FloatNet, Graph], accumulate: str
) -> None:
    net, graph = pair
    report = simulate_half(graph, net.samples(graph, 2), accumulate)  # type: ignore[arg-type]
    assert report.finite
    assert report.not_simulated == ()
    assert all(layer.own_relative < 0.05 for layer in report.layers)


def test_the_same_model_gives_the_same_report_as_bytes_and_with_float16_weights() -> None:
    graph = cnn()
    data = samples(graph, 4)
    report = simulate_half(graph, data, "half")
    assert simulate_half(write_tflite(graph), data, "half") == report
    halves = simulate_half(float16_weights(write_tflite(graph)).content, data, "half")
    # float32 is what the file's weights give, which are rounded already.
    assert [(a.name, a.op) for a in halves.layers] == [(a.name, a.op) for a in report.layers]


def test_layers_have_the_indices_and_names_of_the_file() -> None:
    net = FloatNet("wide", 0)
    graph = net.build(net.dense(net.input(100), 100, "dense"))
    content = float16_weights(write_tflite(graph)).content
    data = Samples((np.ones((1, 100), np.float32),))
    (layer,) = simulate_half(content, data).layers
    assert (layer.index, layer.name) == (2, "dense")
    assert read_tflite(content).operators[2].op == "FULLY_CONNECTED"


def test_an_integer_model_is_simulated_on_the_grid_of_its_integers() -> None:
    graph = cnn()
    data = samples(graph)
    integers = quantize(graph, data).graph
    report = simulate_half(integers, data.take(slice(0, 4)))
    assert any("rounded to its integers" in note for note in report.notes)
    for layer, operator in zip(report.layers, integers.operators, strict=True):
        quantization = integers.tensors[operator.outputs[0]].quantization
        assert quantization is not None
        # Whole steps apart, up to what float16 cannot say of a step.
        steps = layer.max_abs / quantization.scale
        assert abs(steps - round(steps)) < 0.2
    assert report.outputs[0].agreement == 1.0


def test_the_json_is_plain_and_stable() -> None:
    graph = dense(np.full((2, 2), 60000.0))
    report = simulate_half(graph, ones(graph), "half")
    text = json.dumps(half_json(report), allow_nan=False)
    found = json.loads(text)
    assert list(found) == [
        *("kind", "arithmetic", "accumulate", "samples", "first_overflow", "largest_own_error"),
        *("outputs", "layers", "constants", "not_simulated", "notes"),
    ]
    assert found["kind"] == "modelled"
    assert found["first_overflow"] == "layer0"
    assert found["layers"][0]["overflowed"] == 6
    assert text == json.dumps(half_json(simulate_half(graph, ones(graph), "half")))


def test_state_and_samples_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match="keeps state between runs"):
        simulate_half(lstm(), Samples((np.zeros((1, 4, 2), np.float32),)))
    graph = dense(np.eye(3))
    with pytest.raises(InputDataError, match=r"\[4\] given, the model takes \[1, 3\]"):
        simulate_half(graph, Samples((np.zeros((2, 4), np.float32),)))


@pytest.mark.parametrize("accumulate", ["single", "half"])
@pytest.mark.parametrize("name", ["ad", "ic", "kws", "vww"])
@pytest.mark.parametrize("kind", ["float", "int8"])
def test_real_models_are_near_enough_and_quick(
    mlperf_tiny: Callable[[str], Path], name: str, kind: str, accumulate: str
) -> None:
    graph = read_tflite(mlperf_tiny(f"{name}_{kind}.tflite"))
    shape = graph.tensors[graph.inputs[0]].shape[1:]
    random = np.random.default_rng(0)
    if kind == "int8":
        source = random.integers(-128, 128, (8, *shape)).astype(np.int8)
    else:
        source = random.uniform(-1, 1, (8, *shape)).astype(np.float32)
    start = time.process_time()
    report = simulate_half(graph, Samples((source,)), accumulate)  # type: ignore[arg-type]
    assert time.process_time() - start < 5
    assert report.finite
    assert report.first_overflow is None
    assert report.not_simulated == ()
    if kind == "float":
        assert report.outputs[0].relative < 0.01
        assert report.outputs[0].agreement == 1.0


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
def test_every_operator_is_simulated_or_named(case: Case) -> None:
    graph = case_graph(case)
    report = simulate_half(graph, samples(graph, 2), "half")
    assert all(output.relative < 0.01 for output in report.outputs)
    left = {"RESIZE_BILINEAR", "L2_NORMALIZATION"}
    assert bool(report.not_simulated) == (case.op in left)
    functions = {"LOGISTIC", "TANH", "SOFTMAX", "HARD_SWISH", "L2_NORMALIZATION"}
    assert bool(report.notes) == (case.op in functions)
