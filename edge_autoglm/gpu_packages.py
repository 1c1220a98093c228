"""SwiftShader and the Vulkan loader out of packages and folders, and packages out of apt-get."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from edge_autoglm.errors import EdgeError
from edge_quantize.gpu.driver import LIBRARY, LOADER

PACKAGES = ("chromium-common", "libvulkan1")
_LINE = re.compile(r"^'(?P<uri>[^']+)' (?P<file>\S+_\S+) (?P<size>\d+)(?: SHA256:(?P<digest>\w+))?")
_BY_HAND = (
    f"{LIBRARY} and {LOADER} lie beside the program in browsers and editors that are built on "
    "Chromium (Chrome, Electron); find such a folder and give it with --from DIR"
)


class SetupError(EdgeError):
    """Something cannot be put into the user's cache; nothing was changed there."""


@dataclass(frozen=True)
class Package:
    """A package as apt-get knows it; `size` in bytes, `digest` its SHA-256 (may be empty)."""

    file: str
    size: int
    digest: str

    @property
    def name(self) -> str:
        return self.file.partition("_")[0]

    def describe(self) -> str:
        return f"{self.name} {unquote(self.file).split('_')[1]}"


def apt_packages() -> tuple[Package, ...]:
    """What apt-get would fetch, by its lists; nothing is fetched for this. Raises SetupError."""
    if sys.platform != "linux":
        raise SetupError(
            "setup gpu is for Linux: on a Mac LiteRT drives the GPU through Metal, with nothing "
            "to set up; on Windows use WSL"
        )
    if shutil.which("apt-get") is None:
        raise SetupError(f"no apt-get here; {_BY_HAND}")
    answer = _apt("--print-uris", "download", *PACKAGES)
    found = tuple(
        Package(line["file"], int(line["size"]), line["digest"] or "")
        for line in map(_LINE.match, answer.stdout.splitlines())
        if line
    )
    if answer.returncode or sorted(each.name for each in found) != sorted(PACKAGES):
        raise SetupError(
            f"apt-get finds no {' and '.join(PACKAGES)} ({_words(answer)}); refresh its lists with "
            f"`sudo apt-get update`. Where it has none (Ubuntu's Chromium is a snap): {_BY_HAND}"
        )
    return tuple(sorted(found, key=lambda each: PACKAGES.index(each.name)))


def fetch(packages: Sequence[Package], folder: Path) -> tuple[Path, ...]:
    """Fetches packages into a folder, and checks that they are whole. Raises SetupError."""
    answer = _apt("download", *PACKAGES, cwd=folder)
    if answer.returncode:
        raise SetupError(
            f"apt-get cannot fetch the packages ({_words(answer)}); is the network there? "
            "--from takes packages that were fetched elsewhere"
        )
    paths = []
    for package in packages:
        path = folder / package.file
        size = path.stat().st_size if path.is_file() else 0
        if size != package.size:
            raise SetupError(
                f"{package.file}: came only in part ({size} of {package.size} bytes); try again"
            )
        if package.digest:
            with path.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            if digest != package.digest:
                raise SetupError(f"{package.file}: came damaged (its SHA-256 differs); try again")
        paths.append(path)
    return tuple(paths)


def _apt(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["apt-get", "-q", *arguments], cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, errors="replace", env={**os.environ, "LC_ALL": "C"}, check=False,
        )  # fmt: skip
    except OSError as error:
        raise SetupError(f"apt-get cannot be started ({error.strerror}); {_BY_HAND}") from error


def _words(answer: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in answer.stderr.splitlines() if line.startswith("E: ")]
    return lines[0].removeprefix("E: ") if lines else f"exit code {answer.returncode}"


def from_package(path: Path, files: Path) -> None:
    """Takes what is wanted out of a `.deb`. Raises SetupError."""
    if shutil.which("dpkg-deb") is None:
        raise SetupError(f"{path}: dpkg-deb, which opens it, is not installed; {_BY_HAND}")
    with subprocess.Popen(
        ["dpkg-deb", "--fsys-tarfile", "--", str(path)], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, "LC_ALL": "C"},
    ) as unpacking:  # fmt: skip
        assert unpacking.stdout is not None
        assert unpacking.stderr is not None
        try:
            with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
                for member in archive:
                    name = _wanted(member.name)
                    if name is not None and member.isreg():
                        content = archive.extractfile(member)
                        assert content is not None
                        _keep(content, files / name)
            unpacking.stdout.read()  # to its end, or dpkg-deb complains of a broken pipe
            words = unpacking.stderr.read().decode("utf-8", "replace").strip()
            failed = bool(unpacking.wait())
        except tarfile.TarError as error:
            unpacking.kill()
            words = unpacking.stderr.read().decode("utf-8", "replace").strip() or str(error)
            failed = True
        except BaseException:
            unpacking.kill()
            raise
    if failed:
        reason = words.splitlines()[-1].rpartition("error: ")[2] if words else "no reason given"
        raise SetupError(f"{path}: is no whole Debian package ({reason})")


def from_folder(path: Path, files: Path) -> None:
    """Takes what is wanted from a folder or from one below it, and what is not there from the
    packages that lie in the folder. Raises SetupError."""
    for base, _, names in os.walk(path):
        for each in sorted(names):
            name = _wanted(each)
            if name is not None and Path(base, each).is_file():
                with Path(base, each).open("rb") as content:
                    _keep(content, files / name)
    for package, name in zip(PACKAGES, (LIBRARY, LOADER), strict=True):
        if (files / name).exists():
            continue
        there = sorted(path.glob(f"{package}_*.deb"))
        if len(there) > 1:
            several = ", ".join(deb.name for deb in there)
            raise SetupError(f"{path}: has several packages ({several}); give the file with --from")
        for deb in there:
            from_package(deb, files)


def _wanted(path: str) -> str | None:
    """The name that a file is kept under; the loader's has its full version in packages."""
    name = path.rpartition("/")[2]
    if name == LIBRARY:
        return name
    return LOADER if re.fullmatch(rf"{re.escape(LOADER)}[.\d]*", name) else None


def _keep(content: IO[bytes], path: Path) -> None:
    if path.exists():  # the first source that has it
        return
    with path.open("wb") as file:
        shutil.copyfileobj(content, file)
