"""The ROM bootloader's client against the virtual board's bootloader, over its pty."""

from __future__ import annotations

import random
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge_autoglm.device import ports
from edge_autoglm.device.transport import SerialTransport
from edge_autoglm.errors import FlashError, TransportError
from edge_autoglm.flash.choice import choose_programmer
from edge_autoglm.flash.flashing import flash_image
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.stm32_uart import NACK, Bootloader, program, sectors_of
from edge_boards import virtual
from edge_boards.board import Board
from edge_boards.loader import load_board

pytest.importorskip("unicorn", reason="the virtual board needs unicorn (edge-autoglm[virtual])")


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
    entry = next(each for each in board.programmers if each.name == "stm32-uart")
    job = Job(board, entry, image, board.flash.address, str(info.links["bootloader"]))
    return replace(job, **changes)  # type: ignore[arg-type]


class Faulty:
    """A transport that damages chosen writes and reads."""

    def __init__(self, inner: SerialTransport) -> None:
        self.inner = inner
        self.lose_writes: set[int] = set()
        self.flip_read_byte: int | None = None
        self.writes = 0

    name = "faulty line"
    baud = 115_200

    def read(self, timeout: float) -> bytes:
        data = self.inner.read(timeout)
        if self.flip_read_byte is not None and len(data) > self.flip_read_byte:
            at, self.flip_read_byte = self.flip_read_byte, None
            data = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        return data

    def write(self, data: bytes) -> None:
        self.writes += 1
        if self.writes in self.lose_writes:
            data = data[:-1]
        self.inner.write(data)

    def set_baud(self, baud: int) -> None:
        self.inner.set_baud(baud)

    def board_seconds(self) -> None:
        return None

    def close(self) -> None:
        self.inner.close()


def test_an_image_is_erased_written_and_read_back(board: Board, rom: virtual.VirtualInfo) -> None:
    image = image_of(board, 40_001)
    told: list[tuple[int, int]] = []
    program(job_for(board, rom, image, progress=lambda done, total: told.append((done, total))))
    assert rom.flash.read_bytes()[: len(image)] == image
    done = [each[0] for each in told]
    assert done == sorted(done)
    assert told[-1][0] == told[-1][1]


def test_only_the_sectors_that_the_image_touches_are_erased(
    board: Board, rom: virtual.VirtualInfo
) -> None:
    program(job_for(board, rom, image_of(board, 100_000, seed=1)))
    virtual.reset(board.name, boot0=True)
    program(job_for(board, rom, image_of(board, 1_000, seed=2)))
    flash = rom.flash.read_bytes()
    assert flash[:1_000] == image_of(board, 1_000, seed=2)
    assert set(flash[1_000:32_768]) == {0xFF}
    assert flash[32_768:100_000] == image_of(board, 100_000, seed=1)[32_768:]


def test_the_chip_is_checked_before_anything_is_erased(
    board: Board, rom: virtual.VirtualInfo
) -> None:
    program(job_for(board, rom, image_of(board, 4_000)))
    virtual.reset(board.name, boot0=True)
    other = replace(board, soc=replace(board.soc, chip_id=0x413))
    with pytest.raises(FlashError, match="has id 0x449, a STM32F746G-DISCO has 0x413"):
        program(job_for(other, rom, image_of(board, 4_000, seed=9)))
    assert rom.flash.read_bytes()[:4_000] == image_of(board, 4_000)


def test_a_board_without_boot0_high_is_told_how_to_wire_it(
    board: Board, rom: virtual.VirtualInfo
) -> None:
    virtual.reset(board.name, boot0=False)
    with pytest.raises(FlashError, match=r"does not answer; .* its TX to PA10.*BOOT0 high"):
        program(job_for(board, rom, image_of(board, 100)))


def test_lost_bytes_are_sent_again(board: Board, rom: virtual.VirtualInfo) -> None:
    flash = board.flash.address
    with SerialTransport(str(rom.links["bootloader"])) as serial:
        line = Faulty(serial)
        bootloader = Bootloader(line, timeout=0.3)
        bootloader.sync()
        assert bootloader.get_id() == 0x449
        bootloader.erase([0])
        # Of the command, of the address, of the data: each message of a write once.
        for message in (1, 2, 3):
            line.lose_writes = {line.writes + message}
            bootloader.write(flash + 256 * message, bytes(range(256)))
        assert bootloader.read(flash + 256, 256) == bytes(range(256))
        assert bootloader.read(flash + 768, 256) == bytes(range(256))


def test_flash_that_reads_back_different_is_named_by_address(
    board: Board, rom: virtual.VirtualInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_for(board, rom, image_of(board, 2_000))
    read = Bootloader.read

    def wrong(self: Bootloader, address: int, size: int) -> bytes:
        data = read(self, address, size)
        return data[:5] + bytes([data[5] ^ 0x80]) + data[6:] if address & 0xFF00 else data

    monkeypatch.setattr(Bootloader, "read", wrong)
    with pytest.raises(FlashError, match="flash at 0x08000105 reads"):
        program(job)


@pytest.mark.parametrize("problem", [KeyboardInterrupt, TransportError, FlashError])
@pytest.mark.parametrize("written", [0.05, 0.5, 1.0, 1.5, 1.99])
def test_a_flashing_that_was_cut_leaves_nothing_that_starts(
    written: float, problem: type[BaseException], board: Board, rom: virtual.VirtualInfo
) -> None:
    """`written`: 1 is all written and nothing read back, 2 is all."""
    program(job_for(board, rom, image_of(board, 3_000, seed=1)))
    virtual.reset(board.name, boot0=True)
    image = image_of(board, 3_000, seed=2)

    def cut(done: int, _total: int) -> None:
        if done >= written * len(image):
            raise problem("the cable")

    with pytest.raises(problem, match="no whole image now"):
        program(job_for(board, rom, image, progress=cut))
    assert rom.flash.read_bytes()[:8] == b"\xff" * 8
    virtual.reset(board.name)
    assert "the flash is erased and holds no image" in wait_for_stop(rom)
    virtual.reset(board.name, boot0=True)
    program(job_for(board, rom, image))
    assert rom.flash.read_bytes()[: len(image)] == image
    time.sleep(0.05)
    assert virtual.control(rom, {"op": "status"})["state"] == "running"


def wait_for_stop(info: virtual.VirtualInfo) -> str:
    """The virtual board's own words."""
    deadline = time.monotonic() + 30
    while (said := virtual.control(info, {"op": "status"})["stopped"]) is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return str(said)


class Line:
    """A line whose far end says the same to every look: `word` once a message, or without end."""

    name, baud = "line", 115_200

    def __init__(self, word: bytes, *, endless: bool = False) -> None:
        self.word, self.endless, self.waiting = word, endless, b""

    def write(self, data: bytes) -> None:
        self.waiting = self.word if data else b""

    def read(self, timeout: float) -> bytes:
        if self.endless:
            time.sleep(min(timeout, 0.001))
            return self.word
        said, self.waiting = self.waiting, b""
        return said

    def set_baud(self, baud: int) -> None: ...
    def board_seconds(self) -> None: ...
    def close(self) -> None: ...


def test_a_read_protected_chip_is_named_with_what_lifts_it() -> None:
    rom = Bootloader(Line(bytes([NACK])), timeout=0.1)
    with pytest.raises(FlashError, match=r"refused command 0x44.*read-protected.*stm32flash -k"):
        rom.erase([0])
    with pytest.raises(FlashError, match=r"refused command 0x02$"):
        rom.get_id()


def test_a_line_on_which_something_else_talks_without_end_is_given_up() -> None:
    with pytest.raises(FlashError, match="does not answer"):
        Bootloader(Line(b"$GPGGA,", endless=True)).sync(attempts=2)


def test_an_st_link_console_is_refused_and_says_why(
    board: Board, rom: virtual.VirtualInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = str(rom.links["bootloader"])
    probe = SimpleNamespace(device=port, vid=0x0483, pid=0x374B)
    monkeypatch.setattr(ports.list_ports, "comports", lambda **_: [probe])
    with pytest.raises(FlashError, match=r"0483:374B\), wired to PA9/PB7, .* listens at PA10"):
        program(job_for(board, rom, image_of(board, 100)))


def test_without_a_port_the_wiring_is_said(board: Board, rom: virtual.VirtualInfo) -> None:
    with pytest.raises(FlashError, match="needs --port"):
        program(job_for(board, rom, b"1234", port=None))


class TestSectors:
    @pytest.mark.parametrize(
        ("offset", "size", "wanted"),
        [
            (0, 1, (0,)),
            (0, 32_768, (0,)),
            (0, 32_769, (0, 1)),
            (32_767, 2, (0, 1)),
            (0, 262_145, (0, 1, 2, 3, 4, 5)),
            (1_048_575, 1, (7,)),
        ],
    )
    def test_they_follow_the_reference_manual(
        self, board: Board, offset: int, size: int, wanted: tuple[int, ...]
    ) -> None:
        assert sectors_of(board.flash, board.flash.address + offset, size) == wanted

    def test_an_image_outside_the_flash_is_refused(self, board: Board) -> None:
        with pytest.raises(FlashError, match="does not fit flash"):
            sectors_of(board.flash, board.flash.address, board.flash.size + 1)

    def test_a_board_file_without_sectors_is_named(self, board: Board) -> None:
        with pytest.raises(FlashError, match="lists no sectors"):
            sectors_of(replace(board.flash, sectors=()), board.flash.address, 4)


class TestChoice:
    def test_an_unknown_programmer_lists_the_boards_own(self, board: Board) -> None:
        with pytest.raises(
            FlashError, match=r"no programmer jtag; .* mass-storage, openocd, st-flash, stm32-uart"
        ):
            choose_programmer(board, "auto", "jtag")

    def test_an_image_larger_than_the_flash_is_refused(self, board: Board, tmp_path: Path) -> None:
        binary = tmp_path / "big.bin"
        binary.write_bytes(bytes(board.flash.size + 4))
        with pytest.raises(FlashError, match="1048576 bytes of flash"):
            flash_image(
                board,
                SimpleNamespace(elf=binary, binary=binary, build_id=b"", project=None),
                "virtual",
            )
