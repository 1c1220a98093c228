"""What this machine can do for boards: programmers, serial ports and who holds them, probes.

What needs no board (compilers, extras) is `edge_boards.doctor`'s; a report has both.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import replace
from pathlib import Path

from serial.tools import list_ports

from edge_autoglm.adb import AdbMissingError, PhoneGoneError, find_adb
from edge_autoglm.adb.adb import install_line
from edge_autoglm.device.ports import find_port
from edge_autoglm.device.probes import PROBE_KINDS, UsbDevice, udev_rule, usb_devices, written
from edge_autoglm.device.transport import holders_of, serial_ports
from edge_autoglm.device.usb import ids_of
from edge_autoglm.errors import FlashError, TransportError
from edge_autoglm.flash.choice import AmbiguousError, choose_programmer, reach_now
from edge_autoglm.flash.picotool import BOOTSEL
from edge_autoglm.flash.programmers import PROGRAMMERS
from edge_autoglm.flash.tool import ToolMissingError, find_tool
from edge_autoglm.gpu_checks import gpu_checks
from edge_boards.board import Board
from edge_boards.doctor import Check
from edge_boards.doctor import checks as machine_checks
from edge_boards.errors import BoardsError
from edge_boards.loader import list_boards
from edge_boards.platformio.tool import find_core, has_platform
from edge_export.errors import TflmTreeError
from edge_export.tflm.tree import ENVIRONMENT, look_at_tree, tree_from_environment


def checks(board: Board | None = None) -> tuple[Check, ...]:
    """All checks, in the order of a report; of programmers, with a board, only that board's."""
    found = [
        *machine_checks(),
        _tflm(),
        *gpu_checks(),
        _adb(),
        *_programmers(board),
        *_ports(),
        *_devices(),
    ]
    if board is not None and board.platformio is not None:
        found.append(_platform(board.name, board.platformio.platform))
    if board is not None:
        found += _attached(board)
    return tuple(found)


def _tflm() -> Check:
    """The TFLM tree that builds with TFLM take where no option names one."""
    name, purpose = "TFLM tree", "needed for --runtime tflm only"
    directory = tree_from_environment()
    if directory is None:
        mend = f"name a tflite-micro checkout in {ENVIRONMENT}, or with --tflm"
        return Check(name, False, f"{ENVIRONMENT} is not set; {purpose}", mend, needed=False)
    try:
        root, libraries = look_at_tree(directory)
    except TflmTreeError as error:
        words = str(error).partition("; ")
        mend = words[2] or f"name another tflite-micro checkout in {ENVIRONMENT}"
        where = f"{ENVIRONMENT}: {words[0].removeprefix('--tflm ')}; {purpose}"
        return Check(name, False, where, mend, needed=False)
    made = f"{libraries} {'library' if libraries == 1 else 'libraries'} made in it"
    return Check(name, True, f"{root} ({ENVIRONMENT}), {made}; {purpose}", needed=False)


def _adb() -> Check:
    """The tool that reaches an Android phone; its server is not started for this."""
    name, purpose = "adb", "needed for bench --adb only"
    try:
        tool = find_adb()
    except (AdbMissingError, PhoneGoneError) as error:
        why = str(error).partition("; install it: ")[0]
        return Check(name, False, f"{why}; {purpose}", install_line(), needed=False)
    version = ".".join(map(str, tool.version))
    release = f", platform-tools {tool.release}" if tool.release else ""
    return Check(name, True, f"{version}{release}, {tool.program}; {purpose}", needed=False)


def _platform(board: str, platform: str) -> Check:
    """Whether PlatformIO could build for a board without a network."""
    name, purpose = f"PlatformIO's platform for {board}", "needed for --with platformio"
    try:
        core = find_core()
    except BoardsError as error:
        words = str(error).partition("; ")
        mend = words[2].strip("`").partition("`")[0] or "install PlatformIO again"
        return Check(name, False, f"{words[0]}; {purpose}", mend, needed=False)
    if has_platform(core, platform):
        return Check(name, True, f"{platform} is installed; {purpose}", needed=False)
    mend = f"{' '.join(core.command)} pkg install --global --platform {platform}"
    return Check(name, False, f"{platform} is not installed; {purpose}", mend, needed=False)


def _programmers(board: Board | None) -> list[Check]:
    if board is None:
        return [_programmer(name) for name in PROGRAMMERS]
    found = []
    for entry in board.programmers:
        if entry.name in PROGRAMMERS:
            check = _programmer(entry.name)
            serves, words = reach_now(board, entry)
            now = f"; now through {words}" if serves else f"; not now: {words}"
            found.append(replace(check, detail=check.detail + now) if check.ok else check)
    if any(check.ok for check in found):
        return found
    # A board that nothing here can flash is a fault, in whichever way it is mended.
    return [replace(check, needed=True) for check in found]


def _programmer(name: str) -> Check:
    row = PROGRAMMERS[name]
    tested = f"tested: {row.tested}"
    title = f"programmer {name}"
    if row.tool is None:
        return Check(title, True, f"needs no other program; {tested}", needed=False)
    try:
        tool = find_tool(row.tool)
    except ToolMissingError as error:
        words = str(error).partition("; ")[0]
        return Check(title, False, f"{words}; {tested}", row.tool.install_here, needed=False)
    return Check(title, True, f"{tool.describe()}; {tested}", needed=False)


def _ports() -> list[Check]:
    """The serial ports of this machine's devices."""
    known = {each.device: each for each in list_ports.comports()}
    found = []
    for path in serial_ports():
        port = known.get(path)
        what = ", ".join(
            filter(None, [
                written((port.vid, port.pid)) if port and port.vid is not None else None,
                port.product if port else None,
                f"serial number {port.serial_number}" if port and port.serial_number else None,
            ])
        )  # fmt: skip
        found.append(_port(path, what or "no USB port"))
    if not found:
        found.append(Check("serial ports", True, "none of a device is plugged in", needed=False))
    return found


def _port(path: str, what: str) -> Check:
    name = f"port {path}"
    if sys.platform != "win32" and not os.access(path, os.R_OK | os.W_OK):
        group = _group(Path(path))
        return Check(
            name, False, f"{what}; no permission (it is of the group {group})",
            f"sudo usermod -aG {group} $USER, then log in again",
        )  # fmt: skip
    holders = holders_of(path)
    if holders:
        numbers = " ".join(re.findall(r"\(pid (\d+)\)", " ".join(holders)))
        mend = "close the program that holds it"
        if numbers:
            mend += f"; if it does not end: kill {numbers}"
        return Check(name, False, f"{what}; held by {', '.join(holders)}", mend, needed=False)
    return Check(name, True, f"{what}; free", needed=False)


def _group(path: Path) -> str:
    try:
        return path.group()
    except (KeyError, OSError):
        return "dialout"


def _devices() -> list[Check]:
    """Debug probes and bootloaders: whether this user may use them."""
    bootloaders = set(BOOTSEL.values()) | _bootloaders()
    found = []
    for device in usb_devices():
        if device.probe is not None:
            found.append(_device("probe", device))
        elif device.ids in bootloaders:
            found.append(_device("bootloader", device))
    if not found:
        kinds = ", ".join(PROBE_KINDS.values())
        found.append(Check("probes", True, f"no {kinds} is plugged in", needed=False))
    return found


def _bootloaders() -> set[tuple[int, int]]:
    """USB ids that the board files give to bootloaders."""
    try:
        boards = list_boards()
    except BoardsError:
        return set()  # told by a check of its own
    ids = {each.usb for board in boards for each in board.programmers if each.usb}
    pairs = {tuple(int(part, 16) for part in text.split(":")) for text in ids}
    own = {each.pair for board in boards for each in board.usb if each.role == "bootloader"}
    return {(vendor, product) for vendor, product in pairs} | own


def _device(kind: str, device: UsbDevice) -> Check:
    name = f"{kind} {written(device.ids)}"
    if not device.usable:
        return Check(name, False, f"{device.describe()}; no permission", udev_rule(device.ids))
    return Check(name, True, device.describe(), needed=False)


def _attached(board: Board) -> list[Check]:
    """Whether a board can be flashed now, and its console heard."""
    plug, port = "plug the board in", "name its port with --port PATH"
    virtual = "use --port virtual"
    flashing, console = f"flashing {board.name}", f"console of {board.name}"
    found = []
    try:
        words = choose_programmer(board).describe()
        found.append(Check(flashing, True, words, needed=False))
    except AmbiguousError as error:
        mend = "choose one with --probe SERIAL, or unplug the others"
        found.append(Check(flashing, False, str(error), mend, needed=False))
    except (FlashError, TransportError) as error:
        mend = f"{plug}, or {port}"
        if not board.programmers:
            mend = virtual if board.virtual is not None else "give its file [[programmers]]"
        found.append(Check(flashing, False, str(error), mend, needed=False))
    try:
        found.append(Check(console, True, find_port(board).path, needed=False))
    except (TransportError, BoardsError) as error:
        # Without an id of its own a port is never recognised, however often it is plugged in.
        mend = f"{plug}, or {port}" if ids_of(board, "console") else port
        if not board.programmers and board.virtual is not None:
            mend = virtual
        found.append(Check(console, False, str(error), mend, needed=False))
    return found
