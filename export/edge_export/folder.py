"""A folder written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge_export.errors import ExportError

# What builds leave in a folder that was exported: they are made anew.
_BUILT = frozenset({"build", "platformio", ".pio", ".gradle", ".cxx", ".build", ".swiftpm"})
_FIND, _SHOWN = 1000, 3  # files of somebody's that are looked for and named


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
def staged(target: Path, marker: str, kept: Sequence[str] = ()) -> Iterator[Path]:
    """A folder beside `target`, to be filled; at the end it takes that place.

    An interruption, an error or a full disk leaves what was there. A folder that exists is replaced
    only when it is empty, or holds nothing but what an export wrote (its JSON file `marker` lists
    that) and what builds leave. In the folders `kept` lies what a user adds;
    that is taken over. A link to a folder is followed. Raises ExportError.
    """
    target = _place(target)
    refuse_foreign(target, marker, kept)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise ExportError(f"{target}: cannot be made: {error.strerror or error}") from error
    try:
        yield staging
        # mkdtemp makes folders for the owner alone; this one is to be shared like any other.
        staging.chmod(0o777 & ~_umask())
        _swap(staging, target, kept)
    except OSError as error:
        raise ExportError(f"{target}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def refuse_foreign(target: Path, marker: str, kept: Sequence[str] = ()) -> None:
    """Raises ExportError for what `staged` would not replace or could not make."""
    target = _place(target)
    if not target.exists() and not target.is_symlink():
        _check_parents(target)
        return
    if not target.is_dir():
        raise ExportError(f"{target}: exists and is not a folder; choose another with -o")
    try:
        if not any(target.iterdir()):
            return
        listed = _listed(target / marker)
        if listed is None:
            raise ExportError(
                f"{target}: exists and was not made by an export (no {marker} with its files); "
                "choose another folder with -o, or remove it"
            )
        theirs = _foreign(target, listed | {marker}, {*_BUILT, *kept})
    except OSError as error:
        raise ExportError(f"{target}: {error.strerror or error}") from error
    if theirs:
        names = ", ".join(theirs[:_SHOWN])
        more = f" and {len(theirs) - _SHOWN} more" if len(theirs) > _SHOWN else ""
        raise ExportError(
            f"{target}: holds what no export wrote: {names}{more}; move it away, or choose another "
            "folder with -o"
        )
    if target in (Path.cwd(), *Path.cwd().parents):
        raise ExportError(f"{target}: you are in it, and it is to be replaced; go out of it first")


def _place(target: Path) -> Path:
    """Where a folder is to stand; a link to one is followed, for it would be replaced itself."""
    if target.is_symlink() and target.is_dir():
        return target.resolve()
    return Path(os.path.abspath(target))  # noqa: PTH100 - resolve() would follow a broken link away


def _check_parents(target: Path) -> None:
    above = next(each for each in target.parents if each.exists() or each.is_symlink())
    if not above.is_dir():
        raise ExportError(f"{target}: cannot be made: {above} is not a folder")
    if not os.access(above, os.W_OK | os.X_OK):
        raise ExportError(f"{target}: cannot be made: no permission to write in {above}")


def _listed(marker: Path) -> frozenset[str] | None:
    """The files that an export says it wrote; None where it says nothing of the kind."""
    try:
        document = json.loads(marker.read_bytes())
        return frozenset(map(str, [*document["files"], *document.get("others", ())]))
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _foreign(target: Path, listed: frozenset[str], skipped: set[str]) -> list[str]:
    """Files, links and empty folders that are not `listed`, outside of the folders `skipped`; the
    first thousand."""
    found: list[str] = []
    for folder, folders, files in os.walk(target):
        here = Path(folder)
        if here == target:
            folders[:] = [name for name in folders if name not in skipped]
        names = [*files, *(name for name in folders if (here / name).is_symlink())]
        if not names and not folders and here != target:
            names, here = [here.name], here.parent
        paths = [(here / name).relative_to(target).as_posix() for name in names]
        found += [path for path in paths if path not in listed]
        if len(found) > _FIND:
            break
    return sorted(found)


def _swap(staging: Path, target: Path, kept: Sequence[str]) -> None:
    if not target.exists():
        staging.rename(target)
        return
    # What was there is kept until the new folder stands.
    old = Path(tempfile.mkdtemp(prefix=f".{target.name}.old.", dir=target.parent))
    before = old / target.name
    target.rename(before)
    try:
        staging.rename(target)
    except BaseException:
        before.rename(target)
        old.rmdir()
        raise
    for name in kept:
        _take_over(before / name, target / name)
    shutil.rmtree(old, ignore_errors=True)


def _take_over(before: Path, now: Path) -> None:
    """What a user added to a folder of ours."""
    if not before.is_dir() or before.is_symlink():
        return
    now.mkdir(exist_ok=True)
    for entry in before.iterdir():
        if not (now / entry.name).exists():
            entry.rename(now / entry.name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
