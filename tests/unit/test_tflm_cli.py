"""The commands for TFLM as a user meets them: what an export says, and wrong usage in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cli_tools import call

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits_int8.tflite"
BOARD = ("--board", "stm32f746")


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, no virtual board, and no TFLM in the environment."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path / ".state"))
    monkeypatch.delenv("EDGE_AUTOGLM_TFLM", raising=False)
    return tmp_path


@pytest.fixture
def folder(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Path:
    assert call(capsys, "export", DIGITS, *BOARD, "--runtime", "tflm", "-o", "out").code == 0
    return tmp_path / "out"


def test_an_export_states_the_arena_and_says_what_a_build_will_need(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answer = call(capsys, "export", DIGITS, *BOARD, "--runtime", "tflm", "--json", "a.json")
    assert answer.code == 0, answer.err
    said = json.loads((tmp_path / "a.json").read_text())
    assert f"Arena: {said['arena_bytes']:,} B in dtcm, with CMSIS-NN" in answer.out
    assert "(modelled after TFLM" in answer.out
    assert f"{said['arena_bytes_reference']:,} B with TFLM's reference" in " ".join(
        answer.out.split()
    )
    assert "make -f tensorflow/lite/micro/tools/make/Makefile" in answer.err
    assert "FPU=fpv5-sp-d16 OPTIMIZED_KERNEL_DIR=cmsis_nn microlite" in answer.err
    assert "EDGE_AUTOGLM_TFLM=DIR" in answer.err
    assert max(map(len, answer.out.splitlines())) <= 80
    # Beside an export of the other runtime, not in its place.
    assert (tmp_path / "digits_int8_stm32f746_tflm" / "export.json").is_file()


def test_its_json_carries_arena_and_ops(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    said = json.loads(
        call(capsys, "export", DIGITS, *BOARD, "--runtime", "tflm", "--json", "-").out
    )
    assert said["runtime"] == "tflm"
    assert said["arena_bytes"] % 16 == 0
    assert said["arena_bytes"] <= said["arena_plain_bytes"]
    assert said["arena_set_aside"] == said["arena_bytes"]
    assert 0 < said["arena_bytes_reference"] < said["arena_bytes"]
    assert said["ops"] == sorted(said["ops"])
    assert "CONV_2D" in said["ops"]
    assert "AddConv2D(tflite::Register_CONV_2D_INT8())" in said["resolver"]
    assert (tmp_path / said["folder"]).is_dir()


def test_the_json_of_compiled_code_keeps_what_it_has(capsys: pytest.CaptureFixture[str]) -> None:
    said = json.loads(call(capsys, "export", DIGITS, *BOARD, "--json", "-").out)
    assert set(said) == {
        "schema", "folder", "name", "model", "board", "kernels", "sources", "arena",
        "arena_bytes", "liveness_bound", "weight_bytes",
    }  # fmt: skip


def test_too_small_an_arena_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(capsys, "export", DIGITS, *BOARD, "--runtime", "tflm", "--arena", 1000)
    assert answer.code == 0
    assert "sets aside only 1,000 B: the firmware will say so, not run" in answer.out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--runtime", "other"), ("--runtime: no 'other'", "aot, tflm")),
        (("--kernels", "fast", "--runtime", "tflm"), ("no 'fast'", "cmsis-nn, reference")),
        (("--runtime", "tflm", "--plan", "p.json"), ("--plan: only with --runtime aot",)),
        (("--runtime", "tflm", "--no-fuse"), ("--no-fuse: only with --runtime aot",)),
        (("--arena", "4096"), ("--arena: only with --runtime tflm",)),
        (("--kernels", "reference", "--arena", "9"), ("--kernels, --arena: only with",)),
        (("--tflm", "."), ("--tflm: only with --runtime tflm",)),
    ],
)
def test_options_that_would_go_unheard_are_wrong_usage(
    capsys: pytest.CaptureFixture[str],
    options: tuple[str, ...],
    words: tuple[str, ...],
    tmp_path: Path,
) -> None:
    call(capsys, "export", DIGITS, *BOARD, *options).refused(*words, code=2)
    assert not list(tmp_path.iterdir())


def test_cmsis_nn_beside_another_core_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ("--board", "esp32-c3", "--runtime", "tflm", "--kernels", "cmsis-nn")
    answer = call(capsys, "export", DIGITS, *options, "--arena", 20_000)
    answer.refused("for Cortex-M alone", "--kernels reference", code=2)
    assert not list(tmp_path.iterdir())


def test_a_tree_that_does_not_serve_is_said_before_anything_is_written(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    export = ("export", DIGITS, *BOARD, "--runtime", "tflm", "--tflm")
    call(capsys, *export, "NOSUCH").refused("NOSUCH: no such folder")
    call(capsys, *export, ".").refused("no TFLM there")
    assert not list(tmp_path.iterdir())


def test_labels_are_as_many_as_the_output_has_elements(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    export = ("export", DIGITS, *BOARD, "--runtime", "tflm", "--labels")
    (tmp_path / "three.txt").write_text("a\nb\nc\n")
    call(capsys, *export, "three.txt").refused("three.txt: 3 names", "has 10 elements")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\n" * 10)
    call(capsys, *export, "bytes.txt").refused("bytes.txt: no UTF-8 text")
    call(capsys, *export, "none.txt").refused("none.txt: No such file")
    (tmp_path / "ten.txt").write_text("\n".join(f"digit {i}" for i in range(10)))
    assert call(capsys, *export, "ten.txt", "-o", "out").code == 0
    assert '"digit 7",' in (tmp_path / "out" / "src" / "model_tensors.h").read_text()


def test_a_model_that_tflm_must_not_be_given_is_refused_by_name(
    capsys: pytest.CaptureFixture[str], mlperf_tiny: object, tmp_path: Path
) -> None:
    answer = call(
        capsys, "export", mlperf_tiny("kws_float.tflite"), *BOARD, "--runtime", "tflm"  # type: ignore[operator]
    )  # fmt: skip
    assert answer.code == 1
    line, *listed = answer.err.splitlines()
    assert line == "edge-autoglm: kws_float: not for TFLM: 5 reasons"
    assert len(listed) == 5
    assert listed[0].startswith("  - operator 0 CONV_2D")
    assert "TFLM has no hybrid kernels" in answer.err
    assert not list(tmp_path.iterdir())


def test_a_build_without_a_tree_says_what_it_needs(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    for command in (("build", folder), ("flash", folder, *BOARD, "--port", "virtual")):
        answer = call(capsys, *command)
        assert answer.code == 1
        last = answer.err.strip().splitlines()[-1]
        assert last.startswith("edge-autoglm: a build for --runtime tflm needs a checkout of")
        assert "OPTIMIZED_KERNEL_DIR=cmsis_nn microlite" in last
    assert not (folder / "build").exists()


def test_a_wrong_tree_is_one_line(
    capsys: pytest.CaptureFixture[str], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given, words in (("none", "no such folder"), (".", "no TFLM there")):
        answer = call(capsys, "build", folder, "--tflm", given)
        assert answer.code == 1
        assert words in answer.err.strip().splitlines()[-1]
    monkeypatch.setenv("EDGE_AUTOGLM_TFLM", "elsewhere")
    answer = call(capsys, "build", folder)
    assert "elsewhere: no such folder" in answer.err


def test_a_tree_for_compiled_code_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert call(capsys, "export", DIGITS, *BOARD, "-o", "aot").code == 0
    answer = call(capsys, "build", tmp_path / "aot", "--tflm", ".")
    assert answer.code == 2
    assert "needs no TFLM" in answer.err


def test_a_folder_is_not_exported_a_second_time(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    answer = call(capsys, "flash", folder, *BOARD, "--port", "virtual", "--runtime", "tflm")
    assert answer.code == 2
    assert "--runtime goes with a model" in answer.err


def test_a_changed_folder_is_not_built(capsys: pytest.CaptureFixture[str], folder: Path) -> None:
    header = folder / "src" / "model_tensors.h"
    header.write_text(header.read_text().replace("ARENA_BYTES", "ARENA_BYTE"))
    call(capsys, "build", folder).refused("model_tensors.h: changed since it was exported")


def test_platformio_is_pointed_at_the_folder_itself(
    capsys: pytest.CaptureFixture[str], folder: Path
) -> None:
    answer = call(capsys, "build", folder, "--with", "platformio")
    assert answer.code == 2
    assert "is a PlatformIO project itself: run `pio run` there" in answer.err


def test_runtimes_are_compared_as_far_as_can_be_without_tree_and_board(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    answer = call(capsys, "compare-runtimes", DIGITS, *BOARD, "--json", "c.json")
    assert answer.code == 0, answer.err
    said = json.loads((tmp_path / "c.json").read_text())
    tflm = said["runtimes"]["tflm"]
    assert tflm["figures"]["arena"]["kind"] == "modelled"
    assert tflm["figures"]["model"]["value"] == DIGITS.stat().st_size
    assert tflm["figures"]["flash"] is None
    assert tflm["missing"].startswith("a build for --runtime tflm needs a checkout of")
    assert said["runtimes"]["aot"]["figures"]["flash"]["kind"] == "exact"
    assert said["runtimes"]["aot"]["figures"]["instructions"] is None
    assert said["outputs_equal"] is None
    assert "TFLM: the rest is missing: a build" in answer.out
    assert "nothing ran: name a board with --port virtual" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80
    assert [p.name for p in tmp_path.iterdir()] == ["c.json"]


def test_a_wrong_tree_is_said_before_anything_is_compared(
    capsys: pytest.CaptureFixture[str],
) -> None:
    answer = call(capsys, "compare-runtimes", DIGITS, *BOARD, "--tflm", "none")
    assert answer.code == 1
    assert "none: no such folder" in answer.err


def test_verify_of_what_only_tflm_runs_needs_a_board(
    capsys: pytest.CaptureFixture[str], mlperf_tiny: object
) -> None:
    model = mlperf_tiny("ad_float.tflite")  # type: ignore[operator]
    call(capsys, "verify", model, *BOARD).refused("only TFLM runs it", "--port", code=2)
