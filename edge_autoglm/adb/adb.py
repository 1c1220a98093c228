"""The tool `adb`: where it is, and one call of it with a limit, its failures in words."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge_autoglm.errors import PhoneError

MINIMAL = (1, 0, 36)
"""The first that passes the exit code of a command on the phone through (platform-tools 24)."""
_SHORT = 30.0
_INSTALL = {
    "linux": "apt install adb, or platform-tools of the Android SDK",
    "darwin": "brew install android-platform-tools",
    "win32": "winget install Google.PlatformTools",
}
# What adb itself says around a command's own output.
_CHATTER = re.compile(r"^(\* daemon |adb server version|- waiting for device -)")
# A phone's shell without shell_v2 (Android 6) ends lines so; through adb on Windows with two \r.
_LINE_END = re.compile(r"\r+\n")
_GONE = re.compile(
    r"device '[^']*' not found|no devices/emulators found|device offline|error: closed"
    r"|device unauthorized|protocol fault|cannot connect to daemon"
)


class AdbMissingError(PhoneError):
    """adb is not installed, is too old, or does not start."""


class PhoneGoneError(PhoneError):
    """The phone, or the adb server that speaks with it, went away in mid-work."""


@dataclass(frozen=True)
class Answer:
    """What a call of adb left: its exit code, and what it printed besides its own chatter on
    starting its server."""

    code: int
    out: str
    err: str

    @property
    def good(self) -> bool:
        return self.code == 0

    @property
    def said(self) -> str:
        """The last line, preferably of its errors."""
        for text in (self.err, self.out):
            if lines := [line.strip() for line in text.splitlines() if line.strip()]:
                return lines[-1]
        return f"exit code {self.code}, no words"


@dataclass(frozen=True)
class Adb:
    """adb on this machine, bound to one phone once `serial` is set.

    Attributes:
        program: its path.
        version: of the client ("Android Debug Bridge version 1.0.41": 1, 0, 41).
        release: of the platform-tools, as it says it; empty where it does not.
        serial: the phone that calls go to.
    """

    program: str
    version: tuple[int, ...]
    release: str = ""
    serial: str = ""

    def to(self, serial: str) -> Adb:
        return replace(self, serial=serial)

    def command(self, *arguments: str) -> list[str]:
        return [self.program, *(("-s", self.serial) if self.serial else ()), *arguments]

    def call(self, *arguments: str, seconds: float = _SHORT) -> Answer:
        """One call to its end.

        Raises:
            PhoneGoneError: the phone or adb's server is not there (any more), or it took longer
                than `seconds`.
            AdbMissingError: adb does not start.
        """
        command = self.command(*arguments)
        try:
            # A session of its own: Ctrl-C must not end the calls that clean up after it.
            done = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds,
                check=False, start_new_session=sys.platform != "win32",
            )  # fmt: skip
        except OSError as error:
            raise AdbMissingError(
                f"{self.program} does not start ({error.strerror or error})"
            ) from error
        except subprocess.TimeoutExpired:
            raise PhoneGoneError(
                f"`adb {shlex.join(arguments[:2])}` does not end within {seconds:.0f} s; unplug "
                "the phone and plug it in again, or run `adb kill-server`"
            ) from None
        answer = Answer(done.returncode, _text(done.stdout), _text(done.stderr))
        if not answer.good and _GONE.search(answer.err):
            raise PhoneGoneError(f"{self.serial or 'adb'}: {answer.said}; is the cable still in?")
        if answer.code < 0:
            raise PhoneGoneError(f"`adb {arguments[0]}` was killed (signal {-answer.code})")
        return answer

    def shell(self, command: str, seconds: float = _SHORT) -> Answer:
        """A command line for the phone's own shell, which splits and unquotes it."""
        return self.call("shell", command, seconds=seconds)


def find_adb() -> Adb:
    """EDGE_AUTOGLM_ADB, else adb on PATH, else in the Android SDK.

    Raises AdbMissingError: none, or too old, or it does not start; with how to install it.
    """
    problems = []
    for program in _candidates():
        try:
            answer = Adb(program, ()).call("version")
        except AdbMissingError as error:
            problems.append(str(error))
            continue
        found = re.search(r"Android Debug Bridge version (\d+)\.(\d+)\.(\d+)", answer.out)
        if found is None:
            problems.append(f"{program} is not adb; it said: {answer.said}")
            continue
        version = tuple(map(int, found.groups()))
        if version < MINIMAL:
            problems.append(f"{program} is adb {_dotted(version)}, {_dotted(MINIMAL)} is needed")
            continue
        release = re.search(r"^Version (\S+)", answer.out, re.MULTILINE)
        return Adb(program, version, release[1] if release else "")
    raise AdbMissingError(
        f"{'; '.join(problems) or 'adb is not installed'}; install it: {install_line()}; or name "
        "it in EDGE_AUTOGLM_ADB"
    )


def _text(printed: bytes) -> str:
    lines = _LINE_END.sub("\n", printed.decode("utf-8", "replace")).splitlines(keepends=True)
    # Old versions say on stdout that the server starts, in front of any answer.
    return "".join(line for line in lines if not _CHATTER.match(line))


def install_line() -> str:
    """How adb is installed on this system."""
    return _INSTALL.get(sys.platform, _INSTALL["linux"])


def _candidates() -> Iterator[str]:
    named = os.environ.get("EDGE_AUTOGLM_ADB")
    if named:
        if shutil.which(named) is None:
            raise AdbMissingError(f"EDGE_AUTOGLM_ADB: no program {named}")
        yield named
        return
    if path := shutil.which("adb"):
        yield path
    for folder in _sdk_folders():
        if path := shutil.which("adb", path=str(folder / "platform-tools")):
            yield path


def _sdk_folders() -> Sequence[Path]:
    named = [os.environ[key] for key in ("ANDROID_HOME", "ANDROID_SDK_ROOT") if os.environ.get(key)]
    usual = ("~/Android/Sdk", "~/Library/Android/sdk", "~/AppData/Local/Android/Sdk")
    return [Path(folder).expanduser() for folder in (*named, *usual)]


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
