"""`optimize`, whole: a model into a budget, shared, interrupted, refused; and its Python API."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aot_models import classifier as int8_classifier
from cli_tools import Program, command
from search_models import classifier, samples

import edge_autoglm
from edge_autoglm.errors import UsageError
from edge_autoglm.search.api import Optimized, samples_of
from edge_boards import virtual
from edge_quantize.data import Samples
from edge_quantize.errors import InputDataError
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ptq.recipe_file import read_recipe
from edge_quantize.run import outputs

BOARD = ("--board", "stm32f746")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path)
    (tmp_path / "small.tflite").write_bytes(write_tflite(classifier()))
    (tmp_path / "int8.tflite").write_bytes(write_tflite(int8_classifier()))
    found = samples()
    np.savez(tmp_path / "data.npz", images=found.inputs[0], labels=found.labels)
    np.savez(tmp_path / "unlabelled.npz", images=found.inputs[0])
    yield made
    assert not list(tmp_path.rglob(".new-*"))


def optimize(model: str = "small.tflite", *more: object) -> list[object]:
    return ["optimize", model, *BOARD, "--data", "data.npz", "-o", "out", *more]


def result(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "optimize.json").read_text())
    return document


def test_the_result_fits_when_it_is_built(program: Program) -> None:
    budget = ("--max-flash", "20k", "--max-ram", "10k", "--max-latency", "5ms")
    answer = program.done(*optimize("small.tflite", "--trials", 6, *budget))
    assert "<- best" in answer.stderr
    assert max(map(len, answer.stdout.splitlines())) <= 80
    folder = program.folder / "out"
    found = result(folder)
    chosen = next(p for p in found["points"] if p["point"] == found["chosen"])
    measured = chosen["measured"]
    assert measured["flash"] <= 20 * 1024
    assert measured["static_ram"] + measured["stack"] <= 10 * 1024
    assert measured["latency_ms"]["value"] <= 5
    assert measured["outputs_match_reference"]
    assert measured["stack"] <= chosen["modelled"]["stack_estimate"]
    assert found["evaluated"] == 6
    assert {"small.tflite", "numbers.json", "recipe.toml", "c"} == {
        p.name for p in (folder / "chosen").iterdir()
    }
    assert not any(p.is_symlink() for p in folder.rglob("*"))
    read_recipe(folder / "chosen" / "recipe.toml").check(classifier())
    assert (folder / "report.html").read_text().startswith("<!DOCTYPE html>")
    built = program.done("build", "out/chosen/c", "--json", "sizes.json")
    assert "flash" in built.stdout
    assert json.loads((program.folder / "sizes.json").read_text())["flash"] == measured["flash"]


def test_a_search_goes_on_after_ctrl_c_and_ends_as_it_would_have(program: Program) -> None:
    whole = optimize("small.tflite", "--trials", 8)
    process = subprocess.Popen(
        command(*whole), cwd=program.folder, env=program.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    said = []
    assert process.stderr is not None
    for line in process.stderr:
        said.append(line)
        if "  3/8" in line:
            process.send_signal(signal.SIGINT)
            break
    rest = process.communicate(timeout=300)[1]
    assert process.returncode == 130, "".join(said) + rest
    assert "the same command goes on from here" in rest
    assert "Traceback" not in rest
    assert {p.name for p in (program.folder / "out").iterdir()} <= {
        "study.journal", "study.journal.lock",
    }  # fmt: skip
    again = program.done(*whole)
    assert "points already" in again.stderr
    other = [*whole[:-4], "-o", "other", "--trials", 8]
    program.done(*[each if each != "out" else "other" for each in whole])
    del other
    one, two = (result(program.folder / name) for name in ("out", "other"))
    assert one["chosen"] == two["chosen"] or [
        p["choice"] for p in one["points"] if p["point"] == one["chosen"]
    ] == [p["choice"] for p in two["points"] if p["point"] == two["chosen"]]
    choices = [
        sorted(json.dumps(p["choice"]) for p in document["points"]) for document in (one, two)
    ]
    assert choices[0] == choices[1]


@pytest.mark.parametrize("storage", ["sqlite:///study.db", "journal:shared.journal"])
def test_two_processes_work_on_one_study(program: Program, storage: str) -> None:
    processes = [
        subprocess.Popen(
            command(*optimize("small.tflite", "--trials", 8, "--storage", storage, "-o", name)),
            cwd=program.folder, env=program.environment(), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        for name in ("one", "two")
    ]  # fmt: skip
    said = [process.communicate(timeout=600)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    one, two = (result(program.folder / name) for name in ("one", "two"))
    shares = [text.count("/8  ") for text in said]
    assert min(shares) >= 1, "both took part"
    assert 8 <= max(one["evaluated"], two["evaluated"]) <= 9
    for document in (one, two):
        assert document["chosen"] in {p["point"] for p in document["points"]}


def test_a_study_of_another_model_or_data_is_refused_in_one_line(program: Program) -> None:
    program.done(*optimize("small.tflite", "--trials", 1))
    before = (program.folder / "out" / "optimize.json").read_bytes()
    (program.folder / "other.tflite").write_bytes(write_tflite(classifier(seed=5)))
    for arguments, words in (
        (optimize("other.tflite"), "another model"),
        (optimize("small.tflite", "--max-ram", "60k"), "another budget"),
        (optimize("small.tflite", "--seed", 3), "another"),
    ):
        answer = program.run(*arguments)
        assert answer.returncode == 1
        assert words in answer.stderr
        assert answer.stderr.count("edge-autoglm:") == 1
        assert "Traceback" not in answer.stderr
    assert (program.folder / "out" / "optimize.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--level", "4"], 2, "no level 4"),
        (["--max-ram", "lots"], 2, "--max-ram"),
        (["--max-latency", "20"], 2, "needs a unit"),
        (["--trials", "0"], 2, "--trials"),
        (["--held-back", "1"], 2, "--held-back"),
        (["--seed", "-1"], 2, "--seed"),
        (["--board", "stm32f999"], 2, "stm32f999"),
        (["--storage", "study.db"], 2, "is no URL"),
        (["--data", "nothing.npz"], 1, "nothing.npz"),
        (["--max-ram", "4k"], 1, "is the least that could do"),
        (["--max-flash", "9k"], 1, "flash"),
        (["--max-latency", "1us"], 1, "slowest: layer"),
        (["--level", "1"], 2, "floating point"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    program: Program, arguments: list[str], code: int, words: str
) -> None:
    answer = program.run(*optimize("small.tflite", *arguments))
    assert answer.returncode == code, answer.stderr
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr
    assert not (program.folder / "out").exists()


def test_quantizing_needs_data_and_a_float_model(program: Program) -> None:
    answer = program.run("optimize", "small.tflite", *BOARD, "-o", "out")
    assert (answer.returncode, "--data" in answer.stderr) == (2, True)
    answer = program.run(*optimize("int8.tflite"))
    assert (answer.returncode, "quantized already" in answer.stderr) == (2, True)
    assert not (program.folder / "out").exists()


def test_a_folder_of_something_else_is_left_alone(program: Program) -> None:
    (program.folder / "out").mkdir()
    (program.folder / "out" / "thesis.tex").write_text("42")
    answer = program.run(*optimize())
    assert answer.returncode == 1
    assert "thesis.tex" in answer.stderr
    assert [p.name for p in (program.folder / "out").iterdir()] == ["thesis.tex"]


def test_a_budget_that_no_point_fits_names_what_breaks_it(program: Program) -> None:
    """No latency is too short by the memory plan alone, but none keeps the accuracy as well."""
    budget = ("--max-latency", "0.2ms", "--max-drop", "0%")
    answer = program.run(*optimize("small.tflite", "--trials", 3, *budget))
    assert answer.returncode == 1
    assert "fits the budget" in answer.stderr
    assert "the nearest" in answer.stderr
    assert not (program.folder / "out" / "chosen").exists()


def test_a_study_is_not_overwritten_by_a_lower_level(program: Program) -> None:
    program.done(*optimize("small.tflite", "--trials", 1))
    before = (program.folder / "out" / "optimize.json").read_bytes()
    for left in ("result and study", "study"):
        answer = program.run(*optimize("small.tflite", "--level", 2))
        assert answer.returncode == 1, left
        assert "out: holds a level-3 study" in answer.stderr
        assert "choose another -o" in answer.stderr
        if left == "result and study":
            assert (program.folder / "out" / "optimize.json").read_bytes() == before
            (program.folder / "out" / "optimize.json").unlink()


def test_the_start_says_how_many_samples_are_used(program: Program) -> None:
    answer = program.run(*optimize("small.tflite", "--trials", 1, "--max-drop", "100%"))
    assert "fits to 56, judges by 24, of 80 samples" in answer.stderr


def test_level_1_takes_a_quantized_model_and_no_data(program: Program) -> None:
    answer = program.done("optimize", "int8.tflite", *BOARD, "--level", 1, "-o", "out")
    assert "measured" in answer.stdout
    assert (program.folder / "out" / "chosen" / "c" / "export.json").is_file()


def test_level_2_judges_by_answers_where_there_are_no_labels(program: Program) -> None:
    arguments = optimize("small.tflite", "--level", 2, "--data", "unlabelled.npz")
    program.done(*arguments)
    (point,) = result(program.folder / "out")["points"]
    assert point["worth"]["measure"] == "answers"
    found = result(program.folder / "out")
    assert found["layers"][-1]["op"] == "SOFTMAX"
    assert any(" 20 dB" in note or "first layer that hurts" in note for note in found["notes"])
    assert "SQNR layer by layer" in (program.folder / "out" / "report.html").read_text()
    assert point["measured"]["outputs_match_reference"]


@pytest.mark.parametrize("level", [2, 3])
def test_a_drop_of_accuracy_needs_labels(program: Program, level: int) -> None:
    arguments = optimize("small.tflite", "--level", level, "--data", "unlabelled.npz")
    answer = program.run(*arguments, "--max-drop", "1%")
    assert answer.returncode == 2
    assert "has no labels, and accuracy is asked for" in answer.stderr
    assert len(answer.stderr.splitlines()) == 1
    assert not (program.folder / "out").exists()


def test_a_seed_below_zero_is_refused_in_python_too() -> None:
    with pytest.raises(UsageError, match="--seed: -1 is below 0"):
        edge_autoglm.optimize(classifier(), level=2, data=samples(), seed=-1)


@pytest.fixture(scope="module")
def optimized(tmp_path_factory: pytest.TempPathFactory) -> Optimized:
    return edge_autoglm.optimize(
        classifier(), target_device="stm32f746", level=2, data=samples(),
        output=tmp_path_factory.mktemp("api") / "out",
    )  # fmt: skip


def test_an_optimized_model_says_what_it_is_in_a_line(optimized: Optimized) -> None:
    text = repr(optimized)
    assert re.fullmatch(r"<Optimized small on stm32f746, [\d,]+ B flash, .* ms, in .*out>", text)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (np.zeros((9, 3)), "the model takes [6, 6, 2]"),
        (np.ones((9, 6, 6, 2)), "same"),
        ({"picture": samples().inputs[0], "other": np.zeros(3)}, "'picture', 'other'"),
        (lambda: 1 / 0, "division by zero"),
        (lambda: None, "gives nothing"),
        (5, "gives int"),
        ([1, 2, 3], "the model takes [6, 6, 2]"),
        ([[1, 2], [3]], "data"),
        (Samples((np.zeros((9, 3)),)), "the model takes [6, 6, 2]"),
        ((samples().inputs[0], [0, 1]), "differ in number"),
    ],
)
def test_data_of_a_program_is_checked_as_a_files(data: Any, words: str) -> None:
    with pytest.raises(InputDataError) as caught:
        samples_of(data, classifier())
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_data_of_a_program_has_many_forms() -> None:
    found = samples(12)
    assert found.labels is not None
    image, labels = found.inputs[0], found.labels
    for data in (
        found, (image, labels), [image, labels], (image, labels.tolist()),
        [*zip(image, labels, strict=True)],
        {"image": image, "labels": labels}, lambda: (image, labels),
        zip(image, labels, strict=True),
    ):  # fmt: skip
        taken = samples_of(data, classifier())
        assert np.array_equal(taken.inputs[0], image)
        assert taken.labels is not None
        assert taken.labels.tolist() == labels.tolist()
    for data in (image, [*image], image.tolist(), {"image": image}, iter(image)):
        taken = samples_of(data, classifier())
        assert np.array_equal(taken.inputs[0], image)
        assert taken.labels is None


def test_compiled_c_on_the_host_answers_as_the_model(optimized: Optimized) -> None:
    found = samples(12, seed=9)
    (expected,) = outputs(optimized.graph, found)
    with optimized.compile() as compiled:
        answers = [compiled.infer(image) for image in found.inputs[0]]
    assert np.array_equal(np.concatenate(answers), expected)


def test_a_virtual_board_answers_and_profiles(
    optimized: Optimized, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path / "state"))
    found = samples(2, seed=9)
    (expected,) = outputs(optimized.graph, found)
    try:
        with optimized.compile("virtual") as compiled:
            answers = [compiled.infer(image) for image in found.inputs[0]]
            profile = compiled.profile()
            again = compiled.infer(found.inputs[0][0])
    finally:
        virtual.stop("stm32f746")
    assert np.array_equal(np.concatenate(answers), expected)
    assert np.array_equal(again, expected[:1])
    assert profile.latency_ms is not None
    modelled = optimized.chosen.costs.latency
    assert modelled is not None
    assert profile.latency_ms.value == pytest.approx(modelled.ms, rel=0.15)


def test_infer_takes_integers_and_refuses_other_shapes(optimized: Optimized) -> None:
    with optimized.compile() as compiled:
        shape = compiled.graph.tensors[compiled.graph.inputs[0]].shape
        assert compiled.infer(np.zeros(shape, np.int8)).shape == (1, 4)
        with pytest.raises(ValueError, match="input 0 must be"):
            compiled.infer(np.zeros((2, 2)))
        for bad in (np.nan, np.inf, -np.inf):
            with pytest.raises(InputDataError, match="input 0 holds NaN or infinity"):
                compiled.infer(np.full(shape, bad))
        with pytest.raises(ValueError, match="inputs: 2 given, 1 needed"):
            compiled.infer(np.zeros(shape), np.zeros(shape))


def test_fusing_off_changes_no_answer(tmp_path: Path) -> None:
    found = samples(4, seed=3)
    answers = []
    for fuse in (True, False):
        made = edge_autoglm.optimize(
            classifier(), level=2, data=samples(), fuse_ops=fuse, output=tmp_path / str(fuse)
        )
        with made.compile() as compiled:
            answers.append(np.concatenate([compiled.infer(image) for image in found.inputs[0]]))
    assert np.array_equal(*answers)


def test_importing_the_package_stays_cheap() -> None:
    begun = time.process_time()
    subprocess.run(
        command("--version"), capture_output=True, check=True, env=Program(Path()).environment()
    )
    assert time.process_time() - begun < 5
    assert "optimize" in dir(edge_autoglm)
