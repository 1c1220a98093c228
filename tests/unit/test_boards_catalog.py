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


def test_the_nucleo_f746zg_is_the_discovery_boards_chip_with_other_wiring() -> None:
    board, other = load_board("nucleo-f746zg"), load_board("stm32f746")
    assert board.soc.chip_id == other.soc.chip_id == 0x449
    assert (board.memories, board.core) == (other.memories, other.core)
    assert (board.clock.oscillator, board.clock.oscillator_hz) == ("hse-bypass", 8_000_000)
    console = board.link("console")
    assert (console.peripheral, console.tx, console.rx, console.alternate) == (
        *("USART3", "PD8", "PD9"),
        7,
    )


def test_the_nucleo_l4r5zi_has_the_facts_of_its_manuals() -> None:
    board = load_board("nucleo-l4r5zi")
    assert (board.core.name, board.core.fpu, board.has("dsp")) == ("cortex-m4", "fpv4-sp-d16", True)
    assert board.clock.hz == 120_000_000
    assert sum(m.size for m in board.memories if m.writable) == 640 * 1024
    assert board.memory("sram2").end == 0x1001_0000
    assert board.memory("sram3").address == 0x2004_0000
    assert board.flash.sectors == (4_096,) * 512
    console = board.link("console")
    assert (console.peripheral, console.tx, console.rx, console.alternate) == (
        *("LPUART1", "PG7", "PG8"),
        8,
    )
