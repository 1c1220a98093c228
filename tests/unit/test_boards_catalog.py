"""Every shipped board file loads, and says what its documents say."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_boards import data_path, load_board
from edge_boards.board import STACK_GUARD_BYTES
from edge_boards.loader import list_boards, read_board

SHIPPED = sorted(data_path("catalog").glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.stem)
def test_a_shipped_board_loads_and_its_stack_fits(path: Path) -> None:
    board = read_board(path)
    assert board.name == path.stem
    assert board.stack.size + STACK_GUARD_BYTES <= board.ram.reserved
    assert board.flash.contains(board.flash.address, board.flash.size)
    assert all(p.source for p in board.power)


def test_names_and_aliases_of_shipped_boards_are_unique() -> None:
    names = [name for b in list_boards() for name in (b.name, *b.aliases)]
    assert len(names) == len(set(names))


def test_the_discovery_board_has_the_facts_of_its_manuals() -> None:
    board = load_board("stm32f746")
    assert board.core.fpu == "fpv5-sp-d16"
    assert board.has("dsp")
    assert not board.has("mve")
    assert (board.memory("dtcm").address, board.memory("dtcm").size) == (0x2000_0000, 65_536)
    assert board.memory("sram").end == 0x2005_0000
    assert board.flash.sectors[:5] == (32_768,) * 4 + (131_072,)
    assert (board.link("console").tx, board.link("console").rx) == ("PA9", "PB7")
    assert board.link("bootloader").rx == "PA10"
    assert board.code_address == 0x0800_0000
    assert board.clock.hz == 216_000_000
