"""The documents on phones: their commands run, and their code uses what a package really has."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from aot_models import classifier
from cli_tools import ROOT, Program
from gpu_drivers import any_driver
from mobile_models import float_net
from page_commands import COMMANDS

import edge_autoglm
from edge_quantize.graph.writer import write_tflite

PAGE = ROOT / "docs" / "mobile.md"
SYNOPSIS = re.compile(r"[\[|]|MODEL|--adb")
RUN = [
    line
    for _, line in COMMANDS
    if not SYNOPSIS.search(line)
    and (line.split()[1] in ("bench", "backends") or " --target " in line)
]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Program:
    program = Program(tmp_path_factory.mktemp("app_developer"))
    for name in ("model", "kws"):
        graph = classifier(name)
        tensors = list(graph.tensors)
        tensors[graph.inputs[0]] = replace(tensors[graph.inputs[0]], name="input_1")
        content = write_tflite(replace(graph, tensors=tuple(tensors)))
        (program.folder / f"{name}.tflite").write_bytes(content)
    return program


def code_under(heading: str) -> str:
    """All code of a section of the page."""
    section = PAGE.read_text("utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return "\n".join(line for line in section.splitlines() if line.startswith("    "))


def sources(folder: Path, ending: str) -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted(folder.rglob(f"*{ending}")))


@pytest.mark.parametrize("line", dict.fromkeys(RUN))
def test_the_documents_commands_for_phones_and_backends_run(line: str, program: Program) -> None:
    any_driver()
    program.done(*shlex.split(line)[1:])


def test_the_page_names_every_option_of_a_package(program: Program) -> None:
    told = program.run("export", "--help").stdout
    page = PAGE.read_text("utf-8")
    for option in ("--precision", "--data", "--samples", "--scale", "--shape", "--labels"):
        assert option in told
        assert f"`{option}" in page
    assert "`.bin`" in page


def test_the_documents_have_such_commands() -> None:
    assert sum("android-gpu" in line for line in RUN) >= 2
    assert sum("ios-metal" in line for line in RUN) >= 2
    assert any("bench" in line for line in RUN)


def test_the_kotlin_of_the_page_is_that_of_a_package(program: Program) -> None:
    program.done("export", "kws.tflite", "--target", "android-gpu", "--skip-check", "-o", "kws_a")
    code, kotlin = code_under("Android"), sources(program.folder / "kws_a", ".kt")
    assert "Kws.create(context)" in code
    assert "fun create(" in kotlin
    for member in ("fallback.reason", "kws.run(input1)"):
        assert member in code
    assert re.search(r"class Fallback\(val reason", kotlin)
    assert re.search(r"fun run\(input1: FloatArray\)", kotlin)
    assert re.search(r"^package edgeautoglm\.kws$", kotlin, re.M)
    assert "import edgeautoglm.kws.Kws\n" in code
    assert code.index("val input1 = FloatArray(") < code.index("kws.run(input1)")
    assert re.search(r"fun create\(\s*context: Context,\s*options: Options", kotlin)
    assert "Kws.create(context, options)" in code
    options = PAGE.read_text("utf-8").split("\n## Android\n")[1].split("\n## iOS\n")[0]
    for option in re.findall(r"^\| ((?:`\w+`(?:, )?)+)", options, re.M):
        for name in re.findall(r"`(\w+)`", option):
            assert re.search(rf"val {name}:", kotlin), name
    for precision in re.findall(r"`(FLOAT\w+)`", options):
        assert re.search(rf"\b{precision}\(", kotlin), precision


def test_the_swift_of_the_page_is_that_of_a_package(program: Program) -> None:
    program.done("export", "kws.tflite", "--target", "ios-metal", "--skip-check", "-o", "KwsMetal")
    folder = program.folder / "KwsMetal"
    code, swift = code_under("iOS"), sources(folder / "Sources", ".swift")
    assert "try KwsModel()" in code
    assert "class KwsModel" in swift
    for name in ("fallback", "accelerator", "isPrecisionLossAllowed", "isQuantizationEnabled"):
        assert re.search(rf"var {name}\b|let {name}\b", swift), name
    for name, kind in re.findall(r"options\.(?:metal\.)?(\w+) = (\S+)", code):
        assert re.search(rf"public var {name}\b", swift), name
        assert kind in ("true", "false") or f"case {kind[1:]}\n" in swift
    assert "KwsModel(options: options)" in code
    assert code.index("let input1 = [Float](") < code.index("input1: input1")
    assert "struct Input" in swift
    assert "input1" in swift
    assert (folder / "KwsMetal.podspec").is_file()
    assert 'test_spec "Tests"' in (folder / "KwsMetal.podspec").read_text().replace("'", '"')


def test_the_python_of_the_page_runs(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    any_driver()
    monkeypatch.chdir(program.folder)
    (program.folder / "model.tflite").write_bytes(write_tflite(float_net()))
    code = code_under("What runs it here")
    snippet = "\n".join(
        line[4:] for line in code.splitlines() if not line.startswith("    edge-autoglm")
    )
    names: dict[str, object] = {"x": np.zeros((1, 8, 8, 3), np.float32)}
    exec(compile(snippet, str(PAGE), "exec"), names)  # the page's own words
    answer = names["y"]
    assert isinstance(answer, np.ndarray)
    assert answer.shape == (1, 4)
    assert edge_autoglm.select_backend is names["select_backend"]
