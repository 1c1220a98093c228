"""Programs an STM32 through its ROM bootloader's UART with stm32flash (stm32flash.sourceforge.net).

It does what `stm32-uart` does without it: for those who have it in their scripts, and as a second
opinion. stm32flash itself writes in order of address, so it is called twice: for all but the first
256 bytes, which erases the first sector as well, and for those. A cut leaves a chip that has no
vector table and starts nothing.
"""

from __future__ import annotations

import re

from edge_autoglm.device.transport import SerialTransport
from edge_autoglm.errors import FlashError
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.meanings import COMMON, Meaning
from edge_autoglm.flash.runner import NEVER, Script, Stage, run
from edge_autoglm.flash.stm32_uart import BLOCK, NO_IMAGE, is_pty, refuse_probe, wiring
from edge_boards.board import Board

START = 0x0800_0000
"""Where stm32flash's own tables let every chip's flash begin."""

_ALIGNMENT = 16  # no STM32 programs less than so many bytes at once and more than one time
_BAUDS = (1200, 115_200)  # what AN2606 lets the ROM recognise


def _no_image(_board: Board) -> str:
    return NO_IMAGE


_MEANINGS = (
    Meaning(
        r"Failed to init device|Failed to send init",
        "the ROM bootloader does not answer at {port}: is BOOT0 high and was the board reset "
        "since, and do RX and TX cross?",
    ),
    Meaning(
        r"NACK from device on command 0x(?:44|43|31|11|21)",
        "the chip is read-protected (RDP); lift that (`stm32flash -k {port}`: it erases the whole "
        "flash), then flash again",
    ),
    Meaning(
        r"is already open|Unable to lock",
        "another program holds {port}; close that and try again",
    ),
    Meaning(
        r"Unknown/unsupported device|Device not supported",
        "this stm32flash does not know the chip; use the programmer stm32-uart",
    ),
    Meaning(
        r"Failed to verify|verify (?:failed|error)",
        "what was read back differs from the image; use a lower speed or a shorter cable",
    ),
    *COMMON,
)
_LOOK = Script(
    stages=(), meanings=_MEANINGS, touches=NEVER, proof=r"Device ID\s*: 0x", cut=_no_image
)
_BODY = Script(
    stages=(Stage(r"address 0x\w+ \(([\d.]+)%\)", 0.02, 0.98),),
    meanings=_MEANINGS,
    touches=r"Erasing memory",
    proof=r"\(100\.00%\) Done",
    cut=_no_image,
)
_HEAD = Script(
    stages=(Stage(r"Starting execution at address \w+\.\.\. done", 0, 1),),
    meanings=_MEANINGS,
    touches=None,
    proof=r"Starting execution at address \w+\.\.\. done",
    cut=_no_image,
)


def program(job: Job) -> None:
    """Checks the chip, erases the sectors needed, writes and verifies, starts the program.

    Raises:
        FlashError: an ST-LINK's port, no bootloader, another chip, or any failure of the tool.
        TransportError: the port is absent, busy, or without permission.
        KeyboardInterrupt: with the state of the board for text.
    """
    port, link = job.needed_port, job.board.link(job.programmer.link or "bootloader")
    if job.address != START:
        raise FlashError(
            f"{job.board.title}: stm32flash writes images that begin at 0x{START:08X}; this one "
            f"begins at 0x{job.address:08X}"
        )
    refuse_probe(job.board, port, link.name)
    # Opened once by ourselves: what is wrong with a port we can say better.
    SerialTransport(port, link.baud).close()
    _check_chip(job, run(job, arguments(job), _LOOK), wiring(job.board, link.name))
    image = job.image + b"\xff" * (-len(job.image) % _ALIGNMENT)
    head, body = image[:BLOCK], image[BLOCK:] or b"\xff" * _ALIGNMENT
    with job.image_file(body) as path:
        run(job, arguments(job, "-S", f"0x{START + BLOCK:08x}", "-w", str(path), "-v"), _BODY)
    with job.image_file(head) as path:
        run(job, arguments(job, "-e", "0", "-w", str(path), "-v", "-g", f"0x{START:08x}"), _HEAD)


def arguments(job: Job, *work: str) -> list[str]:
    """What follows `stm32flash`: mode and speed of the line, the work, the port."""
    port, link = job.needed_port, job.board.link(job.programmer.link or "bootloader")
    parity = job.parity or ("N" if is_pty(port) else "E")
    baud = min(max(link.baud, _BAUDS[0]), _BAUDS[1])
    return ["-m", f"8{parity.lower()}1", "-b", str(baud), *work, port]


def _check_chip(job: Job, text: str, wires: str) -> None:
    match = re.search(r"Device ID\s*: 0x([0-9a-fA-F]+)", text)
    wanted = job.board.soc.chip_id
    if match is None:
        raise FlashError(f"{job.board.title}: the ROM bootloader tells no device id; {wires}")
    if wanted is not None and int(match[1], 16) != wanted:
        raise FlashError(
            f"the chip at {job.port} has id 0x{int(match[1], 16):03X}, a {job.board.title} has "
            f"0x{wanted:03X}; choose the right --board"
        )
