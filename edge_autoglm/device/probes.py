"""USB devices of this machine: debug probes and bootloaders, told apart by serial number.

Linux shows all of them in /sys. Elsewhere only those with a serial port are seen.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from serial.tools import list_ports

SYSFS = Path("/sys/bus/usb/devices")

ST_LINK = frozenset(
    (0x0483, product)
    for product in (
        *(0x3744, 0x3748, 0x374A, 0x374B, 0x3752),  # V1, V2, V2-1
        *(0x374D, 0x374E, 0x374F, 0x3753, 0x3754, 0x3755, 0x3757),  # V3
    )
)
"""ST, TN1235 and the udev rules that ST's own tools bring."""
_SEGGER = 0x1366
PROBE_KINDS = {"st-link": "ST-LINK", "cmsis-dap": "CMSIS-DAP probe", "j-link": "J-Link"}
"""Kinds of debug probe, and what messages call them."""


@dataclass(frozen=True)
class UsbDevice:
    """A device that is plugged in.

    Attributes:
        ids: vendor and product.
        serial: its serial number; in hexadecimal where it is not printable (old ST-LINKs).
        name: its product string, and those of its interfaces.
        node: the file that it is used through; None where the system has none.
    """

    ids: tuple[int, int]
    serial: str | None
    name: str
    node: Path | None = None

    @property
    def usable(self) -> bool:
        """Whether this user may use it."""
        return self.node is None or os.access(self.node, os.R_OK | os.W_OK)

    @property
    def probe(self) -> str | None:
        """The kind of debug probe that it is: a key of `PROBE_KINDS`."""
        if self.ids in ST_LINK:
            return "st-link"
        # The string is what the standard tells such a probe by; its ids are each maker's own.
        if "CMSIS-DAP" in self.name:
            return "cmsis-dap"
        return "j-link" if self.ids[0] == _SEGGER else None

    def describe(self) -> str:
        kind = PROBE_KINDS.get(self.probe or "", self.name or "USB device")
        serial = f"serial number {self.serial}" if self.serial else "no serial number"
        return f"{kind} {written(self.ids)}, {serial}"


def written(ids: tuple[int, int]) -> str:
    """Vendor and product as people write them: 0483:374b."""
    return f"{ids[0]:04x}:{ids[1]:04x}"


def sees_all() -> bool:
    """Whether `usb_devices` sees devices without a serial port."""
    return sys.platform == "linux"


def usb_devices() -> tuple[UsbDevice, ...]:
    """The devices that are plugged in, in a fixed order."""
    if not sees_all():
        return tuple(
            UsbDevice((port.vid, port.pid), port.serial_number, port.product or "")
            for port in sorted(list_ports.comports())
            if port.vid is not None
        )
    if not SYSFS.is_dir():
        return ()
    found = (_device(folder) for folder in sorted(SYSFS.iterdir()))
    return tuple(device for device in found if device is not None)


def probes(kinds: Collection[str] = tuple(PROBE_KINDS)) -> tuple[UsbDevice, ...]:
    """The debug probes of these kinds that are plugged in."""
    return tuple(device for device in usb_devices() if device.probe in kinds)


def udev_rule(ids: tuple[int, int] | None) -> str:
    """The command that lets every user of this machine use a device, for now and for good."""
    vendor, product = written(ids).split(":") if ids is not None else ("VVVV", "PPPP")
    rule = (
        f'SUBSYSTEM=="usb", ATTR{{idVendor}}=="{vendor}", ATTR{{idProduct}}=="{product}", '
        'MODE="0666"'
    )
    return (
        f"echo '{rule}' | sudo tee -a /etc/udev/rules.d/70-edge-autoglm.rules && "
        "sudo udevadm control --reload && sudo udevadm trigger"
    )


def _device(folder: Path) -> UsbDevice | None:
    """The device of a folder of /sys, None where it is an interface or went away."""
    try:
        ids = int(_read(folder / "idVendor"), 16), int(_read(folder / "idProduct"), 16)
        bus, number = int(_read(folder / "busnum")), int(_read(folder / "devnum"))
    except (OSError, ValueError):
        return None
    strings = [folder / "product", *sorted(folder.glob(f"{folder.name}:*/interface"))]
    return UsbDevice(
        ids=ids,
        serial=_text(folder / "serial") or None,
        name=", ".join(filter(None, map(_text, strings))),
        node=Path(f"/dev/bus/usb/{bus:03d}/{number:03d}"),
    )


def _read(path: Path) -> str:
    return path.read_text(encoding="ascii").strip()


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes().rstrip(b"\n")
    except OSError:
        return ""
    text = raw.decode("utf-8", "replace")
    return text if text.isprintable() and "\N{REPLACEMENT CHARACTER}" not in text else raw.hex()
