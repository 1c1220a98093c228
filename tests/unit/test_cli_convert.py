"""`edge-autoglm convert`, as far as it needs no framework."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from aot_models import classifier
from cli_tools import call, command, environment, of
from float_models import dense, half_precision

from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGE_AUTOGLM_CACHE", str(tmp_path / ".cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(write_tflite(half_precision()))
    return path


def test_it_says_what_it_did_within_80_columns(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answer = call(capsys, "convert", model, "-o", "out.tflite")
    assert answer.code == 0, answer.err
    assert max(map(len, answer.out.splitlines())) <= 80
    text = " ".join(answer.out.split())
    assert "tiny: .tflite file, read with LiteRT" in text
    assert "1 float16 constants: widened to float32, without loss" in text
    assert "1 operators: FULLY_CONNECTED 1" in text
    assert "on 4 random inputs: largest difference 0 of the output's largest value" in text
    assert len(read_tflite(Path("out.tflite")).operators) == 1


def test_json_has_what_is_printed(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(capsys, "convert", model, "-o", "out.tflite", "--json", "-")
    said = json.loads(answer.out)
    assert said["kind"] == ".tflite file"
    assert said["operators"] == {"FULLY_CONNECTED": 1}
    assert said["inputs"] == [{"name": "x", "dtype": "float32", "shape": [1, 3]}]
    assert said["bytes"] == Path("out.tflite").stat().st_size
    assert said["comparison"]["max_relative"] == 0
    assert "tiny: .tflite file" in answer.err


def test_the_result_is_named_after_the_model(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "below"
    other.mkdir()
    model.rename(other / model.name)
    assert call(capsys, "convert", other / model.name).code == 0
    assert Path("tiny.tflite").is_file()


def test_only_the_suffix_of_a_name_is_cut(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    model.rename(tmp_path / "in" / "net_0.25_96.tflite")
    assert call(capsys, "convert", "in/net_0.25_96.tflite").code == 0
    assert Path("net_0.25_96.tflite").is_file()


def test_the_same_model_gives_the_same_bytes(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.tflite", "b.tflite"):
        assert call(capsys, "convert", model, "-o", name).code == 0
    assert Path("a.tflite").read_bytes() == Path("b.tflite").read_bytes()


def refused(
    capsys: pytest.CaptureFixture[str], *arguments: object, words: str, code: int = 1
) -> None:
    """One line of error beside the remarks of progress, and nothing written."""
    before = {path.name for path in Path.cwd().iterdir()}
    answer = call(capsys, "convert", *arguments)
    lines = [line for line in answer.err.splitlines() if not line.endswith(" ...")]
    assert answer.code == code, answer
    assert len(lines) == 1, answer.err
    assert words in lines[0]
    assert {path.name for path in Path.cwd().iterdir()} - before <= {".cache", "__pycache__"}


def test_a_quantized_model_is_refused_with_its_first_layer(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("int8.tflite").write_bytes(write_tflite(classifier()))
    refused(capsys, "int8.tflite", "-o", "x.tflite", words="already quantized: 8 of 8 operators")


@pytest.mark.parametrize(
    ("arguments", "words", "code"),
    [
        (("nothing.h5",), "no such file", 1),
        (("tiny.tflite",), "is the MODEL itself", 2),
        (("tiny.tflite", "-o", "no/where.tflite"), "there is no folder no", 1),
        (("tiny.tflite", "-o", "x.tflite", "--log", "no/where.txt"), "there is no folder no", 1),
        (("tiny.tflite", "-o", "/dev/full"), "No space left", 1),
        (("nets:f", "-o", "x.tflite"), "no module 'nets'", 1),
        ((), "which MODEL?", 2),
        (("--prepare", "keras"), "no 'keras'; one of onnx", 2),
        (("tiny.tflite", "--prepare", "onnx"), "takes no MODEL", 2),
    ],
)
def test_wrong_usage_and_bad_places_are_one_line(
    arguments: tuple[str, ...],
    words: str,
    code: int,
    model: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    del model
    refused(capsys, *arguments, words=words, code=code)


def test_a_missing_extra_is_one_line_and_nothing_of_python(tmp_path: Path) -> None:
    """In a process of its own where TensorFlow cannot be found."""
    (tmp_path / "m.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    code = (
        "import sys; sys.modules['tensorflow'] = None; from edge_autoglm.entry import main; "
        "sys.argv[1:] = ['convert', 'm.h5']; sys.exit(main())"
    )
    answer = of(
        subprocess.run(
            [sys.executable, "-c", code], env=environment(), capture_output=True, text=True,
            check=False,
        )
    )  # fmt: skip
    lines = answer.err.splitlines()
    assert answer.code == 1
    assert lines[-1] == (
        "edge-autoglm: m.h5: a Keras HDF5 file needs tensorflow: pip install 'edge-autoglm[keras]'"
    )
    assert all(line.endswith(" ...") for line in lines[:-1])


def test_ctrl_c_while_a_users_function_runs_is_130_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(
        "import os, signal, time\n\n"
        "def build():\n    os.kill(os.getpid(), signal.SIGINT)\n    time.sleep(60)\n"
    )
    done = subprocess.run(
        command("convert", "slow:build", "-o", "x.tflite"), env=environment(), capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "edge-autoglm: interrupted"
    assert not Path("x.tflite").exists()


def test_what_was_converted_stays_as_it_is_when_converted_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a", "b", "c"):
        Path(name).mkdir()
    Path("a/m.tflite").write_bytes(write_tflite(dense()))
    assert call(capsys, "convert", "a/m.tflite", "-o", "b/m.tflite").code == 0
    assert call(capsys, "convert", "b/m.tflite", "-o", "c/m.tflite").code == 0
    assert Path("b/m.tflite").read_bytes() == Path("c/m.tflite").read_bytes()
