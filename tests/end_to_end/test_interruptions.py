"""Ctrl-C, a lost board, a lost cable: exit code, nothing half-written, and a board that works."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from aot_models import classifier
from cli_tools import Program, command, of

from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.writer import write_tflite

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and ptys of POSIX")
ON_BOARD = ["--board", "stm32f746", "--port", "virtual"]
PATIENCE_S = 240.0


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    program = Program(tmp_path_factory.mktemp("user"))
    (program.folder / "tiny.tflite").write_bytes(write_tflite(classifier()))
    # Long enough to flash that an interruption falls into it.
    (program.folder / "long.tflite").write_bytes(heavy())
    program.done("flash", "tiny.tflite", *ON_BOARD)
    yield program
    program.stop_boards()


def heavy() -> bytes:
    b = GraphBuilder("long")
    x = b.input("x", (1, 800), scale=0.1)
    w = b.weights("w", np.ones((800, 800), np.int8), [0.01])
    return write_tflite(b.build([b.fully_connected(x, w, None, 0.2, 0)]))


class Running:
    """The program in a session of its own, so that Ctrl-C reaches all of it, as on a terminal."""

    def __init__(self, program: Program, *arguments: object, **changes: str) -> None:
        self.process = subprocess.Popen(
            command(*arguments), cwd=program.folder, env=program.environment(**changes),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self._errors: list[str] = []

    def says(self, words: str) -> None:
        """Waits for a line of progress."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._errors.append(line)
            if words in line:
                return
        raise AssertionError("".join(self._errors))

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> str:
        """Ctrl-C; gives what came on stderr. The program must end by itself, with exit 130."""
        os.killpg(self.process.pid, number)
        _, errors = self.process.communicate(timeout=PATIENCE_S)
        said = "".join(self._errors) + errors
        assert self.process.returncode == 130, said
        assert "Traceback" not in said
        assert said.rstrip().endswith("edge-autoglm: interrupted")
        return said


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if "state" not in path.relative_to(folder).parts[:1]}


def processes_naming(text: str) -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if text in line:
                    found.append(line)
    return found


def test_an_interrupted_build_leaves_no_image(program: Program, tmp_path: Path) -> None:
    program.done("export", "tiny.tflite", "--board", "stm32f746", "-o", "built")
    before = files_in(program.folder)
    running = Running(program, "build", "built", EDGE_AUTOGLM_CACHE=str(tmp_path / "empty"))
    running.says("compiling")
    time.sleep(0.3)
    running.interrupt()
    assert files_in(program.folder) - before <= {program.folder / "built" / "build"}
    program.done("build", "built")


@pytest.mark.parametrize("delay", [0.0, 0.6])
def test_a_board_whose_flashing_was_interrupted_can_be_flashed(
    delay: float, program: Program
) -> None:
    running = Running(program, "flash", "long.tflite", *ON_BOARD)
    running.says("flashing")
    time.sleep(delay)
    said = running.interrupt()
    if "no whole image" in said:
        # No image that is half the old one, half the new one may ever run.
        profiled = program.run("profile", *ON_BOARD, "-n", "1")
        assert "the flash is erased" in profiled.stderr
    assert "flashed tiny" in program.done("flash", "tiny.tflite", *ON_BOARD).stdout


# What a probe does that writes from the start on, up to where its power went.
WRITE_HALF = """
import sys
from pathlib import Path
from edge_autoglm.device.transport import SerialTransport
from edge_autoglm.flash.stm32_uart import BLOCK, Bootloader, sectors_of
from edge_boards import load_board, virtual

image, board = Path(sys.argv[1]).read_bytes(), load_board("stm32f746")
half = image[: len(image) // 2 // BLOCK * BLOCK]
info = virtual.reset("stm32f746", boot0=True) or virtual.attach(board)
with SerialTransport(str(info.links["bootloader"]), 115_200) as transport:
    rom = Bootloader(transport)
    rom.sync()
    rom.erase(sectors_of(board.flash, board.flash.address, len(image)))
    for at in range(0, len(half), BLOCK):
        rom.write(board.flash.address + at, half[at : at + BLOCK])
virtual.reset("stm32f746", boot0=False)
"""


def test_a_board_with_half_an_image_says_so_to_every_command(program: Program) -> None:
    program.done("export", "long.tflite", "--board", "stm32f746", "-o", "half")
    program.done("build", "half")
    script = [sys.executable, "-c", WRITE_HALF, str(program.folder / "half/build/profile.bin")]
    subprocess.run(script, env=program.environment(), check=True, timeout=PATIENCE_S)
    for arguments in (["profile"], ["monitor", "-n", "1"], ["verify", "tiny.tflite"]):
        done = program.run(*arguments, *ON_BOARD)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.splitlines()[-1] == (
            "edge-autoglm: virtual stm32f746: the flash holds half an image: "
            "flash again (`edge-autoglm flash`)"
        )
    assert "flashed tiny" in program.done("flash", "tiny.tflite", *ON_BOARD).stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_board_whose_profiling_was_interrupted_can_be_profiled(
    number: signal.Signals, program: Program
) -> None:
    before = files_in(program.folder)
    running = Running(program, "profile", *ON_BOARD, "-n", "1000000")
    running.says("profiling")
    time.sleep(0.4)
    running.interrupt(number)
    assert files_in(program.folder) == before
    assert "outputs: " in program.done("profile", *ON_BOARD).stdout


@pytest.mark.parametrize(("delay", "boot0"), [(0.0, []), (0.23, []), (0.5, []), (0.3, ["--boot0"])])
def test_a_board_that_resets_during_a_profile_gives_no_figures(
    delay: float, boot0: list[str], program: Program
) -> None:
    before = files_in(program.folder)
    running = Running(program, "profile", *ON_BOARD, "-n", "1000000")
    running.says("profiling")
    time.sleep(delay)
    program.done("virtual", "reset", "stm32f746", *boot0)
    figures, errors = running.process.communicate(timeout=PATIENCE_S)
    assert (running.process.returncode, figures) == (1, "")
    said = errors.strip().splitlines()[-1]
    assert said.startswith("edge-autoglm: ")
    assert any(words in said for words in RESET_SEEN), said
    assert files_in(program.folder) == before
    program.done("virtual", "reset", "stm32f746")
    assert "outputs: " in program.done("profile", *ON_BOARD).stdout


RESET_SEEN = (
    "the board restarted in mid-conversation",  # it said so itself, on the wire
    "it was reset in the middle of a profile",  # its process said so
    "in its ROM bootloader",
)


def test_a_watch_that_was_interrupted_has_written_whole_lines_and_stops_the_board(
    program: Program,
) -> None:
    lines = program.folder / "watch.jsonl"
    running = Running(program, "monitor", *ON_BOARD, "--jsonl", lines)
    until(lambda: lines.exists() and lines.stat().st_size > 2000)
    running.interrupt()
    assert lines.read_text(encoding="utf-8").endswith("}\n")
    # Free-running still, the board would go on counting its inferences.
    done = program.done("monitor", *ON_BOARD, "-n", "1", "--jsonl", "-")
    assert '"sequence": 0' in done.stdout


def test_an_interrupted_verification_leaves_the_board_usable(program: Program) -> None:
    before = files_in(program.folder)
    program.done("flash", "tiny.tflite", *ON_BOARD)
    running = Running(program, "verify", "tiny.tflite", *ON_BOARD, "--inputs", "1000")
    running.says("comparing")
    time.sleep(0.8)
    running.interrupt()
    assert files_in(program.folder) - before <= {program.folder / "tiny_stm32f746"}
    program.done("verify", "tiny.tflite", *ON_BOARD, "--inputs", "1")


@pytest.mark.parametrize("delay", [0.0, 0.2])
def test_an_interrupted_start_leaves_no_board_that_nobody_knows(
    delay: float, tmp_path: Path
) -> None:
    program = Program(tmp_path)
    running = Running(program, "virtual", "start", "stm32f746")
    until(lambda: (program.state / "virtual" / "stm32f746").exists())
    time.sleep(delay)
    os.killpg(running.process.pid, signal.SIGINT)
    _, errors = running.process.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in errors
    try:
        if running.process.returncode == 130:
            until(lambda: known(program) == len(processes_naming(str(program.state))))
        else:  # it was up before the interruption came
            assert running.process.returncode == 0
            assert known(program) == 1
    finally:
        program.stop_boards()


def known(program: Program) -> int:
    return program.done("virtual", "list").stdout.count("virtual stm32f746")


def test_a_board_that_dies_while_it_is_flashed_is_one_line_and_can_be_started_again(
    tmp_path: Path, program: Program
) -> None:
    own = Program(tmp_path)
    running = Running(own, "flash", program.folder / "long.tflite", *ON_BOARD)
    running.says("flashing")
    pid = own.state / "virtual" / "stm32f746" / "pid"
    until(lambda: pid.exists() and bool(pid.read_text().strip()))
    time.sleep(0.6)
    os.kill(int(pid.read_text()), signal.SIGKILL)
    _, errors = running.process.communicate(timeout=PATIENCE_S)
    try:
        assert running.process.returncode == 1
        assert "Traceback" not in errors
        last = errors.strip().splitlines()[-1]
        assert last.startswith("edge-autoglm: ")
        assert "virtual stm32f746: its process ended" in last
        assert "half an image: flash again" in last
        own.done("virtual", "start", "stm32f746")
    finally:
        own.stop_boards()


def test_a_board_that_dies_while_it_is_watched_is_one_line(tmp_path: Path) -> None:
    own = Program(tmp_path)
    (tmp_path / "tiny.tflite").write_bytes(write_tflite(classifier()))
    own.done("flash", "tiny.tflite", *ON_BOARD)
    lines = tmp_path / "watch.jsonl"
    running = Running(own, "monitor", *ON_BOARD, "--jsonl", lines)
    until(lambda: lines.exists() and lines.stat().st_size > 500)
    os.kill(int((own.state / "virtual" / "stm32f746" / "pid").read_text()), signal.SIGKILL)
    out, errors = running.process.communicate(timeout=PATIENCE_S)
    answer = of(subprocess.CompletedProcess([], running.process.returncode, out, errors))
    said = answer.refused("virtual stm32f746", "its process ended", "virtual start stm32f746")
    assert "multiple access" not in said
    assert "0 records lost" in out
