"""The folder that one run leaves behind: complete when its manifest is there."""

from __future__ import annotations

import hashlib
import json
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
    if folder.exists():
        raise BundleError(f"{folder} exists already; name another folder with --bundle")
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
        made.chmod(0o755)
        made.rename(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return folder


def read_bundle(folder: Path) -> dict[str, bytes]:
    """The files of a bundle, each checked against the manifest. Raises BundleError."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        wanted = dict(manifest["files"])
    except OSError as error:
        raise BundleError(f"{folder}: no bundle ({error.strerror} {MANIFEST})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{folder / MANIFEST}: damaged ({error})") from error
    files = {}
    for name, digest in wanted.items():
        try:
            files[name] = (folder / Path(name).name).read_bytes()
        except OSError as error:
            raise BundleError(f"{folder / name}: {error.strerror}") from error
        if hashlib.sha256(files[name]).hexdigest() != digest:
            raise BundleError(f"{folder / name}: changed since the run")
    return files


def next_folder(parent: Path) -> Path:
    """`run-001`, `run-002`, ...: the first that is free in `parent`."""
    number = 1
    while (parent / f"run-{number:03d}").exists():
        number += 1
    return parent / f"run-{number:03d}"
