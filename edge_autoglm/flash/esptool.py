"""Programs an Espressif chip through its ROM's serial loader with esptool (github.com/espressif).

The board file names the chip (`target`) and the serial link; the image is the application, and
`memories.flash.address` its place in the flash chip. The second bootloader and the partition table
come along where the build left them beside the image; else they must be there already.

A cut leaves half an image. Espressif's second bootloader checks an application's SHA-256 before it
starts it, and starts none that fails.
"""

from __future__ import annotations

import struct
from contextlib import ExitStack
from pathlib import Path

from edge_autoglm.device.transport import SerialTransport
from edge_autoglm.errors import FlashError
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.meanings import COMMON, Meaning
from edge_autoglm.flash.runner import Script, Stage, run
from edge_autoglm.flash.stm32_uart import is_pty
from edge_boards.board import Board

_DASHES_SINCE = (5,)  # before it commands were written with underscores
PARTITIONS_AT = 0x8000
BOOTLOADER_AT = {"esp32": 0x1000, "esp32s2": 0x1000, "esp32c5": 0x2000, "esp32p4": 0x2000}
"""Where a chip's ROM looks for the second bootloader (Espressif's documentation); else at 0."""

_ENTRY = struct.Struct("<2sBBII16sI")  # ESP-IDF, "Partition Tables"
_MAGIC = b"\xaa\x50"
_APPLICATION, _DATA, _OTA_DATA = 0, 1, 0
_BAUD = 460_800  # what every bridge on these boards can do; esptool begins at 115200 by itself

MEANINGS = (
    Meaning(
        r"This chip is .*, not |Wrong chip argument|Unexpected chip",
        "another chip is at {port} than a {board} has; choose the right --board",
    ),
    Meaning(
        r"Wrong boot mode detected|Failed to connect to|No serial data received|"
        r"Invalid head of packet|Timed out waiting for packet",
        "the ROM loader does not answer at {port}; hold BOOT (IO0 low), press reset (EN), let "
        "go, and flash again",
    ),
    Meaning(
        r"port is busy or doesn't exist|[Cc]ould not (?:exclusively )?(?:lock|open)|"
        r"multiple access on port",
        "{port} is busy or gone; close the serial monitor that holds it",
    ),
    Meaning(
        r"will not fit in|larger than .*flash|does not fit",
        "the image is larger than the flash; choose the right --board, or a smaller model",
    ),
    Meaning(
        r"[Ss]ecure (?:[Dd]ownload|[Bb]oot)|[Ff]lash encryption",
        "the chip's fuses forbid it (secure boot, encryption); a development chip is needed",
    ),
    Meaning(
        r"MD5 of file does not match|Verification failed|stopped responding|"
        r"device reports readiness to read but returned no data|serial exception",
        "the line lost bytes; use another cable or socket, and flash again",
    ),
)


def _half_image(_board: Board) -> str:
    return (
        "the flash may hold half an image now, which does not start (the bootloader checks its "
        "SHA-256); flash it again"
    )


_SCRIPT = Script(
    stages=(
        Stage(r"Connected to|Chip is ", 0, 0.02),
        Stage(r"Writing at 0x\w+.*?\(?([\d.]+) ?%", 0.05, 0.95),
        Stage(r"Hash of data verified", 0, 1),
    ),
    meanings=(*MEANINGS, *COMMON),
    touches=r"Erasing|Writing at|will be erased",
    proof=r"Hash of data verified",
    cut=_half_image,
)


def program(job: Job) -> None:
    """Writes, compares hashes, resets.

    Raises:
        FlashError: no answer, another chip, or any failure of the tool, with its words.
        TransportError: the port is absent, busy, or without permission.
        KeyboardInterrupt: with the state of the board for text.
    """
    if job.programmer.target is None:
        raise FlashError(f"{job.board.title}: its board file gives esptool no target")
    # Opened once by ourselves: what is wrong with a port we can say better.
    SerialTransport(job.needed_port).close()
    with ExitStack() as files:
        pieces = [
            (address, str(files.enter_context(job.image_file(content, f"{address:x}.bin"))))
            for address, content in (*framework_parts(job), (job.address, job.image))
        ]
        run(job, arguments(job, pieces), _SCRIPT)


def framework_parts(job: Job) -> tuple[tuple[int, bytes], ...]:
    """What belongs into the flash beside the application, each with its address.

    Taken from the folder of the image where the build left a bootloader.bin and a partitions.bin
    in it (PlatformIO does), else nothing. The record of which application was updated last is
    erased, so that it is the one that is written here which starts.

    Raises:
        FlashError: the partition table has no application at the job's address.
    """
    folder = job.elf.parent if job.elf is not None else Path()
    bootloader, table = folder / "bootloader.bin", folder / "partitions.bin"
    if job.elf is None or not (bootloader.is_file() and table.is_file()):
        return ()
    content = table.read_bytes()
    partitions = [
        entry
        for at in range(0, len(content) - _ENTRY.size + 1, _ENTRY.size)
        if (entry := _ENTRY.unpack_from(content, at))[0] == _MAGIC
    ]
    starts = [start for _, kind, _, start, *_ in partitions if kind == _APPLICATION]
    if job.address not in starts:
        there = ", ".join(f"0x{start:x}" for start in starts) or "none"
        raise FlashError(
            f"{job.board.title}: {table} has no application at 0x{job.address:x} (at {there}); "
            "memories.flash.address of the board file is that place"
        )
    records = [
        (start, b"\xff" * size)
        for _, kind, subtype, start, size, *_ in partitions
        if (kind, subtype) == (_DATA, _OTA_DATA)
    ]
    place = BOOTLOADER_AT.get(job.programmer.target or "", 0)
    return ((place, bootloader.read_bytes()), (PARTITIONS_AT, content), *records)


def arguments(job: Job, pieces: list[tuple[int, str]]) -> list[str]:
    """What follows `esptool`. A pty has neither reset lines nor a RAM to run a stub in."""
    version = job.needed_tool.version
    dash = "-" if not version or version >= _DASHES_SINCE else "_"
    given = ["--chip", job.programmer.target or "auto", "--port", job.needed_port]
    if is_pty(job.needed_port):
        given += ["--before", f"no{dash}reset", "--after", f"no{dash}reset", "--no-stub"]
    else:
        given += ["--baud", str(_BAUD)]
    given.append(f"write{dash}flash")
    for address, path in pieces:
        given += [f"0x{address:x}", path]
    return given
