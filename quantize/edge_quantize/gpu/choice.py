"""Which of this machine's drivers is taken: a real GPU that works, else SwiftShader."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from edge_quantize.errors import GpuError, GpuUnavailableError

from .driver import (
    ENVIRONMENT,
    SETUP,
    Driver,
    driver_of,
    graphics_devices,
    named_by_user,
    swiftshaders,
    system_driver,
)
from .probe import probe


@dataclass(frozen=True)
class Choice:
    """`passed_over` says of each driver that was found and not taken why, in order."""

    driver: Driver
    passed_over: tuple[str, ...] = ()


def find_driver() -> Driver:
    """The driver to use. Raises GpuUnavailableError, with the one command that mends it."""
    return choose_driver().driver


def choose_driver() -> Choice:
    """In this order: what EDGE_AUTOGLM_GPU names (a manifest, "swiftshader", or "none"), what
    VK_DRIVER_FILES or VK_ICD_FILENAMES name, the system's GPU, SwiftShader from the user's cache,
    SwiftShader from an installed Chromium, and a driver of the system's that computes on the CPU.

    All but SwiftShader are tried with a tiny model: what a manifest promises is not always there.
    What was named by the user is taken or is an error. Raises GpuUnavailableError.
    """
    watched = ("VK_DRIVER_FILES", "VK_ICD_FILENAMES", "LD_LIBRARY_PATH", "XDG_DATA_DIRS",
               "XDG_CACHE_HOME", "EDGE_AUTOGLM_CACHE", "HOME")  # fmt: skip
    named = os.environ.get(ENVIRONMENT, "").strip()
    return _chosen(named, tuple(os.environ.get(name, "") for name in watched))


@cache
def _chosen(named: str, _environment: tuple[str, ...]) -> Choice:
    if named == "none":
        raise GpuUnavailableError(
            f"{ENVIRONMENT}=none: no GPU is to be used here; unset {ENVIRONMENT} (or set it to "
            '"swiftshader" or to a driver\'s manifest) to use one'
        )
    if named not in ("", "swiftshader"):
        return Choice(_tried(driver_of(Path(named)), f"{ENVIRONMENT}={named}"))
    users = named_by_user() if not named else None
    if users is not None:
        return Choice(_tried(users, f"{users.origin}={os.environ[users.origin]}"))
    passed: list[str] = []
    system = _system() if not named else None
    software: Driver | None = None
    # Where no GPU is to be driven, a system's driver computes on the CPU, and has no precedence.
    for candidate in _in_order(system):
        if candidate is not system:
            return Choice(candidate, tuple(passed))
        try:
            found = _named_by_adapter(candidate)
        except GpuError as error:
            passed.append(f"{candidate.name} ({candidate.origin}): {error}")
            continue
        if not found.software:
            return Choice(found)
        software = found
        passed.append(f"{found.name} ({found.origin}): computes on the CPU")
    if software is not None:
        return Choice(software, tuple(passed[:-1]))
    raise GpuUnavailableError(_nothing("; ".join(passed)))


def _nothing(passed: str) -> str:
    """That there is no driver, what was tried, and what brings one."""
    if sys.platform == "darwin":
        return f"LiteRT does not drive this Mac's GPU through Metal: {passed or 'no reason given'}"
    if sys.platform == "win32":
        return "a GPU's result is checked on Linux and macOS only; on Windows use WSL"
    why = f" ({passed})" if passed else ""
    return (
        f"no Vulkan driver to check the GPU's result with{why}; run `{SETUP}`, which takes "
        "SwiftShader from the system's package manager"
    )


def _system() -> Driver | None:
    if sys.platform == "darwin":
        return Driver("Metal", False, None, None, "the system")
    return system_driver()


def _in_order(system: Driver | None) -> tuple[Driver, ...]:
    own = () if system is None else (system,)
    if sys.platform == "darwin" or graphics_devices():
        return (*own, *swiftshaders())
    return (*swiftshaders(), *own)


def _named_by_adapter(driver: Driver) -> Driver:
    found = probe(driver)
    return replace(driver, name=found.adapter, software=found.software)


def _tried(driver: Driver, named: str) -> Driver:
    try:
        return _named_by_adapter(driver)
    except GpuError as error:
        raise GpuUnavailableError(f"{named}: {error}", error.log) from error
