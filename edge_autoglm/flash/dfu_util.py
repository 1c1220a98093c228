"""Programs a board through a USB DFU bootloader with dfu-util (dfu-util.sourceforge.net).

STM32 ROMs (USB 0483:df11, ST AN3156) and the bootloader of Arduino's STM32 boards speak it, with
ST's extension DfuSe, in which the host names the address. The board file names the bootloader's USB
id and the alternate setting that is the flash. A board that runs an Arduino core is brought into
its bootloader through the job's port.

dfu-util verifies nothing: what was flashed is read back over the wire. A cut leaves half an image,
the vector table first.
"""

from __future__ import annotations

from dataclasses import replace

from edge_autoglm.errors import FlashError
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.meanings import COMMON, Meaning, half_image
from edge_autoglm.flash.runner import Script, Stage, run
from edge_autoglm.flash.touch import into_bootloader

MEANINGS = (
    Meaning(
        r"Cannot open DFU device .*LIBUSB_ERROR_ACCESS|Cannot open device",
        "no permission to use the bootloader; let udev give it (`{rule}`), then plug it in again",
    ),
    Meaning(
        r"No DFU capable USB device available",
        "no bootloader is attached; bring the board into it (an STM32: BOOT0 high, then "
        "reset; an Arduino: two presses of reset)",
    ),
    Meaning(
        r"More than one DFU capable USB device",
        "two bootloaders are attached; choose one with --probe SERIAL",
    ),
    Meaning(
        r"No such Alternate setting|Last page at .* is not writeable|"
        r"Page at .* (?:is not writeable|can not be erased)",
        "the bootloader's flash is another one than a {board} has; choose the right --board",
    ),
    Meaning(
        r"errVENDOR|dfuERROR|Wrong state after command|special command .* (?:download|status)|"
        r"not correctly executed",
        "the bootloader refuses; the flash may be protected (`-s :unprotect:force` lifts that "
        "and erases all of it)",
    ),
)

_SCRIPT = Script(
    stages=(
        Stage(r"Erase.*?(\d+)%", 0, 0.3),
        Stage(r"Download.*?(\d+)%", 0.3, 0.98),
        Stage(r"File downloaded successfully|Download done", 0, 1),
    ),
    meanings=(*MEANINGS, *COMMON),
    # Many a bootloader starts the program before it answers the last question after its state.
    forgiven=(1, 74),
    touches=r"Erase\s|Erasing|Download\s.*\d+%|Downloading element",
    proof=r"File downloaded successfully",
    cut=half_image,
)


def program(job: Job) -> None:
    """Writes, and leaves the bootloader for the program.

    Raises:
        FlashError: no bootloader, or any failure of the tool, with its words.
        KeyboardInterrupt: with the state of the board for text.
    """
    if job.programmer.usb is None:
        raise FlashError(f"{job.board.title}: its board file gives dfu-util no usb")
    vendor, product = job.programmer.usb.split(":")
    if job.port is not None:
        serial = into_bootloader(job.port, (int(vendor, 16), int(product, 16)))
        job = replace(job, probe=serial or job.probe)
    with job.image_file() as path:
        run(job, arguments(job, str(path)), _SCRIPT)


def arguments(job: Job, image: str) -> list[str]:
    """What follows `dfu-util`."""
    # The part before the comma is the id while firmware runs, which does not matter here.
    given = ["--device", f",{job.programmer.usb}", "--alt", str(job.programmer.alt or 0)]
    if job.probe is not None:
        given += ["--serial", f",{job.probe}"]
    return [*given, "--dfuse-address", f"0x{job.address:08x}:leave", "--download", image]
