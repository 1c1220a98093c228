"""`export --target` as a user types it, on the MLPerf Tiny models: what is right becomes a package,
what is wrong does not, and says what works."""

from __future__ import annotations

import json
import re
import shlex
import signal
from collections.abc import Callable
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from cli_tools import Program
from gpu_drivers import any_driver
from mobile_models import float_ops, strided

from edge_export.mobile.verdict_file import SCHEMA_PATH
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite

Find = Callable[[str], Path]
SCHEMA = json.loads(SCHEMA_PATH.read_text(encoding="utf-8"))
MOST_RELATIVE, MOST_LSB = 1e-3, 1


@pytest.fixture(scope="module", autouse=True)
def _driver() -> None:
    any_driver()


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def verdict_in(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "verdict.json").read_text(encoding="utf-8"))
    jsonschema.validate(found, SCHEMA)
    return found


@pytest.mark.parametrize("target", ["android-gpu", "ios-metal"])
@pytest.mark.parametrize("name", ["ad_float", "ic_float", "vww_float", "kws_float"])
def test_a_float_model_becomes_a_package_with_float16_weights(
    name: str, target: str, program: Program, mlperf_tiny: Find
) -> None:
    done = program.done("export", mlperf_tiny(f"{name}.tflite"), "--target", target, "-o", "out")
    said = verdict_in(program.folder / "out")
    assert said["state"] == "right"
    assert said["model"]["variant"] == "float16"  # type: ignore[index]
    assert all(each["relative"] <= MOST_RELATIVE for each in said["outputs"])  # type: ignore[union-attr, attr-defined]
    assert said["operators"]["total"] == said["operators"]["on_gpu"]  # type: ignore[index]
    (model,) = (program.folder / "out").rglob("*.tflite")
    given = read_tflite(mlperf_tiny(f"{name}.tflite"))
    kept = read_tflite(model)
    for one, other in ((given.inputs, kept.inputs), (given.outputs, kept.outputs)):
        assert [given.tensors[i].name for i in one] == [kept.tensors[i].name for i in other]
    assert f"{name} for {target}, float16" in done.stdout
    assert "right" in done.stdout
    unchecked = "the Metal delegate is other code, unchecked"
    assert (unchecked in " ".join(done.stdout.split())) == (target == "ios-metal")
    assert max(map(len, done.stdout.splitlines())) <= 80


@pytest.mark.parametrize("name", ["ad", "kws", "vww"])
def test_an_int8_model_stays_as_it_is(name: str, program: Program, mlperf_tiny: Find) -> None:
    program.done("export", mlperf_tiny(name), "--target", "android-gpu", "-o", "out")
    said = verdict_in(program.folder / "out")
    assert (said["state"], said["model"]["variant"]) == ("right", "int8")  # type: ignore[index]
    assert all(each["max_abs"] <= MOST_LSB for each in said["outputs"])  # type: ignore[union-attr, attr-defined]


def test_the_int8_model_that_the_gpu_gets_wrong_is_refused_and_the_offered_one_is_right(
    program: Program, mlperf_tiny: Find
) -> None:
    options = ["--target", "android-gpu", "-o", "out", "--json", "said.json"]
    done = program.run("export", mlperf_tiny("ic"), *options)
    assert done.returncode == 1
    assert "WRONG" in done.stdout
    assert "First wrong layer: 6 CONV_2D 'conv2d_5'" in done.stdout
    assert "Shape mismatch" in done.stdout
    assert not (program.folder / "out").exists()
    said = json.loads((program.folder / "said.json").read_text(encoding="utf-8"))
    jsonschema.validate(said, SCHEMA)
    assert (said["state"], said["works"], said["directory"]) == ("wrong", "float16", None)
    line = next(text for text in done.stdout.splitlines() if "edge-autoglm export" in text)
    offered = shlex.split(line)[1:]
    assert offered[offered.index("--precision") :][:2] == ["--precision", "float16"]
    program.done(*offered)
    assert verdict_in(program.folder / "out")["state"] == "right"


def test_a_users_recordings_are_what_is_compared(program: Program, mlperf_tiny: Find) -> None:
    word = np.load(mlperf_tiny("kws_samples.npy")).reshape(1, 49, 10, 1).astype(np.float32)
    noise = np.random.default_rng(0).standard_normal((12, 49, 10, 1)).astype(np.float32)
    np.save(program.folder / "words.npy", word + noise)
    options = ["--target", "android-gpu", "--data", "words.npy", "--samples", "8", "-o", "out"]
    program.done("export", mlperf_tiny("kws_float.tflite"), *options)
    said = verdict_in(program.folder / "out")
    assert said["samples"] == {"count": 8, "source": "words.npy"}
    assert said["state"] == "right"


def test_of_one_recording_the_layers_are_compared(program: Program, mlperf_tiny: Find) -> None:
    """Whether an output varies cannot be seen on one."""
    data = mlperf_tiny("kws_samples.npy")
    options = ["--target", "android-gpu", "--data", data, "-o", "out"]
    program.done("export", mlperf_tiny("kws_float.tflite"), *options)
    said = verdict_in(program.folder / "out")
    assert (said["state"], said["samples"]["count"]) == ("right", 1)  # type: ignore[index]
    assert any("layers were compared one by one" in note for note in said["notes"])  # type: ignore[attr-defined]


class TestTraps:
    @pytest.fixture
    def wrong(self, program: Program) -> str:
        (program.folder / "strided.tflite").write_bytes(write_tflite(strided()))
        return "strided.tflite"

    def test_force_is_loud(self, wrong: str, program: Program) -> None:
        done = program.done("export", wrong, "--target", "ios-metal", "--force")
        assert "WRONG" in done.stdout
        assert re.search(r"warning: forced: .* WRONG", " ".join(done.stderr.split()))
        folder = program.folder / "strided_ios-metal"
        assert verdict_in(folder)["state"] == "wrong"
        assert "wrong" in (folder / "README.md").read_text(encoding="utf-8").lower()

    def test_unchecked_is_written_into_the_package(self, wrong: str, program: Program) -> None:
        done = program.run(
            "export", wrong, "--target", "android-gpu", "--skip-check",
            env={"EDGE_AUTOGLM_GPU": "none"},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert "UNCHECKED" in done.stdout
        assert "UNCHECKED" in done.stderr
        folder = program.folder / "strided_android-gpu"
        assert verdict_in(folder)["state"] == "unchecked"

    def test_every_operator_that_the_gpu_lacks_is_listed(self, program: Program) -> None:
        content = write_tflite(float_ops("lacking", "EXP", "LOG_SOFTMAX", "ZEROS_LIKE"))
        (program.folder / "lacking.tflite").write_bytes(content)
        done = program.run("export", "lacking.tflite", "--target", "android-gpu")
        assert done.returncode == 1
        assert "REFUSED" in done.stdout
        for op in ("LOG_SOFTMAX", "ZEROS_LIKE"):
            assert re.search(rf"^  {op} '.*': the GPU has no {op}$", done.stdout, re.MULTILINE)
        assert [path.name for path in program.folder.iterdir()] == ["lacking.tflite"]

    def test_ctrl_c_leaves_nothing(self, wrong: str, program: Program) -> None:
        process = program.start("export", wrong, "--target", "android-gpu", "--force")
        assert process.stderr is not None
        said = next(line for line in process.stderr if "comparing" in line)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 130, said + err
        assert [path.name for path in program.folder.iterdir()] == [wrong]
