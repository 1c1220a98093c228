"""Programs an Espressif chip through its ROM's serial loader with esptool (github.com/espressif).

The board file names the chip (`target`) and the serial link; the image is the application, and
`memories.flash.address` its place in the flash chip. What a framework needs beside it (its second
bootloader, the partition table) comes along where the build made it; else it must be there already.

A cut leaves half an image. Espressif's second bootloader checks an application's SHA-256 before it
starts it, and starts none that fails.
"""

from __future__ import annotations

from contextlib import ExitStack

from edge_autoglm.device.transport import SerialTransport
from edge_autoglm.errors import FlashError
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.meanings import COMMON, Meaning
from edge_autoglm.flash.runner import Script, Stage, run
from edge_autoglm.flash.stm32_uart import is_pty

_DASHES_SINCE = (5,)  # before it commands were written with underscores
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

_SCRIPT = Script(
    stages=(
        Stage(r"Connected to|Chip is ", 0, 0.02),
        Stage(r"Writing at 0x\w+.*?\(?([\d.]+) ?%", 0.05, 0.95),
        Stage(r"Hash of data verified", 0, 1),
    ),
    meanings=(*MEANINGS, *COMMON),
    touches=r"Erasing|Writing at|will be erased",
    proof=r"Hash of data verified",
    cut=(
        "the flash may hold half an image now, which does not start (the bootloader checks its "
        "SHA-256); flash it again"
    ),
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
            for address, content in (*job.parts, (job.address, job.image))
        ]
        run(job, arguments(job, pieces), _SCRIPT)


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
