"""Programs a board by copying a UF2 file to the disk that its bootloader shows.

UF2 (github.com/microsoft/uf2) cuts an image into blocks of 512 bytes that carry their own address,
so that the order in which an operating system writes them does not matter.

The ROMs of RP2040 and RP2350 erase a sector when the first block of it comes, and begin what is in
flash only if its first page is there. So the first page comes last: a cut leaves a chip that starts
nothing. (Unplug it before the next try: these ROMs go on with a transfer of as many blocks.) Other
bootloaders take blocks as they come; a cut leaves half an image there.
"""

from __future__ import annotations

import errno
import os
import struct
import time

from edge_autoglm.errors import FlashError
from edge_autoglm.flash.disks import Disk, find_disks
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.meanings import half_image
from edge_autoglm.flash.touch import touch, wait_for

MAGIC_START = 0x0A32_4655, 0x9E5D_5157
MAGIC_END = 0x0AB1_6F30
FAMILY_PRESENT = 0x2000
BLOCK = 512
PAYLOAD = 256
"""Bytes of the image in a block: what every bootloader takes."""

RP2040, RP2350 = range(0xE48B_FF56, 0xE48B_FF57), range(0xE48B_FF57, 0xE48B_FF5C)
"""Family ids (microsoft/uf2, utils/uf2families.json) of Raspberry Pi's chips."""

FILE = "firmware.uf2"
NO_IMAGE = (
    "the board holds no whole image now and does not start one; unplug it, bring it into its "
    "bootloader again (BOOTSEL), and flash it"
)

_HEAD = struct.Struct("<8I")
_LEAVE_SECONDS = 15.0
_POLL_SECONDS = 0.1


def to_uf2(image: bytes, address: int, family: int, *, head_last: bool = False) -> bytes:
    """The image as UF2.

    Args:
        image: the flash's bytes, as many as 32 bits can address.
        address: of the first, a multiple of 256.
        family: the chip's family id.
        head_last: puts the first block at the end of the file; it keeps its number.

    Raises:
        FlashError: the address is not that of a page.
    """
    if address % PAYLOAD:
        raise FlashError(f"UF2 needs an image that begins at a page; 0x{address:08X} is none")
    # The last piece is filled up as erased flash is.
    pieces = [
        image[at : at + PAYLOAD].ljust(PAYLOAD, b"\xff") for at in range(0, len(image), PAYLOAD)
    ]
    blocks = [
        _HEAD.pack(
            *MAGIC_START, FAMILY_PRESENT, address + number * PAYLOAD, PAYLOAD, number,
            len(pieces), family,
        )
        + piece.ljust(BLOCK - _HEAD.size - 4, b"\0")
        + struct.pack("<I", MAGIC_END)
        for number, piece in enumerate(pieces)
    ]  # fmt: skip
    return b"".join([*blocks[1:], *blocks[:1]] if head_last else blocks)


def family_of(job: Job) -> int:
    """The family id of the board file's `target`. Raises FlashError where it is none."""
    target = job.programmer.target
    try:
        return int(target or "", 16)
    except ValueError:
        raise FlashError(
            f"{job.board.title}: its board file gives uf2 the target {target!r}; it needs the "
            "family id, such as 0xe48bff56"
        ) from None


def program(job: Job) -> None:
    """Copies the image to the disk and waits until the bootloader has taken it.

    A board that runs firmware is brought into its bootloader through the job's port.

    Raises:
        FlashError: no disk, several, a full one, or an image that is not taken.
        TransportError: the port cannot be opened.
        KeyboardInterrupt: with the state of the board for text.
    """
    family = family_of(job)
    raspberry = family in RP2040 or family in RP2350
    content = to_uf2(job.image, job.address, family, head_last=raspberry)
    disk = _disk(job)
    cut = NO_IMAGE if raspberry else half_image(job.board)
    try:
        _copy(job, disk, content, cut)
        _wait(job, disk, cut)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(cut) from None


def _disk(job: Job) -> Disk:
    label = job.programmer.volume
    if label is None:
        raise FlashError(f"{job.board.title}: its board file gives uf2 no volume")

    # A board that is named by its port is none of those that wait in their bootloader already.
    before = find_disks(label) if job.port is not None else ()

    def look() -> Disk | None:
        found = [disk for disk in find_disks(label, job.probe) if disk not in before]
        if len(found) > 1:
            raise FlashError(
                f"{job.board.title}: several disks are called {label} "
                f"({'; '.join(disk.describe() for disk in found)}); choose one with --probe "
                "SERIAL, or unplug the others"
            )
        return found[0] if found else None

    if job.port is not None:
        touch(job.port)
        found = wait_for(look)
    else:
        found = look()
    if found is None:
        another = "other " if before else ""
        raise FlashError(
            f"{job.board.title}: no {another}disk called {label} is mounted; bring the board into "
            "its bootloader (hold BOOTSEL while it is plugged in, or press reset twice) and mount "
            "the disk that appears (`udisksctl mount`)"
        )
    return found


def _copy(job: Job, disk: Disk, content: bytes, cut: str) -> None:
    total, step = len(content), 32 * BLOCK
    try:
        with (disk.folder / FILE).open("wb") as file:
            for at in range(0, total, step):
                file.write(content[at : at + step])
                file.flush()
                job.progress(len(job.image) * min(at + step, total) // total, len(job.image))
            os.fsync(file.fileno())
    except OSError as error:
        # The bootloader starts the program on the last block, while the system still writes the
        # directory: an error then is the sign that all has arrived.
        if error.errno in (errno.EIO, errno.ENODEV, errno.ENXIO) and not _there(disk):
            return
        why = {
            errno.ENOSPC: f"it has no room for {total} bytes",
            errno.EROFS: "it is mounted read-only",
            errno.EACCES: "no permission to write to it; mount it as your user",
        }.get(error.errno or 0, f"the copy was cut ({error.strerror or error}); {cut}")
        raise FlashError(f"{job.board.title}: disk {disk.folder}: {why}") from error


def _wait(job: Job, disk: Disk, cut: str) -> None:
    """Waits for the disk to go away, which is how a bootloader says that it has everything."""
    deadline = time.monotonic() + _LEAVE_SECONDS
    while _there(disk):
        if time.monotonic() > deadline:
            raise FlashError(
                f"{job.board.title}: the disk {disk.folder} is still there, so its bootloader did "
                f"not take the image (family 0x{family_of(job):08x}); is it this board's? If it "
                f"is, {cut}"
            )
        time.sleep(_POLL_SECONDS)


def _there(disk: Disk) -> bool:
    return any(each.folder == disk.folder for each in find_disks(disk.folder.name))
