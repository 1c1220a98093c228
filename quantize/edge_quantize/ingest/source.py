"""A model file's bytes, or one clear line saying why not."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from edge_quantize.errors import ModelFileError

# Far beyond what a microcontroller's flash holds; keeps a mistaken path from filling the RAM.
MAX_FILE_BYTES = 256 * 1024 * 1024

# What people hand over instead of a .tflite, by its first bytes.
_OTHER_FORMATS = (
    (b"\x89HDF", "a Keras HDF5 file: make a .tflite of it first, with `edge-autoglm convert`"),
    (b"PK\x03\x04", "a zip archive (a .keras file?): `edge-autoglm convert` takes .keras and .pt2"),
    (b"version https://git-lfs", "a Git LFS pointer: fetch the real file with `git lfs pull`"),
    (b"\x7fELF", "an ELF program, not a model"),
    (b"<", "markup, perhaps a saved web page: download the raw file"),
    (b"{", "JSON, not a model"),
)


def read_model_file(path: Path) -> bytes:
    """The content of `path`; raises ModelFileError when it cannot be read or is too large."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise ModelFileError(f"{path}: is a directory; name a .tflite file")
        if not stat.S_ISREG(status.st_mode):
            raise ModelFileError(f"{path}: is not a regular file; name a .tflite file")
        if status.st_size > MAX_FILE_BYTES:
            raise ModelFileError(
                f"{path}: {status.st_size} bytes are too large for a model here "
                f"(at most {MAX_FILE_BYTES})"
            )
        with path.open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError as error:
        raise ModelFileError(f"{path}: no such file") from error
    except PermissionError as error:
        raise ModelFileError(f"{path}: no permission to read it") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the path
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise ModelFileError(f"{path}: cannot be read: {reason}") from error
    return data


def other_format(head: bytes) -> str:
    """What a file that starts with `head` seems to be instead of a model; "" when it is unknown."""
    return next((meaning for magic, meaning in _OTHER_FORMATS if head.startswith(magic)), "")


def check_magic(data: bytes) -> None:
    """Raise ModelFileError unless `data` starts as a `.tflite` file does."""
    if not data:
        raise ModelFileError("the file is empty")
    if data[4:8] == b"TFL3":
        return
    meaning = other_format(data)
    if meaning:
        raise ModelFileError(f"not a .tflite file: it looks like {meaning}")
    if len(data) < 8:
        raise ModelFileError(f"not a .tflite file: only {len(data)} bytes")
    raise ModelFileError(
        f"not a .tflite file: bytes 4 to 7 are {data[4:8].hex(' ')} instead of 'TFL3'"
    )
