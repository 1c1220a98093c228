"""What the words of a flashing tool mean, and what to do about them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from edge_autoglm.device.probes import udev_rule
from edge_autoglm.flash.job import Job
from edge_boards.board import Board
from edge_boards.schema import FRAMEWORK_PORTS


@dataclass(frozen=True)
class Meaning:
    """One failure that a tool has its own words for.

    Attributes:
        pattern: found in one of its lines.
        words: what is wrong and what to try; {board}, {port}, {probe}, {platform} (PlatformIO's)
            and {rule} (the udev rule that lets the probe be used) are filled in.
    """

    pattern: str
    words: str


PERMISSION = Meaning(
    r"LIBUSB_ERROR_ACCESS|[Aa]ccess error|[Aa]ccess denied|[Pp]ermission denied|"
    r"insufficient permissions|check your permissions|Errno 13",
    "no permission to use it; let udev give it (`{rule}`), then plug it in again",
)
BUSY = Meaning(
    r"LIBUSB_ERROR_BUSY|Resource busy|probably already in use|[Dd]evice or resource busy|"
    r"port is busy|already (?:in use|opened)",
    "another program holds it (a debugger, a second flashing, a serial monitor); close that and "
    "try again",
)
GONE = Meaning(
    r"LIBUSB_ERROR_NO_DEVICE|LIBUSB_ERROR_IO|LIBUSB_ERROR_PIPE|Input/output error|disconnected",
    "the connection was lost; look at the cable, plug it in again, and flash again",
)
COMMON = (PERMISSION, BUSY, GONE)
"""What every tool that goes through libusb may say; to be asked last."""


def half_image(board: Board) -> str:
    """What a board holds after a cut, where the vector table was written before the rest."""
    holds = "the flash may hold half an image now"
    if board.soc.port in FRAMEWORK_PORTS:
        return f"{holds}, which may start and fail; flash it again"
    return f"{holds}, which does not run (its start checks a CRC over all of it); flash it again"


def explain(meanings: Sequence[Meaning], lines: Sequence[str], job: Job) -> tuple[str, str]:
    """What the output means, and the line that told; both empty where nothing is known."""
    for meaning in meanings:
        for line in lines:
            if re.search(meaning.pattern, line):
                known = job.board.platformio
                words = meaning.words.format(
                    board=job.board.title,
                    port=job.port or "its port",
                    probe=f"probe {job.probe}" if job.probe else "the probe",
                    platform=known.platform if known else "",
                    rule=udev_rule(job.usb),
                )
                return words, line.strip()
    return "", ""
