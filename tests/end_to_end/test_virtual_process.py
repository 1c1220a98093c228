"""A virtual board is a process of its own, with ptys, a control socket and a flash that stays."""

from __future__ import annotations

import fcntl
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

import bare_metal
import serial

from edge_boards import virtual
from edge_boards.board import Board
from edge_boards.errors import VirtualBoardError
from edge_boards.loader import load_board
from edge_boards.virtual import VirtualInfo
from edge_boards.virtual.client import connect

if bare_metal.compiler() is None:
    pytest.skip("no compiler for the board (arm-none-eabi-gcc or ziglang)", allow_module_level=True)

BOARD = load_board("stm32f746")
Start = Callable[..., VirtualInfo]

# 50 ticks a second, and a character every fifth.
ECHO_AND_TICK = """
static volatile uint32_t ticks;
void on_tick(void) { ticks++; if (ticks % 5 == 0 && USART1_ISR & 0x80) USART1_TDR = '.'; }
void on_usart(void) { USART1_TDR = USART1_RDR + 1; }
void run(void) {
  ticks = 0;
  console(139);
  USART1_CR1 |= 0x20;
  NVIC_ISER1 = 1u << 5;
  SYST_RVR = 319999; SYST_CVR = 0; SYST_CSR = TICKING;
  for (;;) __asm volatile("wfi");
}
"""
ECHO = ECHO_AND_TICK.replace("TICKING", "0")
TICK = ECHO_AND_TICK.replace("TICKING", "7")

# By polling, and on any target whose header has a console.
PLAIN_ECHO = "void run(void) { console(DIVIDER); for (;;) put(get() + 1); }"


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts virtual boards that are stopped afterwards."""
    started: list[tuple[VirtualInfo, Path]] = []

    def begin(
        program: bytes | None = None,
        *,
        where: str = "state",
        boot0: bool = False,
        board: Board = BOARD,
    ) -> VirtualInfo:
        state = tmp_path / where
        folder = state / "virtual" / board.name
        if program is not None:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "flash.bin").write_bytes(program.ljust(board.flash.size, b"\xff"))
        info = virtual.start(board, boot0=boot0, state_dir=state)
        started.append((info, state))
        return info

    yield begin
    for info, state in started:
        if virtual.attach(info.board, state_dir=state) is not None:
            virtual.stop(info.board, state_dir=state)


def state_of(info: VirtualInfo) -> Path:
    return info.flash.parents[2]


def port(info: VirtualInfo, link: str = "console") -> serial.Serial:
    return serial.Serial(str(info.links[link]), 115_200, timeout=60)


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_started_board_is_found_talked_to_and_stopped(start: Start) -> None:
    info = start(bare_metal.build(ECHO))
    assert virtual.attach(BOARD, state_dir=state_of(info)) == info
    assert virtual.list_running(state_of(info)) == (info,)
    assert start() == info  # starting again finds it
    with port(info) as line:
        line.write(b"abc")
        assert line.read(3) == b"bcd"
    virtual.stop(info.board, state_dir=state_of(info))
    assert virtual.list_running(state_of(info)) == ()
    assert sorted(p.name for p in info.flash.parent.iterdir()) == ["flash.bin", "lock", "log"]
    with pytest.raises(VirtualBoardError, match="no virtual board stm32f746 is running"):
        virtual.stop(info.board, state_dir=state_of(info))


def test_a_host_may_come_and_go(start: Start) -> None:
    info = start(bare_metal.build(TICK))
    time.sleep(0.5)  # it ticks to nobody
    for _ in range(3):
        with port(info) as line:
            line.reset_input_buffer()
            line.write(b"x")
            assert b"y" in line.read_until(b"y")


def test_an_idle_board_keeps_real_time_and_rests(start: Start) -> None:
    info = start(bare_metal.build(TICK))
    stat = Path(f"/proc/{info.pid}/stat")
    with port(info) as line:
        line.read(1)
        line.reset_input_buffer()
        before = [int(n) for n in stat.read_text().split()[13:15]]
        began = time.monotonic()
        line.read(20)  # ten a second
        took = time.monotonic() - began
        after = [int(n) for n in stat.read_text().split()[13:15]]
    assert 1.5 < took < 20  # 2 s, and what a busy machine adds
    busy = (sum(after) - sum(before)) / os.sysconf("SC_CLK_TCK")
    assert busy < took / 4


def test_a_reset_drops_what_nobody_has_read(start: Start) -> None:
    """The application's words leave on the pin that the ROM bootloader's do."""
    info = start(bare_metal.build(TICK))
    virtual.control(info, {"op": "speed", "skip_idle": True})  # as after hours of running
    # Not by pyserial, which flushes when it opens.
    line = os.open(info.links["bootloader"], os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        deadline = time.monotonic() + 60
        while unread(line) < 4000:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        for _ in range(10):
            time.sleep(0.1)
            virtual.reset(info.board, boot0=True, state_dir=state_of(info))
            assert unread(line) == 0
            os.write(line, b"\x7f")
            assert select.select([line], [], [], 30)[0]
            time.sleep(0.05)
            assert os.read(line, 100) == b"\x79"
            virtual.reset(info.board, state_dir=state_of(info))
    finally:
        os.close(line)


def unread(line: int) -> int:
    """Bytes that wait in a terminal."""
    return int.from_bytes(fcntl.ioctl(line, termios.FIONREAD, bytes(4)), sys.byteorder)


def test_two_boards_at_once_have_nothing_in_common(start: Start) -> None:
    one = start(bare_metal.build(ECHO), where="one")
    two = start(bare_metal.build(ECHO.replace("+ 1", "+ 2")), where="two")
    assert one.pid != two.pid
    with port(one) as first, port(two) as second:
        first.write(b"aaa")
        second.write(b"aaa")
        assert first.read(3) == b"bbb"
        assert second.read(3) == b"ccc"
    virtual.control(one, {"op": "reset", "boot0": True})
    assert virtual.control(two, {"op": "status"})["state"] == "running"


def test_of_many_starts_at_once_one_board_comes_up(start: Start, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        begun = [pool.submit(virtual.start, BOARD, state_dir=tmp_path / "state") for _ in range(4)]
        assert len({future.result().pid for future in begun}) == 1
    start()  # to have it stopped


def test_a_killed_boards_leavings_do_not_hinder_the_next(start: Start) -> None:
    first = start(bare_metal.build(ECHO))
    os.kill(first.pid, signal.SIGKILL)
    assert wait_until(lambda: not alive(first.pid))
    assert first.control.exists()
    assert virtual.attach(BOARD, state_dir=state_of(first)) is None
    assert virtual.list_running(state_of(first)) == ()
    second = start()
    assert second.pid != first.pid
    with port(second) as line:
        line.write(b"a")
        assert line.read(1) == b"b"


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_sigterm_ends_it_cleanly(start: Start) -> None:
    info = start(bare_metal.build(ECHO))
    os.kill(info.pid, signal.SIGTERM)
    assert wait_until(lambda: not alive(info.pid))
    assert not info.control.exists()
    assert not info.links["console"].is_symlink()
    assert "Traceback" not in info.log.read_text()


@pytest.mark.parametrize("content", [b"", bytes(range(256)) * 4096, b"\x00" * 4096])
def test_a_board_without_sense_in_its_flash_says_so_and_lives(start: Start, content: bytes) -> None:
    info = start(content)
    assert wait_until(lambda: virtual.control(info, {"op": "status"})["state"] == "stopped")
    problem = virtual.control(info, {"op": "status"})["stopped"]
    if content:
        assert problem.startswith("virtual board stopped: ")
        assert "PC 0x" in problem
    else:
        assert problem.startswith("the flash is erased and holds no image; flash one: ")
    virtual.reset(info.board, boot0=True, state_dir=state_of(info))
    with port(info, "bootloader") as line:
        line.write(b"\x7f")
        assert line.read(1) == b"\x79"
    log = info.log.read_text()
    assert problem in log
    assert "Traceback" not in log


def test_control_answers_every_request(start: Start) -> None:
    info = start(bare_metal.build(ECHO))
    clock = virtual.control(info, {"op": "time"})
    assert clock["clock_hz"] == 16_000_000
    assert clock["seconds"] > 0
    word = virtual.control(info, {"op": "memory", "address": 0x08000004, "size": 4})["data"]
    assert bytes.fromhex(word) == bare_metal.build(ECHO)[4:8]
    for request in (
        {"op": "memory", "address": 0x70000000, "size": 4},
        {"op": "memory", "address": "x", "size": 4},
        {"op": "memory"},
        {"op": "count", "on": True},  # this image has no steps
        {"op": "dance"},
        {"op": "symbols", "elf": "/nonexistent"},
        {},
    ):
        with pytest.raises(VirtualBoardError):
            virtual.control(info, request)
    for line in (b"garbage\n", b"[1]\n", b"{\n", b"\xff\xfe\n", b"[" * 50_000 + b"\n"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raw:
            raw.settimeout(60)
            connect(raw, info.control)
            raw.sendall(line)
            assert b'"error"' in raw.recv(4096)
    assert virtual.control(info, {"op": "status"})["state"] == "running"


def test_a_state_folder_may_have_a_long_name(start: Start) -> None:
    info = start(bare_metal.build(ECHO), where="x" * 120)
    with port(info) as line:
        line.write(b"a")
        assert line.read(1) == b"b"


def stm32flash(info: VirtualInfo, *arguments: str) -> str:
    command = ["stm32flash", "-m", "8n1", "-b", "115200", *arguments]
    done = subprocess.run(
        [*command, str(info.links["bootloader"])],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-500:] + done.stderr
    assert "Failed" not in done.stdout + done.stderr
    return done.stdout


def echoed(line: serial.Serial) -> bool:
    """Whether the program answers: what comes before it has set up its console is lost, so ask
    until it does."""
    line.timeout = 1
    for _ in range(60):
        line.reset_input_buffer()
        line.write(b"abc")
        if line.read(3) == b"bcd":
            return True
    return False


# stm32flash takes the L4R5's pages for 2 KB: the 16 that it counts in 32 KB are 64 KB there.
@pytest.mark.skipif(shutil.which("stm32flash") is None, reason="stm32flash is not installed")
@pytest.mark.parametrize(
    ("target", "chip", "divider", "erased"),
    [
        (bare_metal.F746, "0x0449", "139", 32_768),
        (bare_metal.L4R5, "0x0470", "8888", 65_536),
    ],
    ids=["stm32f746", "stm32l4r5"],
)
def test_stm32flash_writes_verifies_reads_erases_and_starts(
    start: Start, tmp_path: Path, target: bare_metal.Target, chip: str, divider: str, erased: int
) -> None:
    board = load_board(target.board)
    info = start(boot0=True, board=board)
    assert chip in stm32flash(info)
    image = bare_metal.build(PLAIN_ECHO.replace("DIVIDER", divider), target=target)
    image = image.ljust(70_000, b"\x5a")
    (tmp_path / "image.bin").write_bytes(image)
    assert "(100.00%)" in stm32flash(info, "-w", str(tmp_path / "image.bin"), "-v")
    assert info.flash.read_bytes()[: len(image)] == image
    stm32flash(info, "-r", str(tmp_path / "back.bin"), "-S", f"0x08000000:{len(image)}")
    assert (tmp_path / "back.bin").read_bytes() == image
    assert "done." in stm32flash(info, "-g", "0x08000000")
    with port(info) as line:
        assert echoed(line)
    virtual.stop(info.board, state_dir=state_of(info))
    again = start(board=board)  # the flash is still there
    with port(again) as line:
        assert echoed(line)
    virtual.reset(again.board, boot0=True, state_dir=state_of(again))
    stm32flash(again, "-o", "-S", "0x08000000:32768")
    flash = again.flash.read_bytes()
    assert flash[:erased] == b"\xff" * erased
    assert flash[erased:70_000] == image[erased:]
