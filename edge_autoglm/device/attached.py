"""The serial ports of this machine, with the boards that each can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from serial.tools.list_ports_common import ListPortInfo

from edge_autoglm.device.transport import holders_of, real_ports
from edge_autoglm.device.usb import PROBES, disk_label, shows_disk
from edge_boards.board import Board


@dataclass(frozen=True)
class Guess:
    """A board that a port can be of.

    Attributes:
        board: its name.
        role: "console", "bootloader" or "probe": what answers there.
    """

    board: str
    role: str


@dataclass(frozen=True)
class AttachedPort:
    """A serial port that is there.

    Attributes:
        path: its device.
        usb: vendor and product; None where it is no USB port.
        product: what the device calls itself.
        serial_number: the device's, which tells two of one kind apart.
        socket: where it is plugged in, as the system names it.
        holders: programs that have it open, where that can be seen.
        disk: the label of the disk that the same USB device shows.
        guesses: every board that it can be of; one where the disk's label says which.
    """

    path: str
    usb: tuple[int, int] | None
    product: str | None
    serial_number: str | None
    socket: str | None
    holders: tuple[str, ...]
    disk: str | None
    guesses: tuple[Guess, ...]


def attached_ports(boards: Sequence[Board]) -> tuple[AttachedPort, ...]:
    """The serial ports that belong to a device, USB ones first."""
    return tuple(_attached(port, boards) for port in real_ports())


def _attached(port: ListPortInfo, boards: Sequence[Board]) -> AttachedPort:
    usb = (int(port.vid), int(port.pid)) if port.vid is not None else None
    disk = disk_label(port) if usb is not None else None
    return AttachedPort(
        path=str(port.device),
        usb=usb,
        product=port.product or None,
        serial_number=port.serial_number or None,
        socket=port.location or None,
        holders=holders_of(str(port.device)),
        disk=disk,
        guesses=guesses(usb, disk, boards),
    )


def guesses(
    usb: tuple[int, int] | None, disk: str | None, boards: Sequence[Board]
) -> tuple[Guess, ...]:
    """The boards that a port with these ids can be of.

    A board's own ids name it. A probe's id leaves every board with such a probe, of which the
    label of the probe's disk leaves those that show it; a label that none shows leaves all, for
    a probe's firmware may have been given another.
    """
    if usb is None:
        return ()
    own = [
        Guess(board.name, each.role) for board in boards for each in board.usb if each.pair == usb
    ]
    probes = {through for through, ids in PROBES.items() if usb in ids}
    probed = [b for b in boards if any(link.through in probes for link in b.serial)]
    labelled = [b for b in probed if disk is not None and shows_disk(b, disk)]
    return (*own, *(Guess(board.name, "console") for board in labelled or probed))
