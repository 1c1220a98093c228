"""From `--port auto|virtual|PATH` to an open transport."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from edge_autoglm.device.transport import SerialTransport, serial_ports
from edge_autoglm.device.usb import disk_label, ids_of, shows_disk
from edge_autoglm.errors import BoardSilentError, TransportError
from edge_boards.board import Board
from edge_boards.errors import BoardsError
from edge_boards.loader import list_boards


@dataclass(frozen=True)
class Port:
    """A port that was found and is not open yet.

    Attributes:
        path: a device, or a virtual board's pty link.
        name: what messages call it.
        virtual: the name of the virtual board behind it, or None.
        usb: USB vendor and product, where there are any.
        baud: the link's speed at boot.
    """

    path: str
    name: str
    virtual: str | None
    usb: tuple[int, int] | None
    baud: int

    @property
    def is_virtual(self) -> bool:
        return self.virtual is not None


def find_port(board: Board, port: str = "auto", link: str = "console") -> Port:
    """Finds the port of one of a board's serial links.

    Args:
        port: `auto` (the one USB port whose ids match what the link goes through; where a probe's
            disk has the label of one board, it is that board's), `virtual` (the running virtual
            board; one is started if none runs), or a path (a virtual board's pty is known as that
            board's, so that nothing of it counts as measured).
        link: a serial link of the board file.

    Raises:
        TransportError: none or several ports match.
        BoardsError: the board has no such link, or its virtual board does not start.
    """
    serial_link = board.link(link)
    if port == "virtual":
        return _virtual_port(board, link, serial_link.baud)
    if port != "auto":
        running = _virtual_behind(port)
        if running is not None:
            return Port(port, f"virtual {running}", running, None, serial_link.baud)
        return Port(port, port, None, usb_ids(port), serial_link.baud)
    ids = ids_of(board, link)
    there = [each for each in list_ports.comports() if (each.vid, each.pid) in ids]
    found = _not_anothers(board, there)
    if len(found) == 1:
        device = str(found[0].device)
        return Port(device, device, None, (found[0].vid, found[0].pid), serial_link.baud)
    raise TransportError(f"{board.title}: {_why_not_one(board, link, there, found)}")


def _why_not_one(
    board: Board, link: str, there: Sequence[ListPortInfo], found: Sequence[ListPortInfo]
) -> str:
    """Why `found` of the ports with the link's ids (`there`) is not one port, and what to do."""
    if found:
        names = ", ".join(sorted(_told_apart(each) for each in found))
        return f"several ports could be it ({names}); choose one with --port PATH"
    if there:
        others = ", ".join(f"{each.device} shows the disk {disk_label(each)}" for each in there)
        return (
            f"another board is attached ({others}); plug this one in, or name its port with "
            "--port PATH"
        )
    here = ", ".join(serial_ports()) or "none"
    instead = ", or use --port virtual" if board.virtual is not None else ""
    through, ids = board.link(link).through, ids_of(board, link)
    if not ids:
        why = (
            "is the chip's own USB, of which its board file names no id ([[usb]])"
            if through == "usb"
            else f"goes through {through or 'an adapter'}, which cannot be recognised"
        )
        return (
            f"the {link} link {why}; name its port with --port PATH (ports here: {here}){instead}"
        )
    kind = f"{through} port"
    if through == "usb":
        kind = "USB port " + " or ".join(f"{vendor:04x}:{product:04x}" for vendor, product in ids)
    return (
        f"no board is attached (no {kind}; ports here: {here}); plug it in, name a port with "
        f"--port PATH{instead}"
    )


def _not_anothers(board: Board, ports: Sequence[ListPortInfo]) -> list[ListPortInfo]:
    """The ports whose disk does not say that they are another board's.

    Where one shows this board's label, those with another are not it. Where none does, only the
    label of a board that has a file rules a port out: a probe's firmware may have been given
    another one. A port without a disk stays: a probe's disk goes away for a while after flashing.
    """
    labels = {each.device: disk_label(each) for each in ports}
    if not any(labels.values()):
        return list(ports)
    others = {label for label in labels.values() if label and not shows_disk(board, label)}
    if others == set(labels.values()) - {None}:
        known = _known_boards()
        others = {each for each in others if any(shows_disk(other, each) for other in known)}
    return [port for port in ports if labels[port.device] not in others]


def _known_boards() -> tuple[Board, ...]:
    try:
        return list_boards()
    except BoardsError:
        return ()  # a broken file of another board must not keep this one from being found


def _told_apart(port: ListPortInfo) -> str:
    """A port with what tells it from a twin's: the probe's serial number, else its USB socket."""
    if port.serial_number:
        return f"{port.device}: serial number {port.serial_number}"
    return f"{port.device}: at USB {port.location}" if port.location else str(port.device)


def usb_ids(path: str) -> tuple[int, int] | None:
    """USB vendor and product of a serial port, or None where it is not a USB one."""
    for each in list_ports.comports(include_links=True):
        if each.device == path and each.vid is not None:
            return int(each.vid), int(each.pid)
    return None


def open_port(port: Port, *, baud: int | None = None) -> SerialTransport:
    """Opens what `find_port` found.

    Raises:
        TransportError: absent, busy or without permission.
    """
    clock = _virtual_clock(port.virtual) if port.virtual is not None else None
    return SerialTransport(port.path, baud or port.baud, name=port.name, clock=clock)


def _virtual_behind(path: str) -> str | None:
    """The name of the running virtual board one of whose ptys `path` is or leads to."""
    pty = os.path.realpath(path)
    if not pty.startswith("/dev/pts/"):
        return None  # a real port: no virtual board is asked
    from edge_boards import virtual

    for info in virtual.list_running():
        if pty in map(os.path.realpath, info.links.values()):
            return info.control.parent.name
    return None


def _virtual_port(board: Board, link: str, baud: int) -> Port:
    # Starting a virtual board loads what only virtual boards need.
    from edge_boards import virtual

    info = virtual.start(board)
    path = info.links.get(link)
    if path is None:
        raise TransportError(f"virtual {board.name}: it has no {link} link")
    return Port(str(path), f"virtual {board.name}", board.name, None, baud)


def _virtual_clock(name: str) -> Callable[[], float | None]:
    """Reads the modelled time of a virtual board, in seconds.

    It raises VirtualBoardError with the board's own words when the board has stopped,
    BoardSilentError when it is in its bootloader, and TransportError when it is not there any more.
    """
    from edge_boards import virtual
    from edge_boards.errors import VirtualBoardError

    info = virtual.attach(name)

    def seconds() -> float:
        if info is None or (status := virtual.attach(name)) is None or status.pid != info.pid:
            raise TransportError(
                f"virtual {name}: its process ended; start it again "
                f"(`edge-autoglm virtual start {name}`)"
                + (f", and look at its log: {info.log}" if info is not None else "")
            )
        if status.stopped:
            raise VirtualBoardError(f"virtual {name}: {status.stopped}")
        if status.state == "bootloader":
            raise BoardSilentError(
                f"virtual {name}: the board is in its ROM bootloader (BOOT0 high) and runs no "
                f"firmware; start it with: edge-autoglm virtual reset {name}"
            )
        return float(virtual.control(info, {"op": "time"})["seconds"])

    return seconds
