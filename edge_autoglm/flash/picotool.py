"""Programs a Raspberry Pi Pico through its ROM's USB with picotool (github.com/raspberrypi).

Unlike a copy to the ROM's disk it verifies what it wrote.

A cut leaves half an image: picotool writes in order of address.
"""

from __future__ import annotations

from dataclasses import replace

from edge_autoglm.errors import FlashError
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.meanings import COMMON, Meaning, half_image
from edge_autoglm.flash.runner import Script, Stage, run
from edge_autoglm.flash.tool import dotted
from edge_autoglm.flash.touch import into_bootloader

BOOTSEL = {"RP2040": (0x2E8A, 0x0003), "RP2350": (0x2E8A, 0x000F)}
"""Vendor and product of the ROMs, by chip (RP2040 data sheet 2.8.3; RP2350 data sheet 5.4)."""

_SERIAL_SINCE = (2, 0)

_SCRIPT = Script(
    stages=(
        Stage(r"Loading into Flash.*?(\d+)%", 0, 0.7),
        Stage(r"Verifying Flash.*?(\d+)%", 0.7, 0.98),
        Stage(r"was rebooted (?:to start|into)", 0, 1),
    ),
    meanings=(
        Meaning(
            r"unable to connect|check your permissions",
            "no permission to use the board; let udev give it (`{rule}`), then plug it in again",
        ),
        Meaning(
            r"No accessible .*BOOTSEL",
            "no board is in its ROM's bootloader; hold BOOTSEL while it is plugged in",
        ),
        Meaning(
            r"too big to fit in flash|too big to fit in partition",
            "the image is larger than the flash; choose the right --board",
        ),
        Meaning(
            r"cannot be loaded onto a device|does not contain a valid RP2|incompatible",
            "the image is for another chip than the one that is attached; choose the right --board",
        ),
        Meaning(
            r"did not match the file",
            "what was read back differs from the image; flash again, in another USB socket",
        ),
        *COMMON,
    ),
    touches=r"Loading into",
    proof=r"Loading into Flash.*100%",
    cut=half_image,
)


def program(job: Job) -> None:
    """Writes, verifies, starts the program.

    Raises:
        FlashError: no board in its bootloader, or any failure of the tool, with its words.
        KeyboardInterrupt: with the state of the board for text.
    """
    ids = bootsel_of(job.board.soc.name)
    if ids is not None and job.port is not None:
        job = replace(job, probe=into_bootloader(job.port, ids) or job.probe)
    with job.image_file() as path:
        run(job, arguments(job, str(path)), _SCRIPT)


def arguments(job: Job, image: str) -> list[str]:
    """What follows `picotool`.

    Raises FlashError where a board is named and this picotool cannot be told which.
    """
    given = ["load", "-v", "-x", image, "-t", "bin", "-o", f"0x{job.address:08x}"]
    if job.probe is not None:
        version = job.needed_tool.version
        if version and version < _SERIAL_SINCE:
            raise FlashError(
                f"{job.needed_tool.describe()} cannot be told which board to use; "
                f"{dotted(_SERIAL_SINCE)} can, or unplug the other one"
            )
        given += ["--ser", job.probe]
    return given


def bootsel_of(soc: str) -> tuple[int, int] | None:
    """The ids of a chip's ROM, None where it is no chip of Raspberry Pi's."""
    return next((ids for chip, ids in BOOTSEL.items() if soc.upper().startswith(chip)), None)
