"""The real stm32flash against the ROM bootloader of the virtual board, over its pty."""

from __future__ import annotations

import os
import random
import shutil
import signal
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edge_autoglm.errors import FlashError, TransportError
from edge_autoglm.flash.choice import choose_programmer
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.programmers import PROGRAMMERS
from edge_autoglm.flash.runner import ToolError
from edge_autoglm.flash.stm32flash import arguments, program
from edge_autoglm.flash.tool import find_tool
from edge_boards import virtual
from edge_boards.board import Board
from edge_boards.loader import load_board

pytest.importorskip("unicorn", reason="the virtual board needs unicorn (edge-autoglm[virtual])")
if shutil.which("stm32flash") is None:
    pytest.skip("stm32flash is not installed", allow_module_level=True)


@pytest.fixture(scope="module")
def board() -> Board:
    return load_board("stm32f746")


@pytest.fixture
def rom(
    board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[virtual.VirtualInfo]:
    """A virtual board that was reset with BOOT0 high."""
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path / "state"))
    info = virtual.start(board, boot0=True)
    yield info
    virtual.stop(board.name)


def image_of(board: Board, size: int, seed: int = 1) -> bytes:
    """A vector table, an endless loop, and bytes that are easy to tell apart."""
    start = board.flash.address + 8
    head = struct.pack("<IIHH", 0x2000_8000, start | 1, 0xE7FE, 0xBF00)
    return head + random.Random(seed).randbytes(size - len(head))


def job_for(board: Board, info: virtual.VirtualInfo, image: bytes, **changes: object) -> Job:
    choice = choose_programmer(board, str(info.links["bootloader"]), "stm32flash")
    job = Job(board, choice.entry, image, board.flash.address, choice.port, tool=choice.tool)
    return replace(job, **changes)  # type: ignore[arg-type]


def state(info: virtual.VirtualInfo) -> str:
    return str(virtual.control(info, {"op": "status"})["state"])


def after_reset(board: Board, info: virtual.VirtualInfo) -> str:
    """What a start from flash comes to: why the board stopped, or its state a second later."""
    virtual.reset(board.name)
    for _ in range(20):
        status = virtual.control(info, {"op": "status"})
        if status["stopped"] is not None:
            return str(status["stopped"])
        time.sleep(0.05)
    return str(status["state"])


@pytest.mark.parametrize("size", [100, 256, 257, 100_001])
def test_an_image_is_written_and_started(size: int, board: Board, rom: virtual.VirtualInfo) -> None:
    image = image_of(board, size)
    told: list[tuple[int, int]] = []
    program(job_for(board, rom, image, progress=lambda done, total: told.append((done, total))))
    assert rom.flash.read_bytes()[:size] == image
    done = [each[0] for each in told]
    assert done == sorted(done)
    assert told[-1] == (size, size)
    assert state(rom) == "running"


def test_a_second_image_replaces_the_first_whole(board: Board, rom: virtual.VirtualInfo) -> None:
    program(job_for(board, rom, image_of(board, 60_000, seed=1)))
    virtual.reset(board.name, boot0=True)
    program(job_for(board, rom, image_of(board, 1_000, seed=2)))
    flash = rom.flash.read_bytes()
    assert flash[:1_000] == image_of(board, 1_000, seed=2)
    assert set(flash[1_000:32_768]) == {0xFF}


def test_a_real_boards_line_has_even_parity(board: Board) -> None:
    entry = next(each for each in board.programmers if each.name == "stm32flash")
    job = Job(board, entry, b"", board.flash.address, "/dev/ttyUSB0")
    assert arguments(job) == ["-m", "8e1", "-b", "115200", "/dev/ttyUSB0"]


def test_another_chip_is_refused_before_anything_is_erased(
    board: Board, rom: virtual.VirtualInfo
) -> None:
    program(job_for(board, rom, image_of(board, 4_000)))
    virtual.reset(board.name, boot0=True)
    other = replace(board, soc=replace(board.soc, chip_id=0x413))
    with pytest.raises(FlashError, match="has id 0x449, a STM32F746G-DISCO has 0x413"):
        program(replace(job_for(board, rom, image_of(board, 4_000, seed=9)), board=other))
    assert rom.flash.read_bytes()[:4_000] == image_of(board, 4_000)


def test_a_board_without_boot0_high_is_told_so(board: Board, rom: virtual.VirtualInfo) -> None:
    virtual.reset(board.name, boot0=False)
    with pytest.raises(ToolError, match=r"does not answer at .* BOOT0 high") as caught:
        program(job_for(board, rom, image_of(board, 100)))
    assert "nothing was written" in str(caught.value)


def test_a_read_protected_chip_is_told_what_lifts_it(
    board: Board, rom: virtual.VirtualInfo
) -> None:
    tool = PROGRAMMERS["stm32flash"].tool
    assert tool is not None
    port = str(rom.links["bootloader"])
    os.spawnv(os.P_WAIT, find_tool(tool).command[0], ["stm32flash", "-m", "8n1", "-j", port])
    with pytest.raises(ToolError, match=r"read-protected \(RDP\).*stm32flash -k"):
        program(job_for(board, rom, image_of(board, 100)))


def test_a_port_that_somebody_holds_is_named_before_the_tool_starts(
    board: Board, rom: virtual.VirtualInfo
) -> None:
    import serial

    job = job_for(board, rom, image_of(board, 100))
    with (
        serial.Serial(str(rom.links["bootloader"]), exclusive=True),
        pytest.raises(TransportError, match="busy"),
    ):
        program(job)


def kill_tool() -> None:
    """Ends the stm32flash that this process started, as a crash or `kill -9` does."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rsplit(")", 1)
            except OSError:
                continue
            if fields[0].endswith("(stm32flash") and int(fields[1].split()[1]) == os.getpid():
                os.kill(int(folder.name), signal.SIGKILL)


def ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(
    ("cut", "error", "part"),
    [(kill_tool, ToolError, 0.05), (kill_tool, ToolError, 0.9), (ctrl_c, KeyboardInterrupt, 0.5)],
)
def test_what_a_cut_leaves_never_starts_and_can_be_flashed_again(
    cut: Callable[[], None],
    error: type[BaseException],
    part: float,
    board: Board,
    rom: virtual.VirtualInfo,
) -> None:
    program(job_for(board, rom, image_of(board, 100_000, seed=1)))
    assert after_reset(board, rom) == "running"
    virtual.reset(board.name, boot0=True)
    image = image_of(board, 100_000, seed=2)
    cuts: list[int] = []

    def half_way(done: int, total: int) -> None:
        if done >= part * total and not cuts:
            cuts.append(done)
            cut()

    with pytest.raises(error, match="holds no whole image now and does not start one"):
        program(job_for(board, rom, image, progress=half_way))
    assert cuts
    flash = rom.flash.read_bytes()
    assert flash[:8] == b"\xff" * 8
    assert flash[: len(image)] != image
    assert "the flash is erased" in after_reset(board, rom)
    virtual.reset(board.name, boot0=True)
    program(job_for(board, rom, image))
    assert rom.flash.read_bytes()[: len(image)] == image
    assert after_reset(board, rom) == "running"
