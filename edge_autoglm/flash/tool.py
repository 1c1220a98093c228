"""External programs that flash: what to call, where to look for it, and which version it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Tool:
    """An external program, as the table of programmers describes it.

    Attributes:
        executables: its names on PATH, the preferred first.
        minimal: the oldest version that is known to take our arguments.
        version_arguments: what makes it tell its version.
        version_pattern: finds the version in what it then prints; one group.
        install: the command, or what to do, by `platform.system()`.
        module: for a Python program, the module that `python -m` runs.
        package: PlatformIO's package that brings it, and
        inside: the folders in that package where it may be.
    """

    executables: tuple[str, ...]
    minimal: tuple[int, ...]
    version_arguments: tuple[str, ...]
    version_pattern: str
    install: Mapping[str, str] = field(hash=False)
    module: str | None = None
    package: str | None = None
    inside: tuple[str, ...] = ("bin", "")

    @property
    def name(self) -> str:
        """What messages call it."""
        return self.executables[0]
