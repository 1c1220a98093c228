"""A C++ compiler of this machine: c++, g++ or clang++ from PATH, else the one inside zig."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest


def _command() -> list[str]:
    for name in ("c++", "g++", "clang++"):
        if found := shutil.which(name):
            return [found]
    if importlib.util.find_spec("ziglang") is None:
        pytest.skip("no C++ compiler: neither on PATH nor ziglang")
    return [sys.executable, "-m", "ziglang", "c++"]


def cxx(arguments: Sequence[object], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Runs it, with all warnings as errors."""
    return subprocess.run(
        [*_command(), "-std=c++17", "-Wall", "-Wextra", "-Werror", *map(str, arguments)],
        cwd=cwd, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
