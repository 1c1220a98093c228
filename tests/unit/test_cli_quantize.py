"""`edge-autoglm quantize`: what it leaves, what it says, and every wrong input."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from aot_models import classifier
from cli_tools import Answer, Program, call, command, environment
from ptq_models import FloatBuilder, cnn, samples

from edge_quantize.check import check_supported
from edge_quantize.graph.analysis import analyse
from edge_quantize.graph.model import DType
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    graph = cnn()
    Path("cnn.tflite").write_bytes(write_tflite(graph))
    np.save("data.npy", samples(graph, 40).inputs[0])
    yield
    assert not list(tmp_path.glob(".*"))


def left() -> set[str]:
    return {path.name for path in Path().iterdir()}


Ask = Callable[..., Answer]


@pytest.fixture
def ask(capsys: pytest.CaptureFixture[str]) -> Ask:
    return lambda *arguments: call(capsys, "quantize", *arguments)


@pytest.fixture
def refused(ask: Ask) -> Callable[..., str]:
    """Asks for what is wrong; the one line that says why."""

    def refuse(*arguments: object, code: int = 1) -> str:
        before = left()
        answer = ask(*arguments)
        assert answer.code == code, answer
        assert left() == before
        lines = [x for x in answer.err.splitlines() if x.startswith("edge-autoglm: ")]
        assert len(lines) == 1
        return answer.err

    return refuse


def test_the_file_is_written_and_what_was_lost_is_shown(ask: Ask) -> None:
    answer = ask("cnn.tflite", "--data", "data.npy", "--json", "r.json")
    assert answer.code == 0
    made = read_tflite(Path("cnn_int8.tflite"))
    assert not check_supported(made)
    assert "What each layer became" in answer.out
    assert "samples held back" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80
    report = json.loads(Path("r.json").read_text())
    assert [row["precision"] for row in report["precisions"]] == ["int8"] * 8
    assert report["after"]["figures"]["sqnr_db"]["value"] > 20
    assert report["after"]["figures"]["sqnr_db"]["confidence"] == 0.95
    assert "no layer is under 20 dB" in " ".join(answer.out.split())
    assert report["file"] == "cnn_int8.tflite"


@pytest.mark.parametrize("precision", ["int8", "int16x8", "int4", "float16", "dynamic"])
def test_each_precision(precision: str, ask: Ask) -> None:
    answer = ask("cnn.tflite", "--data", "data.npy", "--precision", precision, "-o", "m.tflite")
    assert answer.code == 0
    assert Path("m.tflite").stat().st_size < Path("cnn.tflite").stat().st_size + 4096


@pytest.mark.parametrize("precision", ["float16", "dynamic"])
def test_some_precisions_need_no_data(precision: str, ask: Ask) -> None:
    answer = ask("cnn.tflite", "--precision", precision)
    assert answer.code == 0
    assert "Nothing was measured" in answer.out
    assert Path(f"cnn_{precision}.tflite").exists()


def test_a_recipe_says_it_layer_by_layer_and_ends_stay_float(ask: Ask) -> None:
    Path("r.toml").write_text('[[rule]]\nop = "FULLY_CONNECTED"\nprecision = "int16x8"\n')
    answer = ask("cnn.tflite", "--data", "data.npy", "--recipe", "r.toml", "--float-io")
    assert answer.code == 0
    made = read_tflite(Path("cnn_int8.tflite"))
    assert made.tensors[made.inputs[0]].dtype is DType.FLOAT32
    dense = next(o for o in made.operators if o.op == "FULLY_CONNECTED")
    assert made.results(dense)[0].dtype is DType.INT16


def test_the_seed_alone_decides_what_is_held_back(ask: Ask) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        answer = ask("cnn.tflite", "--data", "data.npy", "--seed", seed, "-o", f"{name}.tflite")
        assert answer.code == 0
    one, two, other = (Path(f"{n}.tflite").read_bytes() for n in "abc")
    assert one == two != other


def test_integers_need_data(refused: Callable[..., str]) -> None:
    assert "int8 needs samples" in refused("cnn.tflite")


def test_a_quantized_model_is_named(refused: Callable[..., str]) -> None:
    Path("int8.tflite").write_bytes(write_tflite(classifier()))
    line = refused("int8.tflite", "--data", "data.npy")
    assert "quantized already (int8)" in line
    assert line.count("\n") == 1
    assert re.search(r"and \d+ more; start from the float model", line)


def test_dynamic_shapes_and_custom_operators(refused: Callable[..., str]) -> None:
    graph = cnn()
    image = replace(graph.tensors[0], shape_signature=(1, -1, 8, 1))
    Path("open.tflite").write_bytes(
        write_tflite(replace(graph, tensors=(image, *graph.tensors[1:])))
    )
    assert "dynamic shape [1, -1, 8, 1]" in refused("open.tflite", "--data", "data.npy")


def test_an_operator_without_an_integer_form(refused: Callable[..., str]) -> None:
    b = FloatBuilder("exotic")
    graph = b.build([b.add("EXP", (b.source((1, 4)),), shape=(1, 4), name="grown")])
    Path("exotic.tflite").write_bytes(write_tflite(graph))
    np.save("four.npy", np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32))
    assert "'grown' (EXP) has no integer form" in refused("exotic.tflite", "--data", "four.npy")


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.zeros((12, 8, 8, 1), np.float32), "constant"),
        (np.full((12, 8, 8, 1), np.nan, np.float32), "NaN"),
        (np.ones((12, 9, 9, 1), np.float32), "shape"),
        (np.zeros((0, 8, 8, 1), np.float32), ""),
    ],
)
def test_data_that_does_not_fit(
    values: np.ndarray, reason: str, refused: Callable[..., str]
) -> None:
    np.save("bad.npy", values)
    line = refused("cnn.tflite", "--data", "bad.npy")
    assert "bad.npy" in line
    assert reason in line or "all" in line


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[[rule]]\nlayer = "nobody"\nprecision = "int8"\n', "no layer matches layer = 'nobody'"),
        ("[default]\nprecision = 8\n", "precision = 8: must be one of"),
        ("precision = \n[default]\n", "line 1"),
    ],
)
def test_a_wrong_recipe(text: str, reason: str, refused: Callable[..., str]) -> None:
    Path("r.toml").write_text(text)
    assert reason in refused("cnn.tflite", "--data", "data.npy", "--recipe", "r.toml")


def test_wrong_usage(refused: Callable[..., str]) -> None:
    Path("r.toml").write_text("")
    both = ("--precision", "int8", "--recipe", "r.toml")
    assert "one of the two" in refused("cnn.tflite", "--data", "data.npy", *both, code=2)
    line = refused("cnn.tflite", "--data", "data.npy", "--precision", "int7", code=2)
    assert "no 'int7'" in line
    line = refused("cnn.tflite", "--data", "data.npy", "-o", "cnn.tflite", code=2)
    assert "is the MODEL itself" in line


def test_places_that_cannot_be_written(refused: Callable[..., str]) -> None:
    assert "there is no folder" in refused(
        "cnn.tflite", "--data", "data.npy", "-o", "nowhere/m.tflite"
    )


def test_a_full_disk_leaves_nothing() -> None:
    """A limit on file sizes stands in for it."""
    script = (
        f"ulimit -f 4; exec {' '.join(command('quantize', 'cnn.tflite', '--data', 'data.npy'))}"
    )
    answer = subprocess.run(
        ["bash", "-c", script], env=environment(), capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert "cnn_int8.tflite" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert left() == {"cnn.tflite", "data.npy"}


def test_control_c_leaves_nothing(tmp_path: Path) -> None:
    graph = cnn(side=8)
    np.save("many.npy", samples(graph, 4000).inputs[0])
    program = Program(tmp_path)
    process = subprocess.Popen(
        command("quantize", "cnn.tflite", "--data", "many.npy", "--samples", 4000),
        env=program.environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "fitting" in line or "ranges" in line:
            break
    time.sleep(0.2)
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert not Path("cnn_int8.tflite").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--samples 1", "--samples: 1; at least 2"),
        ("--scale 0..2", "no '0..2'"),
        ("-o bad.h5", "name a .tflite"),
    ],
)
def test_wrong_options_are_wrong_usage(
    arguments: str, words: str, refused: Callable[..., str]
) -> None:
    assert words in refused("cnn.tflite", "--data", "data.npy", *arguments.split(), code=2)


def test_data_of_another_kind_is_told_what_there_is(refused: Callable[..., str]) -> None:
    Path("data.csv").write_text("1,2\n")
    line = refused("cnn.tflite", "--data", "data.csv")
    for kind in (".npz", ".bin", "folder", "MODULE:FUNCTION"):
        assert kind in line


def test_samples_that_are_left_out_are_counted(ask: Ask) -> None:
    np.save("many.npy", samples(cnn(), 200).inputs[0])
    said = " ".join(ask("cnn.tflite", "--data", "many.npy").err.split())
    assert "using 160 of 200 samples evenly; --samples 200 takes all" in said
    assert "using" not in ask("cnn.tflite", "--data", "many.npy", "--samples", 200).err


def test_float16_weights_count_for_the_layer_that_reads_them(ask: Ask) -> None:
    """Stored as float16 behind DEQUANTIZE, whose results are no activations of the model."""
    assert ask("cnn.tflite", "--precision", "float16", "--json", "r.json").code == 0
    figures = json.loads(Path("r.json").read_text())
    before, after = (figures[stage]["figures"] for stage in ("before", "after"))
    assert after["activation_bytes"] == before["activation_bytes"]
    made = analyse(read_tflite(Path("cnn_float16.tflite")))
    layers = {o.op: o.parameter_bytes for o in made.operators}
    assert layers["DEQUANTIZE"] == 0
    assert layers["FULLY_CONNECTED"] > 0
    assert sum(o.parameter_bytes for o in made.operators) == made.parameter_bytes
