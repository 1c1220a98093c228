"""Programs a board by copying the image to the USB disk that its debug probe shows.

The probe programs what is copied, then its disk goes away and comes back; when it failed, a file
FAIL.TXT says why. The disk is no real one: the probe reads the sectors as they are written, so the
image is written once under its own name and flushed, without a temporary file beside it.

A cut leaves half an image: the probe programs the sectors as they come, the vector table first.
"""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path

from edge_autoglm.errors import FlashError
from edge_autoglm.flash.disks import find_disks
from edge_autoglm.flash.job import Job
from edge_autoglm.flash.meanings import half_image

FAIL_FILE = "FAIL.TXT"
IMAGE_FILE = "firmware.bin"
_PIECE = 16_384


@dataclass(frozen=True)
class Waits:
    """Seconds.

    Attributes:
        leave: for the disk to go away after the copy; a probe that keeps its disk is done then.
        come_back: for it to come back.
        poll: between two looks.
    """

    leave: float = 6.0
    come_back: float = 30.0
    poll: float = 0.2


def program(job: Job, *, mounts: Path | None = None, waits: Waits | None = None) -> None:
    """Copies the image, waits for the disk to come back, reads FAIL.TXT.

    Raises:
        FlashError: no disk, it is full or went away, or the probe reports a failure.
        KeyboardInterrupt: with the state of the board for text.
    """
    label = job.programmer.volume
    if label is None:
        raise FlashError(f"{job.board.title}: its board file gives mass-storage no volume")
    folder = _folder(job, mounts)
    if folder is None:
        raise FlashError(
            f"{job.board.title}: no disk called {label} is mounted; plug the board's USB into "
            "this machine and mount the disk that appears (`udisksctl mount`), or flash another "
            "way (--port virtual for a board nobody needs to own)"
        )
    before = _failure(folder)
    waits = waits or Waits()
    try:
        _copy(job, folder)
        remounted = _wait_for_remount(job, mounts, waits, before)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(half_image(job.board)) from None
    if remounted is None:
        raise FlashError(
            f"{job.board.title}: the disk {label} did not come back within "
            f"{waits.come_back:.0f} s; unplug and plug the board, then flash again"
        )
    folder, went_away = remounted
    after = _failure(folder)
    # A disk that stayed may still hold the failure of an earlier attempt.
    if after is not None and (went_away or after != before):
        raise FlashError(
            f"{job.board.title}: the probe could not program the image: {after[1]}; unplug and "
            "plug the board and try again, and check that nothing holds its reset line"
        )


def _copy(job: Job, folder: Path) -> None:
    total = len(job.image)
    target = folder / IMAGE_FILE
    try:
        with target.open("wb") as file:
            for offset in range(0, total, _PIECE):
                file.write(job.image[offset : offset + _PIECE])
                job.progress(min(offset + _PIECE, total), total)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        why = {
            errno.ENOSPC: f"it has no room for {total} bytes; {half_image(job.board)}",
            errno.EROFS: "it is mounted read-only",
            errno.EACCES: "no permission to write to it; mount it as your user",
        }.get(
            error.errno or 0,
            f"the copy was cut ({error.strerror or error}); {half_image(job.board)}",
        )
        raise FlashError(f"{job.board.title}: disk {folder}: {why}") from error


def _folder(job: Job, mounts: Path | None) -> Path | None:
    """The disk's folder; of the job's probe, where it names one."""
    found = find_disks(job.programmer.volume or "", job.probe, mounts=mounts)
    return found[0].folder if found else None


def _wait_for_remount(
    job: Job, mounts: Path | None, waits: Waits, before: tuple[float, str] | None
) -> tuple[Path, bool] | None:
    """The disk's folder once it is there to stay, and whether it went away; None: it is gone."""
    gone = False
    last: Path | None = None
    deadline = time.monotonic() + waits.leave
    while time.monotonic() < deadline:
        folder = _folder(job, mounts)
        if folder is None and not gone:
            gone = True
            deadline = time.monotonic() + waits.come_back
        elif folder is not None:
            last = folder
            if gone or _failure(folder) not in (None, before):
                break
        time.sleep(waits.poll)
    else:
        if gone:
            return None
    return (last, gone) if last is not None else None


def _failure(folder: Path) -> tuple[float, str] | None:
    """FAIL.TXT's time and words, or None where there is none."""
    path = folder / FAIL_FILE
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
        return path.stat().st_mtime, " ".join(text.split()) or "FAIL.TXT is empty"
    except OSError:
        return None
