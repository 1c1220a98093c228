"""A folder written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from edge_export.errors import ExportError


def write_folder(target: Path, files: Mapping[str, str], marker: str) -> None:
    """Makes `target` hold exactly `files` (path -> text); see `staged`. Raises ExportError."""
    with staged(target, marker) as staging:
        write_files(staging, {name: text.encode() for name, text in files.items()})


def write_files(folder: Path, files: Mapping[str, bytes]) -> tuple[Path, ...]:
    """Writes `files` (path in `folder` -> content) and gives those paths, sorted. OSError passes:
    `staged` has the name of the folder that was asked for."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return tuple(sorted(map(Path, files)))


@contextmanager
def staged(target: Path, marker: str) -> Iterator[Path]:
    """A folder beside `target`, to be filled; at the end it takes that place.

    An interruption, an error or a full disk leaves what was there. A folder that exists is replaced
    only when it is empty or has the file `marker`: anything else is somebody's. Raises ExportError.
    """
    target = Path(os.path.abspath(target))  # noqa: PTH100 - resolve() would follow a link away
    refuse_foreign(target, marker)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise ExportError(f"{target}: cannot be made: {error.strerror or error}") from error
    try:
        yield staging
        # mkdtemp makes folders for the owner alone; this one is to be shared like any other.
        staging.chmod(0o777 & ~_umask())
        _swap(staging, target)
    except OSError as error:
        raise ExportError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def refuse_foreign(target: Path, marker: str) -> None:
    """Raises ExportError for what `staged` would not replace."""
    if not target.exists() and not target.is_symlink():
        return
    if not target.is_dir():
        raise ExportError(f"{target}: exists and is not a folder; choose another with -o")
    try:
        ours = (target / marker).is_file() or not any(target.iterdir())
    except OSError as error:
        raise ExportError(f"{target}: {error.strerror or error}") from error
    if not ours:
        raise ExportError(
            f"{target}: exists and was not made by an export (no {marker}); choose another "
            "folder with -o, or remove it"
        )


def _swap(staging: Path, target: Path) -> None:
    if not target.exists():
        staging.rename(target)
        return
    # What was there is kept until the new folder stands.
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    kept = old / target.name
    target.rename(kept)
    try:
        staging.rename(target)
    except BaseException:
        kept.rename(target)
        old.rmdir()
        raise
    shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
