"""The real esptool against a loader that speaks as an ESP32's ROM does (tests/esp_rom.py)."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from esp_rom import EspRom

from edge_autoglm.errors import FlashError
from edge_autoglm.flash.esptool import framework_parts, program
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.programmers import PROGRAMMERS
from edge_autoglm.flash.runner import ToolError
from edge_autoglm.flash.tool import ToolMissingError, find_tool
from edge_boards.board import Programmer
from edge_boards.loader import load_board

TOOL = PROGRAMMERS["esptool"].tool
assert TOOL is not None
try:
    FOUND = find_tool(TOOL)
except ToolMissingError as error:
    pytest.skip(f"esptool: {error}", allow_module_level=True)

APPLICATION = 0x10000
IMAGE = random.Random(1).randbytes(70_001)


@pytest.fixture
def rom() -> Iterator[EspRom]:
    with EspRom() as made:
        yield made


def job(rom: EspRom, **changes: object) -> Job:
    entry = Programmer("esptool", link="console", target="esp32")
    made = Job(load_board("stm32f746"), entry, IMAGE, APPLICATION, rom.port, tool=FOUND)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_application_is_written_where_it_belongs(rom: EspRom) -> None:
    told: list[tuple[int, int]] = []
    program(job(rom, progress=lambda done, total: told.append((done, total))))
    assert rom.flash[APPLICATION : APPLICATION + len(IMAGE)] == IMAGE
    assert set(rom.flash[:APPLICATION]) == {0xFF}
    done = [each[0] for each in told]
    assert done == sorted(done)
    assert len(done) > 3
    assert told[-1] == (len(IMAGE), len(IMAGE))


def partition(kind: int, subtype: int, start: int, size: int, label: str) -> bytes:
    """An entry after ESP-IDF's "Partition Tables"."""
    return struct.pack("<HBBII16sI", 0x50AA, kind, subtype, start, size, label.encode(), 0)


TABLE = (
    partition(1, 2, 0x9000, 0x5000, "nvs")
    + partition(1, 0, 0xE000, 0x2000, "otadata")
    + partition(0, 0x10, APPLICATION, 0x140000, "app0")
    + b"\xeb\xeb" + bytes(30)
).ljust(0xC00, b"\xff")  # fmt: skip


def built_by_a_framework(folder: Path, bootloader: bytes, table: bytes = TABLE) -> Path:
    """A build folder as PlatformIO leaves it; gives the ELF's path."""
    (folder / "bootloader.bin").write_bytes(bootloader)
    (folder / "partitions.bin").write_bytes(table)
    return folder / "firmware.elf"


def test_what_a_framework_brings_is_written_too(rom: EspRom, tmp_path: Path) -> None:
    bootloader = random.Random(2).randbytes(20_000)
    rom.flash[0x9000:0x10000] = b"\x55" * 0x7000
    program(job(rom, elf=built_by_a_framework(tmp_path, bootloader)))
    assert rom.flash[0x1000 : 0x1000 + len(bootloader)] == bootloader
    assert rom.flash[0x8000 : 0x8000 + len(TABLE)] == TABLE
    assert rom.flash[APPLICATION : APPLICATION + len(IMAGE)] == IMAGE
    # An update of long ago must not start in its place; what a program has stored is kept.
    assert set(rom.flash[0xE000:0x10000]) == {0xFF}
    assert set(rom.flash[0x9000:0xE000]) == {0x55}


def test_a_chip_of_the_newer_kind_has_its_bootloader_at_the_beginning(tmp_path: Path) -> None:
    with EspRom() as rom:
        entry = Programmer("esptool", link="console", target="esp32c3")
        parts = framework_parts(
            job(rom, programmer=entry, elf=built_by_a_framework(tmp_path, b"boot"))
        )
    assert parts[0] == (0, b"boot")


def test_a_partition_table_for_another_place_is_refused(rom: EspRom, tmp_path: Path) -> None:
    other = partition(0, 0x10, 0x20000, 0x140000, "app0")
    with pytest.raises(FlashError, match=r"no application at 0x10000 \(at 0x20000\)"):
        program(job(rom, elf=built_by_a_framework(tmp_path, b"boot", other)))


def test_another_chip_is_refused_before_anything_is_erased() -> None:
    with EspRom("esp32s2") as rom:
        rom.flash[APPLICATION : APPLICATION + 4] = b"kept"
        with pytest.raises(ToolError, match=r"another chip .*--board") as caught:
            program(job(rom))
        assert "nothing was written" in str(caught.value)
        assert rom.flash[APPLICATION : APPLICATION + 4] == b"kept"


def test_a_chip_that_is_not_in_its_loader_is_told_which_button() -> None:
    with EspRom(silent=True) as rom, pytest.raises(ToolError, match=r"hold BOOT .*reset"):
        program(job(rom))


def test_a_line_that_goes_dead_half_way_says_what_the_board_holds(rom: EspRom) -> None:
    rom.stop_after = 20
    with pytest.raises(ToolError, match="half an image now"):
        program(job(rom))
    rom.stop_after = None
    program(job(rom))
    assert rom.flash[APPLICATION : APPLICATION + len(IMAGE)] == IMAGE
