"""PlatformIO Core itself: found, its version, what it has installed, one build."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edge_boards.errors import ToolchainError
from edge_boards.toolchain.compiler import run_tool

_OLDEST = (6, 0)  # symlink:// among lib_deps
_QUIET = {
    "PLATFORMIO_SETTING_ENABLE_TELEMETRY": "no",
    "PLATFORMIO_SETTING_CHECK_PLATFORMIO_INTERVAL": "9999",
    "PLATFORMIO_NO_ANSI": "true",
}
# Where a project's files lie is the project's to say, not the user's environment's.
_PLACES = re.compile(r"PLATFORMIO_(WORKSPACE|BUILD|LIBDEPS|SRC|INCLUDE|LIB|TEST)_DIR")
_LAST_LINES = 12

Line = Callable[[str], None]


@dataclass(frozen=True)
class PioCore:
    """PlatformIO Core: how to call it."""

    command: tuple[str, ...]
    version: str
    origin: str  # where it was found, in words

    def describe(self) -> str:
        return f"PlatformIO {self.version} ({self.origin})"


def core_folder() -> Path:
    """Where PlatformIO keeps its packages."""
    return Path(os.environ.get("PLATFORMIO_CORE_DIR") or "~/.platformio").expanduser()


def _candidates() -> list[tuple[tuple[str, ...], str]]:
    found: list[tuple[tuple[str, ...], str]] = []
    for name in ("pio", "platformio"):
        on_path = shutil.which(name)
        if on_path:
            found.append(((on_path,), f"{name} from PATH"))
    if importlib.util.find_spec("platformio") is not None:
        found.append(((sys.executable, "-m", "platformio"), "the Python package platformio"))
    penv = core_folder() / "penv"
    for path in (penv / "bin" / "pio", penv / "Scripts" / "pio.exe"):
        if path.is_file():
            found.append(((str(path),), "PlatformIO's own environment"))
    return found


def find_core(otherwise: str = "") -> PioCore:
    """PlatformIO Core from PATH, from this Python, or from where its editors install it.

    `otherwise` is what else could be done, for the error. Raises `ToolchainError` where there is
    none, or an old one.
    """
    candidates = _candidates()
    if not candidates:
        raise ToolchainError(
            "PlatformIO is not installed (no pio on PATH); `pip install platformio` installs it"
            + otherwise
        )
    command, origin = candidates[0]
    said = run_tool([*command, "--version"], environment=_QUIET)
    version = re.search(r"version (\d+)\.(\d+)[\w.]*", said.stdout)
    if said.returncode or version is None:
        words = (said.stderr or said.stdout).strip().splitlines()[-1:] or ["it says nothing"]
        raise ToolchainError(f"{command[0]} does not tell its version: {words[0]}")
    text = version[0].removeprefix("version ")
    if (int(version[1]), int(version[2])) < _OLDEST:
        raise ToolchainError(
            f"PlatformIO {text} ({origin}) is too old, {_OLDEST[0]}.{_OLDEST[1]} is needed; "
            "`pip install --upgrade platformio`"
        )
    return PioCore(command, text, origin)


def check_packages(core: PioCore, project: Path, environment: str, platform: str) -> None:
    """Refuses a build whose packages are not all there: PlatformIO would ask for them over the
    network, and take a minute to say that there is none.

    Raises `ToolchainError` with the one command that installs them.
    """
    listed = run_tool(
        [
            *(*core.command, "pkg", "list", "--only-platforms", "--only-tools"),
            *("--project-dir", str(project), "--environment", environment),
        ],
        environment=_QUIET,
    )
    text = listed.stdout
    missing = []
    if not re.search(r"^Platform ", text, re.MULTILINE):
        missing.append(f"platform {platform}")
    else:
        # Its frameworks too are listed, whether the board uses them or not.
        needed = ("toolchain-", "framework-") if _has_framework(project) else ("toolchain-",)
        missing += [f"{kind}* of platform {platform}" for kind in needed if kind not in text]
    if not any((core_folder() / "packages").glob("tool-scons*")):
        missing.append("tool-scons")
    if missing:
        raise ToolchainError(
            f"PlatformIO has not installed {' and '.join(missing)}; install it once, with a "
            f"network: {' '.join(core.command)} pkg install -d {project} -e {environment}"
        )


def has_platform(core: PioCore, platform: str) -> bool:
    """Whether PlatformIO has installed a platform, which may be the address of a repository."""
    with tempfile.TemporaryDirectory() as folder:
        # A project's platform is found by its address too, which a global list does not tell.
        ini = Path(folder) / "platformio.ini"
        ini.write_text(f"[env:check]\nplatform = {platform}\n", encoding="utf-8")
        asked = ("pkg", "list", "--only-platforms", "--project-dir", folder)
        listed = run_tool([*core.command, *asked], environment=_QUIET)
    return re.search(r"^Platform ", listed.stdout, re.MULTILINE) is not None


def _has_framework(project: Path) -> bool:
    ini = (project / "platformio.ini").read_text(encoding="utf-8")
    return re.search(r"^framework *=", ini, re.MULTILINE) is not None


def _environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not _PLACES.fullmatch(k)}
    return {**kept, **_QUIET}


def run_build(core: PioCore, project: Path, environment: str, on_line: Line) -> None:
    """`pio run`, every line of which is handed to `on_line`.

    Raises `ToolchainError` with what it said of the first error.
    """
    command = [*core.command, "run", "-d", str(project), "-e", environment]
    said: list[str] = []
    try:
        process = subprocess.Popen(
            command, env=_environment(), stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
            # A session of its own: an interruption ends SCons and compilers too, by the group.
            start_new_session=os.name == "posix",
        )  # fmt: skip
    except OSError as error:
        raise ToolchainError(f"{command[0]} cannot be started: {error.strerror}") from error
    with process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                said.append(line.rstrip())
                on_line(said[-1])
            code = process.wait()
        except BaseException:
            _end(process)
            raise
    if code:
        raise ToolchainError(f"PlatformIO could not build {project}\n{_what_failed(said)}")


def _end(process: subprocess.Popen[str]) -> None:
    if os.name != "posix":
        process.terminate()
        return
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)


def _what_failed(said: list[str]) -> str:
    """The first error with the lines around it, else the last lines."""
    pattern = re.compile(r"error:|undefined reference|Error: |Exception: |overflowed by")
    at = next((i for i, line in enumerate(said) if pattern.search(line)), None)
    if at is None:
        return "\n".join(line for line in said[-_LAST_LINES:] if line.strip())
    return "\n".join(line for line in said[at : at + _LAST_LINES // 2] if line.strip())
