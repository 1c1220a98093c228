"""Virtual boards that are there and of no use: their process does not answer, or runs other code
than this."""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import time
from pathlib import Path

from edge_boards.virtual.state import BoardFiles

_FOLDER = Path(__file__).parent
_SOURCES = ("*.py", "*.c", "*.h")
_POLL_S = 0.02


def software(board_file: Path) -> str:
    """What a virtual board does depends on: a digest of this package's code and the board file."""
    digest = hashlib.sha256()
    for path in sorted(path for kind in _SOURCES for path in _FOLDER.rglob(kind)):
        digest.update(path.relative_to(_FOLDER).as_posix().encode() + b"\0")
        digest.update(path.read_bytes())
    digest.update(board_file.read_bytes())
    return digest.hexdigest()[:16]


def holder(files: BoardFiles) -> int | None:
    """The process that has this folder, by its lock; None where none has.

    A pid that a file remembers may be another process by now; the lock goes with its holder.
    """
    try:
        handle = os.open(files.lock, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return _locker(files.lock, os.fstat(handle))
    finally:
        os.close(handle)
    return None


def _locker(path: Path, lock: os.stat_result) -> int | None:
    """Who the kernel says has the lock. File systems of several devices (btrfs, overlays) are named
    there by another device than stat gives: then the inode must do, and the file must be open."""
    place = f"{os.major(lock.st_dev):02x}:{os.minor(lock.st_dev):02x}:{lock.st_ino}"
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        fields = line.split()
        if len(fields) < 6 or fields[1] != "FLOCK":
            continue
        pid = int(fields[4])  # 0: of another container
        if fields[5] == place:
            return pid or None
        if fields[5].endswith(f":{lock.st_ino}") and pid and _has_open(pid, path):
            return pid
    return None


def _has_open(pid: int, path: Path) -> bool:
    try:
        handles = list(Path(f"/proc/{pid}/fd").iterdir())
        return any(handle.resolve() == path.resolve() for handle in handles)
    except OSError:
        return False


def end(files: BoardFiles, pid: int, wait: float) -> bool:
    """Ends the process that has this folder, gently first; whether it has let go of it."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.kill(pid, number)
        except OSError:
            break
        until = time.monotonic() + wait / 2
        while time.monotonic() < until:
            if holder(files) != pid:
                return True
            time.sleep(_POLL_S)
    return holder(files) != pid
