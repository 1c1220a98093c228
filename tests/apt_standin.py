"""An apt-get that fetches from a folder of packages, and fails as the real one does.

It takes the arguments of apt-get 2.6 that the product gives, prints its lines, and plays the
failure that STANDIN_PLAYS names.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

PLAYS = "STANDIN_PLAYS"
SERVER = "http://deb.debian.org/debian/pool/main"


def package(folder: Path, name: str, version: str, files: Mapping[str, Path | str]) -> Path:
    """A real `.deb` of `files`: by their path in the system, a file to copy or a link's target."""
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb")
    tree = folder / f"{name}-tree"
    for inside, source in files.items():
        path = tree / inside
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(source, Path):
            shutil.copyfile(source, path)
        else:
            path.symlink_to(source)
    control = tree / "DEBIAN" / "control"
    control.parent.mkdir(parents=True)
    control.write_text(
        f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: nobody <a@b.c>\n"
        "Description: for a test\n",
        encoding="utf-8",
    )
    deb = folder / f"{name}_{version}_all.deb"
    done = subprocess.run(
        ["dpkg-deb", "-Zgzip", "-z1", "--root-owner-group", "--build", str(tree), str(deb)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    shutil.rmtree(tree)
    return deb


def install(programs: Path, packages: Path) -> None:
    """Puts the stand-in into a folder that must be first on PATH."""
    programs.mkdir(exist_ok=True)
    program = programs / "apt-get"
    program.write_text(
        f'#!/bin/sh\nexec "{sys.executable}" "{Path(__file__).resolve()}" "{packages}" "$@"\n',
        encoding="utf-8",
    )
    program.chmod(0o755)


def main(packages: Path, arguments: list[str]) -> int:
    plays = os.environ.get(PLAYS, "")
    assert arguments[0] == "-q", arguments
    inquiry = arguments[1] == "--print-uris"
    command, *names = arguments[2:] if inquiry else arguments[1:]
    assert command == "download", arguments
    found = {each.name.partition("_")[0]: each for each in sorted(packages.glob("*.deb"))}
    for name in names:
        if name not in found or plays == "no lists":
            print(f"E: Unable to locate package {name}", file=sys.stderr)
            return 100
    if inquiry:
        for name in reversed(names):
            content = found[name].read_bytes()
            digest = hashlib.sha256(content).hexdigest()
            print(
                f"'{SERVER}/{found[name].name}' {found[name].name} {len(content)} SHA256:{digest}"
            )
        return 0
    print("W: Download is performed unsandboxed as root as file", file=sys.stderr)
    if plays == "no network":
        url = f"{SERVER}/{found[names[0]].name}"
        print(
            f"E: Failed to fetch {url}  Temporary failure resolving 'deb.debian.org'",
            "E: Some files failed to download",
            sep="\n",
            file=sys.stderr,
        )
        return 100
    for name in names:
        content = found[name].read_bytes()
        if plays in ("half", "hangs"):
            content = content[: len(content) // 2]
        if plays == "damaged":
            content = content[:-1] + bytes([content[-1] ^ 1])
        Path(found[name].name).write_bytes(content)
        if plays == "hangs":
            time.sleep(60)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
