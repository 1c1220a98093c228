"""Which backend "auto" takes, what it says of the others, and what a named one is refused for.

The candidates compute with the real runtime; only a clock or a fault is put in.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import math
import sys

import numpy as np
import pytest
from backend_models import Fast, Slow, Wrong, float_net, linear_int8

from edge_autoglm import select_backend
from edge_autoglm.backends import (
    Availability,
    Backend,
    BackendError,
    BackendRefusedError,
    BackendUnavailableError,
    Loaded,
    RunModel,
    find_backend,
    host_backends,
    read_run_model,
)
from edge_autoglm.backends.bench import bench
from edge_autoglm.backends.generated_c import GeneratedC
from edge_autoglm.backends.litert_cpu import LiteRtCpu
from edge_autoglm.backends.model import generated
from edge_autoglm.errors import UsageError
from edge_autoglm.report.backends import bench_json
from edge_quantize.errors import InputDataError


class Absent(Slow):
    name = "absent"

    def available(self) -> Availability:
        return Availability(False, "no such chip", "buy one")


class InSoftware(Fast):
    name = "software"

    def available(self) -> Availability:
        return Availability(True, "a GPU in software", checks_only=True)


class FoundInSoftware(Fast):
    """Nobody knew before it was loaded."""

    name = "late"

    def load(self, model: RunModel) -> Loaded:
        loaded = super().load(model)
        loaded.checks_only = True
        return loaded


class Doubtful(Fast):
    name = "doubtful"

    def load(self, model: RunModel) -> Loaded:
        loaded = super().load(model)
        loaded.warnings = ("Shape mismatch of convolution1x1",)
        return loaded


class Refusing(Fast):
    name = "refusing"

    def load(self, model: RunModel) -> Loaded:
        raise BackendRefusedError(f"{self.name}: {model.name} has RFFT2D, not supported")


class NotAutomatic(Fast):
    name, automatic = "by-hand", False


def test_the_fastest_that_computes_right_is_chosen() -> None:
    found = select_backend("auto", float_net(), candidates=[Slow(), Fast(), LiteRtCpu()])
    assert found.chosen.name == "fast"
    inputs = np.ones((1, 6, 6, 2), np.float32)
    with found.load() as loaded:
        (output,) = loaded.infer([inputs]).outputs
        assert output.shape == (1, 6, 6, 3)
        np.testing.assert_array_equal(loaded.infer(inputs).outputs[0], output)  # the only input
        with pytest.raises(InputDataError, match=r"float32\[6, 6, 2\] given"):
            loaded.infer(inputs[0])
    why = dict(found.passed_over)
    assert set(why) == {"slow", "litert-cpu"}
    assert "slower" in why["slow"]
    assert "ms against" in why["slow"]


@pytest.mark.parametrize(
    ("candidate", "words"),
    [
        (Wrong(), "wrong"), (Absent(), "no such chip (buy one)"),
        (InSoftware(), "a GPU in software"), (FoundInSoftware(), "for checking only"),
        (Doubtful(), "Shape mismatch"), (Refusing(), "has RFFT2D"),
        (NotAutomatic(), "only when it is named"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)  # fmt: skip
def test_what_does_not_serve_is_passed_over_with_its_reason(candidate: Backend, words: str) -> None:
    found = select_backend("auto", float_net(), candidates=[candidate, Slow()])
    assert found.chosen.name == "slow"
    assert [name for name, _ in found.passed_over] == [candidate.name]
    assert words in found.passed_over[0][1]
    assert f"not {candidate.name}: " in str(found)


def test_the_cpu_is_the_last_resort_and_said_aloud(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "edge_autoglm.backends"):
        found = select_backend("auto", float_net(), candidates=[Wrong(), LiteRtCpu()])
    assert found.chosen.name == "litert-cpu"
    assert found.why.startswith("the CPU, because no GPU serves")
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "not wrong: wrong: " in record.getMessage()


def test_the_log_line_is_short_and_the_selection_has_a_line_for_each(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Wordy(Absent):
        def __init__(self, name: str) -> None:
            self.name = name

        def available(self) -> Availability:
            return Availability(False, "no such chip, " * 20 + "\nat all", "buy one")

    many = [Wordy(name) for name in "abcd"]
    with caplog.at_level(logging.INFO, "edge_autoglm.backends"):
        found = select_backend("auto", float_net(), candidates=[*many, LiteRtCpu()])
    (record,) = caplog.records
    line = record.getMessage()
    assert line.startswith("litert-cpu: the CPU, because no GPU serves")
    assert "not a: no such chip" in line
    assert line.endswith("; and 2 more")
    assert len(line) < 260
    lines = str(found).splitlines()
    assert [each.partition(": ")[0] for each in lines] == [
        "litert-cpu", "not a", "not b", "not c", "not d",
    ]  # fmt: skip
    assert all("at all (buy one)" in each for each in lines[1:])


@pytest.mark.parametrize("name", ["litert-cpu", "litert-gpu", "onnx-cpu", "c"])
def test_windows_has_none_whose_engine_is_a_process(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    found = find_backend(name).available()
    assert not found.ok
    assert "on Windows use WSL" in found.why


def test_a_cpu_that_is_faster_says_that_a_gpu_would_serve() -> None:
    found = select_backend("auto", float_net(), candidates=[Slow(), LiteRtCpu()])
    assert found.why.startswith("the CPU, because no GPU is faster here")


def test_one_lsb_is_allowed_and_two_are_not() -> None:
    class OneOff(Wrong):
        name, error = "one", 1.0

    found = select_backend("auto", linear_int8(), candidates=[OneOff(), Wrong()])
    assert found.chosen.name == "one"
    assert found.passed_over[0][0] == "wrong"


def test_outputs_that_are_no_numbers_are_wrong_and_their_json_is_json() -> None:
    class NoNumber(Wrong):
        name, error = "none", math.nan

    model = read_run_model(float_net())
    inputs = generated(float_net(), 1)
    found = bench(model, [NoNumber()], inputs, "one", runs=1)
    assert not found.good
    document = json.loads(json.dumps(bench_json(found), allow_nan=False))
    (row,) = document["backends"]
    assert row["difference"]["largest"] is None
    assert "wrong" in row["doubt"]


def test_the_trial_runs_on_samples_that_are_given() -> None:
    graph = linear_int8()
    given = np.arange(8, dtype=np.float32).reshape(2, 4)
    found = select_backend("auto", graph, samples=given, candidates=[LiteRtCpu()])
    assert found.trials[0].difference.inputs == 2
    with pytest.raises(InputDataError):
        select_backend("auto", graph, samples=np.zeros((4, 3)), candidates=[LiteRtCpu()])


def test_nothing_that_serves_is_an_error_with_every_reason() -> None:
    with pytest.raises(BackendError, match="no backend of this machine serves") as caught:
        select_backend("auto", float_net(), candidates=[Wrong(), Absent()])
    assert "no such chip" in str(caught.value)
    assert "allowed" in str(caught.value)


def test_no_board_is_among_what_auto_tries() -> None:
    assert not [b.name for b in host_backends() if b.name.startswith(("virtual", "board"))]
    assert not GeneratedC.automatic


def test_a_named_one_is_taken_or_refused() -> None:
    assert select_backend("litert-cpu", float_net()).chosen.name == "litert-cpu"
    with pytest.raises(BackendUnavailableError, match="no such chip; buy one"):
        select_backend(Absent(), float_net())
    with pytest.raises(BackendRefusedError, match=r"onnx|C is generated|no C") as caught:
        select_backend("c", float_net())
    assert "float32" in str(caught.value)


def test_a_model_without_operators_is_refused_by_litert() -> None:
    empty = dataclasses.replace(float_net(), operators=())
    model = RunModel("empty", "tflite", b"", dataclasses.replace(empty, outputs=empty.inputs))
    with pytest.raises(BackendRefusedError, match="no operators"):
        select_backend("litert-cpu", model)


@pytest.mark.parametrize("name", ["gpu", "", "c:", "litert-gpu:1", "metal"])
def test_an_unknown_name_lists_the_known_ones(name: str) -> None:
    with pytest.raises(UsageError, match=r"litert-gpu, .*board:BOARD@PORT"):
        find_backend(name)


def test_boards_are_named_with_or_without_the_board_at_hand() -> None:
    assert find_backend("virtual:stm32f746").name == "virtual:stm32f746"
    assert find_backend("board", board="stm32f746").name == "board:stm32f746"
    assert find_backend("board:stm32f746@/dev/ttyX").name == "board:stm32f746@/dev/ttyX"
    with pytest.raises(UsageError, match="which board"):
        find_backend("virtual")
    with pytest.raises(UsageError, match="has no port"):
        find_backend("virtual:stm32f746@/dev/ttyX")
