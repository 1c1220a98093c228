"""Disks that a debug probe or a bootloader shows, found by their label.

Two boards of one kind show two disks of one label; the serial number of the USB device behind each
tells them apart.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/mounts")
LABELS = Path("/dev/disk/by-label")
BLOCKS = Path("/sys/class/block")
_ROOTS = ("/run/media/{user}", "/media/{user}", "/media", "/mnt", "/Volumes")


@dataclass(frozen=True)
class Disk:
    """A mounted disk: its folder, and the serial number of its USB device where that is known."""

    folder: Path
    serial: str | None = None

    def describe(self) -> str:
        return f"{self.folder}: serial number {self.serial}" if self.serial else str(self.folder)


def find_disks(
    label: str,
    serial: str | None = None,
    *,
    mounts: Path | None = None,
    labels: Path | None = None,
    blocks: Path | None = None,
) -> tuple[Disk, ...]:
    """The mounted disks called `label`; with a serial number, those of that device only.

    Looks into the mount table (Linux) for folders of that name (desktops append a digit for the
    second one) or for the device that udev gives that label, then into the places where desktops
    and macOS mount disks.
    """
    found: dict[str, Disk] = {}
    for folder, device in _candidates(label, mounts or MOUNTS, labels or LABELS):
        try:
            if not folder.is_dir():
                continue
        except OSError:
            continue  # a mount that just went away
        # One disk may be mounted twice; without a device each folder is one.
        disk = Disk(folder, _usb_serial(device, blocks or BLOCKS) if device else None)
        if serial is None or disk.serial == serial:
            found.setdefault(device or str(folder), disk)
    return tuple(found.values())


def _candidates(label: str, mounts: Path, labels: Path) -> Iterator[tuple[Path, str]]:
    """Folders and their devices (empty where unknown)."""
    labelled = os.path.realpath(labels / label)
    names = re.compile(re.escape(label) + r"\d?")
    seen = set()
    if mounts.is_file():
        for line in mounts.read_text(encoding="utf-8", errors="replace").splitlines():
            device, _, rest = line.partition(" ")
            # Spaces and the like are written as octal, other letters as they are: fstab(5).
            name = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), rest.split(" ")[0])
            folder = Path(name)
            if names.fullmatch(folder.name) or device == labelled:
                seen.add(folder)
                yield folder, device
    user = os.environ.get("USER", "")
    for root in _ROOTS:
        folder = Path(root.format(user=user)) / label
        # An empty folder that a disk left behind is no disk.
        if folder not in seen and os.path.ismount(folder):
            yield folder, ""


def _usb_serial(device: str, blocks: Path) -> str | None:
    """The serial number of the USB device that a block device (/dev/sdb1) belongs to."""
    folder = Path(os.path.realpath(blocks / Path(device).name))
    for parent in folder.parents:
        if (parent / "idVendor").is_file():
            try:
                return (parent / "serial").read_text(encoding="utf-8", errors="replace").strip()
            except OSError:
                return None
    return None
