"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from edge_autoglm.errors import EdgeError


class OutputError(EdgeError):
    """A file that was asked for cannot be written where it was asked for."""


def check_writable(path: Path) -> None:
    """Refuses, before any work is done for it, a file that cannot be written.

    Raises OutputError: no such folder, a folder itself, or no permission.
    """
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file in it")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it first")
    # A device or a pipe is written to itself, a file is replaced by way of its folder.
    if not os.access(path if _special(path) else path.parent, os.W_OK):
        raise OutputError(f"{path}: no permission to write it; choose another place")


def write_whole(path: Path, content: bytes) -> None:
    """Writes `content` beside `path` and renames it there.

    A link is followed; what is no regular file (/dev/stdout, a pipe) is written to, never
    replaced. Raises OSError with `path` as its file (disk full, no permission), having left
    nothing behind.
    """
    try:
        if _special(path):
            with path.open("wb") as device:
                device.write(content)
        else:
            _replace(path.resolve(), content)
    except OSError as error:
        # A full disk names no file, and nobody knows the temporary one.
        error.filename, error.filename2 = str(path), None
        raise


def _replace(path: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(name).chmod(0o666 & ~umask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _special(path: Path) -> bool:
    return path.exists() and not path.is_file()
