"""The rules for a phone's GPU, against what the backend said of one-operator models."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from gpu_drivers import any_driver

from edge_export.mobile.delegation import predict
from edge_export.mobile.dynamic import first_dynamic
from edge_export.mobile.model import Target
from edge_export.mobile.rules import node_of, rules_for
from edge_export.mobile.rules.findings import findings, plain
from edge_export.mobile.rules.reasons import REASONS
from edge_export.mobile.rules.table import Rule, table
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.option_tables import schema_names
from edge_quantize.graph.options import SoftmaxOptions
from edge_quantize.graph.writer import write_tflite

TOOLS = Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def probes() -> Iterator[dict[str, Graph]]:
    """The models that the record speaks of, by name."""
    sys.path.insert(0, str(TOOLS))
    from gpu_rules.cases import cases

    yield {case.name: case.graph for case in cases()}
    sys.path.remove(str(TOOLS))


def code_of(graph: Graph, target: Target = Target.ANDROID_GPU) -> str | None:
    (operator,) = graph.operators
    reason = rules_for(target).refusal(node_of(graph, operator, {}))
    return None if reason is None else reason.code


def test_the_rules_say_what_the_backend_said_of_every_recorded_model(
    probes: dict[str, Graph],
) -> None:
    record = findings()
    assert len(record.places) > 3000
    wrong = []
    for name, (place, words) in record.places.items():
        if place == "dynamic":
            continue
        code = code_of(probes[name])
        if (code is None) != (place == "gpu"):
            wrong.append(f"{name}: {place} {words}, ours: {code}")
        elif code is not None and place == "cpu" and not record.same(code, words):
            wrong.append(f"{name}: {code} does not stand for {words!r}")
    assert not wrong


def test_sizes_known_only_while_running_are_those_that_the_backend_complained_of(
    probes: dict[str, Graph],
) -> None:
    wrong = [
        name
        for name, (place, _) in findings().places.items()
        if (first_dynamic(probes[name]) is not None) != (place == "dynamic")
    ]
    assert not wrong


@pytest.mark.parametrize("place", ["gpu", "cpu"])
def test_a_sample_of_the_record_is_what_the_installed_backend_says(
    probes: dict[str, Graph], place: str
) -> None:
    any_driver()
    from gpu_rules.ask import ask

    record = findings()
    names = [name for name, (where, _) in record.places.items() if where == place][7::90]
    found = ask([write_tflite(probes[name]) for name in names])
    assert {n: (f.place, f.words) for n, f in zip(names, found, strict=True)} == {
        n: record.places[n] for n in names
    }


@pytest.mark.parametrize("target", list(Target))
def test_an_operator_that_lacks_an_operand_has_an_answer_too(
    probes: dict[str, Graph], target: Target
) -> None:
    """As a broken or hostile file may have it."""
    plain_ones = {name.split()[0]: graph for name, graph in reversed(probes.items())}
    for graph in plain_ones.values():
        (operator,) = graph.operators
        for at in range(len(operator.inputs)):
            rest = operator.inputs[:at]
            for inputs in (rest, (*rest, -1, *operator.inputs[at + 1 :])):
                lacking = replace(operator, inputs=inputs)
                found = predict(replace(graph, operators=(lacking,)), target)
                assert [each.index for each in found.operators] == [0]


def test_every_row_is_an_operator_of_the_schema() -> None:
    from ai_edge_litert import schema_py_generated as schema

    known = set(schema_names(schema.BuiltinOperator).values())
    for target in Target:
        assert set(rules_for(target).rules) <= known


def test_an_operator_has_one_row() -> None:
    rule = Rule("ADD", frozenset(), frozenset())
    with pytest.raises(ValueError, match="two rules for ADD"):
        table([rule, rule])


def test_every_reason_says_why_in_words_of_its_own() -> None:
    assert all(reason.why and not reason.why.endswith(".") for reason in REASONS.values())
    whys = [reason.why for reason in REASONS.values()]
    assert len(set(whys)) == len(whys)


def test_words_are_compared_without_the_names_and_numbers_of_one_model() -> None:
    first = plain("Tensor type(INT16) is not supported. conv/Relu")
    assert first == plain("Tensor type(INT16) is not supported. x")
    assert plain('Tensor "a b" has bad input dims size: 6.') == plain(
        'Tensor "c" has bad input dims size: 7.'
    )


def softmax(beta: float) -> Graph:
    builder = GraphBuilder("softmax")
    x = builder.input("x", (1, 8), dtype=DType.FLOAT32)
    options = SoftmaxOptions(beta)
    return builder.build([builder.operator("SOFTMAX", [x], options, dtype=DType.FLOAT32)])


@pytest.mark.parametrize("target", list(Target))
def test_a_refusal_names_the_value_and_what_would_help(target: Target) -> None:
    graph = softmax(2.0)
    reason = rules_for(target).refusal(node_of(graph, graph.operators[0], {}))
    assert reason is not None
    assert reason.why == "beta is 2, the GPU takes 1 only"
    assert reason.mend == "multiply the input by 2 and set beta to 1"
    assert code_of(softmax(1.0), target) is None


class TestMetal:
    """Facts of TensorFlow Lite's own delegate, from its source."""

    def comparison(self, cast: bool) -> Graph:
        builder = GraphBuilder("comparison")
        x, y = (builder.input(n, (1, 4, 4, 8), dtype=DType.FLOAT32) for n in "xy")
        found = builder.operator("GREATER", [x, y], shape=(1, 4, 4, 8), dtype=DType.BOOL)
        if cast:
            found = builder.operator("CAST", [found], shape=(1, 4, 4, 8), dtype=DType.FLOAT32)
        return builder.build([found])

    def test_a_comparison_needs_a_cast_to_float_behind_it(self) -> None:
        for cast, code in ((True, None), (False, "compared-only")):
            graph = self.comparison(cast)
            reason = rules_for(Target.IOS_METAL).refusal(node_of(graph, graph.operators[0], {}))
            assert (reason.code if reason else None) == code

    def test_it_knows_less_than_litert(self, probes: dict[str, Graph]) -> None:
        for name in ("REVERSE_V2 f32", "ROUND f32 rank4", "ARG_MAX f32 to i32", "ABS i32"):
            assert code_of(probes[name]) is None
            assert code_of(probes[name], Target.IOS_METAL) is not None

    def test_its_source_says_that_nothing_was_tried(self) -> None:
        rules = rules_for(Target.IOS_METAL)
        assert not rules.checked
        assert "unchecked here" in rules.source
