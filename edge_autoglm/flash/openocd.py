"""Programs a board through a debug probe with OpenOCD (openocd.org).

The board file names its configuration files (`configs`), as `-f` takes them. An STM32's device id
is read and compared before anything is erased.

A cut leaves half an image: OpenOCD writes in order of address, the vector table first.
"""

from __future__ import annotations

import re
from pathlib import Path

from edge_autoglm.errors import FlashError
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.meanings import COMMON, Meaning, half_image
from edge_autoglm.flash.runner import Script, Stage, run
from edge_autoglm.flash.tool import dotted

_SERIAL_SINCE = (0, 12)

# DBGMCU_IDCODE by family, from each family's reference manual, chapter "Debug support".
_DEVICE_ID = {
    0xE004_2000: ("F1", "F2", "F3", "F4", "F7", "L1", "L4", "G4", "WB", "WL"),
    0x4001_5800: ("F0", "G0", "L0"),
    0x5C00_1000: ("H7",),
    0xE004_4000: ("L5", "U5"),
}

MEANINGS = (
    Meaning(
        r"edge-autoglm: chip (0x[0-9a-f]+)",
        "the chip has another device id than a {board}; choose the right --board",
    ),
    Meaning(
        r"UNEXPECTED idcode|expected 1 of 1|unexpected idcode",
        "another chip is at the probe than a {board} has; choose the right --board",
    ),
    Meaning(
        r"Can't find .*\.cfg",
        "it lacks that configuration file; install a newer OpenOCD, or mend `configs` in the "
        "board file",
    ),
    Meaning(
        r"LIBUSB_ERROR_ACCESS",
        "no permission to use {probe}; let udev give it (`{rule}`), then plug it in again",
    ),
    Meaning(
        r"Error: (?:ST-LINK )?open failed|unable to find a matching CMSIS-DAP|"
        r"No J-Link device found|No device found",
        "no probe was found, or {probe} is another one; plug the board's debug USB in",
    ),
    Meaning(
        r"target voltage may be too low|Target voltage .*too low|target not powered",
        "the chip has no power; power the board, and join its VCC to the probe's",
    ),
    Meaning(
        r"init mode failed|unable to connect to the target|Could not find MEM-AP|"
        r"Unable to reset target|Error connecting DP|DP initialisation failed",
        "the probe is there and the chip does not answer; look at its wires and power, and "
        "hold reset while it starts",
    ),
    Meaning(
        r"stm32.* device protected|Device Security Bit Set|flash.*protected|"
        r"failed erasing sectors|write protect",
        "the flash is protected; lift that first (`stm32f7x unlock 0` and its like)",
    ),
    Meaning(
        r"checksum mismatch|\*\* Verify Failed \*\*",
        "what was read back differs from the image; flash again, with a shorter cable",
    ),
)

_SCRIPT = Script(
    stages=(
        Stage(r"\*\* Programming Started \*\*", 0, 0.05),
        Stage(r"\*\* Programming Finished \*\*", 0, 0.7),
        Stage(r"\*\* Verified OK \*\*", 0, 1),
    ),
    meanings=(*MEANINGS, *COMMON),
    touches=r"\*\* Programming Started \*\*",
    proof=r"\*\* Verified OK \*\*",
    cut=half_image,
)


def program(job: Job) -> None:
    """Writes, verifies, resets.

    Raises:
        FlashError: no probe, another chip, or any failure of the tool, with its words.
        KeyboardInterrupt: with the state of the board for text.
    """
    if not job.programmer.configs:
        raise FlashError(f"{job.board.title}: its board file gives openocd no configs")
    with job.image_file() as path:
        run(job, arguments(job, str(path)), _SCRIPT)


def arguments(job: Job, image: str) -> list[str]:
    """What follows `openocd`.

    Raises FlashError where a probe is named and this OpenOCD cannot be told which, or where a
    name cannot be written in Tcl.
    """
    given: list[str] = []
    for config in job.programmer.configs:
        given += ["-f", config]
    if job.probe is not None:
        version = job.needed_tool.version
        if version and version < _SERIAL_SINCE:
            raise FlashError(
                f"{job.needed_tool.describe()} cannot be told which probe to use; "
                f"{dotted(_SERIAL_SINCE)} can, or unplug the other one"
            )
        given += ["-c", f"adapter serial {_word(job.probe)}"]
    check = chip_check(job)
    if check:
        given += ["-c", check]
    given += [
        "-c",
        f"program {_word(Path(image).as_posix())} 0x{job.address:08x} verify reset exit",
    ]
    return given


def _word(text: str) -> str:
    """A word of Tcl, in braces: nothing in it is run, and a space is part of it.

    Braces and backslashes end that, and `program` evaluates a file's name a second time. Raises
    FlashError.
    """
    found = re.search(r"[][{}\\\n]", text)
    if found:
        raise FlashError(
            f"openocd cannot be given {text!r}, for its {found[0]!r}; is it a temporary file, name "
            "another folder in TMPDIR"
        )
    return f"{{{text}}}"


def chip_check(job: Job) -> str:
    """The Tcl that ends OpenOCD where an STM32 has another device id; empty for other chips."""
    family = re.match(r"STM32([A-Z]{1,2}[0-9]?)", job.board.soc.name)
    wanted = job.board.soc.chip_id
    if family is None or wanted is None:
        return ""
    for address, families in _DEVICE_ID.items():
        if family[1].startswith(families):
            return (
                "source [find mem_helper.tcl]; init; reset init; "
                f"set id [expr {{[mrw 0x{address:08x}] & 0xfff}}]; "
                f"if {{$id != 0x{wanted:03x}}} "
                "{ echo [format {edge-autoglm: chip 0x%03x} $id]; shutdown error }"
            )
    return ""
