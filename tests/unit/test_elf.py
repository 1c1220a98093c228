"""The ELF reader: what it reads is what the tools read; garbage is an error, never a crash."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mini_firmware import make_firmware, make_model

from edge_boards import ImageError, load_board
from edge_boards.elf import Elf
from edge_boards.toolchain import BuildRequest, Image, build_image, find_toolchain


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    folder = tmp_path_factory.mktemp("elf")
    board = load_board("stm32f746")
    request = BuildRequest(
        board,
        "mini",
        (make_model(folder / "model"),),
        folder / "out",
        firmware=make_firmware(folder / "firmware"),
    )
    return build_image(request, find_toolchain(board, "zig"))


def test_functions_sections_and_bytes_are_found(image: Image) -> None:
    elf = Elf.load(image.elf)
    reset = elf.symbol("eag_reset")
    assert elf.entry & ~1 == reset.address
    assert elf.function_at(reset.address + 2) == "eag_reset"
    section = elf.section(".image_info")
    assert section is not None
    assert elf.section_bytes(section)[:4] == b"EAG1"
    assert elf.find("no_such_symbol") is None
    with pytest.raises(ImageError, match="symbol no_such_symbol is missing"):
        elf.symbol("no_such_symbol")


def test_symbols_equal_those_that_nm_prints(image: Image) -> None:
    nm = shutil.which("arm-none-eabi-nm")
    if nm is None:
        pytest.skip("arm-none-eabi-nm is not installed")
    printed = subprocess.run([nm, str(image.elf)], capture_output=True, text=True, check=True)
    theirs = {(int(a, 16), n) for a, _, n in (line.split() for line in printed.stdout.splitlines())}
    ours = {(s.address, s.name) for s in Elf.load(image.elf).symbols if s.name}
    assert theirs <= ours
    assert all(name.startswith("$") or name.endswith(".c") for _, name in ours - theirs)


def test_the_flat_binary_equals_objcopys(image: Image, tmp_path: Path) -> None:
    objcopy = shutil.which("arm-none-eabi-objcopy")
    if objcopy is None:
        pytest.skip("arm-none-eabi-objcopy is not installed")
    flat = tmp_path / "flat.bin"
    subprocess.run([objcopy, "-O", "binary", str(image.elf), str(flat)], check=True)
    ours, theirs = image.binary.read_bytes(), flat.read_bytes()
    assert len(ours) == len(theirs)
    # Only the gaps between segments differ: erased flash there, zeros in objcopy's file.
    assert {(a, b) for a, b in zip(ours, theirs, strict=True) if a != b} <= {(0xFF, 0)}


def test_a_segment_outside_the_flash_is_refused(image: Image) -> None:
    elf = Elf.load(image.elf)
    with pytest.raises(ImageError, match="outside the flash"):
        elf.flat(0x0800_0000, 64)
    with pytest.raises(ImageError, match="outside the flash"):
        elf.flat(0x0800_1000, 1 << 20)


def read_everything(data: bytes) -> None:
    elf = Elf(data)
    _ = elf.symbols, elf.relocations, elf.functions
    for section in elf.sections:
        elf.section_bytes(section)
    elf.function_at(0x0800_0100)
    elf.flat(0x0800_0000, 1 << 20)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(image: Image, data: st.DataObject) -> None:
    damaged = bytearray(image.elf.read_bytes())
    header_heavy = st.one_of(st.integers(0, 51), st.integers(0, len(damaged) - 1))
    for at in data.draw(st.lists(header_heavy, max_size=12)):
        damaged[at] = data.draw(st.integers(0, 255))
    del damaged[data.draw(st.integers(0, len(damaged))) :]
    message = "read"
    try:
        read_everything(bytes(damaged))
    except ImageError as error:
        message = str(error)
    assert message == "read" or message.startswith("ELF image: ")


@given(data=st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    with pytest.raises(ImageError):
        read_everything(b"\x7fELF\x01\x01" + data)


def test_an_image_for_another_machine_is_refused(image: Image) -> None:
    data = bytearray(image.elf.read_bytes())
    data[18] = 62
    with pytest.raises(ImageError, match="machine 62"):
        Elf(bytes(data))
