"""The benchmark app and the model, brought onto the phone; and the model taken off again."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import shlex
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from edge_autoglm.errors import PhoneError

from .adb import Adb, PhoneGoneError
from .device import free_bytes
from .logcat import PACKAGE
from .values import Phone

FOLDER = "/data/local/tmp"
SOURCE = "developers.google.com/edge/litert/models/measurement"
_INSTALL_SECONDS = 180.0
_SLOWEST = 500_000  # bytes a second, over USB 1 or a bad network
_APKS = {
    "arm64-v8a": "android_aarch64_benchmark_model.apk",
    "armeabi-v7a": "android_arm_benchmark_model.apk",
}
_MEANINGS = {
    "INSTALL_FAILED_UPDATE_INCOMPATIBLE": "another build of the app is installed, signed by "
    f"somebody else; remove it first: adb uninstall {PACKAGE}",
    "INSTALL_FAILED_VERSION_DOWNGRADE": f"a newer one is installed; adb uninstall {PACKAGE}",
    "INSTALL_FAILED_INSUFFICIENT_STORAGE": "the phone is full; free some space on it",
    "INSTALL_FAILED_NO_MATCHING_ABIS": "it is built for another processor",
    "INSTALL_FAILED_OLDER_SDK": "the phone's Android is too old for it",
    "INSTALL_FAILED_USER_RESTRICTED": "the phone forbids it; allow installing over USB in its "
    "developer options, and confirm on its screen",
    "INSTALL_FAILED_VERIFICATION_FAILURE": "Play Protect refused it; allow it on the phone",
    "INSTALL_PARSE_FAILED": "it is damaged, or no app",
}


def ensure_app(adb: Adb, phone: Phone, apk: Path | None, say: Callable[[str], None]) -> str | None:
    """Installs the app where `apk` is given; returns the SHA-256 of the one that is installed.

    Raises PhoneError: it is not installed and none is given, or it cannot be installed.
    """
    if apk is not None:
        _check_apk(apk)
        say(f"installing {apk.name}")
        # Absolute: a name that begins with "-" is no option then.
        answer = adb.call(
            "install", "-r", "-d", "-g", str(apk.absolute()), seconds=_INSTALL_SECONDS
        )
        # Old versions of adb exit with 0 whatever happened.
        if not answer.good or "Success" not in answer.out + answer.err:
            raise PhoneError(f"{apk}: not installed on {phone.title}: {_meaning(answer.said)}")
    # `pm path` prints package:/data/app/.../base.apk, a line an APK of the app.
    paths = re.findall(r"^package:(\S+)", adb.shell(f"pm path {PACKAGE}").out, re.MULTILINE)
    if not paths:
        if apk is not None:
            raise PhoneError(f"{apk}: it is not the benchmark app ({PACKAGE})")
        name = _APKS.get(phone.abi)
        which = (
            f"download {name} ({SOURCE} has the link)"
            if name
            else f"there is no ready-made one for {phone.abi}: build it from "
            "tensorflow/lite/tools/benchmark/android"
        )
        raise PhoneError(
            f"the benchmark app ({PACKAGE}) is not on {phone.title}; {which} and give it with "
            "--apk FILE"
        )
    found = re.match(r"([0-9a-f]{64})\b", adb.shell(f"sha256sum {shlex.quote(paths[0])}").out)
    return found[1] if found else None


def _check_apk(apk: Path) -> None:
    try:
        with zipfile.ZipFile(apk) as archive:
            whole = "AndroidManifest.xml" in archive.namelist()
    except FileNotFoundError:
        raise PhoneError(f"--apk: {apk}: no such file") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise PhoneError(f"--apk: {apk}: cannot be read as an APK ({error})") from error
    if not whole:
        raise PhoneError(f"--apk: {apk}: no APK: it has no AndroidManifest.xml")


def _meaning(said: str) -> str:
    for word, meaning in _MEANINGS.items():
        if word in said:
            return f"{meaning} ({word})"
    return said


@contextmanager
def pushed(adb: Adb, phone: Phone, model: Path, say: Callable[[str], None]) -> Iterator[str]:
    """The model on the phone, by its path there; removed at the end, whatever ends it.

    Raises PhoneError: no room, or it did not arrive whole.
    """
    size = model.stat().st_size
    free = free_bytes(adb, FOLDER)
    if free is not None and size > free:
        raise PhoneError(
            f"{model}: {size:,} bytes are too many for {phone.title}: {free:,} are free in {FOLDER}"
        )
    # New for every benchmark: a run is told from others by it. No spaces: the app splits at them.
    remote = f"{FOLDER}/edge-autoglm-{secrets.token_hex(6)}.tflite"
    say(f"pushing {model.name}, {size:,} bytes")
    try:
        _push(adb, phone, model, size, remote)
        yield remote
    except PhoneGoneError as error:
        if not _removed(adb, remote):
            raise PhoneGoneError(f"{error}; {remote} may still be on it") from error
        raise
    except BaseException:
        _removed(adb, remote)
        raise
    if not _removed(adb, remote):
        say(f"note: {remote} could not be removed from the phone")


def _push(adb: Adb, phone: Phone, model: Path, size: int, remote: str) -> None:
    answer = adb.call("push", str(model.absolute()), remote, seconds=60 + size / _SLOWEST)
    if not answer.good:
        said = answer.err + answer.out
        why = (
            f"no space is left in {FOLDER} for its {size:,} bytes; free some on the phone"
            if "No space left" in said
            else answer.said
        )
        raise PhoneError(f"{model}: not pushed to {phone.title}: {why}")
    # The app is another user than the one that adb writes as.
    arrived = adb.shell(f"chmod 644 {remote} && stat -c %s {remote}")
    count = arrived.out.strip()
    if count.isdigit() and int(count) != size:
        raise PhoneError(f"{model}: {count} of {size} bytes arrived on {phone.title}; try again")


def _removed(adb: Adb, remote: str) -> bool:
    with contextlib.suppress(PhoneError):
        return adb.shell(f"rm -f {remote}", seconds=10).good
    return False


def digest(model: Path) -> str:
    """SHA-256 of the model's file."""
    return hashlib.sha256(model.read_bytes()).hexdigest()
