"""One linker script, made from the board, that GNU ld and lld place alike."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import pytest
from mini_firmware import make_firmware, make_model

from edge_boards import load_board
from edge_boards.board import STACK_GUARD_BYTES, Board, Execution
from edge_boards.elf import Elf
from edge_boards.errors import ToolchainError
from edge_boards.toolchain import BuildRequest, Toolchain, build_image, find_toolchain
from edge_boards.toolchain.linker import linker_script

BOARD = load_board("stm32f746")


@pytest.fixture(params=["gcc", "zig"])
def toolchain(request: pytest.FixtureRequest) -> Toolchain:
    try:
        return find_toolchain(BOARD, request.param)
    except ToolchainError as error:
        pytest.skip(str(error))


def build(
    folder: Path, toolchain: Toolchain, board: Board = BOARD, **firmware: str
) -> tuple[Elf, bytes]:
    request = BuildRequest(
        board,
        "mini",
        (make_model(folder / "model"),),
        folder / "out",
        firmware=make_firmware(folder / "firmware", **firmware),
    )
    image = build_image(request, toolchain)
    return Elf.load(image.elf), image.binary.read_bytes()


def words(elf: Elf, binary: bytes, start: str, end: str) -> tuple[int, ...]:
    low, high = (elf.symbol(name).value - BOARD.flash.address for name in (start, end))
    return struct.unpack(f"<{(high - low) // 4}I", binary[low:high])


def test_the_script_depends_on_the_board_alone() -> None:
    moved = dataclasses.replace(BOARD, path=Path("elsewhere.toml"))
    assert linker_script(BOARD) == linker_script(moved)
    assert "dtcm (rwx) : ORIGIN = 0x20001020, LENGTH = 0xefe0" in linker_script(BOARD)


def test_each_section_lies_in_its_memory(tmp_path: Path, toolchain: Toolchain) -> None:
    elf, _ = build(tmp_path, toolchain)
    for section, memory, size in (
        (".weights.flash", "flash", 100),
        (".table.flash", "flash", 40),
        (".arena.dtcm", "dtcm", 1000),
        (".arena.sram", "sram", 2000),
        (".load.sram", "sram", 60),
        (".rings", "dtcm", 512),
        (".noinit", "dtcm", 4),
    ):
        found = elf.section(section)
        assert found is not None, section
        assert BOARD.memory(memory).contains(found.address, found.size), section
        assert found.size == size, section
    assert BOARD.memory("itcm").contains(elf.symbol("fast").address)
    assert BOARD.memory("dtcm").contains(elf.symbol("counter").address)


def test_the_stack_lies_under_all_data_with_room_for_the_guard(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    elf, binary = build(tmp_path, toolchain)
    limit, top = elf.symbol("eag_stack_limit").value, elf.symbol("eag_stack_top").value
    assert limit == BOARD.ram.address + STACK_GUARD_BYTES
    assert top - limit == BOARD.stack.size
    assert struct.unpack_from("<I", binary)[0] == top
    in_ram = [s for s in elf.sections if s.allocated and s.size and BOARD.ram.contains(s.address)]
    assert min(s.address for s in in_ram) >= top


def test_the_tables_copy_what_was_linked_and_clear_the_rest(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    elf, binary = build(tmp_path, toolchain)
    copies = words(elf, binary, "eag_copy_table_start", "eag_copy_table_end")
    memory: dict[int, int] = {}
    for source, target, size in zip(copies[::3], copies[1::3], copies[2::3], strict=True):
        at = source - BOARD.flash.address
        assert source % 4 == target % 4 == size % 4 == 0
        memory.update(enumerate(binary[at : at + size], target))
    counter = elf.symbol("counter").address
    assert [memory[counter + i] for i in range(4)] == [3, 0, 0, 0]
    values = elf.symbol("v").address
    assert [memory[values + i] for i in range(4)] == [4, 5, 6, 0]
    code = elf.symbol("fast")
    assert all(code.address + i in memory for i in range(code.size))
    zeros = words(elf, binary, "eag_zero_table_start", "eag_zero_table_end")
    cleared = {
        a for start, n in zip(zeros[::2], zeros[1::2], strict=True) for a in range(start, start + n)
    }
    assert elf.symbol("history").address in cleared
    assert elf.symbol("ring").address in cleared
    assert elf.symbol("boots").address not in cleared
    assert elf.symbol("near").address not in cleared
    assert not cleared & set(memory)


def test_an_image_without_data_has_its_exact_length(tmp_path: Path, toolchain: Toolchain) -> None:
    elf, binary = build(tmp_path, toolchain, app="int main(void);\nint main(void) { return 0; }\n")
    assert elf.symbol("eag_image_bytes").value == len(binary)
    assert struct.unpack_from("<I", binary, 20)[0] == len(binary)


def test_code_can_be_linked_to_run_from_another_alias_of_the_flash(
    tmp_path: Path, toolchain: Toolchain
) -> None:
    board = dataclasses.replace(BOARD, execution=Execution("itcm", True, False))
    elf, binary = build(tmp_path, toolchain, board)
    assert elf.symbol("eag_reset").address >> 20 == 0x002
    assert struct.unpack_from("<I", binary, 4)[0] == elf.symbol("eag_reset").value | 1
