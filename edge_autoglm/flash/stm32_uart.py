"""Programs an STM32 through its ROM bootloader's UART.

The protocol is ST's AN3155 (USART protocol used in the STM32 bootloader); which pins and chips is
AN2606. A command is its code and the code's complement; the ROM answers ACK or NACK. The line is
8E1; ptys know no parity, so a virtual board's is 8N1.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import reduce
from operator import xor
from pathlib import Path
from typing import TypeVar

from edge_autoglm.device.ports import usb_ids
from edge_autoglm.device.transport import SerialTransport, Transport
from edge_autoglm.device.usb import PROBES
from edge_autoglm.errors import FlashError, TransportError
from edge_autoglm.flash.job import Job
from edge_boards.board import Board, Memory

ACK, NACK, SYNC = 0x79, 0x1F, 0x7F
GET, GET_ID, READ, GO, WRITE, EXTENDED_ERASE = 0x00, 0x02, 0x11, 0x21, 0x31, 0x44
BLOCK = 256
"""Bytes that one read or write moves at most."""

HEAD = 8
"""Bytes without which no chip starts: the stack pointer and the entry. They are written last."""

NO_IMAGE = "the board holds no whole image now and does not start one; flash it again"

_ERASE_SECONDS = 10.0
_DISCARD_SECONDS = 0.5
_ATTEMPTS = 3

_Result = TypeVar("_Result")


class _NoAnswerError(FlashError):
    """The ROM said NACK, something else, or nothing; the command may be tried again."""


class Bootloader:
    """The ROM's commands over an open port.

    Args:
        transport: 8E1, or 8N1 for a pty.
        timeout: seconds for an answer.
    """

    def __init__(self, transport: Transport, timeout: float = 1.0) -> None:
        self._transport = transport
        self._timeout = timeout
        self._received = bytearray()

    def sync(self, attempts: int = 5) -> None:
        """Makes the ROM measure the speed. A ROM that did so before answers NACK, which counts.

        Raises:
            FlashError: no answer.
        """
        for _ in range(attempts):
            self._discard()
            self._transport.write(bytes([SYNC]))
            try:
                answer = self._take(1, self._timeout / 2)[0]
            except _NoAnswerError:
                continue
            if answer in (ACK, NACK):
                self._discard()
                return
        raise FlashError(f"{self._transport.name}: the ROM bootloader does not answer")

    def get(self) -> tuple[int, frozenset[int]]:
        """The bootloader's version (0x31 is 3.1) and the commands it has."""

        def once() -> bytes:
            self._command(GET)
            data = self._take(self._take(1)[0] + 1)
            self._acknowledged("get")
            return data

        data = self._again(once)
        return data[0], frozenset(data[1:])

    def get_id(self) -> int:
        """The chip's product id."""

        def once() -> int:
            self._command(GET_ID)
            data = self._take(self._take(1)[0] + 1)
            self._acknowledged("get id")
            return int.from_bytes(data, "big")

        return self._again(once)

    def erase(self, sectors: Iterable[int]) -> None:
        """Erases sectors by number, all in one command."""
        numbers = list(sectors)
        data = b"".join(number.to_bytes(2, "big") for number in (len(numbers) - 1, *numbers))

        def once() -> None:
            self._command(EXTENDED_ERASE)
            self._transport.write(data + _checksum(data))
            self._acknowledged(
                "erase (is the flash write-protected?)", _ERASE_SECONDS * max(1, len(numbers))
            )

        self._again(once)

    def write(self, address: int, data: bytes) -> None:
        """Writes at most `BLOCK` bytes; the length is a multiple of four."""
        payload = bytes([len(data) - 1]) + data

        def once() -> None:
            self._command(WRITE)
            self._address(address)
            self._transport.write(payload + _checksum(payload))
            self._acknowledged("write (is the flash write-protected?)")

        self._again(once)

    def read(self, address: int, size: int) -> bytes:
        """Reads at most `BLOCK` bytes."""

        def once() -> bytes:
            self._command(READ)
            self._address(address)
            self._transport.write(bytes([size - 1, (size - 1) ^ 0xFF]))
            self._acknowledged("read")
            return self._take(size)

        return self._again(once)

    def go(self, address: int) -> None:
        """Starts the program whose vector table is at `address`."""

        def once() -> None:
            self._command(GO)
            self._address(address)

        self._again(once)

    def _again(self, once: Callable[[], _Result]) -> _Result:
        for attempt in range(_ATTEMPTS):
            try:
                return once()
            except _NoAnswerError:
                if attempt == _ATTEMPTS - 1:
                    raise
                self._realign()
        raise AssertionError("the last attempt returns or raises")

    def _realign(self) -> None:
        """Brings the ROM back to where it waits for a command.

        A message that lost bytes leaves it waiting for them. Filled up, one by one, with bytes
        whose checksum is wrong, it ends in a NACK; so does a command of two such bytes.
        """
        self._discard()
        for _ in range(BLOCK + 4):
            self._transport.write(b"\xff")
            if NACK in self._transport.read(0.05):
                break
        self._discard()

    def _command(self, code: int) -> None:
        self._transport.write(bytes([code, code ^ 0xFF]))
        what = f"command 0x{code:02X}"
        if code not in (GET, GET_ID):
            # AN3155: the only reason it has before it has seen an address.
            what += (
                ", as it does while the chip is read-protected (RDP); lift that with another tool "
                "(`stm32flash -k PORT`: it erases the whole flash), then flash again"
            )
        self._acknowledged(what)

    def _address(self, address: int) -> None:
        data = address.to_bytes(4, "big")
        self._transport.write(data + _checksum(data))
        self._acknowledged(f"address 0x{address:08X}")

    def _acknowledged(self, what: str, timeout: float | None = None) -> None:
        answer = self._take(1, timeout)[0]
        if answer == ACK:
            return
        said = "refused" if answer == NACK else f"answered 0x{answer:02X} to"
        raise _NoAnswerError(f"{self._transport.name}: the ROM bootloader {said} {what}")

    def _take(self, size: int, timeout: float | None = None) -> bytes:
        limit = self._timeout if timeout is None else timeout
        deadline = time.monotonic() + limit
        while len(self._received) < size:
            left = deadline - time.monotonic()
            if left <= 0:
                raise _NoAnswerError(
                    f"{self._transport.name}: the ROM bootloader fell silent "
                    f"({len(self._received)} of {size} bytes in {limit:.1f} s)"
                )
            self._received += self._transport.read(left)
        data = bytes(self._received[:size])
        del self._received[:size]
        return data

    def _discard(self) -> None:
        self._received.clear()
        # Whoever talks without end is no ROM; its answers will tell.
        deadline = time.monotonic() + _DISCARD_SECONDS
        while self._transport.read(0.02) and time.monotonic() < deadline:
            pass


def program(job: Job) -> None:
    """Erases the sectors needed, writes, reads back, starts the program.

    However it is cut off, no half-written image starts: see `_transfer`.

    Raises:
        FlashError: an ST-LINK's port, no bootloader, another chip, or flash that differs.
        TransportError: the port cannot be opened or went away.
        KeyboardInterrupt: with `NO_IMAGE` for text, where the flash was already being erased.
    """
    if job.port is None:
        raise FlashError(
            f"{job.board.title}: stm32-uart needs --port with a USB-serial adapter; "
            + wiring(job.board, job.programmer.link or "bootloader")
        )
    link = job.board.link(job.programmer.link or "bootloader")
    refuse_probe(job.board, job.port, link.name)
    parity = job.parity or ("N" if is_pty(job.port) else "E")
    with SerialTransport(job.port, link.baud, parity=parity) as transport:
        rom = Bootloader(transport)
        try:
            rom.sync()
        except FlashError as error:
            raise FlashError(f"{error}; {wiring(job.board, link.name)}") from error
        _check_chip(rom, job)
        _transfer(rom, job)
        rom.go(job.address)


def refuse_probe(board: Board, port: str, link: str) -> None:
    """Refuses a debug probe's console port where the ROM listens at other pins.

    Raises:
        FlashError: it is one.
    """
    ids = usb_ids(port)
    rom, console = board.link(link), board.link("console")
    if ids is None or ids not in PROBES.get("st-link", ()) or rom.same_wires(console):
        return
    raise FlashError(
        f"{port} is the ST-LINK's console port (USB {ids[0]:04X}:{ids[1]:04X}), wired to "
        f"{console.tx}/{console.rx}, whereas the ROM bootloader listens at {rom.rx}; use "
        f"mass-storage, or {wiring(board, link)}"
    )


def wiring(board: Board, link: str) -> str:
    """How to reach the ROM bootloader, in words."""
    rom = board.link(link)
    return (
        f"wire a 3.3 V USB-serial adapter (its RX to {rom.tx}, its TX to {rom.rx}, ground to "
        "ground), set BOOT0 high, press reset, and name the adapter with --port"
    )


def is_pty(port: str) -> bool:
    """Whether `port` is a pseudo-terminal, which has no parity."""
    return str(Path(port).resolve()).startswith("/dev/pts/")


def sectors_of(flash: Memory, address: int, size: int) -> tuple[int, ...]:
    """The numbers of the sectors that `size` bytes from `address` touch.

    Raises:
        FlashError: outside the flash, or the board file does not list its sectors.
    """
    if not flash.contains(address, max(1, size)):
        raise FlashError(
            f"an image of {size} bytes at 0x{address:08X} does not fit {flash.name} "
            f"({flash.size} bytes at 0x{flash.address:08X})"
        )
    if not flash.sectors:
        raise FlashError(
            f"memory {flash.name}: the board file lists no sectors, so none can be erased; "
            "add `sectors = [...]` from the reference manual"
        )
    touched, start = [], flash.address
    for number, length in enumerate(flash.sectors):
        if start < address + size and address < start + length:
            touched.append(number)
        start += length
    return tuple(touched)


def _check_chip(rom: Bootloader, job: Job) -> None:
    version, commands = rom.get()
    if EXTENDED_ERASE not in commands:
        raise FlashError(
            f"{job.board.title}: its ROM bootloader (version {version >> 4}.{version & 15}) has "
            "no extended erase; use another programmer of the board"
        )
    wanted = job.board.soc.chip_id
    found = rom.get_id()
    if wanted is not None and found != wanted:
        raise FlashError(
            f"the chip at {job.port} has id 0x{found:03X}, a {job.board.title} has "
            f"0x{wanted:03X}; choose the right --board"
        )


def _transfer(rom: Bootloader, job: Job) -> None:
    """Erases, writes and reads back; the vector table's head comes last.

    Sector 0 is erased first and its first words are written when all else has been read back, so
    that a chip whose programming was cut off has no entry: it starts nothing, rather than an
    image whose code is there and whose weights are not.
    """
    image = job.image + b"\xff" * (-len(job.image) % 4)
    total = len(image)
    sectors = sectors_of(job.board.flash, job.address, total)
    body = [(at, image[at : at + BLOCK]) for at in range(BLOCK, total, BLOCK)]
    body.append((HEAD, image[HEAD:BLOCK]))
    done = 0

    def moved(size: int) -> None:
        nonlocal done
        done += size
        job.progress(done, 2 * total)

    try:
        for sector in sectors:
            rom.erase([sector])
        for part in (body, [(0, image[:HEAD])]):
            pieces = [(offset, data) for offset, data in part if data]
            for offset, data in pieces:
                rom.write(job.address + offset, data)
                moved(len(data))
            for offset, data in pieces:
                _compare(rom, job, offset, data)
                moved(len(data))
    except (FlashError, TransportError) as error:
        raise type(error)(f"{error}; {NO_IMAGE}") from error
    except KeyboardInterrupt:
        raise KeyboardInterrupt(NO_IMAGE) from None


def _compare(rom: Bootloader, job: Job, offset: int, expected: bytes) -> None:
    """Reads back. Raises FlashError naming the first byte that differs."""
    found = rom.read(job.address + offset, len(expected))
    if found == expected:
        return
    first = next(i for i, (a, b) in enumerate(zip(found, expected, strict=True)) if a != b)
    where = job.address + offset + first
    raise FlashError(
        f"{job.board.title}: flash at 0x{where:08X} reads 0x{found[first]:02X} where "
        f"0x{expected[first]:02X} was written; try again, at a lower speed or with a "
        "shorter cable"
    )


def _checksum(data: bytes) -> bytes:
    return bytes([reduce(xor, data, 0)])
