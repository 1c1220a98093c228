"""A board file must fit the chip that it names as its virtual model."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

import itertools

from edge_boards import schema
from edge_boards.board import Board, Memory, Serial, Virtual
from edge_boards.errors import VirtualBoardError
from edge_boards.loader import load_board
from edge_boards.virtual.soc import MODELS, soc_of

DISCO = load_board("stm32f746")


def with_memory(board: Board, name: str, **changes: object) -> Board:
    memories = tuple(
        replace(m, **changes) if m.name == name else m  # type: ignore[arg-type]
        for m in board.memories
    )
    return replace(board, memories=memories)


def with_link(board: Board, **changes: object) -> Board:
    console, *others = board.serial
    return replace(board, serial=(replace(console, **changes), *others))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("board", "words"),
    [
        (replace(DISCO, virtual=None), "has no virtual model; there are models of stm32"),
        (replace(DISCO, virtual=Virtual("stm32u5")), "its model, stm32u5, is none of them"),
        (with_memory(DISCO, "sram", size=524_288), "no memory of 524288 bytes at 0x20010000"),
        (with_memory(DISCO, "flash", size=524_288, sectors=()), "has 1048576 bytes of flash"),
        (with_memory(DISCO, "flash", sectors=(131_072,) * 8), "other flash sectors"),
        (with_memory(DISCO, "flash", aliases=(("x", 0x0100_0000),)), "at 0x01000000 (flash)"),
        (with_link(DISCO, peripheral="USART9"), "console: the virtual STM32F746 has no USART9"),
        (with_link(DISCO, tx="PB7"), "console: PB7 is no TX of USART1; that is on PA9, PB6"),
        (with_link(DISCO, rx="PB11"), "console: PB11 is no RX of USART1; that is on PA10, PB7"),
        (with_link(DISCO, protocol="an3155"), "does not listen there, but on USART1 PA9/PA10"),
    ],
)
def test_a_board_file_that_the_chip_does_not_fit_is_refused(board: Board, words: str) -> None:
    with pytest.raises(VirtualBoardError) as refused:
        soc_of(board)
    assert words in str(refused.value)


def test_board_files_may_name_the_models_that_there_are() -> None:
    assert {*MODELS, "qemu"} == set(schema.MODELS)


def test_memory_outside_the_chip_is_nobodys_business() -> None:
    sdram = Memory("sdram", "sdram", 0xC000_0000, 8 << 20)
    assert soc_of(replace(DISCO, memories=(*DISCO.memories, sdram))).name == "stm32f746"


@pytest.mark.parametrize("name", sorted(MODELS))
def test_a_model_is_consistent_with_itself(name: str) -> None:
    soc = MODELS[name]
    assert sum(soc.sectors) == soc.flash.size
    assert not soc.flash.writable
    assert all(m.writable for m in soc.memories[1:])
    taken = sorted((m.address, m.size) for m in (*soc.memories, *soc.aliases))
    assert all(a + size <= b for (a, size), (b, _) in itertools.pairwise(taken))
    assert all(0 <= uart.irq < soc.irqs for uart in soc.uarts)
    assert len({uart.irq for uart in soc.uarts}) == len(soc.uarts)
    for boot in soc.rom.links:
        uart = soc.uart(boot.uart)
        assert uart is not None
        assert boot.tx in uart.tx
        assert boot.rx in uart.rx
    assert all(
        set(numbers) <= set(range(len(soc.sectors))) for numbers in soc.rom.mass_erases.values()
    )


def test_links_may_be_any_of_the_chips() -> None:
    link = Serial("console", "UART7", 115_200, "adapter", "PE8", "PE7", 8)
    soc_of(replace(DISCO, serial=(link,)))
