"""Virtual boards that are there and of no use: their process does not answer, or runs other code
than this."""

from __future__ import annotations

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
    """The process that has this folder; None where none has.

    Told by its lock, which goes with its holder. Taking the lock to see whether it is free would
    turn away a board that starts at this moment.
    """
    return _locker(files.lock) or _remembered(files)


def _locker(lock: Path) -> int | None:
    """Who holds the lock, as the kernel lists it."""
    try:
        about = lock.stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    place = f"{os.major(about.st_dev):02x}:{os.minor(about.st_dev):02x}:{about.st_ino}"
    for line in lines:
        fields = line.split()
        if len(fields) > 5 and fields[1] == "FLOCK" and fields[5] == place:
            return int(fields[4]) or None  # 0: of another container
    return None


def _remembered(files: BoardFiles) -> int | None:
    """Who the board's own file names, where the kernel calls the lock's device otherwise than
    `stat` does. The pid may be another process by now, so its command line must be a board's."""
    try:
        pid = int(files.pid.read_text())
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (OSError, ValueError):
        return None
    ours = b"edge_boards.virtual.process" in words and str(files.folder).encode() in words
    return pid if ours else None


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
