"""The real esptool against a loader that speaks as an ESP32's ROM does (tests/esp_rom.py)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from esp_rom import EspRom

from edge_autoglm.flash.esptool import program
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


def test_what_a_framework_brings_is_written_too(rom: EspRom) -> None:
    boot, table = random.Random(2).randbytes(20_000), random.Random(3).randbytes(3072)
    program(job(rom, parts=((0x1000, boot), (0x8000, table))))
    assert rom.flash[0x1000 : 0x1000 + len(boot)] == boot
    assert rom.flash[0x8000 : 0x8000 + len(table)] == table
    assert rom.flash[APPLICATION : APPLICATION + len(IMAGE)] == IMAGE


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
