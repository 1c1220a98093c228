"""What USB tells of a serial port: its ids, and the disk that the same device shows.

A debug probe such as the ST-LINK sits on many boards under one id. What tells them apart is the
label of the disk that it shows beside its serial port.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from serial.tools.list_ports_common import ListPortInfo

from edge_autoglm.device.probes import ST_LINK
from edge_boards.board import Board

PROBES = {"st-link": tuple(sorted(ST_LINK))}
"""USB ids by what a board file's `through` says."""


def ids_of(board: Board, link: str) -> tuple[tuple[int, int], ...]:
    """USB ids behind which a serial link of a board can be: its probe's, or the board's own.

    None where the link goes through an adapter, which says nothing of the board.
    """
    through = board.link(link).through
    own = tuple(each.pair for each in board.usb if each.role == "console")
    return own if through == "usb" else PROBES.get(through, ())


def disk_label(
    port: ListPortInfo,
    labels: Path = Path("/dev/disk/by-label"),
    blocks: Path = Path("/sys/class/block"),
) -> str | None:
    """The label of the disk that a serial port's own USB device shows, mounted or not.

    None where there is none, or where the system (any but Linux) does not tell.
    """
    device = getattr(port, "usb_device_path", None)
    if not device:
        return None
    try:
        entries = sorted(labels.iterdir())
    except OSError:
        return None
    for entry in entries:
        block = Path(os.path.realpath(blocks / Path(os.path.realpath(entry)).name))
        if block.is_relative_to(os.path.realpath(device)):
            # udev writes what a file name cannot hold as \x20.
            return re.sub(r"\\x([0-9a-f]{2})", lambda m: chr(int(m[1], 16)), entry.name).rstrip()
    return None


def shows_disk(board: Board, label: str) -> bool:
    """Whether a board file gives its probe's disk that label."""
    return any(each.volume == label for each in board.programmers if each.name == "mass-storage")
