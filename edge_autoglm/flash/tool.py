"""External programs that flash: what to call, where to look for it, and which version it is."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from edge_autoglm.errors import FlashError

_VERSION_SECONDS = 30.0
_NOT_RUN = (126, 127)  # what a shell, and the loader of libraries, answer


class ToolMissingError(FlashError):
    """A tool is not installed, is too old, or does not start."""


@dataclass(frozen=True)
class Tool:
    """An external program, as the table of programmers describes it.

    Attributes:
        executables: its names on PATH, the preferred first.
        minimal: the oldest version that takes our arguments.
        version_arguments: what makes it tell its version.
        version_pattern: finds the version in what it then prints; one group.
        install: the command, or what to do, by `platform.system()`.
        module: for a Python program, the module that `python -m` runs.
        package: PlatformIO's package that brings it, and
        inside: the folders in that package where it may be.
        home: folders in PlatformIO's own where it may be.
    """

    executables: tuple[str, ...]
    minimal: tuple[int, ...]
    version_arguments: tuple[str, ...]
    version_pattern: str
    install: Mapping[str, str] = field(hash=False)
    module: str | None = None
    package: str | None = None
    inside: tuple[str, ...] = ("bin", "")
    home: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.executables[0]

    @property
    def install_here(self) -> str:
        """How to install it on this system, in one line."""
        return self.install.get(platform.system(), self.install["Linux"])


@dataclass(frozen=True)
class FoundTool:
    """A tool on this machine.

    Attributes:
        name: what messages call it.
        command: what starts it.
        version: what it says of itself, numbers only; empty where it says nothing that is one.
        origin: where it was found, in words.
    """

    name: str
    command: tuple[str, ...]
    version: tuple[int, ...]
    origin: str

    def describe(self) -> str:
        version = " " + dotted(self.version) if self.version else ""
        return f"{self.name}{version} ({self.origin})"


def dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def find_tool(tool: Tool) -> FoundTool:
    """The tool on PATH, beside this interpreter, as its module, or in PlatformIO's packages.

    The first that is new enough is taken.

    Raises:
        ToolMissingError: there is none, or all are too old; with how to install it.
    """
    old: FoundTool | None = None
    reason = ""
    for command, origin in _candidates(tool):
        try:
            version = _version((*command, *tool.version_arguments), tool.version_pattern)
        except ToolMissingError as error:
            reason = reason or str(error)
            continue
        found = FoundTool(tool.name, command, version, origin)
        if not version or version >= tool.minimal:
            return found
        old = old or found
    if old is not None:
        raise ToolMissingError(
            f"{old.describe()} is too old, {dotted(tool.minimal)} is needed; install it: "
            f"{tool.install_here}"
        )
    raise ToolMissingError(f"{reason or f'{tool.name} is not installed'}; {tool.install_here}")


def _candidates(tool: Tool) -> Iterator[tuple[tuple[str, ...], str]]:
    for folder in (None, _scripts()):
        for name in tool.executables:
            path = shutil.which(name, path=folder)
            if path is not None:
                yield (path,), path
    if tool.module is not None and importlib.util.find_spec(tool.module) is not None:
        yield (sys.executable, "-m", tool.module), f"python -m {tool.module}"
    places = [(platformio_home() / folder, "PlatformIO's own environment") for folder in tool.home]
    if tool.package is not None:
        for package in sorted(platformio_home().joinpath("packages").glob(f"{tool.package}*")):
            origin = f"PlatformIO's package {package.name}"
            places += [(package / folder, origin) for folder in tool.inside]
    for place, origin in places:
        for name in tool.executables:
            path = shutil.which(name, path=str(place))
            if path is not None:
                yield (path,), origin


def _scripts() -> str:
    """Where pip puts programs for this interpreter, which may not be on PATH."""
    return str(Path(sys.executable).parent)


def platformio_home() -> Path:
    """Where PlatformIO keeps what it installed."""
    return Path(os.environ.get("PLATFORMIO_CORE_DIR") or "~/.platformio").expanduser()


def brief(command: tuple[str, ...], seconds: float = _VERSION_SECONDS) -> str:
    """What a short run prints. Raises ToolMissingError where it does not start or end."""
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            timeout=seconds, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ToolMissingError(f"{command[0]} does not start ({error})") from error
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode < 0 or done.returncode in _NOT_RUN:
        words = next((line.strip() for line in text.splitlines() if line.strip()), "no words")
        raise ToolMissingError(f"{command[0]} does not start ({words})")
    return text


@cache
def _version(command: tuple[str, ...], pattern: str) -> tuple[int, ...]:
    match = re.search(pattern, brief(command))
    return tuple(int(part) for part in re.findall(r"\d+", match[1])[:3]) if match else ()
