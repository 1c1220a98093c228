"""Virtual boards that are there and of no use: one clear line, and the command that mends it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

from cli_tools import Program

from edge_boards import data_path, virtual
from edge_boards.errors import VirtualBoardError
from edge_boards.loader import load_board
from edge_boards.virtual import client, stale
from edge_boards.virtual.state import board_files

BOARD = load_board("stm32f746")
STOP = "edge-autoglm virtual stop stm32f746"


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "state"
    yield folder
    pid = stale.holder(board_files(BOARD.name, folder))
    if pid is not None:
        os.kill(pid, signal.SIGKILL)


def gone(pid: int) -> bool:
    for _ in range(500):
        if not Path(f"/proc/{pid}").exists() or "State:\tZ" in status(pid):
            return True
        time.sleep(0.02)
    return False


def status(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return ""


def test_a_dead_board_whose_pid_is_another_process_by_now_is_in_nobodys_way(state: Path) -> None:
    first = virtual.start(BOARD, state_dir=state)
    os.kill(first.pid, signal.SIGKILL)
    assert gone(first.pid)
    assert first.control.exists()  # with nobody behind it
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        board_files(BOARD.name, state).pid.write_text(f"{stranger.pid}\n")
        assert virtual.attach(BOARD, state_dir=state) is None
        with pytest.raises(VirtualBoardError, match="no virtual board stm32f746 is running"):
            virtual.stop(BOARD.name, state_dir=state)
        second = virtual.start(BOARD, state_dir=state)
        assert second.pid not in (first.pid, stranger.pid)
        virtual.stop(BOARD.name, state_dir=state)
        assert stranger.poll() is None
        stranger.kill()


def test_a_board_that_does_not_answer_is_named_and_can_be_ended(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_STATUS_TIMEOUT_S", 0.5)
    first = virtual.start(BOARD, state_dir=state)
    os.kill(first.pid, signal.SIGSTOP)
    for refused in (virtual.start, virtual.attach):
        with pytest.raises(VirtualBoardError) as caught:
            refused(BOARD, state_dir=state)
        assert str(caught.value) == (
            f"virtual stm32f746 (process {first.pid}) does not answer; end it, its flash stays: "
            + STOP
        )
    assert client.survey(state) == ((), ((BOARD.name, first.pid),))
    virtual.stop(BOARD.name, state_dir=state)
    assert gone(first.pid)
    assert virtual.start(BOARD, state_dir=state).pid != first.pid
    virtual.stop(BOARD.name, state_dir=state)


def test_who_has_a_folder_is_known_without_the_kernels_list(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    info = virtual.start(BOARD, state_dir=state)
    files = board_files(BOARD.name, state)
    monkeypatch.setattr(stale, "_locker", lambda _: None)
    assert stale.holder(files) == info.pid
    files.pid.write_text(f"{os.getpid()}\n")  # a process, and no board's
    assert stale.holder(files) is None
    virtual.stop(BOARD.name, state_dir=state)
    assert gone(info.pid)


def test_a_board_that_lost_its_control_socket_can_be_ended(state: Path) -> None:
    first = virtual.start(BOARD, state_dir=state)
    first.control.unlink()
    assert virtual.attach(BOARD, state_dir=state) is None
    with pytest.raises(VirtualBoardError, match=rf"process {first.pid}\) does not answer; .*stop"):
        virtual.start(BOARD, state_dir=state, wait=8.0)
    virtual.stop(BOARD.name, state_dir=state)
    assert gone(first.pid)


def test_a_board_of_an_older_version_is_named_and_can_be_stopped(
    state: Path, tmp_path: Path
) -> None:
    package = Path(client.__file__).parents[1]
    older = tmp_path / "older" / "edge_boards"
    shutil.copytree(package, older, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "firmware").symlink_to(data_path("firmware"))  # where that copy looks for it
    with (older / "virtual" / "clock.py").open("a", encoding="utf-8") as source:
        source.write("# as it once was\n")
    subprocess.run(
        [
            *(sys.executable, "-m", "edge_boards.virtual.process", "--detach"),
            *("--board", str(BOARD.path)),
            *("--folder", str(board_files(BOARD.name, state).folder)),
        ],
        env={**os.environ, "PYTHONPATH": str(older.parent)},
        stdout=subprocess.DEVNULL,
        check=True,
    )
    (running,) = virtual.list_running(state)
    for refused in (virtual.start, virtual.attach):
        with pytest.raises(VirtualBoardError) as caught:
            refused(BOARD, state_dir=state)
        assert str(caught.value) == (
            f"virtual stm32f746 (process {running.pid}) was started by another version of this "
            f"software or of its board file; end it, its flash stays: {STOP}"
        )
    virtual.stop(BOARD.name, state_dir=state)
    assert gone(running.pid)


def test_the_program_says_it_in_one_line_and_stop_mends_it(tmp_path: Path) -> None:
    program = Program(tmp_path)
    boards = tmp_path / "boards"
    boards.mkdir()
    file = boards / "mine.toml"
    text = BOARD.path.read_text(encoding="utf-8").replace('name = "stm32f746"', 'name = "mine"')
    file.write_text(text.replace('aliases = ["', 'aliases = ["mine-'), encoding="utf-8")
    program.done("virtual", "start", "mine", "--boards", boards)
    file.write_text(file.read_text(encoding="utf-8") + "# changed\n", encoding="utf-8")
    refused = program.run("virtual", "start", "mine", "--boards", boards)
    assert refused.returncode == 1
    assert "was started by another version" in refused.stderr
    assert len(refused.stderr.strip().splitlines()) == 1
    assert "edge-autoglm virtual stop mine" in refused.stderr
    program.done("virtual", "stop", "mine", "--boards", boards)
    program.done("virtual", "start", "mine", "--boards", boards)
    program.done("virtual", "stop", "mine")
