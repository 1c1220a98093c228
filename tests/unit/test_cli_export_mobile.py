"""`export --target`: wrong usage and bad input, one clear line each; nothing is left."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cli_tools import call
from mobile_models import float_net, float_ops

from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.conversion import Comparison, Conversion

TARGET = ["--target", "android-gpu"]
UNCHECKED = [*TARGET, "--skip-check"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGE_AUTOGLM_GPU", "none")
    (tmp_path / "net.tflite").write_bytes(write_tflite(float_net()))
    yield
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], ("--board", "--target", "android-gpu")),
        (["--target", "windows-phone"], ("windows-phone", "ios-metal")),
        ([*TARGET, "--board", "stm32f746"], ("--board and --target",)),
        ([*TARGET, "--runtime", "aot"], ("--runtime", "--board")),
        ([*TARGET, "--arena", "9", "--no-fuse"], ("--arena, --no-fuse", "--board")),
        (["--board", "stm32f746", "--force"], ("--force", "--target")),
        (["--board", "stm32f746", "--data", "x.npy"], ("--data", "--target")),
        (["--board", "stm32f746", "--precision", "int8"], ("--precision", "--target")),
        ([*TARGET, "--precision", "int4"], ("int4", "float16, float32, int8")),
        ([*UNCHECKED, "--force"], ("--skip-check and --force",)),
        ([*UNCHECKED, "--data", "x.npy"], ("--data", "--skip-check")),
        ([*UNCHECKED, "--samples", "3"], ("--samples", "--skip-check")),
        ([*TARGET, "--scale", "0..1"], ("--scale", "--data")),
        ([*TARGET, "--shape", "x"], ("NAME=1,224,224,3",)),
        ([*TARGET, "--shape", "x=1,zero"], ("NAME=1,224,224,3",)),
        ([*TARGET, "--shape", "x=1,0"], ("NAME=1,224,224,3",)),
    ],
)
def test_wrong_usage(
    options: list[str], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "export", "net.tflite", *options).refused(*words, code=2)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.tflite", None, "no such file"),
        ("empty.tflite", b"", "the file is empty"),
        ("page.tflite", b"<!DOCTYPE html>", "saved web page"),
        ("junk.tflite", bytes(range(256)), "not a .tflite file"),
        ("bad.tflite", b"\x1c\0\0\0TFL3" + b"\xff" * 200, "bad.tflite"),
        ("model.bin", b"12345678", "not a model that is known"),
    ],
)
def test_what_is_no_model(
    name: str,
    content: bytes | None,
    words: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    call(capsys, "export", name, *TARGET).refused(name, words)


def test_without_a_driver_the_way_out_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "export", "net.tflite", *TARGET).refused("unset EDGE_AUTOGLM_GPU")
    assert not Path("net_android-gpu").exists()


def test_int8_needs_data(capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "export", "net.tflite", *TARGET, "--precision", "int8").refused("--data")


def test_data_that_does_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    np.save("small.npy", np.zeros((4, 2, 2, 3), np.float32))
    call(capsys, "export", "net.tflite", *TARGET, "--data", "small.npy").refused("[8, 8, 3]")


def test_labels_that_do_not_fit(capsys: pytest.CaptureFixture[str]) -> None:
    Path("labels.txt").write_text("one\ntwo\n", encoding="utf-8")
    line = call(capsys, "export", "net.tflite", *UNCHECKED, "--labels", "labels.txt")
    line.refused("2 names", "4 elements")


def test_somebody_elses_folder(capsys: pytest.CaptureFixture[str]) -> None:
    Path("theirs").mkdir()
    Path("theirs/thesis.txt").write_text("x", encoding="utf-8")
    call(capsys, "export", "net.tflite", *UNCHECKED, "-o", "theirs").refused("theirs", "-o")
    assert [path.name for path in Path("theirs").iterdir()] == ["thesis.txt"]


def test_open_shapes_have_to_be_given(capsys: pytest.CaptureFixture[str]) -> None:
    graph = float_ops("open", "EXP")
    tensors = tuple(replace(t, shape=(1, 1), shape_signature=(-1, -1)) for t in graph.tensors)
    Path("open.tflite").write_bytes(write_tflite(replace(graph, tensors=tensors)))
    call(capsys, "export", "open.tflite", *UNCHECKED).refused("'x'", "--shape x=1,224")
    call(capsys, "export", "open.tflite", *UNCHECKED, "--shape", "y=1,2").refused("no such input")
    far = call(capsys, "export", "open.tflite", *UNCHECKED, "--shape", f"x=1,{1 << 40}")
    far.refused("cannot compute with inputs of", str(1 << 40))
    answer = call(capsys, "export", "open.tflite", *UNCHECKED, "--shape", "x=1,16")
    assert answer.code == 0, answer.err
    said = json.loads(Path("open_android-gpu/verdict.json").read_text(encoding="utf-8"))
    assert said["model"]["inputs"][0]["shape"] == [1, 16]


def test_json_goes_to_stdout_and_the_rest_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(capsys, "export", "net.tflite", *UNCHECKED, "--json", "-")
    assert answer.code == 0
    said = json.loads(answer.out)
    assert said["state"] == "unchecked"
    assert said["directory"] == "net_android-gpu"
    assert "delegates.json" in said["files"]
    assert said["delegates"]["operators"]
    assert "UNCHECKED" in answer.err


def test_unchecked_what_the_rules_refuse_is_said_on_both_consoles(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("soft.tflite").write_bytes(write_tflite(float_ops("soft", "EXP", "LOG_SOFTMAX")))
    answer = call(capsys, "export", "soft.tflite", *UNCHECKED)
    assert answer.code == 0, answer.err
    out, err = " ".join(answer.out.split()), " ".join(answer.err.split())
    assert "by its rules the GPU does not take LOG_SOFTMAX (1 of 2 operators" in out
    assert "1 of 2 operators on the GPU by the rules" in out
    assert "UNCHECKED, and by the rules 1 of its 2 operators would be the CPU's" in err
    assert "'log_softmax_1'" in err


def test_what_a_conversion_changed_is_said(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The framework is not here; what its conversion gives is."""
    note = "input 'x' [1, 3, 8, 8] is now [1, 8, 8, 3]: channels last"
    made = Conversion(float_net(), "ONNX file", "onnx", (note,), Comparison("onnx", 4, 0.0))
    monkeypatch.setattr("edge_quantize.ingest.ways.convert_model", lambda *_, **__: made)
    Path("net.onnx").write_bytes(b"onnx")
    answer = call(capsys, "export", "net.onnx", *UNCHECKED)
    assert answer.code == 0, answer.err
    assert note in " ".join(answer.out.split())
    said = json.loads(Path("net_android-gpu/verdict.json").read_text(encoding="utf-8"))
    assert said["notes"][0] == note


def test_long_names_stay_within_the_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    graph = float_ops("long", "EXP", "LOG_SOFTMAX")
    tensors = tuple(
        replace(t, name="/".join([f"scope{t.index}"] * 40)) if t.index else t for t in graph.tensors
    )
    Path("long.tflite").write_bytes(write_tflite(replace(graph, tensors=tensors)))
    answer = call(capsys, "export", "long.tflite", *UNCHECKED)
    assert answer.code == 0, answer.err
    assert max(len(line.rstrip()) for line in (answer.out + answer.err).splitlines()) <= 80
    assert "LOG_SOFTMAX" in answer.out
