"""What quality says of outputs whose difference is known, and of real models."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge_quantize.data import Samples
from edge_quantize.errors import InputDataError, UnsoundResultError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.quality import (
    classifies,
    compare_outputs,
    evaluate,
    first_that_hurts,
    guesses,
    layer_sqnr,
    logits,
)
from edge_quantize.run import outputs


def outputs_of(*rows):
    return (np.array(rows, np.float32),)


def test_sqnr_is_ten_log_ten_of_signal_over_noise():
    found = compare_outputs(outputs_of([3.0, 4.0]), outputs_of([3.0, 4.5]))
    assert found.sqnr_db == pytest.approx(20.0)
    assert found.rmse == pytest.approx(math.sqrt(0.125))
    assert found.max_abs == 0.5
    assert found.cosine == pytest.approx(27 / (5 * math.sqrt(29.25)))


def test_the_interval_of_sqnr_is_over_the_samples():
    random = np.random.default_rng(0)
    reference = random.normal(size=(200, 5)).astype(np.float32)
    noise = random.normal(scale=0.1, size=reference.shape).astype(np.float32)
    found = compare_outputs((reference,), (reference + noise,)).sqnr
    assert found is not None
    assert found.value == pytest.approx(20, abs=0.5)
    assert found.low < found.value < found.high
    assert found.high - found.low < 1.5
    few = compare_outputs((reference[:20],), (reference[:20] + noise[:20],)).sqnr
    assert few is not None
    assert few.high - few.low > found.high - found.low


def test_sqnr_has_no_interval_where_resamples_may_have_no_noise():
    reference = np.ones((4, 1), np.float32)
    candidate = reference + np.array([[0.5], [0], [0], [0]], np.float32)
    found = compare_outputs((reference,), (candidate,))
    assert found.sqnr_db == pytest.approx(10 * math.log10(16))
    assert found.sqnr is None


def test_all_outputs_count_together():
    reference = (np.ones((2, 3), np.float32), np.zeros((2, 1), np.float32))
    candidate = (np.ones((2, 3), np.float32), np.full((2, 1), 0.1, np.float32))
    assert compare_outputs(reference, candidate).rmse == pytest.approx(math.sqrt(0.02 / 8))


@given(arrays.arrays(np.float32, (5, 4), elements=st.floats(-1e3, 1e3, width=32)))
def test_equal_outputs_have_no_noise(values):
    found = compare_outputs((values,), (values.copy(),))
    assert found.sqnr_db == math.inf
    assert (found.rmse, found.max_abs) == (0, 0)
    assert found.cosine == pytest.approx(1)


def test_nothing_at_all_against_something_is_minus_infinity():
    assert compare_outputs(outputs_of([0.0]), outputs_of([1.0])).sqnr_db == -math.inf


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_an_output_that_is_not_finite_is_an_unsound_result(bad):
    with pytest.raises(UnsoundResultError, match="the model's output holds NaN or infinity"):
        compare_outputs(outputs_of([1.0]), outputs_of([bad]))


def test_outputs_of_other_shapes_are_refused():
    with pytest.raises(InputDataError, match="differ in shape"):
        compare_outputs(outputs_of([1.0]), outputs_of([1.0, 2.0]))


def test_agreement_counts_equal_answers_where_rows_are_distributions():
    reference = outputs_of([0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7])
    candidate = outputs_of([0.8, 0.2], [0.6, 0.4], [0.7, 0.3], [0.1, 0.9])
    found = compare_outputs(reference, candidate)
    assert found.agreement is not None
    assert found.agreement.value == 0.75
    assert found.accuracy is None


def test_no_agreement_of_outputs_that_are_no_classes():
    assert compare_outputs(outputs_of([5.0, 1.0]), outputs_of([5.0, 1.0])).agreement is None


def test_accuracy_of_both_and_the_paired_drop_with_class_labels():
    reference = outputs_of([2.0, 1.0], [1.0, 2.0], [2.0, 1.0], [1.0, 2.0])
    candidate = outputs_of([2.0, 1.0], [2.0, 1.0], [2.0, 1.0], [1.0, 2.0])
    found = compare_outputs(reference, candidate, np.array([0, 1, 0, 0]))
    assert found.accuracy is not None
    assert found.reference_accuracy is not None
    assert found.paired_drop is not None
    assert (found.accuracy.value, found.reference_accuracy.value) == (0.5, 0.75)
    assert found.paired_drop.value == 0.25


def test_one_output_of_two_classes_answers_at_a_half():
    found = compare_outputs(outputs_of([0.9], [0.1]), outputs_of([0.6], [0.7]), np.array([1, 0]))
    assert found.accuracy is not None
    assert found.accuracy.value == 0.5


def test_labels_outside_the_classes_are_refused():
    with pytest.raises(InputDataError, match=r"labels 0\.\.2; the model's classes are 0\.\.1"):
        compare_outputs(outputs_of([1, 0], [0, 1]), outputs_of([1, 0], [0, 1]), np.array([0, 2]))


def test_targets_give_the_error_of_both_against_them():
    reference, candidate = outputs_of([1.0], [2.0]), outputs_of([1.5], [2.5])
    found = compare_outputs(reference, candidate, np.array([[1.0], [2.0]]))
    assert found.reference_target_error is not None
    assert found.target_error is not None
    assert found.target_rise is not None
    assert found.reference_target_error.value == 0
    assert found.target_error.value == 0.5
    assert found.target_rise.value == 0.5
    assert found.accuracy is None


def classifier():
    b = GraphBuilder("classifier")
    x = b.input("x", (1, 4), scale=0.1, zero_point=0)
    w = b.weights("w", np.eye(4, dtype=np.int8) * 100, scales=[0.01] * 4)
    dense = b.fully_connected(x, w, None, scale=0.1, zero_point=0)
    return b.build([b.dequantize(b.softmax(dense))])


def test_logits_cuts_softmax_and_what_follows_it():
    graph = classifier()
    cut = logits(graph)
    assert [o.op for o in cut.operators] == ["FULLY_CONNECTED"]
    assert classifies(graph)
    assert classifies(cut)
    x = np.array([[1.0, -2.0, 3.0, 0.5]], np.float32)
    np.testing.assert_allclose(outputs(cut, Samples((x,)))[0], x, atol=0.051)


def test_logits_of_a_graph_without_softmax_is_the_graph():
    cut = logits(classifier())
    assert logits(cut) is cut


def test_an_output_without_dimensions_is_one_number_a_sample() -> None:
    b = GraphBuilder("mean")
    x = b.input("x", (1, 4), 1.0, 0)
    graph = b.build([b.mean(x, (0, 1), 1.0, 0, keep_dims=False)])
    samples = Samples((np.array([[1, 1, 1, 1], [2, 4, 6, 8]], np.float32),))
    assert outputs(graph, samples)[0].tolist() == [1.0, 5.0]


def test_evaluate_takes_a_graph_or_its_outputs_and_agrees_with_itself():
    graph = classifier()
    random = np.random.default_rng(0)
    samples = Samples((random.normal(0, 3, (6, 4)).astype(np.float32),))
    seen = []
    by_graph = evaluate(logits(graph), samples, logits(graph), lambda *done: seen.append(done))
    assert seen == [(n, 12) for n in range(1, 13)]
    assert by_graph.agreement is not None
    assert by_graph.agreement.value == 1
    assert by_graph == evaluate(logits(graph), samples, outputs(logits(graph), samples))


def test_the_first_layer_under_twenty_decibels_is_named(mlperf_tiny):
    reference = read_tflite(mlperf_tiny("ad_float.tflite"))
    candidate = read_tflite(mlperf_tiny("ad_int8.tflite"))
    samples = windows(mlperf_tiny)
    layers = layer_sqnr(reference, candidate, samples)
    assert len(layers) == 10
    first = first_that_hurts(layers)
    assert first is not None
    assert first.name == "functional_1/activation_1/Relu;functional_1/dense_1/BiasAdd"
    assert all(layer.sqnr_db >= 20 for layer in layers[: layers.index(first)])
    assert layers[-1].sqnr_db == pytest.approx(evaluate(candidate, samples, reference).sqnr_db)


def test_a_model_against_itself_hurts_nowhere(mlperf_tiny):
    graph = read_tflite(mlperf_tiny("ad_float.tflite"))
    layers = layer_sqnr(graph, graph, windows(mlperf_tiny))
    assert first_that_hurts(layers) is None
    assert {layer.sqnr_db for layer in layers} == {math.inf}


def test_layers_before_a_spoilt_one_have_no_noise(mlperf_tiny):
    graph = read_tflite(mlperf_tiny("ad_float.tflite"))
    spoilt = graph.operators[4].inputs[1]
    weights = graph.tensors[spoilt]
    assert weights.data is not None
    tensors = list(graph.tensors)
    tensors[spoilt] = replace(weights, data=(np.round(weights.data * 8) / 8).astype(np.float32))
    layers = layer_sqnr(graph, replace(graph, tensors=tuple(tensors)), windows(mlperf_tiny))
    assert [layer.sqnr_db == math.inf for layer in layers] == [True] * 4 + [False] * 6


def windows(mlperf_tiny):
    frames = np.fromfile(mlperf_tiny("ad_normal_id_01_00000000.bin"), "<f4").reshape(200, 128)
    return Samples((np.stack([frames[i : i + 5].ravel() for i in range(98, 108)]),))


def test_a_reference_that_guesses_is_doubted():
    right = np.eye(2, dtype=np.float32)[[0, 1] * 50]
    labels = np.array([0, 1] * 50)
    assert guesses(compare_outputs((right,), (right,), labels), 2) == ""
    turned = np.array([0, 1, 1, 0] * 25)
    assert "answers 50.0% right, of 2 classes" in guesses(
        compare_outputs((right,), (right,), turned), 2
    )
    assert guesses(compare_outputs((right,), (right,)), 2) == ""
