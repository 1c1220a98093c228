"""What `doctor` says of checking GPU results here: LiteRT, and a driver that a model ran on."""

from __future__ import annotations

import sys
from functools import cache
from importlib import metadata
from pathlib import Path

from edge_boards.doctor import Check
from edge_quantize.errors import GpuError
from edge_quantize.gpu import Choice, Driver, Probe, choose_driver, probe
from edge_quantize.gpu.driver import ENVIRONMENT, SETUP, graphics_devices

_PURPOSE = "needed to check a phone's package, and by the GPU backends"
_UPGRADE = "pip install --upgrade ai-edge-litert"


def gpu_checks() -> tuple[Check, ...]:
    """LiteRT with its GPU accelerator; the driver, tried with a tiny model."""
    return (_litert(), _driver())


def _litert() -> Check:
    name = "LiteRT's GPU accelerator"
    try:
        version, files = metadata.version("ai-edge-litert"), metadata.files("ai-edge-litert")
    except metadata.PackageNotFoundError:
        return Check(name, False, f"ai-edge-litert is not installed; {_PURPOSE}", _UPGRADE)
    libraries = [
        path.name
        for path in files or ()
        if path.name.startswith("libLiteRt")
        and "Accelerator" in path.name
        and Path(str(path.locate())).is_file()
    ]
    if not libraries:
        detail = f"ai-edge-litert {version} has none on this system; {_PURPOSE}"
        return Check(name, False, detail, _UPGRADE, needed=False)
    return Check(name, True, f"ai-edge-litert {version}, {libraries[0]}", needed=False)


def _driver() -> Check:
    name = "GPU check"
    try:
        choice = choose_driver()
        run = _run(choice.driver)
    except OSError as error:  # the temporary folder is full, a process cannot be started
        why = f"{error.filename or 'a process'}: {error.strerror or error}"
        return Check(name, False, f"{why}; {_PURPOSE}", "free some space or memory", needed=False)
    except GpuError as error:
        # What mends it stands in the message, where it is one command.
        why, _, advice = str(error).partition("; run `")
        mend = advice.partition("`")[0] or _mend(why)
        return Check(name, False, f"{why}; {_PURPOSE}", mend, needed=False)
    where = f"{choice.driver.name}, from {choice.driver.origin}" if choice.driver.origin else ""
    kind = "computes on the CPU" if run.software else "a GPU"
    detail = (
        f"{where or choice.driver.name}: a tiny model ran on {run.adapter} ({kind}, {run.api}) in "
        f"{run.seconds:.2f} s"
    )
    return Check(name, True, "; ".join([detail, *_passed(choice)]), needed=False)


@cache
def _run(driver: Driver) -> Probe:
    return probe(driver)


def _passed(choice: Choice) -> list[str]:
    """What was not taken, and a GPU that no driver serves."""
    found = [f"passed over: {each}" for each in choice.passed_over]
    devices = graphics_devices()
    if choice.driver.software and devices and not found:
        found.append(f"{devices[0]} is there, and no Vulkan driver for it is installed")
    return found


def _mend(why: str) -> str:
    for name in (ENVIRONMENT, "VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        if why.startswith(f"{name}="):
            return f"unset {name}, or name another driver in it"
    if sys.platform == "win32":
        return "use WSL"
    return _UPGRADE if sys.platform == "darwin" else f"{SETUP} --force"
