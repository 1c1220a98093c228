"""How the command line behaves whatever it is asked: help, exit codes, streams."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ["inspect", "export", "build", "flash", "profile", "verify", "monitor", "boards",
            "virtual", "doctor"]  # fmt: skip
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(
        str(path) for path in (ROOT, ROOT / "quantize", ROOT / "export", ROOT / "boards")
    ),
    "COLUMNS": "80",
}


def run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge_autoglm", *arguments],
        capture_output=True, text=True, env=ENVIRONMENT, timeout=60, check=False, **options,
    )  # type: ignore[call-overload, no-any-return]  # fmt: skip


def test_help_answers_within_200_ms() -> None:
    """The best of several runs: what the program costs, not what the machine does beside it."""
    run("--help")
    times = []
    for _ in range(7):
        begin = time.perf_counter()
        assert run("--help").returncode == 0
        times.append(time.perf_counter() - begin)
    assert min(times) < 0.200


def test_help_names_every_command_within_80_columns() -> None:
    text = run("--help").stdout
    assert all(f"  {name} " in text for name in COMMANDS)
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    answer = run(command, "--help")
    assert answer.returncode == 0
    assert "Usage:" in answer.stdout


@pytest.mark.parametrize(
    "arguments",
    [["nonsense"], ["inspect"], ["boards", "show"], ["export", "x.tflite", "--no-such-option"]],
)
def test_wrong_usage_exits_2_and_says_so_on_stderr(arguments: list[str]) -> None:
    answer = run(*arguments)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr


def test_an_unknown_board_exits_1_with_the_nearest_names() -> None:
    answer = run("boards", "show", "stm32f764")
    assert answer.returncode == 1
    assert "stm32f746" in answer.stderr
    assert len(answer.stderr.strip().splitlines()) == 1


def test_a_missing_model_is_one_line(tmp_path: Path) -> None:
    answer = run("inspect", str(tmp_path / "absent.tflite"))
    assert answer.returncode == 1
    assert len(answer.stderr.strip().splitlines()) == 1
    assert "absent.tflite" in answer.stderr


def test_tables_fit_80_columns() -> None:
    for arguments in (["boards"], ["boards", "show", "stm32f746"]):
        text = run(*arguments).stdout
        assert text
        assert max(map(len, text.splitlines())) <= 80


def test_json_to_stdout_and_to_a_file_are_the_same(tmp_path: Path) -> None:
    file = tmp_path / "boards.json"
    run("boards", "--json", str(file))
    assert file.read_text(encoding="utf-8") in run("boards", "--json", "-").stdout


def test_json_into_a_folder_that_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    answer = run("boards", "--json", str(tmp_path / "no" / "boards.json"))
    assert answer.returncode == 1
    assert "Traceback" not in answer.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_exits_130(number: signal.Signals, tmp_path: Path) -> None:
    fifo = tmp_path / "model.tflite"
    os.mkfifo(fifo)
    # A named pipe nobody writes to: refused at once, or waited for. `doctor` runs long enough.
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_autoglm", "monitor", "--board", "stm32f746", "--port",
         "virtual"],
        env={**ENVIRONMENT, "EDGE_AUTOGLM_STATE": str(tmp_path / "state")},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    time.sleep(2)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    subprocess.run(
        [sys.executable, "-m", "edge_autoglm", "virtual", "stop", "stm32f746"],
        env={**ENVIRONMENT, "EDGE_AUTOGLM_STATE": str(tmp_path / "state")},
        capture_output=True, check=False,
    )  # fmt: skip
    assert "Traceback" not in errors
    assert process.returncode == 130
