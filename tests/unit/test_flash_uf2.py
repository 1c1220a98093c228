"""UF2: the format, what a cut leaves, and copying to a bootloader's disk (a folder and a mount
table stand for it)."""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_autoglm.errors import FlashError
from edge_autoglm.flash import uf2
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.uf2 import FILE, program, to_uf2
from edge_boards.board import Programmer
from edge_boards.loader import load_board

LABEL = "RPI-RP2"
PICO = 0xE48B_FF56
BASE = 0x1000_0000
IMAGE = bytes(range(256)) * 40 + b"end"

images = st.binary(min_size=1, max_size=5000)
addresses = st.integers(0, 0xFF_FFFF).map(lambda page: page * 256)


@dataclass(frozen=True)
class Block:
    """A block after the format's own description (github.com/microsoft/uf2)."""

    address: int
    number: int
    count: int
    family: int
    data: bytes


def blocks_of(content: bytes) -> Iterator[Block]:
    assert len(content) % 512 == 0
    for at in range(0, len(content), 512):
        block = content[at : at + 512]
        first, second, flags, address, size, number, count, family = struct.unpack(
            "<8I", block[:32]
        )
        assert (first, second) == (0x0A324655, 0x9E5D5157)
        assert struct.unpack("<I", block[508:])[0] == 0x0AB16F30
        assert flags == 0x2000
        assert size == 256
        assert block[32 + size : 508] == bytes(476 - size)
        yield Block(address, number, count, family, block[32 : 32 + size])


class PicoRom:
    """What RP2040's and RP2350's ROMs do with blocks (pico-bootrom, virtual_disk.c): a sector is
    erased when the first block of it comes; the chip starts once all are there."""

    def __init__(self, flash: bytearray) -> None:
        self.flash = flash
        self.erased: set[int] = set()
        self.valid: set[int] = set()
        self.started = False

    def take(self, block: Block) -> None:
        offset = block.address - BASE
        sector = offset // 4096
        if sector not in self.erased:
            self.flash[sector * 4096 : (sector + 1) * 4096] = b"\xff" * 4096
            self.erased.add(sector)
        old = self.flash[offset : offset + 256]
        self.flash[offset : offset + 256] = bytes(
            a & b for a, b in zip(old, block.data, strict=True)
        )
        self.valid.add(block.number)
        self.started = len(self.valid) == block.count


@given(images, addresses, st.integers(0, 0xFFFF_FFFF), st.booleans())
def test_an_image_comes_out_as_it_went_in(
    image: bytes, address: int, family: int, head_last: bool
) -> None:
    blocks = list(blocks_of(to_uf2(image, address, family, head_last=head_last)))
    flash = {block.address: block.data for block in blocks}
    whole = b"".join(flash[each] for each in sorted(flash))
    assert whole[: len(image)] == image
    assert set(whole[len(image) :]) <= {0xFF}
    assert sorted(flash) == list(range(address, address + len(whole), 256))
    assert {block.family for block in blocks} == {family}
    assert {block.count for block in blocks} == {len(blocks)}
    assert {block.address: block.number for block in blocks} == {
        address + number * 256: number for number in range(len(blocks))
    }


@given(images, st.data())
def test_a_cut_leaves_a_pico_without_a_first_page(image: bytes, data: st.DataObject) -> None:
    old = bytearray(b"\x5a" * 8192)
    rom = PicoRom(old)
    blocks = list(blocks_of(to_uf2(image, BASE, PICO, head_last=True)))
    kept = data.draw(st.integers(0, len(blocks)))
    for block in blocks[:kept]:
        rom.take(block)
    if kept == len(blocks):
        assert rom.started
        assert bytes(rom.flash[: len(image)]) == image
    else:
        assert not rom.started
        # Nothing was touched, or there is no boot code that its checksum would let run.
        assert kept == 0 or rom.flash[:256] == b"\xff" * 256


def test_an_address_within_a_page_is_refused() -> None:
    with pytest.raises(FlashError, match="0x10000004"):
        to_uf2(b"x", BASE + 4, PICO)


class Disk:
    """A bootloader's disk; `takes` plays the bootloader."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = root / "media" / LABEL
        self.mounts = root / "mounts"
        self.mounts.write_text("proc /proc proc rw 0 0\n", encoding="utf-8")
        monkeypatch.setattr("edge_autoglm.flash.disks.MOUNTS", self.mounts)

    def mount(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.mounts.write_text(f"/dev/sdb1 {self.folder} vfat rw 0 0\n", encoding="utf-8")

    def unmount(self) -> None:
        self.mounts.write_text("proc /proc proc rw 0 0\n", encoding="utf-8")

    def takes(self, size: int) -> threading.Thread:
        def bootloader() -> None:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                file = self.folder / FILE
                if file.exists() and file.stat().st_size == size:
                    time.sleep(0.1)
                    self.unmount()
                    return
                time.sleep(0.01)

        thread = threading.Thread(target=bootloader)
        thread.start()
        return thread


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(tmp_path, monkeypatch)


def job(**changes: object) -> Job:
    entry = Programmer("uf2", volume=LABEL, target="0xe48bff56")
    return replace(
        Job(load_board("stm32f746"), entry, IMAGE, BASE, None), **changes  # type: ignore[arg-type]
    )  # fmt: skip


def test_the_image_is_copied_and_the_bootloader_awaited(disk: Disk) -> None:
    disk.mount()
    content = to_uf2(IMAGE, BASE, PICO, head_last=True)
    thread = disk.takes(len(content))
    told: list[tuple[int, int]] = []
    program(job(progress=lambda done, total: told.append((done, total))))
    thread.join()
    assert (disk.folder / FILE).read_bytes() == content
    assert told[-1] == (len(IMAGE), len(IMAGE))


def test_another_bootloader_gets_its_blocks_in_order(disk: Disk) -> None:
    disk.mount()
    content = to_uf2(IMAGE, BASE, 0xADA52840)
    thread = disk.takes(len(content))
    program(job(programmer=Programmer("uf2", volume=LABEL, target="0xada52840")))
    thread.join()
    assert (disk.folder / FILE).read_bytes() == content


def test_a_disk_that_stays_did_not_take_the_image(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uf2, "_LEAVE_SECONDS", 0.3)
    disk.mount()
    with pytest.raises(FlashError, match=r"still there.*family 0xe48bff56.*BOOTSEL"):
        program(job())


def test_without_a_disk_the_buttons_are_named(disk: Disk) -> None:
    assert not disk.folder.exists()
    with pytest.raises(FlashError, match=f"no disk called {LABEL} .*BOOTSEL"):
        program(job())


def test_a_full_disk_is_named(disk: Disk) -> None:
    disk.mount()
    (disk.folder / FILE).symlink_to("/dev/full")
    with pytest.raises(FlashError, match="it has no room"):
        program(job())


def test_a_disk_that_goes_away_in_mid_copy_says_what_the_board_holds(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.mount()

    def gone(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", gone)
    with pytest.raises(FlashError, match=r"the copy was cut .*no whole image now"):
        program(job())


def test_a_board_that_starts_before_the_system_is_done_is_no_failure(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.mount()

    def gone(_descriptor: int) -> None:
        disk.unmount()
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", gone)
    program(job())


def test_a_target_that_is_no_family_is_named(disk: Disk) -> None:
    disk.mount()
    with pytest.raises(FlashError, match=r"'pico'.*0xe48bff56"):
        program(job(programmer=Programmer("uf2", volume=LABEL, target="pico")))


def test_a_running_arduino_is_brought_into_its_bootloader(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = os.openpty()
    touched: list[str] = []

    def touch(port: str) -> None:
        touched.append(port)
        threading.Timer(0.3, disk.mount).start()

    monkeypatch.setattr(uf2, "touch", touch)
    thread = disk.takes(len(to_uf2(IMAGE, BASE, PICO)))
    program(job(port=os.ttyname(line[1])))
    thread.join()
    assert touched == [os.ttyname(line[1])]
    for end in line:
        os.close(end)


def test_a_board_named_by_its_port_is_not_the_one_whose_disk_was_there(
    disk: Disk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk.mount()
    second = tmp_path / "media" / f"{LABEL}1"

    def touch(_port: str) -> None:
        second.mkdir()
        with disk.mounts.open("a", encoding="utf-8") as mounts:
            mounts.write(f"/dev/sdc1 {second} vfat rw 0 0\n")

    monkeypatch.setattr(uf2, "touch", touch)
    monkeypatch.setattr(uf2, "_LEAVE_SECONDS", 0.2)
    with pytest.raises(FlashError, match="still there"):
        program(job(port="/dev/ttyACM0"))
    assert (second / FILE).exists()
    assert not (disk.folder / FILE).exists()


def test_two_disks_of_one_label_are_told_apart_by_serial_number(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks = tmp_path / "class" / "block"
    blocks.mkdir(parents=True)
    lines = []
    for number, serial in enumerate(("E660A", "E660B")):
        device = tmp_path / "usb" / f"1-{number}"
        part = device / "host" / "block" / f"sd{'bc'[number]}" / f"sd{'bc'[number]}1"
        part.mkdir(parents=True)
        (device / "idVendor").write_text("2e8a\n")
        (device / "serial").write_text(f"{serial}\n")
        (blocks / part.name).symlink_to(part)
        folder = tmp_path / str(number) / (LABEL if number == 0 else f"{LABEL}1")
        folder.mkdir(parents=True)
        lines.append(f"/dev/{part.name} {folder} vfat rw 0 0\n")
    disk.mounts.write_text("".join(lines), encoding="utf-8")
    monkeypatch.setattr("edge_autoglm.flash.disks.BLOCKS", blocks)
    with pytest.raises(FlashError, match=r"several disks .*E660A; .*E660B.*--probe SERIAL"):
        program(job())
    monkeypatch.setattr(uf2, "_LEAVE_SECONDS", 0.2)
    with pytest.raises(FlashError, match="still there"):
        program(job(probe="E660B"))
    assert (tmp_path / "1" / f"{LABEL}1" / FILE).exists()
    assert not (tmp_path / "0" / LABEL / FILE).exists()
