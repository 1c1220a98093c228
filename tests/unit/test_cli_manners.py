"""How the command line behaves whatever it is asked: help, exit codes, streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from cli_tools import ROOT, Answer, Program, call, command, environment

COMMANDS = ["inspect", "export", "build", "flash", "profile", "verify", "monitor", "boards",
            "virtual", "ports", "doctor", "setup"]  # fmt: skip
HEAVY = ("numpy", "rich", "serial", "cbor2", "ai_edge_litert", "flatbuffers", "unicorn",
         "capstone", "tflite_micro", "ziglang", "asyncio")  # fmt: skip


@pytest.fixture
def program(tmp_path: Path) -> Program:
    return Program(tmp_path)


def test_help_costs_less_than_200_ms_of_processor_time() -> None:
    """Processor time, the least of several runs: what the program needs, not what the machine
    does beside it."""
    resource = pytest.importorskip("resource", reason="processor time of children: POSIX")
    times: list[float] = []
    while len(times) < 40 and min(times, default=1) >= 0.200:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command("--help"), env=environment(), capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(times) < 0.200


@pytest.mark.parametrize("arguments", [["--help"], ["flash", "--help"], ["virtual", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    show = (
        "import sys; from edge_autoglm.cli import main; code = main(sys.argv[1:]); "
        "print('\\nmodules', *sys.modules); sys.exit(code)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", show, *arguments], env=environment(), capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    loaded = {name.split(".")[0] for name in answer.stdout.splitlines()[-1].split()}
    assert "typer" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_help_names_every_command_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    text = call(capsys, "--help").out
    assert all(f"  {name} " in text for name in COMMANDS)
    assert max(map(len, text.splitlines())) <= 80
    assert "..." not in text.split("Commands:")[1]  # no description is cut


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(capsys, name, "--help")
    assert answer.code == 0
    assert "Usage:" in answer.out
    assert max(map(len, answer.out.splitlines())) <= 80


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    from edge_autoglm import __version__

    assert call(capsys, "--version") == Answer(0, f"edge-autoglm {__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["inspect"],
        ["boards", "show"],
        ["boards", "check"],
        ["export", "x.tflite", "--no-such-option"],
        ["monitor", "--board", "stm32f746", "-n", "0"],
        ["monitor", "--board", "stm32f746", "-n", "many"],
        ["monitor", "--board", "stm32f746", "--period", "nan"],
        ["monitor", "--board", "stm32f746", "--period", "-1"],
        ["profile", "--board", "stm32f746", "-n", "0"],
        ["profile", "--board", "stm32f746", "--warmup", "-1"],
        ["flash", "x.tflite", "--board", "stm32f746", "-n", "3"],
        ["flash", "x.tflite", "--board", "stm32f746", "--bundle", "runs/mine"],
        ["flash", "x.tflite", "--board", "stm32f746", "--port", "virtual", "--programmer",
         "mass-storage"],
    ],
)  # fmt: skip
def test_wrong_usage_exits_2_and_says_so_on_stderr(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    answer = call(capsys, *arguments)
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err
    assert "Traceback" not in answer.err


def test_tables_fit_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    from edge_boards.loader import list_boards

    shown = [["boards", "show", board.name] for board in list_boards()]
    for arguments in (["boards"], ["boards", "check", "esp32"], *shown):
        text = call(capsys, *arguments).out
        assert text
        assert max(map(len, text.splitlines())) <= 80


def test_json_on_stdout_is_all_of_it_and_the_table_moves_to_stderr(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "boards.json"
    to_file = call(capsys, "boards", "--json", file)
    to_stdout = call(capsys, "boards", "--json", "-")
    assert to_stdout.out == file.read_text(encoding="utf-8")
    assert "stm32f746" in [board["name"] for board in json.loads(to_stdout.out)]
    assert to_stdout.err == to_file.out
    assert to_file.err == ""


def test_a_json_file_that_was_there_is_replaced_and_nothing_else_appears(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, link = tmp_path / "kept.json", tmp_path / "link.json"
    file.write_text("old", encoding="utf-8")
    link.symlink_to(file)
    assert call(capsys, "boards", "--json", link).code == 0
    assert link.is_symlink()
    assert json.loads(file.read_text(encoding="utf-8"))
    assert sorted(tmp_path.iterdir()) == [file, link]


INTERRUPT_AT = """
import importlib.abc, os, signal, sys
class Interrupting(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == MODULE:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
from edge_autoglm.entry import main
sys.exit(main())
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize(
    "module", ["edge_autoglm.cli", "typer", "edge_autoglm.cli.failures", "edge_boards.loader"]
)
def test_an_interruption_while_it_starts_is_no_traceback(module: str) -> None:
    """Ctrl-C at the moment that `module` is imported, whenever that comes."""
    script = INTERRUPT_AT.replace("MODULE", repr(module))
    done = subprocess.run(
        [sys.executable, "-c", script, "boards"], env=environment(), capture_output=True,
        text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (130, "edge-autoglm: interrupted\n")
    assert done.stdout == ""


def test_the_installed_program_begins_where_interruptions_are_caught() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"edge-autoglm": "edge_autoglm.entry:main"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")
class TestFullDevices:
    def test_json_to_a_full_device_says_so_and_leaves_the_device(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        call(capsys, "boards", "--json", "/dev/full").refused("/dev/full", "No space left", "free")
        assert Path("/dev/full").is_char_device()

    def test_a_full_stdout_is_an_error_not_a_crash(self, program: Program) -> None:
        with Path("/dev/full").open("w") as full:
            done = subprocess.run(
                command("boards"), env=program.environment(), stdout=full,
                stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
        Answer(done.returncode, "", done.stderr).refused("the output", "No space left")


def test_a_reader_that_goes_away_ends_the_program_quietly(program: Program) -> None:
    process = subprocess.Popen(
        command("boards", "show", "stm32f746"), env=program.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.close()
    _, errors = process.communicate(timeout=240)
    assert errors == b""
    assert process.returncode == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_a_terminal_without_unicode_gets_plain_tables(encoding: str, program: Program) -> None:
    done = program.run("boards", "show", "stm32f746", env={"PYTHONIOENCODING": encoding})
    assert done.returncode == 0, done.stderr
    assert done.stdout.isascii()
    assert "STM32F746G-DISCO" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_offered_to_each_shell(shell: str, program: Program) -> None:
    """The script calls the program back with _..._COMPLETE set, which must answer.

    Asked for by that variable: `--show-completion` goes by whatever shell started the program.
    """
    script = program.run(env={"_EDGE_AUTOGLM_COMPLETE": f"source_{shell}"})
    assert script.returncode == 0, script.stderr
    assert "edge-autoglm" in script.stdout
    assert f"_EDGE_AUTOGLM_COMPLETE=complete_{shell}" in script.stdout


def test_completion_completes_commands_and_options(program: Program) -> None:
    def complete(words: str) -> list[str]:
        done = program.run(
            env={"_EDGE_AUTOGLM_COMPLETE": "complete_bash", "COMP_WORDS": words,
                 "COMP_CWORD": str(len(words.split(" ")) - 1)},
        )  # fmt: skip
        return done.stdout.split()

    assert complete("edge-autoglm ver") == ["verify"]
    assert complete("edge-autoglm virtual st") == ["start", "stop"]
    assert "--profile" in complete("edge-autoglm flash --p")


def test_progress_on_a_terminal_says_what_is_done_of_how_much(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge_autoglm.cli.common import progress

    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal, to Rich
    with progress("comparing") as advance:
        advance(1, 2, "looking")
    assert "looking, 1 of 2" in capsys.readouterr().err
    monkeypatch.delenv("FORCE_COLOR")
    with progress("comparing") as advance:
        for done in (1, 2):
            advance(done, 2, "looking")
    assert capsys.readouterr().err == "comparing ...\nlooking ...\n"


def test_names_with_mark_up_and_control_characters_are_printed_harmlessly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from aot_models import classifier

    from edge_quantize.graph.writer import write_tflite

    folder = tmp_path / "[red]a[" / "bold] \N{GREEK SMALL LETTER MU}"
    folder.mkdir(parents=True)
    model = folder / "m.tflite"
    content = write_tflite(classifier())
    assert b"image" in content
    model.write_bytes(content.replace(b"image", b"\x1b[2J!"))
    answer = call(capsys, "inspect", model)
    assert answer.code == 0, answer.err
    assert "\x1b" not in answer.out
    absent = call(capsys, "inspect", folder / "x\x1b[2J.tflite")
    assert "[red]a[/bold]" in absent.refused("no such file")
    assert "\x1b" not in absent.err


def test_an_undecodable_path_is_named_all_the_same(tmp_path: Path, program: Program) -> None:
    if os.name != "posix":
        pytest.skip("paths are text there")
    path = os.fsencode(tmp_path) + b"/\xff.tflite"
    done = subprocess.run(
        [*map(os.fsencode, command("inspect")), path], env=program.environment(),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    Answer(done.returncode, done.stdout, done.stderr).refused("no such file")
