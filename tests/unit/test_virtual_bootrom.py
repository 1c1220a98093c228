"""The ROM bootloaders of the virtual boards speak ST AN3155."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

from edge_boards.loader import load_board
from edge_boards.virtual.machine import Machine, Pause

ACK, NACK = b"\x79", b"\x1f"


class Rom:
    """A virtual board with BOOT0 high, synchronised."""

    def __init__(self, board: str = "stm32f746") -> None:
        self.machine = Machine(load_board(board))
        self.machine.reset(boot0=True)
        assert self.say(b"\x7f") == ACK

    def say(self, data: bytes) -> bytes:
        link = self.machine.links["bootloader"]
        link.feed(data)
        assert self.machine.run(1000) is Pause.BOOTLOADER
        return link.take()

    def command(self, code: int) -> bytes:
        return self.say(bytes([code, code ^ 0xFF]))

    def address(self, address: int) -> bytes:
        raw = address.to_bytes(4, "big")
        return self.say(summed(raw))

    def write(self, address: int, data: bytes) -> bytes:
        assert self.command(0x31) == ACK
        answer = self.address(address)
        return answer if answer == NACK else self.say(summed(bytes([len(data) - 1]) + data))

    def read(self, address: int, size: int) -> bytes:
        assert self.command(0x11) == ACK
        assert self.address(address) == ACK
        answer = self.say(bytes([size - 1, size - 1 ^ 0xFF]))
        assert answer[:1] == ACK
        return answer[1:]


def summed(data: bytes) -> bytes:
    check = 0
    for byte in data:
        check ^= byte
    return data + bytes([check])


@pytest.fixture
def rom() -> Iterator[Rom]:
    made = Rom()
    yield made
    made.machine.close()


def test_get_lists_the_commands(rom: Rom) -> None:
    answer = rom.command(0x00)
    assert answer[:1] == answer[-1:] == ACK
    assert answer[1] == len(answer) - 4 == 11
    assert {0x11, 0x21, 0x31, 0x44, 0x82, 0x92} < set(answer[3:-1])


def test_get_id_gives_the_board_files_chip(rom: Rom) -> None:
    assert rom.command(0x02) == ACK + b"\x01\x04\x49" + ACK


def test_write_erases_nothing_and_reads_back(rom: Rom) -> None:
    data = bytes(range(256))
    assert rom.write(0x08000000, data) == ACK
    assert rom.read(0x08000000, 256) == data
    assert rom.write(0x08000000, b"\x0f" * 4) == ACK
    assert rom.read(0x08000000, 4) == b"\x00\x01\x02\x03"  # bits only fall


def test_ram_can_be_written_but_not_the_roms_own(rom: Rom) -> None:
    assert rom.write(0x20010000, b"abcd") == ACK
    assert rom.read(0x20010000, 4) == b"abcd"
    assert rom.write(0x20000000, b"abcd") == NACK


@pytest.mark.parametrize(
    ("page", "begin", "size"), [(0, 0, 32), (3, 96, 32), (4, 128, 128), (7, 768, 256)]
)
def test_erase_knows_the_sectors(rom: Rom, page: int, begin: int, size: int) -> None:
    rom.machine.load_flash(b"\0" * (1 << 20))
    assert rom.command(0x44) == ACK
    assert rom.say(summed(bytes([0, 0, 0, page]))) == ACK
    flash = bytes(rom.machine.memory.flash.view)
    kept = flash[: begin * 1024] + flash[(begin + size) * 1024 :]
    assert flash[begin * 1024 : (begin + size) * 1024] == b"\xff" * size * 1024
    assert not any(kept)


def test_mass_erase(rom: Rom) -> None:
    rom.machine.load_flash(b"\0" * 1000)
    assert rom.command(0x44) == ACK
    assert rom.say(b"\xff\xff\x00") == ACK
    assert set(rom.machine.memory.flash.view) == {0xFF}


@pytest.mark.parametrize(
    "talk",
    [
        [b"\x31\x31"],
        [b"\x99\x66"],
        [b"\x31\xce", b"\x08\x00\x00\x00\x09"],
        [b"\x31\xce", summed(b"\x10\x00\x00\x00")],
        [b"\x31\xce", summed(b"\x08\x00\x00\x00"), b"\x03abcd\x00"],
        [b"\x31\xce", summed(b"\x08\x00\x00\x00"), summed(b"\x02abc")],
        [b"\x11\xee", summed(b"\x08\x00\x00\x00"), b"\x03\x03"],
        [b"\x11\xee", summed(b"\x60\x00\x00\x00")],
        [b"\x44\xbb", summed(b"\x00\x00\x00\x08")],
        [b"\x44\xbb", b"\xff\xfe\x01"],
        [b"\x21\xde", summed(b"\x08\x00\x00\x00")],
    ],
)
def test_damaged_or_impossible_requests_are_refused(rom: Rom, talk: list[bytes]) -> None:
    for part in talk[:-1]:
        assert rom.say(part) == ACK
    assert rom.say(talk[-1]) == NACK
    assert rom.command(0x02).startswith(ACK)  # and the ROM listens on
    assert set(rom.machine.memory.flash.view) == {0xFF}


def test_a_command_that_stalls_is_given_up(rom: Rom) -> None:
    assert rom.command(0x31) == ACK
    assert rom.say(b"\x08\x00") == b""
    assert rom.machine.bootrom is not None
    rom.machine.bootrom.quiet(3.0)
    assert rom.command(0x02).startswith(ACK)


def test_read_out_protection_refuses_until_it_is_lifted_by_an_erase(rom: Rom) -> None:
    assert rom.write(0x08000000, b"abcd") == ACK
    assert rom.command(0x82) == ACK + ACK
    assert rom.say(b"\x7f") == ACK  # it has reset
    assert rom.command(0x11) == NACK
    assert rom.command(0x92) == ACK + ACK
    assert rom.say(b"\x7f") == ACK
    assert rom.read(0x08000000, 4) == b"\xff" * 4


def test_write_protection_covers_its_sectors(rom: Rom) -> None:
    assert rom.command(0x63) == ACK
    assert rom.say(summed(b"\x00\x01")) == ACK  # one sector: number 1
    assert rom.say(b"\x7f") == ACK
    assert rom.write(0x08008000, b"abcd") == NACK
    assert rom.write(0x08000000, b"abcd") == ACK
    assert rom.command(0x73) == ACK + ACK
    assert rom.say(b"\x7f") == ACK
    assert rom.write(0x08008000, b"abcd") == ACK


def test_rubbish_before_the_synchronisation_is_passed_over() -> None:
    machine = Machine(load_board("stm32f746"))
    machine.reset(boot0=True)
    link = machine.links["bootloader"]
    link.feed(b"\x00\x55hello\x7f")
    machine.run(1000)
    assert link.take() == ACK
    machine.close()


@pytest.fixture
def l4_rom() -> Iterator[Rom]:
    made = Rom("nucleo-l4r5zi")
    yield made
    made.machine.close()


def test_the_l4r5_says_what_it_is(l4_rom: Rom) -> None:
    assert l4_rom.command(0x02) == ACK + b"\x01\x04\x70" + ACK
    assert l4_rom.read(0x1FFF75E0, 2) == (2048).to_bytes(2, "little")


@pytest.mark.parametrize("page", [0, 1, 255, 256, 511])
def test_the_l4r5_erases_pages_of_4_kb_in_two_banks(l4_rom: Rom, page: int) -> None:
    l4_rom.machine.load_flash(b"\0" * (2 << 20))
    assert l4_rom.command(0x44) == ACK
    assert l4_rom.say(summed(b"\0\0" + page.to_bytes(2, "big"))) == ACK
    flash = bytes(l4_rom.machine.memory.flash.view)
    assert flash[page * 4096 : (page + 1) * 4096] == b"\xff" * 4096
    assert flash.count(0xFF) == 4096


@pytest.mark.parametrize(("code", "begin", "end"), [(0xFFFF, 0, 2), (0xFFFE, 0, 1), (0xFFFD, 1, 2)])
def test_the_l4r5_erases_banks(l4_rom: Rom, code: int, begin: int, end: int) -> None:
    l4_rom.machine.load_flash(b"\0" * (2 << 20))
    assert l4_rom.command(0x44) == ACK
    assert l4_rom.say(summed(code.to_bytes(2, "big"))) == ACK
    flash = bytes(l4_rom.machine.memory.flash.view)
    assert flash.count(0xFF) == (end - begin) << 20
    assert set(flash[begin << 20 : end << 20]) == {0xFF}


def test_the_l4r5_programs_a_double_word_once(l4_rom: Rom) -> None:
    assert l4_rom.write(0x08000000, b"0123456789ab") == ACK
    assert l4_rom.read(0x08000000, 16) == b"0123456789ab\xff\xff\xff\xff"
    assert l4_rom.write(0x0800000C, b"cdef") == NACK  # its double word is written
    assert l4_rom.write(0x08000010, b"ghij") == ACK
    assert l4_rom.write(0x08000000, b"\0\0\0\0") == NACK


@pytest.mark.parametrize(("address", "answer"), [(0x20003000, NACK), (0x20004000, ACK)])
def test_the_l4r5s_rom_keeps_its_own_ram(l4_rom: Rom, address: int, answer: bytes) -> None:
    assert l4_rom.write(address, b"abcd") == answer


def test_the_l4r5_refuses_a_page_it_does_not_have(l4_rom: Rom) -> None:
    assert l4_rom.command(0x44) == ACK
    assert l4_rom.say(summed(b"\0\0\x02\0")) == NACK
