"""The environment of its own that ONNX models are converted in.

onnx2tf pins TensorFlow, numpy and more to versions that nothing else here uses. So it gets a Python
environment in the user's cache, made once; a stamp written last tells a whole one from one whose
making was cut off.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edge_quantize.errors import ConversionError

from .conversion import Say

# It pins each of its own requirements to one version.
REQUIREMENT = "onnx2tf==1.29.24"
_STAMP = "complete.json"
_DISK_BYTES = 4 << 30  # 2.6 GB when installed, and what pip unpacks on the way
# The Pythons that its TensorFlow has wheels for.
_PYTHONS = ((3, 10), (3, 11), (3, 12))
_CHECK = (
    "import json, onnx2tf, onnxruntime, tensorflow; print(json.dumps({'onnx2tf': "
    "onnx2tf.__version__, 'onnxruntime': onnxruntime.__version__, "
    "'tensorflow': tensorflow.__version__}))"
)


@dataclass(frozen=True)
class OnnxEnvironment:
    folder: Path
    versions: dict[str, str]  # of onnx2tf, onnxruntime and tensorflow

    @property
    def python(self) -> Path:
        return _python_in(self.folder)


def environment_folder() -> Path:
    """Where it is or will be: below EDGE_AUTOGLM_CACHE, else below XDG_CACHE_HOME/edge-autoglm."""
    named = os.environ.get("EDGE_AUTOGLM_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    folder = Path(named) if named else Path(base) / "edge-autoglm"
    return folder / "environments" / REQUIREMENT.replace("==", "-")


def find_environment() -> OnnxEnvironment | None:
    """The environment, where a whole one is there."""
    folder = environment_folder()
    try:
        versions = json.loads((folder / _STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(versions, dict) or not _python_in(folder).exists():
        return None
    return OnnxEnvironment(folder, {str(k): str(v) for k, v in versions.items()})


def prepare_environment(say: Say) -> OnnxEnvironment:
    """The environment, made where it is missing or was left half made.

    Raises ConversionError: no Python that serves, too little room, or pip's own reason.
    """
    found = find_environment()
    if found is not None:
        return found
    folder = environment_folder()
    python = _base_python()
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(folder.parent).free
        if free < _DISK_BYTES:
            raise ConversionError(
                f"{folder.parent}: {free >> 20} MiB are free, the environment for ONNX needs "
                f"{_DISK_BYTES >> 20}; free some, or name another place in EDGE_AUTOGLM_CACHE"
            )
        with _alone(folder.with_name(f"{folder.name}.lock"), say):
            return find_environment() or _made(folder, python, say)
    except OSError as error:
        raise ConversionError(
            f"the environment for ONNX cannot be made in {folder}: {error.strerror or error}; "
            "name another place in EDGE_AUTOGLM_CACHE"
        ) from error


def _made(folder: Path, python: str, say: Say) -> OnnxEnvironment:
    say(
        f"making an environment for ONNX ({REQUIREMENT} with its own TensorFlow, 2.6 GB, once) in "
        f"{folder}"
    )
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _run([python, "-m", "venv", str(folder)], "Python's venv (Debian: python3-venv)")
        inside = str(_python_in(folder))
        pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        _run([*pip, REQUIREMENT], "pip")
        versions = json.loads(_run([inside, "-I", "-c", _CHECK], "the new environment"))
        stamp = folder / f"{_STAMP}.tmp"
        stamp.write_text(json.dumps(versions), encoding="utf-8")
        stamp.replace(folder / _STAMP)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return OnnxEnvironment(folder, versions)


def _run(command: list[str], who: str) -> str:
    """stdout's last line."""
    # A user's own packages and paths must not be found in there.
    clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    answer = subprocess.run(command, capture_output=True, text=True, env=clean, check=False)
    if answer.returncode:
        lines = [line.strip() for line in answer.stderr.splitlines() if line.strip()]
        told = [line for line in lines if line.startswith("ERROR")] or lines or ["it failed"]
        raise ConversionError(
            f"the environment for ONNX cannot be made: {who}: {told[-1][:300]}", answer.stderr
        )
    return (answer.stdout.strip().splitlines() or [""])[-1]


def _base_python() -> str:
    if sys.version_info[:2] in _PYTHONS:
        return sys.executable
    for major, minor in reversed(_PYTHONS):
        found = shutil.which(f"python{major}.{minor}")
        if found:
            return found
    wanted = ", ".join(f"{major}.{minor}" for major, minor in _PYTHONS)
    raise ConversionError(
        f"the environment for ONNX needs one of Python {wanted} on the PATH: {REQUIREMENT} has no "
        f"other (this is {sys.version_info[0]}.{sys.version_info[1]})"
    )


def _python_in(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


@contextlib.contextmanager
def _alone(path: Path, say: Say) -> Iterator[None]:
    """Two programs at once must not both make it: the second waits, and finds it made."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another program that is making the environment for ONNX")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield
