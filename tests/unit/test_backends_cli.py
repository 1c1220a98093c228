"""`backends` and `bench` as a user meets them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from backend_models import float_net, linear_int8
from cli_tools import call

from edge_autoglm.backends.table import HOST
from edge_quantize.graph.writer import write_tflite


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "linear.tflite"
    path.write_bytes(write_tflite(linear_int8()))
    return path


def test_backends_lists_every_one_with_what_mends_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_AUTOGLM_GPU", "none")
    answer = call(capsys, "backends", "--board", "stm32f746", "--json", "-")
    assert answer.code == 0
    found = {each["name"]: each for each in json.loads(answer.out)["backends"]}
    assert list(found) == [*HOST, "virtual:stm32f746", "board:stm32f746"]
    assert found["litert-cpu"]["available"]
    assert not found["litert-gpu"]["available"]
    assert "no GPU is to be used" in found["litert-gpu"]["why"]
    assert not found["board:stm32f746"]["auto"]
    for each in found.values():
        assert each["why"]
        assert not each["available"] or each["mend"] is None
    assert all(len(line) <= 80 or line.startswith("        ->") for line in answer.err.splitlines())


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (["nowhere.tflite"], ["nowhere.tflite: no such file"], 1),
        (["MODEL", "--backends", "gpu"], ["no backend 'gpu'", "litert-gpu", "board:BOARD"], 2),
        (["MODEL", "--backends", " , "], ["names none"], 2),
        (["MODEL", "--backends", "c,auto"], ["auto stands alone"], 2),
        (["MODEL", "--backends", "virtual"], ["which board?", "--board"], 2),
        (["MODEL", "--backends", "virtual:nope"], ["no board 'nope'"], 1),
        (["MODEL", "--backends", "auto", "--board", "stm32f746"], ["--board: nothing in"], 2),
        (["MODEL", "--backends", "virtual:a", "--board", "b"], ["--board: nothing in"], 2),
        (["MODEL", "--boards", "."], ["--boards: only where a board is named"], 2),
        (["MODEL", "--scale", "0..1"], ["--scale: only with --data"], 2),
        (["MODEL", "--data", "nowhere.npy"], ["nowhere.npy"], 1),
        (["MODEL", "--json", "nowhere/x.json"], ["nowhere"], 1),
    ],
)
def test_a_wrong_command_is_one_line(
    arguments: list[str], words: list[str], code: int, model: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    given = [str(model) if each == "MODEL" else each for each in arguments]
    call(capsys, "bench", *given).refused(*words, code=code)


def test_another_file_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "net.h5"
    path.write_bytes(b"\x89HDF")
    call(capsys, "bench", path).refused("net.h5", ".tflite and .onnx", "convert", code=1)


def test_a_damaged_file_is_named(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = model.with_name("short.tflite")
    path.write_bytes(model.read_bytes()[:300])
    call(capsys, "bench", path).refused("short.tflite: ", code=1)


def test_data_that_does_not_fit_is_one_line(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "d.npy", np.zeros((3, 9), np.float32))
    call(capsys, "bench", model, "--data", tmp_path / "d.npy").refused("d.npy", "[9]")


def test_one_table_has_figures_kinds_and_reasons(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = call(capsys, "bench", model, "--backends", "litert-cpu,c,onnx-cpu", "-n", "20")
    assert answer.code == 1  # onnx-cpu was named and cannot
    assert "not run: onnx-cpu" in answer.err
    assert all(len(line) <= 80 for line in answer.out.splitlines())
    assert answer.out.count("measured") == 2
    assert "0 LSB" in answer.out
    assert "onnx-cpu: takes .onnx files only" in answer.out
    notes = " ".join(answer.out.split())
    assert "times include writing the input and reading the output back" in notes
    assert "the process which ran it took, Python included" in notes
    assert "a board's" not in notes


def test_the_json_has_what_the_table_says(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(capsys, "bench", model, "--backends", "litert-cpu,c", "-n", "20", "--json", "-")
    assert answer.code == 0, answer
    found = json.loads(answer.out)
    cpu, c = found["backends"]
    for row in (cpu, c):
        assert row["runs"] == 20
        for key in ("load", "first", "median", "p95", "memory"):
            assert row[key]["kind"] == "measured"
            assert row[key]["value"] > 0
        assert row["median"]["value"] <= row["p95"]["value"]
    assert any("reading the output back" in note for note in found["notes"])
    assert any(note.startswith("memory: ") for note in found["notes"])
    assert cpu["difference"] is None
    assert c["difference"] == {
        "largest": 0, "relative": False, "tolerance": 0, "rounding": False, "inputs": 5,
    }  # fmt: skip
    assert found["good"]


def test_a_named_backend_that_cannot_run_fails_beside_all(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_AUTOGLM_GPU", "none")
    answer = call(capsys, "bench", model, "--backends", "all", "-n", "5")
    assert answer.code == 0, answer
    answer = call(capsys, "bench", model, "--backends", "all,board:stm32f746,", "-n", "5")
    assert answer.code == 1
    assert "not run: board:stm32f746; see above" in answer.err


def test_few_runs_have_no_95th_percentile(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(capsys, "bench", model, "--backends", "litert-cpu", "-n", "7", "--json", "-")
    (row,) = json.loads(answer.out)["backends"]
    assert row["runs"] == 7
    assert row["p95"] is None


def test_auto_says_what_it_took_and_what_it_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_AUTOGLM_GPU", "none")
    path = tmp_path / "net.tflite"
    path.write_bytes(write_tflite(float_net()))
    answer = call(capsys, "bench", path, "--backends", "auto", "-n", "5")
    assert answer.code == 0, answer
    assert answer.out.startswith("litert-cpu: the CPU, because no GPU serves")
    for name in ("litert-gpu", "onnx-cuda", "onnx-rocm", "c"):
        assert f"not {name}: " in answer.out
    assert "WARNING" not in answer.err
