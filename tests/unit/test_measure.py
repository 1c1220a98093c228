"""Figures with their kinds, remembered builds, and a watched board's samples."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from aot_models import classifier
from hypothesis import given
from hypothesis import strategies as st

from edge_autoglm.device.messages import LogLine, ModelInfo, Record
from edge_autoglm.device.wiredefs import Counted
from edge_autoglm.errors import BoardSilentError
from edge_autoglm.measure.builds import Build, KeptFile, recall, remember
from edge_autoglm.measure.figures import Figure, Kind, median
from edge_autoglm.measure.monitor import Monitor
from edge_autoglm.measure.profile import (
    LayerProfile,
    Memory,
    Profile,
    StepProfile,
    Verdict,
    energy,
)
from edge_autoglm.measure.run import _candidate as candidate_of
from edge_autoglm.report.profile import profile_json, profile_lines, profile_table
from edge_boards.board import Power
from edge_boards.loader import load_board
from edge_boards.toolchain import Image
from edge_boards.toolchain.sizes import SizeReport
from edge_quantize.graph.writer import write_tflite

BUILD_ID = bytes(range(8))
ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "edge_autoglm/report/profile.schema.json").read_text(encoding="utf-8"))


# Figures


@given(st.lists(st.integers(0, 2**63), min_size=1))
def test_the_median_is_one_of_the_counts_between_the_extremes(values: list[int]) -> None:
    figure = median(values, Kind.EXACT)
    assert figure.value in values
    below = sum(value < figure.value for value in values)
    above = sum(value > figure.value for value in values)
    assert max(below, above) <= len(values) / 2
    assert figure.spread == max(values) - min(values)


def test_one_run_has_no_spread_to_show() -> None:
    assert median([7], Kind.MEASURED) == Figure(7, Kind.MEASURED)


def test_scaling_scales_the_extremes_and_may_weaken_the_kind() -> None:
    scaled = Figure(4, Kind.MEASURED, 2, 6).scaled(0.5, Kind.DATASHEET)
    assert scaled == Figure(2, Kind.DATASHEET, 1, 3)


def test_energy_is_of_the_datasheets_kind_and_absent_without_a_source() -> None:
    board = load_board("stm32f746")
    latency = Figure(10.0, Kind.MEASURED)
    assert energy(replace(board, power=()), latency) is None
    power = Power(mode="run", ma=100.0, v=3.3, kind="datasheet", source="a table")
    found = energy(replace(board, power=(power,)), latency)
    assert found is not None
    assert found.kind is Kind.DATASHEET
    # 330 mW for 10 ms.
    assert found.value == pytest.approx(3.3)


def test_a_verdict_says_how_far_it_is_from_which_reference() -> None:
    exact = Verdict("tflite_micro", True, 0, 1)
    near = Verdict("LiteRT", False, 1, 20, tolerance=2)
    far = replace(near, max_abs_diff=3)
    assert str(exact) == "bit-exact to tflite_micro on 1 input"
    assert str(near) == "within 1 LSB of LiteRT on 20 inputs"
    assert [exact.good, near.good, far.good] == [True, True, False]


# Builds


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Image:
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path / "state"))
    paths = {name: tmp_path / f"profile.{name}" for name in ("elf", "bin", "map")}
    for path in paths.values():
        path.write_bytes(path.name.encode())
    sizes = SizeReport((), code=10, weights=20, arena=30, stack=40, rings=50, static_ram=60)
    return Image(paths["elf"], paths["bin"], paths["map"], BUILD_ID, sizes, "gcc 1.2")


def test_a_build_is_remembered_with_its_files_and_model(image: Image, tmp_path: Path) -> None:
    plan, model = tmp_path / "plan.json", tmp_path / "m.tflite"
    plan.write_bytes(b"{}")
    made = remember(image, model, plan)
    assert recall(BUILD_ID.hex()) == made
    assert (made.code, made.weights, made.static_ram, made.model) == (10, 20, 60, str(model))
    assert {kept.name: kept.content() for kept in made.files} == {
        "memory.map": b"profile.map",
        "plan.json": b"{}",
    }


def test_a_file_that_is_another_builds_by_now_is_not_handed_out(image: Image) -> None:
    (kept,) = remember(image, None).files
    image.map.write_bytes(b"newer")
    assert kept.content() is None
    image.map.unlink()
    assert kept.content() is None


def test_the_model_is_kept_when_the_same_build_comes_from_a_folder(
    image: Image, tmp_path: Path
) -> None:
    remember(image, tmp_path / "m.tflite")
    assert remember(image, None).model == str(tmp_path / "m.tflite")


@pytest.mark.parametrize("text", ["", "3", '"x"', "[]", "{}", '{"schema": 1}', '{"schema": 7}'])
def test_a_damaged_memory_is_no_memory(text: str, image: Image, tmp_path: Path) -> None:
    remember(image, None)
    (file,) = (tmp_path / "state" / "builds").iterdir()
    file.write_text(text, encoding="utf-8")
    assert recall(BUILD_ID.hex()) is None
    assert isinstance(remember(image, None), Build)


def test_a_state_folder_that_cannot_be_written_costs_only_the_memory(
    image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path / "file"))
    made = remember(image, None)
    assert made.build_id == BUILD_ID.hex()
    assert recall(made.build_id) is None
    assert all(isinstance(kept, KeptFile) for kept in made.files)


# Watching


class Counting:
    """The counting side of a virtual board, noting what it is asked."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    @contextmanager
    def counting(self) -> Iterator[None]:
        self.calls.append("on")
        try:
            yield
        finally:
            self.calls.append("off")

    def drop(self) -> None:
        self.calls.append("drop")


class Board:
    """A session with a board of one model, as far as a watch needs it."""

    class info:  # noqa: N801 - an attribute of a session
        clock_hz = 100_000_000
        counter = Counted.CYCLES

    def __init__(
        self, events: list[Any], *, outputs: int = 3, labels: tuple[str, ...] = ()
    ) -> None:
        self.events, self.calls = events, []  # type: tuple[list[Any], list[Any]]
        tensor = type("T", (), {"dtype": "int8", "scale": 0.5, "zero_point": -2})
        self._description = type("D", (), {"labels": labels, "outputs": (tensor,)})
        self.model = type("M", (), {"outputs": (outputs,)})

    def describe(self, _model: object) -> Any:
        return self._description

    def start(self, _model: object, **options: object) -> None:
        self.calls.append(("start", options))

    def stop(self, _model: object) -> None:
        self.calls.append("stop")

    def records(self) -> Iterator[Any]:
        yield from self.events

    def watch(self, counter: Counting | None = None) -> Monitor:
        return Monitor(self, load_board("stm32f746"), self.model, counter)  # type: ignore[arg-type]


def record(sequence: int, result: bytes = b"\x01\x05\xff") -> Record:
    return Record(0, sequence, 250_000, None, result, 400, 100_000_000, 3300, 25.0)


def test_lost_records_are_counted_where_they_are_missing() -> None:
    watch = Board([record(n) for n in (4, 5, 8, 9, 12)]).watch()
    assert [sample.lost for sample in watch.samples()] == [0, 0, 2, 0, 2]  # type: ignore[union-attr]


def test_the_result_is_the_largest_output_with_its_label_and_real_value() -> None:
    (sample,) = Board([record(0)], labels=("a", "b", "c")).watch().samples()
    assert not isinstance(sample, LogLine)
    assert (sample.result, sample.label, sample.score) == (1, "b", 3.5)
    assert sample.seconds == 1.0
    assert sample.latency_ms == Figure(2.5, Kind.MEASURED)


@pytest.mark.parametrize(
    ("counter", "told"),
    [(Counted.MICROSECONDS, {"latency_ms", "seconds"}), (Counted.INSTRUCTIONS, {"instructions"})],
)
def test_a_sample_has_only_the_figures_that_the_boards_counter_tells(
    counter: Counted, told: set[str]
) -> None:
    board = Board([record(0)])
    board.info = type("I", (), {"clock_hz": 1_000_000, "counter": counter})  # type: ignore[misc]
    (sample,) = board.watch().samples()
    assert not isinstance(sample, LogLine)
    line = sample.json()
    figures = ("seconds", "cycles", "instructions", "latency_ms")
    assert {name for name in figures if line[name] is not None} == told


def test_outputs_that_are_no_scores_have_no_result() -> None:
    for board in (Board([record(0)], outputs=1), Board([record(0)], outputs=300)):
        (sample,) = board.watch().samples()
        assert not isinstance(sample, LogLine)
        assert sample.result is None


def test_a_virtual_boards_figures_are_modelled_and_the_line_is_json() -> None:
    counting = Counting()
    watch = Board([record(3)]).watch(counting)
    with watch.running():
        (sample,) = watch.samples()
    assert counting.calls == ["on", "drop", "off"]
    assert not isinstance(sample, LogLine)
    line = json.loads(json.dumps(sample.json()))
    assert line["cycles"] == {"value": 250_000, "kind": "modelled"}
    assert line["sequence"] == 3


def test_the_boards_words_come_between_its_samples() -> None:
    said = LogLine("hot", None)
    assert list(Board([said]).watch().samples()) == [said]


def test_the_board_is_stopped_however_the_watch_ends() -> None:
    board = Board([])
    with pytest.raises(KeyboardInterrupt), board.watch().running(20.0):
        raise KeyboardInterrupt
    assert board.calls == [("start", {"seed": 2, "period_cycles": 2_000_000}), "stop"]


def test_a_board_that_is_gone_is_not_asked_to_stop() -> None:
    board = Board([])
    with pytest.raises(BoardSilentError), board.watch().running():
        raise BoardSilentError("gone")
    assert board.calls == [("start", {"seed": 2, "period_cycles": None})]


# What stands under a profile's table


def profiled(**changes: Any) -> Profile:
    values: dict[str, Any] = {
        "board": "stm32f746", "virtual": True, "model": "m", "model_sha256": "", "build_id": "",
        "toolchain": None, "clock_hz": 216_000_000, "counter": Counted.CYCLES,
        "warmup": 1, "runs": 1, "layers": (), "macs": 0,
        "cycles": Figure(9, Kind.MODELLED), "instructions": Figure(5, Kind.EXACT),
        "latency_ms": Figure(1.0, Kind.MODELLED), "energy_mj": None, "memory": Memory(1, 2, 3),
        "verdict": Verdict("tflite_micro", True, 0, 1),
        **changes,
    }  # fmt: skip
    return Profile(**values)


def test_only_one_run_on_a_virtual_board_is_said_to_repeat_itself() -> None:
    several = {"runs": 3, "latency_ms": Figure(1.0, Kind.MODELLED, 0.5, 1.5)}
    once, often, by_input, real = (
        profile_lines(profiled(**changes))[0]
        for changes in (
            {},
            {**several, "instructions": Figure(5, Kind.EXACT, 5, 5)},
            {**several, "instructions": Figure(5, Kind.EXACT, 4, 6)},
            {**several, "virtual": False, "instructions": None},
        )
    )
    assert once == "1 run after 1 warm-up (a virtual board repeats itself exactly)"
    assert "repeats itself" not in often + by_input + real
    assert "0.500 to 1.500 ms; instruction counts repeat exactly; the spread" in often
    assert "instruction counts go with the inputs, 4 to 6; the spread is of modelled" in by_input
    assert real == "median of 3 runs after 1 warm-up, 0.500 to 1.500 ms"


def test_a_table_has_only_the_figures_that_the_board_tells() -> None:
    ms, instructions = Figure(0.042, Kind.MEASURED), Figure(5000, Kind.MEASURED)
    layer = LayerProfile(0, "conv", "CONV_2D", ("eag_conv",), 10, None, None, ms, 1.0)
    timed = profiled(
        virtual=False, counter=Counted.MICROSECONDS, clock_hz=1_000_000, macs=10, cycles=None,
        instructions=None, latency_ms=ms, layers=(layer,),
    )  # fmt: skip
    counted = replace(
        timed, counter=Counted.INSTRUCTIONS, instructions=instructions, latency_ms=None,
        layers=(replace(layer, instructions=instructions, latency_ms=None),),
    )  # fmt: skip
    head = ["#", "layer", "kernel", "MACs"]
    assert [str(c.header) for c in profile_table(timed).columns] == [*head, "ms", "%"]
    assert [str(c.header) for c in profile_table(counted).columns] == [*head, "instr.", "%"]
    assert str(profile_table(timed).title) == "m on stm32f746\nms measured"
    assert list(profile_table(timed).columns[4].cells) == ["0.042", "0.042"]
    assert "the board counts microseconds, no cycles" in profile_lines(timed)[0]
    for profile in (timed, counted):
        text = profile_json(replace(profile, model_sha256="0" * 64, build_id="0" * 16))
        jsonschema.validate(text, SCHEMA)


def test_a_layer_of_several_steps_shows_each_below_it() -> None:
    counted = Figure(90, Kind.EXACT), Figure(10, Kind.EXACT)
    steps = (
        StepProfile("eag_conv", 10, None, counted[0], None, 0.9),
        StepProfile("eag_clamp_s8", 0, None, counted[1], None, 0.1),
    )
    whole, kernels = Figure(100, Kind.EXACT), ("eag_conv", "eag_clamp_s8")
    layer = LayerProfile(0, "conv", "CONV_2D", kernels, 10, None, whole, None, 1.0, steps)
    profile = profiled(
        counter=Counted.INSTRUCTIONS, macs=10, cycles=None, instructions=whole, latency_ms=None,
        layers=(layer, replace(layer, index=1, kernels=kernels[:1], steps=steps[:1])),
    )  # fmt: skip
    columns = [list(column.cells) for column in profile_table(profile).columns]
    assert columns[1][:4] == ["conv", "", "", "conv"]
    assert columns[2][:4] == ["2 steps:", "- conv", "- clamp_s8", "conv"]
    assert columns[4][:4] == ["100", "90", "10", "100"]
    said = profile_json(replace(profile, model_sha256="0" * 64, build_id="0" * 16))
    jsonschema.validate(said, SCHEMA)
    assert [step["kernel"] for step in said["layers"][0]["steps"]] == list(kernels)


def test_outputs_that_were_not_compared_are_no_secret() -> None:
    lines = profile_lines(profiled(verdict=None, not_compared="the image was not built here"))
    (line,) = [line for line in lines if line.startswith("outputs: ")]
    assert "not compared, the image was not built here; `edge-autoglm verify MODEL" in line
    assert not any("not compared" in line for line in profile_lines(profiled()))


def test_why_outputs_cannot_be_compared(image: Image, tmp_path: Path) -> None:
    file = tmp_path / "m.tflite"
    file.write_bytes(write_tflite(classifier()))
    info = ModelInfo(0, "m", hashlib.sha256(file.read_bytes()).digest(), (), (), 0, (), 0)
    assert not isinstance(candidate_of(remember(image, file), info), str)
    assert candidate_of(None, info) == "the image was not built here"
    other = replace(info, sha256=bytes(32))
    assert candidate_of(remember(image, file), other) == "m.tflite is not what the board carries"
    build = remember(image, file)
    assert "exported folder" in str(candidate_of(replace(build, model=None), info))
    file.unlink()
    assert candidate_of(build, info) == "m.tflite cannot be read any more"
