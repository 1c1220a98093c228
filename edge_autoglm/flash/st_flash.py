"""Programs an STM32 through an ST-LINK with st-flash (github.com/stlink-org/stlink).

Its sister st-info tells which chip is there, so that a wrong one is refused before anything is
erased.

A cut leaves half an image: st-flash writes in order of address, the vector table first.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from edge_autoglm.errors import FlashError
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.meanings import COMMON, Meaning, half_image
from edge_autoglm.flash.runner import Script, Stage, run
from edge_autoglm.flash.tool import brief

_SCRIPT = Script(
    stages=(
        Stage(r"Flash page at addr: 0x\w+ erased", 0, 0.05),
        Stage(r"Finished erasing", 0, 0.2),
        Stage(r"Starting Flash write", 0, 0.25),
        Stage(r"Starting verification of write complete", 0, 0.8),
        Stage(r"Flash written and verified", 0, 1),
    ),
    meanings=(
        Meaning(
            r"Couldn't find any ST-?Link devices|Could ?n[o']t open stlink device",
            "no ST-LINK was found; plug the board's debug USB in",
        ),
        Meaning(
            r"Can ?not connect to target|Failed to connect to target|Could not find chip id|"
            r"Failed to read core_id|Failed to enter SWD mode|Failed to halt the core",
            "the ST-LINK is there and the chip does not answer; look at its wires and power, and "
            "at whether firmware has switched its debug pins off (hold reset while it starts)",
        ),
        Meaning(
            r"unknown chip id|Unknown memory region|unknown coreid",
            "this st-flash does not know the chip; install a newer one, or use openocd",
        ),
        Meaning(r"Target voltage .*too low", "the chip has too little power; look at its supply"),
        Meaning(
            r"write protect|Flash programming error|unlock flash",
            "the flash is protected; lift that first (`st-flash --area=option`)",
        ),
        Meaning(
            r"Verification of flash failed",
            "what was read back differs from the image; flash again, with a shorter cable",
        ),
        *COMMON,
    ),
    touches=r"Flash page at addr|Erasing|erased|Mass erasing",
    proof=r"Flash written and verified",
    cut=half_image,
)


def program(job: Job) -> None:
    """Checks the chip, writes, verifies, resets.

    Raises:
        FlashError: no ST-LINK, another chip, or any failure of the tool, with its words.
        KeyboardInterrupt: with the state of the board for text.
    """
    _check_chip(job)
    with job.image_file() as path:
        run(job, arguments(job, str(path)), _SCRIPT)


def arguments(job: Job, image: str) -> list[str]:
    """What follows `st-flash`."""
    serial = ["--serial", job.probe] if job.probe is not None else []
    return [*serial, "--reset", "write", image, f"0x{job.address:08x}"]


def _check_chip(job: Job) -> None:
    """Compares the device id that st-info tells of the probe's chip. Raises FlashError."""
    wanted = job.board.soc.chip_id
    program = shutil.which("st-info", path=str(Path(job.needed_tool.command[0]).parent))
    if wanted is None or program is None:
        return
    found = chip_ids(brief((program, "--probe")))
    # With one probe its serial number need not be known.
    chip = found.get(job.probe or "", None) if job.probe else next(iter(found.values()), None)
    if chip is not None and chip != 0 and chip != wanted:
        raise FlashError(
            f"the chip at the ST-LINK has id 0x{chip:03X}, a {job.board.title} has "
            f"0x{wanted:03X}; choose the right --board"
        )


def chip_ids(text: str) -> dict[str, int]:
    """Device ids by the probe's serial number, from what `st-info --probe` prints."""
    found = {}
    serial = ""
    for line in text.splitlines():
        if match := re.match(r"\s*serial:\s*(\S+)", line):
            serial = match[1]
        elif match := re.match(r"\s*chipid:\s*0x([0-9a-fA-F]+)", line):
            found[serial] = int(match[1], 16)
    return found
