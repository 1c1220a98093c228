"""`export.json`: what a generated folder says of itself, sealed so that a change is noticed.

It carries a SHA-256 of every file that is compiled, and one over all that it says. `runtime` names
who made the folder; folders of the ahead-of-time compiler may lack it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .errors import ExportError

EXPORT_FILE = "export.json"
EXPORT_SCHEMA = 1


def seal(said: Mapping[str, Any], files: Mapping[str, str], compiled: Iterable[str]) -> str:
    """The text of export.json: `said`, and the digests of those of `files` that are compiled;
    the others by name, since they may be changed."""
    document = {
        "schema": EXPORT_SCHEMA,
        **said,
        "files": {
            path: hashlib.sha256(files[path].encode("utf-8")).hexdigest() for path in compiled
        },
    }
    document["others"] = sorted(set(files) - set(document["files"]))
    return json.dumps(document | {"digest": digest(document)}, indent=1) + "\n"


def read_sealed(directory: Path) -> dict[str, Any]:
    """What a folder says of itself. Raises ExportError when it is no generated one, lacks files, or
    was changed since it was written."""
    path = directory / EXPORT_FILE
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if not directory.exists():
            raise ExportError(f"{directory}: no such folder; `export` a model into it") from None
        inside = sorted(found.parent for found in directory.glob(f"*/{EXPORT_FILE}"))
        hint = f"; {inside[0]} is one" if inside else ""
        raise ExportError(f"{directory}: not an exported model (no {EXPORT_FILE}){hint}") from None
    except OSError as error:
        raise ExportError(f"{path}: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        raise ExportError(f"{path}: not JSON ({error}); export the model again") from error
    if not isinstance(document, dict) or document.get("schema") != EXPORT_SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else None
        raise ExportError(
            f"{path}: schema {found!r}, this version reads {EXPORT_SCHEMA}; export the model again"
        )
    # Everything after this was written by an export itself.
    if document.get("digest") != digest(document):
        raise ExportError(f"{path}: changed since it was exported; export the model again")
    _check_files(directory, document["files"])
    return document


def digest(document: Mapping[str, Any]) -> str:
    """SHA-256 of everything that export.json says but this."""
    said = {key: value for key, value in document.items() if key != "digest"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode("utf-8")).hexdigest()


def _check_files(directory: Path, files: Mapping[str, str]) -> None:
    for name, expected in files.items():
        try:
            content = (directory / name).read_bytes()
        except OSError as error:
            raise ExportError(
                f"{directory / name}: {error.strerror or error}; export the model again"
            ) from error
        if hashlib.sha256(content).hexdigest() != expected:
            raise ExportError(
                f"{directory / name}: changed since it was exported; export the model again"
            )
