"""arm-none-eabi-gcc: from PATH, or from the packages that PlatformIO has installed."""

from __future__ import annotations

import os
import re
import shutil
from functools import cache
from pathlib import Path

from edge_boards.board import Core
from edge_boards.errors import ToolchainError
from edge_boards.toolchain.compiler import run_tool
from edge_boards.toolchain.toolchain import COMMON_FLAGS, Toolchain

_PROGRAM = "arm-none-eabi-gcc"
CXX_PROGRAM = "arm-none-eabi-g++"


def _platformio_packages() -> Path:
    home = os.environ.get("PLATFORMIO_CORE_DIR") or "~/.platformio"
    return Path(home).expanduser() / "packages"


def find_program() -> tuple[str, str] | None:
    """The compiler's path, and in words where it was found."""
    on_path = shutil.which(_PROGRAM)
    if on_path:
        return on_path, f"{_PROGRAM} from PATH"
    for folder in sorted(_platformio_packages().glob("toolchain-gccarmnoneeabi*"), reverse=True):
        found = shutil.which(_PROGRAM, path=str(folder / "bin"))
        if found:
            return found, f"{_PROGRAM} from PlatformIO's package {folder.name}"
    return None


@cache
def _version(program: str) -> str:
    done = run_tool([program, "-dumpfullversion"])
    version = done.stdout.strip()
    if done.returncode or not re.fullmatch(r"\d+\.\d+[\d.]*", version):
        raise ToolchainError(f"{program} does not tell its version; is it a working compiler?")
    return version


@cache
def _freestanding_headers(program: str) -> tuple[str, ...]:
    """GCC's own headers and no others: a C library beside it must not decide what compiles."""
    flags = ["-nostdinc"]
    for name in ("include", "include-fixed"):
        folder = run_tool([program, f"-print-file-name={name}"]).stdout.strip()
        if Path(folder).is_dir():
            flags += ["-isystem", folder]
    return tuple(flags)


def target_flags(core: Core) -> tuple[str, ...]:
    """The -m flags of a core."""
    cpu = core.name
    if cpu == "cortex-m33" and "dsp" not in core.features:
        cpu += "+nodsp"
    if core.name == "cortex-m55" and "mve" not in core.features:
        cpu += "+nomve"  # else loops become Helium without a word
    flags = [f"-mcpu={cpu}", "-mthumb"]
    flags += [f"-mfpu={core.fpu}", "-mfloat-abi=hard"] if core.fpu else ["-mfloat-abi=soft"]
    return tuple(flags)


def find_gcc(core: Core) -> Toolchain | None:
    """The toolchain for a core, or None where no arm-none-eabi-gcc is installed."""
    found = find_program()
    if found is None:
        return None
    program, origin = found
    return Toolchain(
        name="gcc",
        version=_version(program),
        origin=origin,
        command=(program,),
        flags=(*target_flags(core), *COMMON_FLAGS),
        environment=(),
        search=_freestanding_headers(program),
        link_command=(program, *target_flags(core), "-nostdlib", "-nostartfiles"),
        link_prefix="-Wl,",
    )
