"""The folder that one run leaves behind: complete when its manifest is there."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from edge_autoglm.errors import EdgeError

MANIFEST = "manifest.json"
SCHEMA = 1


class BundleError(EdgeError):
    """A bundle's folder is taken, or its content is not what its manifest says."""


def write_bundle(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Writes `files` and, last of all, a manifest with the SHA-256 of each.

    The folder appears whole or not at all. Raises BundleError when it exists already, OSError
    when the disk is full or not writable.
    """
    check_free(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        for name, content in files.items():
            (made / name).write_bytes(content)
        manifest = {
            "schema": SCHEMA,
            "files": {name: hashlib.sha256(files[name]).hexdigest() for name in sorted(files)},
        }
        (made / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        umask = os.umask(0)
        os.umask(umask)
        made.chmod(0o777 & ~umask)
        _rename(made, folder)
    except BaseException as error:
        shutil.rmtree(made, ignore_errors=True)
        if isinstance(error, OSError):
            # A full disk names no file, and nobody knows the temporary one.
            error.filename, error.filename2 = str(folder), None
        raise
    return folder


def write_next(parent: Path, files: Mapping[str, bytes]) -> Path:
    """Writes a bundle as `run-001`, `run-002`, ...: the first name that is free in `parent`.

    Raises OSError.
    """
    number = 1
    while True:
        folder = parent / f"run-{number:03d}"
        number += 1
        if os.path.lexists(folder):
            continue
        try:
            return write_bundle(folder, files)
        except BundleError:
            continue  # another run took the name meanwhile


def check_free(folder: Path) -> None:
    """Raises BundleError when `folder` is there already."""
    if os.path.lexists(folder):
        raise BundleError(f"{folder} exists already; name another folder with --bundle")


def _rename(made: Path, folder: Path) -> None:
    try:
        made.rename(folder)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            check_free(folder)
        raise


def read_bundle(folder: Path) -> dict[str, bytes]:
    """The files of a bundle, each checked against the manifest. Raises BundleError."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if manifest["schema"] != SCHEMA:
            raise BundleError(
                f"{folder / MANIFEST}: schema {manifest['schema']!r}; this version reads {SCHEMA}"
            )
        wanted = {str(name): str(digest) for name, digest in manifest["files"].items()}
    except OSError as error:
        raise BundleError(f"{folder}: no bundle ({MANIFEST}: {error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f"{folder / MANIFEST}: damaged ({error})") from error
    files = {}
    for name, digest in wanted.items():
        if Path(name).name != name:
            raise BundleError(f"{folder / MANIFEST}: names {name!r}, which is outside the bundle")
        try:
            files[name] = (folder / name).read_bytes()
        except OSError as error:
            raise BundleError(f"{folder / name}: {error.strerror}") from error
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise BundleError(f"{folder / name}: changed since the run")
    return files
