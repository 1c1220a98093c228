"""SwiftShader in the user's cache: Vulkan on the CPU, which checks of GPU results run on.

It comes from the system's package manager, without root: Debian's chromium-common brings
libvk_swiftshader.so, libvulkan1 the loader. Or from files that somebody brought: packages, or the
folder of any program that is built on Chromium. What is put into the cache has computed a model.
"""

from __future__ import annotations

import errno
import json
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path

from edge_autoglm.gpu_packages import SetupError, apt_packages, fetch, from_folder, from_package
from edge_quantize.errors import GpuError
from edge_quantize.gpu.driver import (
    LIBRARY,
    LOADER,
    MANIFEST,
    cache_folder,
    swiftshader_in,
    system_has_loader,
)
from edge_quantize.gpu.probe import Probe, probe

Say = Callable[[str], None]
Busy = Callable[[str], AbstractContextManager[object]]
_ORIGIN = "origin.json"
_WHERE = (
    "it lies beside the program in browsers and editors that are built on Chromium, in Debian in "
    "the package chromium-common"
)
_ROOM = 32 << 20  # beside what is fetched: the files unpacked, twice while they are moved


@dataclass(frozen=True)
class SwiftShader:
    """SwiftShader in a folder. `origin` says what it was taken from; `run` is a tiny model's run
    on it."""

    folder: Path
    origin: str
    run: Probe


def installed() -> SwiftShader | None:
    """What is in the cache, tried; None where nothing is.

    Raises GpuError where it does not work.
    """
    folder = cache_folder()
    driver = swiftshader_in(folder)
    if driver is None:
        return None
    return SwiftShader(folder, _origin(folder), probe(driver))


def install(sources: Sequence[Path], say: Say, busy: Busy = nullcontext) -> SwiftShader:
    """Puts SwiftShader into the cache, in place of what is there: from `sources` (.deb files or
    folders), or where there are none from the system's package manager. `busy` is entered, with
    words, while that fetches.

    Raises SetupError, having changed nothing.
    """
    folder = cache_folder()
    new = _missing(folder.parent)
    try:
        return _installed_to(folder, sources, say, busy)
    except BaseException:
        for each in new:
            with suppress(OSError):  # another program uses it by now, or it was never made
                each.rmdir()
        raise


def _missing(folder: Path) -> list[Path]:
    """A folder and those above it that are not there, the lowest first."""
    try:
        return [each for each in (folder, *folder.parents) if not each.exists()]
    except OSError:
        return []  # which making it will tell


def _installed_to(folder: Path, sources: Sequence[Path], say: Say, busy: Busy) -> SwiftShader:
    for source in sources:
        if not source.exists():
            raise SetupError(f"--from {source}: is not there")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix="gpu-", dir=folder.parent) as work:
            made, origin = _made(Path(work), sources, say, busy)
            run = _tried(made, origin)
            _swap(made, folder, Path(work))
    except OSError as error:
        place = Path(str(error.filename or folder))
        if place.is_relative_to(folder.parent):  # a folder of the moment says nothing
            place = folder.parent
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "free some space, or name" if full else "name"
        raise SetupError(
            f"{place}: {error.strerror or error}; {advice} another folder in EDGE_AUTOGLM_CACHE"
        ) from error
    return SwiftShader(folder, origin, run)


def _made(work: Path, sources: Sequence[Path], say: Say, busy: Busy) -> tuple[Path, str]:
    """A folder with the three files, and where they are from."""
    files = work / "files"
    files.mkdir()
    if sources:
        for source in sources:
            (from_folder if source.is_dir() else from_package)(source, files)
        origin = ", ".join(str(source) for source in sources)
    else:
        packages = apt_packages()
        need = sum(each.size for each in packages) + _ROOM
        free = shutil.disk_usage(work).free
        if free < need:
            raise SetupError(
                f"{work.parent}: {free >> 20} MiB are free, {need >> 20} are needed; free some, "
                "or name another folder in EDGE_AUTOGLM_CACHE"
            )
        what = " and ".join(f"{each.describe()} ({each.size / 2**20:.1f} MiB)" for each in packages)
        say(f"to fetch: {what}; of them SwiftShader and the Vulkan loader are kept")
        with busy("apt-get is fetching"):
            paths = fetch(packages, work)
        for path in paths:
            from_package(path, files)
        origin = ", ".join(each.describe() for each in packages)
    _check(files, origin)
    # Not the manifest of the package: its path may be one of that system.
    manifest = {
        "file_format_version": "1.0.0",
        "ICD": {"library_path": f"./{LIBRARY}", "api_version": "1.0.5"},
    }
    (files / MANIFEST).write_text(json.dumps(manifest), encoding="utf-8")
    (files / _ORIGIN).write_text(json.dumps({"schema": 1, "origin": origin}), encoding="utf-8")
    return files, origin


def _check(files: Path, origin: str) -> None:
    if not (files / LIBRARY).is_file():
        raise SetupError(f"{origin}: has no {LIBRARY} in it; {_WHERE}")
    if not (files / LOADER).is_file() and not system_has_loader():
        raise SetupError(
            f"{origin}: has no {LOADER} in it, and the system has none; add the package libvulkan1 "
            "with another --from"
        )
    for path in sorted(files.iterdir()):
        ours, theirs = _machine(Path(sys.executable)), _machine(path)
        if theirs is None:
            raise SetupError(f"{origin}: {path.name} in it is no shared library")
        if ours is not None and theirs != ours:
            raise SetupError(f"{origin}: {path.name} in it is for another processor")


def _machine(path: Path) -> tuple[int, int] | None:
    """Class and machine of an ELF file; None for another."""
    with path.open("rb") as file:
        head = file.read(20)
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return None
    return head[4], struct.unpack_from("<H", head, 18)[0]


def _tried(folder: Path, origin: str) -> Probe:
    driver = swiftshader_in(folder)
    if driver is None:
        raise SetupError(f"{origin}: is incomplete")
    try:
        return probe(driver)
    except GpuError as error:
        raise SetupError(f"{origin}: a tiny model does not run on it: {error}") from error


def _swap(made: Path, folder: Path, work: Path) -> None:
    """Puts `made` where `folder` is; what was there goes with `work`."""
    for _ in range(3):  # another program may put its own there in between
        before = Path(tempfile.mkdtemp(prefix="before-", dir=work), "gpu")
        try:
            if folder.exists() or folder.is_symlink():
                folder.rename(before)
            made.rename(folder)
            return
        except BaseException as error:  # an interruption too
            taken = isinstance(error, OSError) and error.errno in (errno.ENOTEMPTY, errno.EEXIST)
            if not taken:
                if before.exists() and not folder.exists():
                    before.rename(folder)
                raise
    raise SetupError(f"{folder}: other programs write to it all the time; try again")


def _origin(folder: Path) -> str:
    try:
        value = json.loads((folder / _ORIGIN).read_text(encoding="utf-8"))
        return str(value["origin"])
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown packages"
