"""Where operators run: as predicted, and as LiteRT's own GPU backend says."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from gpu_drivers import any_driver
from gpu_models import MODELS, TEN, computed_shape, float16_weights, one_kind_two_ways
from hypothesis import given
from hypothesis import strategies as st

import edge_export.mobile
from edge_export.errors import DelegationError
from edge_export.mobile.delegates_file import delegation_json
from edge_export.mobile.delegation import (
    backend_log,
    observed,
    predict,
    probe_operators,
    refusals,
)
from edge_export.mobile.model import Delegation, Place, Target
from edge_export.mobile.rules.findings import findings
from edge_quantize.gpu import BackendLog, Refusal
from edge_quantize.graph.model import Graph
from edge_quantize.half import float16_weights as float16_weights_of
from edge_quantize.ingest.tflite import read_tflite

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
GOLDENS = sorted(GOLDEN.rglob("*.tflite"))
SCHEMA = json.loads(
    Path(edge_export.mobile.__file__).with_name("delegates.schema.json").read_text("utf-8")
)
MLPERF = [f"{name}_{kind}.tflite" for name in ("ad", "ic", "kws", "vww")
          for kind in ("float", "int8")]  # fmt: skip
NO_LIST = BackendLog("adapter", True, (), None, None, 1, (), False)


Ask = Callable[[list[bytes]], list[Any]]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Many models compiled in one process, by the tool that made the rules' record."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "tools"))
    return importlib.import_module("gpu_rules.ask").ask  # type: ignore[no-any-return]


def places(delegation: Delegation) -> list[str]:
    return [f"{each.op} {each.place}" for each in delegation.operators]


def agrees(content: bytes) -> Delegation:
    """What the backend does with a model, which must be what was predicted, in its words."""
    any_driver()
    graph = read_tflite(content)
    log = backend_log(content)
    seen, said = observed(graph, log, backend_log), predict(content, Target.ANDROID_GPU)
    assert not seen.disagreements
    assert [(o.place, o.partition, o.code) for o in seen.operators] == [
        (o.place, o.partition, o.code) for o in said.operators
    ]
    assert seen.moves == said.moves
    for refusal in log.refused:
        kind = refusal.op.replace("CUSTOM ", "CUSTOM:")
        ours = {each.code for each in said.refused if each.op == kind}
        assert any(findings().same(code, refusal.reason) for code in ours), refusal
    if log.on_cpu is not None:
        unpacking = sum(o.code == "float16-unpacked" for o in said.operators)
        assert len(said.refused) + unpacking == log.on_cpu
    return seen


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_small_model_runs_where_it_was_predicted_to(name: str) -> None:
    seen = agrees(MODELS[name]())
    assert seen.observed


def test_the_ten_models_of_the_promise_are_there() -> None:
    assert len(TEN) == 10


@pytest.mark.parametrize("name", MLPERF)
def test_the_models_of_mlperf_tiny_run_on_the_gpu_whole(
    name: str, mlperf_tiny: Callable[[str], Path]
) -> None:
    assert not agrees(mlperf_tiny(name).read_bytes()).refused


@pytest.mark.parametrize("name", MLPERF[::2])
def test_their_float16_variants_too(name: str, mlperf_tiny: Callable[[str], Path]) -> None:
    assert not agrees(float16_weights_of(mlperf_tiny(name).read_bytes()).content).refused


@pytest.mark.parametrize("name", MLPERF)
def test_the_rules_for_metal_take_them_whole(name: str, mlperf_tiny: Callable[[str], Path]) -> None:
    assert not predict(mlperf_tiny(name).read_bytes(), Target.IOS_METAL).refused


def test_every_golden_model_goes_where_it_was_predicted_to(ask: Ask) -> None:
    any_driver()
    found = ask([path.read_bytes() for path in GOLDENS])
    wrong, unloadable = [], 0
    for path, finding in zip(GOLDENS, found, strict=True):
        refused = predict(path.read_bytes(), Target.ANDROID_GPU).refused
        unloadable += finding.place == "unloadable"  # by LiteRT; what it would do is not known
        if finding.place != "unloadable" and bool(refused) is (finding.place == "gpu"):
            wrong.append(f"{path.name}: {finding}, ours: {[each.code for each in refused]}")
    assert not wrong
    assert unloadable < len(GOLDENS) / 10


class TestPredicted:
    def predicted(self, name: str) -> Delegation:
        return predict(MODELS[name](), Target.ANDROID_GPU)

    def test_one_partition_goes_to_the_gpu_the_largest(self) -> None:
        found = self.predicted("two_partitions")
        assert [each.place for each in found.operators] == [Place.CPU] * 3 + [Place.GPU] * 3
        assert found.operators[0].code == "other-partition"
        assert "REVERSE_SEQUENCE" in found.operators[0].reason

    def test_of_equal_partitions_it_is_the_first(self) -> None:
        found = self.predicted("equal_partitions")
        assert [each.place for each in found.operators] == [Place.GPU, Place.CPU, Place.CPU]

    def test_a_branch_that_waits_for_nothing_stays_with_the_first_part(self) -> None:
        found = self.predicted("branches")
        assert Counter(each.place for each in found.operators) == {Place.GPU: 5, Place.CPU: 3}
        assert set(found.transfers) == {"relu_1", "relu_5"}

    def test_a_transfer_says_its_bytes_and_its_way(self) -> None:
        (move,) = self.predicted("two_partitions").moves
        assert (move.nbytes, move.source, move.to, move.place) == (1024, 0, 1, Place.GPU)

    def test_a_size_that_is_known_only_while_running_refuses_everything(self) -> None:
        found = self.predicted("where")
        assert {each.code for each in found.operators} == {"dynamic"}
        assert "WHERE" in found.operators[0].reason

    def test_a_size_that_is_computed_beforehand_does_not(self) -> None:
        found = predict(computed_shape(), Target.ANDROID_GPU)
        assert "dynamic" not in {each.code for each in found.operators}

    def test_a_custom_operator_without_a_kernel_stops_the_whole_model(self) -> None:
        found = self.predicted("custom")
        assert [each.code for each in found.operators] == ["not-loaded", "no-kernel", "not-loaded"]
        assert "'Twist'" in found.operators[1].reason

    def test_a_model_without_operators_is_said_to_be_one(self) -> None:
        found = self.predicted("empty")
        assert (found.operators, found.partitions) == ((), 0)
        assert "no operator" in found.notes[0]

    def test_an_open_shape_is_noted(self) -> None:
        (note,) = self.predicted("open_input").notes
        assert "[1, -1, -1, 4]" in note

    def test_float16_weights_go_with_their_reader(self) -> None:
        whole = predict(float16_weights(breaks=False), Target.ANDROID_GPU)
        assert not whole.refused
        parts = predict(float16_weights(), Target.ANDROID_GPU)
        ready = [e for e in parts.operators if e.op == "DEQUANTIZE"]
        assert [e.code for e in ready] == ["float16-unpacked"] * 3
        assert all(e.unpacks for e in ready)
        # Each lies where its weights are read, and none is counted.
        graph = read_tflite(float16_weights())
        where = {e.index: (e.place, e.partition) for e in parts.operators}
        for one in ready:
            (made,) = graph.operators[one.index].outputs
            readers = [o.index for o in graph.operators if made in o.inputs]
            assert (one.place, one.partition) in [where[r] for r in readers]
        assert len(parts.counted) == len(graph.operators) - 3
        assert sorted({e.partition for e in parts.operators}) == list(range(parts.partitions))
        assert parts.transfers == ("reverse_sequence_2",)

    def test_every_refused_operator_is_a_line_with_what_would_help(self) -> None:
        lines = refusals(self.predicted("rfft2d"))
        assert len(lines) == 3
        assert lines[0].startswith("operator 2 STRIDED_SLICE 'strided_slice_2': the GPU has no ")
        assert "RFFT2D" in lines[1]
        assert "; replace it by operators" in lines[1]

    def test_what_another_operator_keeps_from_the_gpu_is_no_line_of_its_own(self) -> None:
        (line,) = refusals(self.predicted("two_partitions"))
        assert "REVERSE_SEQUENCE" in line
        (line,) = refusals(self.predicted("where"))
        assert line.startswith("the size of 'where_2' (WHERE) is known only while running")

    def test_the_rules_say_that_phones_were_not_asked(self) -> None:
        found = self.predicted("int4")
        assert "OpenCL assumed to be the same" in found.source
        said = delegation_json(found, Target.ANDROID_GPU)
        assert "OpenCL build, which nobody asked" in said["only_a_phone_shows"][0]

    def test_metal_says_that_it_is_from_the_source(self) -> None:
        found = predict(MODELS["int4"](), Target.IOS_METAL)
        assert "unchecked here" in found.source
        assert not found.observed


class TestObserved:
    def test_a_kind_that_is_taken_in_part_is_settled_one_by_one(self) -> None:
        any_driver()
        graph = read_tflite(one_kind_two_ways())
        found = probe_operators(graph, [1, 3])
        assert found == {1: None, 3: "Softmax.beta != 1 is not supported."}

    def test_counts_that_fit_no_placement_are_an_error(self) -> None:
        graph = read_tflite(MODELS["two_partitions"]())
        words = "Operation is not supported."
        log = replace(NO_LIST, refused=(Refusal("REVERSE_SEQUENCE", words),), on_gpu=5, on_cpu=1)
        with pytest.raises(DelegationError, match="counts 5 operators on the GPU and 1 on the CPU"):
            observed(graph, log)

    def test_where_the_rules_are_wrong_the_backend_is_right(self) -> None:
        graph = read_tflite(MODELS["int4"]())
        log = replace(NO_LIST, refused=(Refusal("CONV_2D", "Not today."),), on_gpu=1, on_cpu=1)
        found = observed(graph, log)
        assert places(found) == ["CONV_2D cpu", "RESHAPE gpu"]
        assert found.operators[0].reason == "Not today."
        (wrong,) = found.disagreements
        assert (wrong.predicted, wrong.observed) == (Place.GPU, Place.CPU)

    def test_what_the_rules_refuse_and_the_backend_takes_is_reported_too(self) -> None:
        graph = read_tflite(MODELS["reverse_sequence"]())
        found = observed(graph, NO_LIST)
        assert not found.refused
        assert [each.op for each in found.disagreements] == ["REVERSE_SEQUENCE"]

    def test_a_program_that_cannot_be_made_of_what_was_taken_is_noted(self) -> None:
        graph = read_tflite(MODELS["int4"]())
        found = observed(graph, replace(NO_LIST, failures=("no such shader",)))
        assert "no such shader" in found.notes[0]

    def test_a_model_that_does_not_load_is_all_on_the_cpu_in_the_backends_words(self) -> None:
        graph = read_tflite(MODELS["int4"]())
        log = replace(NO_LIST, graphs_built=0, failures=("something broke",))
        assert {each.reason for each in observed(graph, log).operators} == {"something broke"}


def prefix(graph: Graph, count: int) -> Graph:
    """The first `count` operators; the last one's results are the model's."""
    kept = graph.operators[:count]
    outputs = kept[-1].outputs if kept else graph.inputs
    return replace(graph, operators=kept, outputs=outputs)


@given(path=st.sampled_from(GOLDENS), target=st.sampled_from(list(Target)), data=st.data())
def test_any_model_falls_apart_into_parts_that_fit_together(
    path: Path, target: Target, data: st.DataObject
) -> None:
    whole = read_tflite(path)
    graph = prefix(whole, data.draw(st.integers(0, len(whole.operators))))
    found = predict(graph, target)
    assert [each.index for each in found.operators] == [o.index for o in graph.operators]
    sides: dict[int, set[Place]] = {}
    for each in found.operators:
        sides.setdefault(each.partition, set()).add(each.place)
        assert bool(each.reason) is (each.place is Place.CPU)
    assert sorted(sides) == list(range(found.partitions))
    assert all(len(places_) == 1 for places_ in sides.values())
    assert sum(places_ == {Place.GPU} for places_ in sides.values()) <= 1
    made = {t: p.partition for p, o in zip(found.operators, graph.operators, strict=True)
            for t in o.outputs}  # fmt: skip
    for each, operator in zip(found.operators, graph.operators, strict=True):
        assert all(made[i] <= each.partition for i in operator.inputs if i in made)
    for move in found.moves:
        assert sides[move.source] != sides[move.to]
        assert move.source < move.to
    assert set(found.transfers) == {move.tensor for move in found.moves}
    jsonschema.validate(delegation_json(found, target), SCHEMA)


def test_the_file_says_what_was_checked_and_what_only_a_phone_shows() -> None:
    content = delegation_json(
        predict(MODELS["two_partitions"](), Target.ANDROID_GPU),
        Target.ANDROID_GPU,
        ["this"],
        ["that"],
    )
    jsonschema.validate(content, SCHEMA)
    assert content["summary"] == {"gpu": 3, "cpu": 3, "unpacking": 0, "transfer_bytes": 1024}
    assert content["checked_here"] == ["this"]
    assert content["only_a_phone_shows"][-1] == "that"
    assert [part["place"] for part in content["partitions"]] == ["cpu", "gpu"]
