"""Zig's bundled clang and lld (the PyPI package `ziglang`): a C compiler that pip installs.

Traps, met and tested: plain `-mcpu=cortex_m7` has no FPU and gives soft-float calls, so the FPU's
feature is always named; without an -O level zig adds sanitizer calls, so one is always given;
without -g0 it adds debug information with folders of this machine;
`zig cc` links with a driver of its own, so the linker is called as `zig ld.lld`.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
from functools import cache
from pathlib import Path

from edge_boards.board import Core
from edge_boards.errors import ToolchainError
from edge_boards.toolchain.compiler import cache_folder, run_tool
from edge_boards.toolchain.toolchain import COMMON_FLAGS, Toolchain

_FPU_FEATURES = {
    "fpv4-sp-d16": "vfp4d16sp",
    "fpv5-sp-d16": "fp_armv8d16sp",
    "fpv5-d16": "fp_armv8d16",
}
# Clang knows neither GCC's pragmas nor all of its attributes; kernels may carry them for GCC.
CLANG_FLAGS = ("-Wno-unknown-pragmas", "-Wno-unknown-attributes", "-Wno-ignored-attributes")


def find_program() -> tuple[str, str] | None:
    """Zig's path, and in words where it was found; the package itself is not imported."""
    spec = importlib.util.find_spec("ziglang")
    if spec is not None and spec.origin is not None:
        found = shutil.which("zig", path=str(Path(spec.origin).parent))
        if found:
            return found, "the Python package ziglang"
    on_path = shutil.which("zig")
    return (on_path, "zig from PATH") if on_path else None


@cache
def version(program: str) -> str:
    done = run_tool([program, "version"], environment=dict(environment()))
    text = done.stdout.strip()
    if done.returncode or not re.match(r"\d+\.\d+", text):
        raise ToolchainError(f"{program} does not tell its version; install ziglang again")
    return text


def environment() -> tuple[tuple[str, str], ...]:
    """Zig's caches, in our own: its default may be a folder that cannot be written."""
    return (
        ("ZIG_GLOBAL_CACHE_DIR", str(cache_folder("zig", "global"))),
        ("ZIG_LOCAL_CACHE_DIR", str(cache_folder("zig", "local"))),
    )


def target_flags(core: Core) -> tuple[str, ...]:
    """The target of a core."""
    cpu = core.name.replace("-", "_")
    if core.fpu:
        cpu += f"+{_FPU_FEATURES[core.fpu]}"
    if core.name == "cortex-m33" and "dsp" not in core.features:
        cpu += "-dsp"
    if core.name == "cortex-m55" and "mve" not in core.features:
        cpu += "-mve-mve_fp"  # else loops become Helium without a word
    abi = "eabihf" if core.fpu else "eabi"
    return ("-target", f"thumb-freestanding-{abi}", f"-mcpu={cpu}", "-fno-sanitize=all")


def find_zig(core: Core) -> Toolchain | None:
    """The toolchain for a core, or None where zig is not installed."""
    found = find_program()
    if found is None:
        return None
    program, origin = found
    return Toolchain(
        name="zig",
        version=version(program),
        origin=origin,
        command=(program, "cc"),
        flags=(*target_flags(core), *COMMON_FLAGS, *CLANG_FLAGS),
        environment=environment(),
        link_command=(program, "ld.lld", "--no-rosegment"),
        link_prefix="",
    )
