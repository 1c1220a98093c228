"""Every operator that has a rule is quantized, and computes what its float form does."""

from __future__ import annotations

import pytest
from ptq_models import CASES, Case, FloatBuilder, case_graph, cnn, lost, samples

from edge_quantize.check import SUPPORTED_OPS, check_supported
from edge_quantize.errors import UnsupportedModelError
from edge_quantize.graph.model import DType
from edge_quantize.ptq import Precision, Recipe, quantize
from edge_quantize.ptq.rules import RULES

WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}


def test_every_rule_has_a_case() -> None:
    assert {case.op for case in CASES} == set(RULES)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.op)
def test_int8_computes_what_the_float_form_does(case: Case) -> None:
    graph = case_graph(case)
    data = samples(graph)
    made = quantize(graph, data, Recipe.uniform(Precision.INT8)).graph
    assert {t.dtype for o in made.operators for t in made.results(o)} == {DType.INT8}
    assert lost(graph, made, data) > case.least
    # Values beyond the samples' range are cut off.
    assert lost(graph, made, samples(graph, seed=1)) > 20
    if {operator.op for operator in made.operators} <= SUPPORTED_OPS:
        assert not check_supported(made)


@pytest.mark.parametrize(
    "case", [c for c in CASES if RULES[c.op].version.int16 is not None], ids=lambda case: case.op
)
def test_int16_activations_lose_less_than_int8(case: Case) -> None:
    graph = case_graph(case)
    data, others = samples(graph), samples(graph, seed=1)
    plain = {"adaptive_rounding": False, "equalize": False}
    eight = quantize(graph, data, Recipe.uniform(Precision.INT8, **plain)).graph
    sixteen = quantize(graph, data, Recipe.uniform(Precision.INT16X8, **plain)).graph
    assert {t.dtype for o in sixteen.operators for t in sixteen.results(o)} == {DType.INT16}
    # What values beyond the samples' range lose is the same in both.
    # Where there are weights, their 8 bits are the limit.
    better = 3 if WEIGHTED & {operator.op for operator in graph.operators} else 20
    assert lost(graph, sixteen, data) > lost(graph, eight, data) + better
    assert lost(graph, sixteen, others) > 25


@pytest.mark.parametrize(
    "case", [c for c in CASES if RULES[c.op].version.int16 is None], ids=lambda case: case.op
)
def test_what_has_no_int16_form_is_named(case: Case) -> None:
    graph = case_graph(case)
    with pytest.raises(UnsupportedModelError, match=rf"\({case.op}\) has no form with int16"):
        quantize(graph, samples(graph), Recipe.uniform(Precision.INT16X8))


def test_an_operator_without_a_rule_is_named_and_can_be_left_float() -> None:
    b = FloatBuilder("exotic")
    x = b.conv(b.source(), 4)
    y = b.add("EXP", (x,), shape=(1, 4, 4, 4), name="grown")
    graph = b.build([b.conv(y, 2)])
    data = samples(graph)
    with pytest.raises(UnsupportedModelError, match=r"'grown' \(EXP\) has no integer form"):
        quantize(graph, data, Recipe())
    made = quantize(graph, data, Recipe().with_layers({"grown": Precision.FLOAT32})).graph
    assert [o.op for o in made.operators] == [
        "CONV_2D", "DEQUANTIZE", "EXP", "QUANTIZE", "CONV_2D",
    ]  # fmt: skip
    assert lost(graph, made, data) > 20


def test_all_that_cannot_be_quantized_is_listed_at_once() -> None:
    b = FloatBuilder("exotic")
    x = b.add("EXP", (b.source(),), shape=(1, 4, 4, 8), name="one")
    graph = b.build([b.add("SIN", (x,), shape=(1, 4, 4, 8), name="two")])
    with pytest.raises(UnsupportedModelError) as caught:
        quantize(graph, samples(graph), Recipe())
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize("float_io", [False, True])
@pytest.mark.parametrize(
    ("precision", "least"),
    [
        (Precision.INT8, 30.0),
        (Precision.INT16X8, 38.0),
        (Precision.INT4, 15.0),
        (Precision.FLOAT16, 55.0),
        (Precision.DYNAMIC, 30.0),
        (Precision.FLOAT32, 120.0),
    ],
)
def test_each_precision_of_a_network(precision: Precision, least: float, float_io: bool) -> None:
    graph = cnn()
    data = samples(graph, 64)
    result = quantize(graph, data, Recipe.uniform(precision, float_io=float_io))
    assert lost(graph, result.graph, samples(graph, 32, seed=1)) > least
    ends = {result.graph.tensors[i].dtype for i in (*result.graph.inputs, *result.graph.outputs)}
    integers = {Precision.INT16X8: DType.INT16}.get(precision, DType.INT8)
    assert ends == {integers if precision.integer and not float_io else DType.FLOAT32}
    assert [name for name, _, _ in result.layers] == [graph.layer_name(o) for o in graph.operators]
