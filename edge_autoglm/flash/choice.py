"""Which of a board's programmers serves: by what is attached, what is installed, what was asked."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

from edge_autoglm.device.ports import find_port
from edge_autoglm.device.probes import (
    PROBE_KINDS,
    UsbDevice,
    probes,
    sees_all,
    udev_rule,
    usb_devices,
    written,
)
from edge_autoglm.device.transport import is_no_port, no_port_error, open_error
from edge_autoglm.errors import FlashError, TransportError
from edge_autoglm.flash.disks import find_disks
from edge_autoglm.flash.job import SerialError, check_serial
from edge_autoglm.flash.picotool import bootsel_of
from edge_autoglm.flash.programmers import PROGRAMMERS, Reach, Row
from edge_autoglm.flash.stm32_uart import refuse_probe, wiring
from edge_autoglm.flash.tool import FoundTool, find_tool
from edge_boards.board import Board, Programmer


class NoProgrammerError(FlashError):
    """None of a board's programmers serves.

    Attributes:
        problems: each one, and why it was passed over.
    """

    def __init__(self, message: str, problems: tuple[str, ...]) -> None:
        super().__init__(message)
        self.problems = problems


class AmbiguousError(FlashError):
    """Several boards are attached that could be meant."""


@dataclass(frozen=True)
class Choice:
    """A programmer that can start.

    Attributes:
        entry: the board file's.
        row: the table's.
        through: what it goes through, in words.
        tool: the external program.
        port: a serial port that it uses, where it uses one.
        probe: the serial number of the probe, disk or bootloader, where it must be told which.
        usb: vendor and product of that.
    """

    entry: Programmer
    row: Row
    through: str
    tool: FoundTool | None = None
    port: str | None = None
    probe: str | None = None
    usb: tuple[int, int] | None = None

    def describe(self) -> str:
        name = self.tool.describe() if self.tool is not None else self.entry.name
        return f"{name}, through {self.through}"


@dataclass(frozen=True)
class _Scene:
    """What was asked for: the board, the port (None for auto), a serial number."""

    board: Board
    port: str | None
    serial: str | None
    at_probe: bool  # whether the port is a debug probe's console
    port_serial: str | None = None  # of the USB device that the port is of

    @property
    def own_port(self) -> str | None:
        """The port of the chip's own USB, through which an Arduino core enters its bootloader."""
        if self.board.link("console").through != "usb" or self.at_probe:
            return None
        if self.port is not None:
            return self.port
        try:
            return find_port(self.board).path
        except TransportError:
            return None


def choose_programmer(
    board: Board, port: str = "auto", name: str | None = None, probe: str | None = None
) -> Choice:
    """The first programmer of the board file that serves; the named one, if one is named.

    Args:
        port: `auto`, or a path: a probe's console stands for that probe, any other port for what
            flashes through it.
        name: a programmer of the board file.
        probe: the serial number of a debug probe, or of a board in its bootloader.

    Raises:
        NoProgrammerError: none serves; each with its reason.
        AmbiguousError: several boards are attached and none was chosen.
        SerialError: a serial number that no tool can be given.
        FlashError: the named one is not the board's, or does not serve.
        TransportError: the port is absent.
    """
    if port != "auto" and os.name == "posix" and not Path(port).exists():
        raise open_error(port, FileNotFoundError())
    if port != "auto" and is_no_port(port):
        raise no_port_error(port)
    if not board.programmers:
        instead = "use --port virtual" if board.virtual is not None else "give it [[programmers]]"
        raise FlashError(
            f"{board.title}: its board file knows no way to flash a real one; {instead}"
        )
    if probe is not None:
        check_serial(probe)
    known = [each for each in board.programmers if each.name in PROGRAMMERS]
    scene = _scene(board, port, probe)
    if name is not None:
        for each in known:
            if each.name == name:
                try:
                    return _serve(scene, each, asked=True)
                except (NoProgrammerError, AmbiguousError, SerialError):
                    raise
                except FlashError as error:
                    raise FlashError(f"{board.title}: {name}: {error}") from error
        raise FlashError(
            f"{board.title}: no programmer {name}; its board file has "
            f"{', '.join(each.name for each in known) or 'none'}"
        )
    passed = []
    for each in known:
        try:
            return _serve(scene, each, asked=False)
        except AmbiguousError:
            raise
        except (FlashError, TransportError) as error:
            passed.append(f"{each.name}: {error}")
    instead = ", or use --port virtual" if board.virtual is not None else ""
    raise NoProgrammerError(
        f"{board.title}: no board is attached that one of its programmers can reach"
        f"{'' if port == 'auto' else f' through {port}'}; plug it in{instead}",
        tuple(passed),
    )


def reach_now(board: Board, entry: Programmer) -> tuple[bool, str]:
    """Whether one programmer of a board serves now, and through what, or why not."""
    try:
        return True, _serve(_scene(board, "auto", None), entry, asked=False).through
    except (FlashError, TransportError) as error:
        return False, str(error)


def _scene(board: Board, port: str, probe: str | None) -> _Scene:
    if port == "auto":
        return _Scene(board, None, probe, at_probe=False)
    for each in list_ports.comports(include_links=True):
        if each.device == port and each.vid is not None:
            name = " ".join(filter(None, [each.product, each.interface]))
            device = UsbDevice((each.vid, each.pid), each.serial_number, name)
            at_probe = device.probe is not None
            serial = probe or (device.serial if at_probe else None)
            return _Scene(board, port, serial, at_probe, device.serial)
    return _Scene(board, port, probe, at_probe=False)


def _serve(scene: _Scene, entry: Programmer, *, asked: bool) -> Choice:
    """What `entry` would go through. Raises FlashError or TransportError with the reason."""
    row = PROGRAMMERS[entry.name]
    if asked:
        # Whoever names a tool must have it, whatever is attached.
        _tool(row)
    reaches: dict[Reach, Callable[[_Scene, Programmer, Row, bool], Choice]] = {
        Reach.DISK: _disk,
        Reach.PROBE: _probe,
        Reach.SERIAL: _serial,
        Reach.BOOTLOADER: _bootloader,
        Reach.PROJECT: _project,
    }
    choice = reaches[row.reach](scene, entry, row, asked)
    if choice.probe is not None:
        check_serial(choice.probe)
    return choice


def _disk(scene: _Scene, entry: Programmer, row: Row, asked: bool) -> Choice:
    del asked
    label = entry.volume or ""
    own = scene.own_port if entry.name == "uf2" else None
    if scene.port is not None and not scene.at_probe and own is None:
        raise FlashError(f"{scene.port} is not the port of what shows the disk {label}")
    disks = find_disks(label, scene.serial)
    if scene.port is not None and own is not None:
        # A board that was named by its port is no other one that waits in its bootloader.
        disks = tuple(disk for disk in disks if disk.serial and disk.serial == scene.port_serial)
    if len(disks) > 1:
        serial = _serial_of_console(scene.board)
        disks = find_disks(label, serial) if serial else disks
    if len(disks) > 1:
        raise _ambiguous(scene.board, "disks", [disk.describe() for disk in disks])
    if disks:
        # By its serial number it is found again after it went away.
        serial = disks[0].serial if scene.serial or len(find_disks(label)) > 1 else None
        return Choice(entry, row, f"disk {disks[0].folder}", probe=serial)
    if own is not None:
        return Choice(entry, row, own, port=own, probe=scene.serial)
    which = f" of serial number {scene.serial}" if scene.serial else ""
    raise FlashError(
        f"no disk called {label}{which} is mounted; plug the board's USB in and mount the disk "
        "that appears (`udisksctl mount`)"
    )


def _probe(scene: _Scene, entry: Programmer, row: Row, asked: bool) -> Choice:
    if scene.port is not None and not scene.at_probe:
        raise FlashError(f"{scene.port} is not the port of a debug probe")
    kinds = _kinds(entry, row)
    names = " or ".join(PROBE_KINDS[kind] for kind in kinds)
    there = probes(kinds)
    device = _one(scene, there, f"{names} with serial number", "probes")
    if device is None and not (asked and not sees_all()):
        raise FlashError(f"no {names} is attached")
    if device is None:
        return Choice(entry, row, names, _tool(row), probe=scene.serial)
    if not device.usable:
        raise FlashError(_no_permission(device))
    several = scene.serial is not None or len(there) > 1
    return Choice(
        entry, row, device.describe(), _tool(row),
        probe=device.serial if several else None, usb=device.ids,
    )  # fmt: skip


def _kinds(entry: Programmer, row: Row) -> tuple[str, ...]:
    """The kinds of probe that it can use: OpenOCD's configuration files choose one of them."""
    words = {"stlink": "st-link", "cmsis-dap": "cmsis-dap", "jlink": "j-link"}
    for config in entry.configs:
        match = re.fullmatch(r"interface/([a-z-]+)\.cfg", config)
        if match and match[1] in words:
            return (words[match[1]],)
        if config.startswith(("board/st_", "board/stm32")):
            return ("st-link",)
    return row.probes


def _serial(scene: _Scene, entry: Programmer, row: Row, asked: bool) -> Choice:
    del asked
    link = scene.board.link(entry.link or "bootloader")
    port = scene.port
    if port is None and scene.serial is not None:
        raise FlashError("--probe chooses no serial port; name it with --port PATH")
    if port is None:
        try:
            port = find_port(scene.board, "auto", link.name).path
        except TransportError as error:
            if link.protocol is None:
                raise
            raise FlashError(wiring(scene.board, link.name)) from error
    refuse_probe(scene.board, port, link.name)
    return Choice(entry, row, port, _tool(row), port=port)


def _bootloader(scene: _Scene, entry: Programmer, row: Row, asked: bool) -> Choice:
    ids = _ids(entry.usb) if entry.usb else bootsel_of(scene.board.soc.name)
    if ids is None:
        raise FlashError(f"it does not know the bootloader of a {scene.board.soc.name}")
    own = scene.own_port
    if scene.port is not None and own is None:
        raise FlashError(f"{scene.port} is not the port of the board's own USB")
    there = [device for device in usb_devices() if device.ids == ids]
    if scene.port is not None:
        # A board that was named by its port is no other one that waits in its bootloader.
        mine = [each for each in there if each.serial and each.serial == scene.port_serial]
        device = mine[0] if len(mine) == 1 else None
    else:
        device = _one(scene, there, "board in its bootloader with serial number", "bootloaders")
    if device is not None:
        if not device.usable:
            raise FlashError(_no_permission(device))
        several = scene.serial is not None or len(there) > 1
        return Choice(
            entry, row, device.describe(), _tool(row),
            probe=device.serial if several else None, usb=ids,
        )  # fmt: skip
    if own is not None:
        return Choice(entry, row, own, _tool(row), port=own, probe=scene.serial, usb=ids)
    if asked and not sees_all():
        return Choice(entry, row, f"USB {written(ids)}", _tool(row), probe=scene.serial, usb=ids)
    raise FlashError(
        f"no board is in its bootloader (USB {written(ids)}); hold its boot button, or set BOOT0 "
        "high, while it is plugged in or reset"
    )


def _project(scene: _Scene, entry: Programmer, row: Row, asked: bool) -> Choice:
    there = probes()
    if len(there) > 1:
        raise FlashError(
            f"PlatformIO cannot be told which probe to use, and {len(there)} are attached "
            f"({'; '.join(device.describe() for device in there)}); unplug the others"
        )
    if scene.port is not None:
        return Choice(entry, row, scene.port, _tool(row), port=scene.port)
    if asked or there or scene.own_port is not None:
        return Choice(entry, row, "what PlatformIO finds", _tool(row))
    raise FlashError("no debug probe and no port of the board is attached")


def _one(scene: _Scene, there: Sequence[UsbDevice], what: str, kind: str) -> UsbDevice | None:
    """The device that is meant, None where there is none. Raises AmbiguousError, FlashError."""
    if scene.serial is not None:
        for device in there:
            if device.serial == scene.serial:
                return device
        if not sees_all():
            return None
        here = "; ".join(device.describe() for device in there) or "none"
        raise FlashError(f"no {what} {scene.serial} is attached; attached: {here}")
    if len(there) > 1:
        serial = _serial_of_console(scene.board)
        for device in there:
            if serial is not None and device.serial == serial:
                return device
        raise _ambiguous(scene.board, kind, [device.describe() for device in there])
    return there[0] if there else None


def serial_port_of(serial: str) -> str | None:
    """The serial port of the USB device with that serial number."""
    for each in list_ports.comports():
        if each.serial_number == serial:
            return str(each.device)
    return None


def _serial_of_console(board: Board) -> str | None:
    """The serial number of the one probe whose console is known to be this board's."""
    try:
        path = find_port(board).path
    except TransportError:
        return None
    for each in list_ports.comports():
        if each.device == path and each.serial_number:
            return str(each.serial_number)
    return None


def _ambiguous(board: Board, kind: str, found: list[str]) -> AmbiguousError:
    return AmbiguousError(
        f"{board.title}: several {kind} are attached ({'; '.join(found)}); choose one with "
        "--probe SERIAL, or unplug the others"
    )


def _no_permission(device: UsbDevice) -> str:
    return (
        f"no permission to use the {device.describe()}; let udev give it: {udev_rule(device.ids)}"
    )


def _tool(row: Row) -> FoundTool | None:
    return find_tool(row.tool) if row.tool is not None else None


def _ids(text: str) -> tuple[int, int]:
    vendor, product = text.split(":")
    return int(vendor, 16), int(product, 16)
