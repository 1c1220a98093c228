"""The documents' commands are true: those that need no hardware run, the others parse."""

from __future__ import annotations

import re
import shlex
import textwrap
from collections.abc import Iterator

import numpy as np
import pytest
from aot_models import classifier
from cli_tools import ROOT, Program, call
from float_models import dense
from page_commands import COMMANDS, PAGES
from small_classifier import float_classifier, images

from edge_boards import load_board
from edge_quantize.graph.writer import write_tflite

SYNOPSIS = re.compile(r"[\[|<]|\.\.\.|\b(MODEL|DIR|B)\b")
ON_A_BOARD = ("flash", "profile", "monitor")
ON_A_FLOAT_MODEL = ("quantize", "prune", "sensitivity", "compare")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = Program(tmp_path_factory.mktemp("reader"))
    (program.folder / "model.tflite").write_bytes(write_tflite(classifier("model")))
    (program.folder / "float.tflite").write_bytes(write_tflite(dense("float")))
    yield program
    program.stop_boards()


@pytest.fixture(scope="module")
def smaller(tmp_path_factory: pytest.TempPathFactory) -> Program:
    """Where model.tflite is a float one, with samples and the recipe of the page on quantizing."""
    program = Program(tmp_path_factory.mktemp("float_reader"))
    shown = images(60)
    (program.folder / "model.tflite").write_bytes(write_tflite(float_classifier()))
    np.savez(program.folder / "samples.npz", image=shown.inputs[0], labels=shown.labels)
    page = (ROOT / "docs" / "quantize.md").read_text(encoding="utf-8")
    recipe = re.search(
        r"(?:^    \[.*\n|^    \w+ = .*\n|^\n)*^    \[\[rule\]\](?:\n    \w+ = .*)+", page, re.M
    )
    assert recipe is not None
    (program.folder / "recipe.toml").write_text(textwrap.dedent(recipe[0]), encoding="utf-8")
    return program


def needs_a_framework(words: list[str]) -> bool:
    if words[1] == "convert":
        return not words[2].endswith(".tflite")
    return any(word.endswith((".keras", ".h5", ".pt2", ".onnx")) for word in words)


def runs_here(line: str) -> bool:
    words = shlex.split(line)
    if SYNOPSIS.search(line) or "~" in line or words[0] != "edge-autoglm":
        return False
    if needs_a_framework(words):
        return False  # test_convert_*.py run these ways
    if words[1] == "optimize":
        return False  # test_optimize.py searches, which takes minutes
    if words[1] in ("bench", "setup") or "--target" in words:
        return False  # test_mobile_docs.py runs these, where there is a Vulkan driver
    return words[1] not in ON_A_BOARD or "virtual" in words


def test_the_documents_have_commands_of_both_kinds() -> None:
    run = [line for _, line in COMMANDS if runs_here(line)]
    assert any("flash model.tflite" in line for line in run)
    assert any("verify" in line for line in run)
    assert len(COMMANDS) - len(run) >= 5


# platformio.md's are run by test_platformio_docs.py, where PlatformIO has what it needs.
@pytest.mark.parametrize("page", [page.name for page in PAGES if page.name != "platformio.md"])
def test_a_pages_commands_do_their_work_one_after_the_other(
    page: str, program: Program, smaller: Program
) -> None:
    for line in (line for name, line in COMMANDS if name == page and runs_here(line)):
        words = shlex.split(line)[1:]
        if words[0] == "monitor":
            words += ["-n", "2"]  # it would go on
        if "--target-macs" in words:
            words[words.index("--target-macs") + 1] = "40000"  # the pages' model has more
        (smaller if words[0] in ON_A_FLOAT_MODEL else program).done(*words)


@pytest.mark.parametrize("line", [line for _, line in COMMANDS if not runs_here(line)])
def test_every_option_that_is_named_exists(line: str, program: Program) -> None:
    asked = line.split(" edge-autoglm ")[-1].removeprefix("edge-autoglm ")
    for part in re.split(r" \| (?![^\[]*\])", asked):  # between commands, not inside of brackets
        words = re.sub(r"[\[\]]", " ", part).split()
        command = words[:1]
        if command == ["boards"] and "show" in words:
            command = ["boards", "show"]
        if command == ["setup"]:
            command = words[:2]
        if line.startswith("edge-autoglm virtual"):
            command = ["virtual", words[0] if words[0] != "virtual" else words[1]]
        text = program.done(*command, "--help").stdout
        for option in re.findall(r"(?<!\S)--?[a-z]\w*", part.replace("[", " ").replace("]", " ")):
            assert re.search(rf"{option}\b", text), (option, command)


def test_the_readmes_c_uses_names_that_the_export_has(program: Program) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    program.done("export", "model.tflite", "--board", "stm32f746", "-o", "model_c")
    header = (program.folder / "model_c" / "include" / "model.h").read_text(encoding="utf-8")
    names = set(re.findall(r"\b(model_(?!c\b|tflm\b|int8\b|android\b)\w+|MODEL_\w+)", text))
    assert names >= {"model_init", "model_invoke", "model_input", "model_output"}
    for name in names:
        assert re.search(rf"\b{name}\b", header), name
    assert '#include "model.h"' in text


def test_a_board_that_is_not_attached_is_answered_as_the_readme_says(
    program: Program, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(program.folder)
    monkeypatch.setattr("serial.tools.list_ports.comports", lambda **_: [])
    monkeypatch.setattr("edge_autoglm.flash.disks.MOUNTS", program.folder / "no mounts")
    monkeypatch.setattr("edge_autoglm.device.probes.SYSFS", program.folder / "no usb")
    lines = [line for page, line in COMMANDS if page == "README.md" and line.endswith("--profile")]
    real = [line for line in lines if "virtual" not in line and not SYNOPSIS.search(line)]
    assert real
    for line in real:
        answer = call(capsys, *shlex.split(line)[1:])
        assert answer.code == 1
        board = load_board(shlex.split(line.split("--board ")[1])[0])
        offer = "or use --port virtual" if board.virtual else "plug it in"
        assert answer.err.splitlines()[0].endswith(offer)
