"""Virtual boards in QEMU: their process starts, answers, fails and ends as any other's."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import qemu_boards
from cli_tools import Program, of
from qemu_boards import need_qemu

from edge_autoglm.device.ports import find_port, open_port
from edge_autoglm.device.session import Session
from edge_autoglm.errors import EdgeError
from edge_boards import load_board, virtual
from edge_boards.errors import BoardsError, VirtualBoardError

need_qemu()

DIGITS = Path(__file__).parents[2] / "examples" / "digits" / "digits_int8.tflite"
BOARD = load_board("mps2-an500")


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    made = Program(tmp_path)
    yield made
    for name in qemu_boards.BOARDS:
        made.run("virtual", "stop", name)


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits model's image for the AN500."""
    folder = tmp_path_factory.mktemp("digits")
    Program(folder).done("export", DIGITS, "--board", BOARD.name, "-o", folder / "digits")
    Program(folder).done("build", folder / "digits")
    return folder / "digits" / "build" / "profile.bin"


@pytest.fixture
def info(binary: Path, tmp_path: Path) -> Iterator[virtual.VirtualInfo]:
    with qemu_boards.running(BOARD, binary, tmp_path / "state") as info:
        yield info


def state_of(info: virtual.VirtualInfo) -> Path:
    return info.flash.parents[2]


def seen(info: virtual.VirtualInfo) -> virtual.VirtualInfo:
    found = virtual.attach(info.board, state_dir=state_of(info))
    assert found is not None
    return found


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def qemu_of(info: virtual.VirtualInfo) -> int:
    return int(virtual.control(info, {"op": "status"})["qemu"])


def gone(pid: int) -> bool:
    try:
        return "\nState:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def ticks(pid: int) -> int:
    return sum(int(n) for n in Path(f"/proc/{pid}/stat").read_text().rsplit(")")[-1].split()[11:13])


@pytest.mark.parametrize("name", qemu_boards.BOARDS)
def test_a_model_is_flashed_profiled_verified_and_watched(name: str, program: Program) -> None:
    target = ("--board", name, "--port", "virtual")
    done = program.done("flash", DIGITS, *target, "--profile", "--json", "profile.json")
    assert "by qemu-loader" in done.stdout
    assert "read back and equal" in " ".join(done.stdout.split())
    told = " ".join(done.stdout.split())
    assert "instructions exact" in told
    assert "the board counts instructions, no cycles" in told
    assert "outputs: bit-exact to tflite_micro" in told or "outputs: within" in told
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    assert "bit-exact" in program.done("verify", DIGITS, *target, "--inputs", "3").stdout
    watched = program.done("monitor", *target, "-n", "3", "--jsonl", "runs.jsonl").stdout
    assert "3 inferences, 0 records lost; instructions exact" in watched
    assert "virtual " + name in program.done("virtual", "list").stdout
    program.done("virtual", "reset", name)
    program.done("virtual", "stop", name)
    assert "No virtual board is running" in program.done("virtual", "list").stdout


def test_its_profile_has_no_cycles_and_is_of_the_schema(program: Program) -> None:
    import json

    import jsonschema

    from edge_autoglm.report import profile

    schema = json.loads(Path(profile.__file__).with_name("profile.schema.json").read_text())
    target = ("--board", BOARD.name, "--port", "virtual")
    program.done("flash", DIGITS, *target, "--profile", "--json", "profile.json")
    found = json.loads((program.folder / "profile.json").read_text())
    jsonschema.validate(found, schema)
    assert found["totals"]["cycles"] is found["totals"]["latency_ms"] is None
    assert found["totals"]["instructions"]["kind"] == "exact"
    assert sum(layer["share"] for layer in found["layers"]) == pytest.approx(1)


def test_an_erased_flash_is_said_and_a_bootloader_is_not_there(program: Program) -> None:
    of(program.run("virtual", "start", BOARD.name, "--boot0")).refused("has no ROM bootloader")
    started = program.done("virtual", "start", BOARD.name)
    assert "stopped: the flash is erased and holds no image" in started.stdout
    refused = of(program.run("virtual", "reset", BOARD.name, "--boot0"))
    refused.refused("has no ROM bootloader")
    profiled = program.run("profile", "--board", BOARD.name, "--port", "virtual")
    assert profiled.returncode == 1
    assert "virtual mps2-an500: the flash is erased and holds no image" in profiled.stderr


def test_without_qemu_the_line_that_installs_it_is_said(program: Program, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    env = {"PATH": str(tmp_path / "empty")}
    for arguments in (
        ("virtual", "start", BOARD.name),
        # The file does not exist: that there is no virtual board is said before it is looked at.
        ("flash", "no_such_file.tflite", "--board", BOARD.name, "--port", "virtual"),
    ):
        refused = of(program.run(*arguments, env=env))
        refused.refused("no qemu-system-arm here", "apt install qemu-system-arm")
    named = of(
        program.run("virtual", "start", BOARD.name, env={"EDGE_AUTOGLM_QEMU": "/no/such/qemu"})
    )
    named.refused("EDGE_AUTOGLM_QEMU names /no/such/qemu")


def stand_in(path: Path, text: str) -> dict[str, str]:
    """A program in QEMU's place, and the environment that names it."""
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return {"EDGE_AUTOGLM_QEMU": str(path)}


GREET = """
import re, socket, sys, time
numbers = re.search(r"id=control,fd=(\\d+)", " ".join(sys.argv))[1]
line = socket.socket(fileno=int(numbers))
line.sendall(b'{"QMP": {"version": {"qemu": {"major": 6, "minor": 1, "micro": 0}}}}\\n')
line.recv(1000)
line.sendall(b'{"return": {}}\\n')
time.sleep(60)
"""


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (GREET, "QEMU 6.1.0 is too old for this virtual board; install QEMU 7.2 or later"),
        (
            "import sys; sys.exit('qemu-system-arm: unsupported machine type')",
            "QEMU does not start: unsupported machine type",
        ),
        ("", "QEMU does not start: it said nothing"),
    ],
    ids=["old", "refuses", "mute"],
)
def test_a_qemu_that_will_not_do_is_said_in_one_line(
    text: str, words: str, program: Program, binary: Path
) -> None:
    flash = program.state / "virtual" / BOARD.name / "flash.bin"
    flash.parent.mkdir(parents=True)
    flash.write_bytes(binary.read_bytes().ljust(BOARD.flash.size, b"\xff"))
    env = stand_in(program.folder / "qemu", text)
    of(program.run("virtual", "start", BOARD.name, env=env)).refused(words)
    assert "No virtual board" in program.done("virtual", "list").stdout
    assert sorted(p.name for p in flash.parent.iterdir()) == ["flash.bin", "lock", "log"]


def test_a_qemu_that_dies_stops_the_board_and_a_reset_revives_it(
    info: virtual.VirtualInfo,
) -> None:
    os.kill(qemu_of(info), signal.SIGKILL)
    wait_until(lambda: seen(info).state == "stopped")
    assert seen(info).stopped == "QEMU ended: killed by SIGKILL"
    virtual.reset(info.board, state_dir=state_of(info))
    assert seen(info).state == "running"
    with qemu_boards.talk(info) as session:
        assert session.info.reset_cause == "power on"


def test_a_qemu_that_hangs_is_said_and_a_reset_revives_it(
    info: virtual.VirtualInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(state_of(info)))
    os.kill(qemu_of(info), signal.SIGSTOP)
    with (
        pytest.raises((EdgeError, BoardsError), match="QEMU hangs: nothing came"),
        Session(open_port(find_port(BOARD, "virtual"))),
    ):
        pass
    assert seen(info).state == "stopped"
    virtual.reset(info.board)
    with qemu_boards.talk(info) as session:
        assert session.info.board == BOARD.name


def test_nothing_is_left_of_a_board_whose_process_is_killed(
    info: virtual.VirtualInfo,
) -> None:
    qemu = qemu_of(info)
    os.kill(info.pid, signal.SIGKILL)
    wait_until(lambda: gone(qemu))
    assert virtual.attach(BOARD, state_dir=state_of(info)) is None
    # What lies in the folder is stale, and no obstacle.
    again = virtual.start(BOARD, state_dir=state_of(info))
    assert again.pid != info.pid
    with qemu_boards.talk(again) as session:
        assert session.models[0].name == "digits_int8"


def test_stopping_takes_qemu_along_and_keeps_the_flash(
    info: virtual.VirtualInfo, binary: Path
) -> None:
    qemu = qemu_of(info)
    virtual.stop(info.board, state_dir=state_of(info))
    assert gone(qemu)
    assert sorted(p.name for p in info.flash.parent.iterdir()) == ["flash.bin", "lock", "log"]
    assert info.flash.read_bytes().startswith(binary.read_bytes())


def test_an_idle_board_rests(info: virtual.VirtualInfo) -> None:
    qemu = qemu_of(info)
    before = ticks(info.pid) + ticks(qemu)
    time.sleep(2)
    busy = (ticks(info.pid) + ticks(qemu) - before) / os.sysconf("SC_CLK_TCK")
    assert busy < 0.5


def test_an_image_that_cannot_be_loaded_leaves_the_board_as_it_is(
    info: virtual.VirtualInfo, tmp_path: Path
) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(BOARD.flash.size + 1))
    before = info.flash.read_bytes()
    for path, words in ((large, "does not fit the flash"), (tmp_path / "none", "cannot be read")):
        with pytest.raises(VirtualBoardError, match=words):
            virtual.load(info.board, path, state_dir=state_of(info))
    assert info.flash.read_bytes() == before
    assert seen(info).state == "running"


def test_memory_is_read_as_a_debugger_does(info: virtual.VirtualInfo, binary: Path) -> None:
    request = {"op": "memory", "address": BOARD.code_address, "size": 64}
    assert bytes.fromhex(virtual.control(info, request)["data"]) == binary.read_bytes()[:64]
    for bad in ({"size": 0}, {"size": 1 << 21}, {"address": 0xA800_0000}):
        with pytest.raises(VirtualBoardError, match="no memory of"):
            virtual.control(info, {**request, **bad})
    with pytest.raises(VirtualBoardError, match="whose op is one of status, reset"):
        virtual.control(info, {"op": "count"})


def test_what_was_on_the_line_before_a_reset_is_dropped(info: virtual.VirtualInfo) -> None:
    with qemu_boards.talk(info) as session:
        assert session.info.boot_count == 1
    line = os.open(info.links["console"], os.O_RDWR | os.O_NOCTTY)
    try:
        os.write(line, b"\1" * 3000)
        virtual.reset(info.board, state_dir=state_of(info))
        with qemu_boards.talk(info) as session:
            assert session.info.boot_count == 2
            assert session.stats().rx_bad == 0
    finally:
        os.close(line)


def test_a_folder_with_a_comma_and_a_long_name_serves(binary: Path, tmp_path: Path) -> None:
    state = tmp_path / "a,b" / ("x" * 100)
    with (
        qemu_boards.running(BOARD, binary, state) as info,
        qemu_boards.talk(info) as session,
    ):
        assert session.info.board == BOARD.name


def test_there_is_no_real_one_to_flash(program: Program) -> None:
    refused = of(program.run("flash", DIGITS, "--board", BOARD.name))
    refused.refused("knows no way to flash a real one; use --port virtual")


def test_interrupting_flash_leaves_no_half_image(
    info: virtual.VirtualInfo, program: Program
) -> None:
    before = info.flash.read_bytes()
    process = subprocess.Popen(
        [sys.executable, "-m", "edge_autoglm", "flash", str(DIGITS), "--board", BOARD.name,
         "--port", "virtual"],
        cwd=program.folder,
        env={**program.environment(), "EDGE_AUTOGLM_STATE": str(state_of(info))},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "compiling" in line or "flashing" in line:
            process.send_signal(signal.SIGINT)
            break
    process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    after = info.flash.read_bytes()
    assert len(after) == BOARD.flash.size
    assert after == before or after[:8] == before[:8]
    assert not [p for p in info.flash.parent.iterdir() if p.name.startswith(".")]
