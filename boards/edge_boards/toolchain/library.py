"""A library that somebody else built, linked into an image with the C library that it needs.

What is our own is compiled without a C library as ever; only what includes the library's headers,
and the model's sources, are C++ and see newlib and libstdc++. Zig cannot do this: it has no C
library for a bare Arm core.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from edge_boards.board import Board, Core
from edge_boards.errors import ToolchainError
from edge_boards.toolchain import gcc
from edge_boards.toolchain.compiler import Compiler, run_tool
from edge_boards.toolchain.toolchain import COMMON_FLAGS, Toolchain

CXX_SUFFIXES = (".cc",)  # a framework's sketches end in .cpp, and are not ours to compile
_PROBE = "#include <cstdint>\n#include <new>\n#include <type_traits>\n#include <string.h>\n"
# An image has one start and no end: nothing is destroyed, thrown or locked.
_CXX_FLAGS = (
    "-std=c++17",
    "-fno-exceptions",
    "-fno-rtti",
    "-fno-threadsafe-statics",
    "-fno-use-cxa-atexit",
)
# In GNU ld's map: an input section, its address and size (perhaps on the next line), its archive.
_MAPPED = re.compile(
    r"^ (\.\S+|COMMON)\s+0x([0-9a-f]+)\s+0x([0-9a-f]+) (?:.*/)?(lib[^/(\n]+\.a)\(", re.MULTILINE
)
_MAP_BEGINS = "Linker script and memory map"  # before it: what was left out
_NOT_LOADED = (".comment", ".ARM.attributes", ".debug", ".note")
_C_ONLY = ("-std=c11", "-ffreestanding")


@dataclass(frozen=True)
class Library:
    """A static library. `adapter` is the folder of firmware/ that fits it to the runtime; `defines`
    must be those that the library itself was built with, where its headers look at them;
    `soft_double` says that it computes in double precision, by software where the FPU has none."""

    name: str
    archive: Path
    include_dirs: tuple[Path, ...]
    defines: tuple[str, ...]
    adapter: str
    soft_double: bool = False

    def digest(self) -> bytes:
        """SHA-256 of the archive and the defines. Raises `ToolchainError`."""
        total = hashlib.sha256("\0".join(self.defines).encode())
        try:
            total.update(self.archive.read_bytes())
        except OSError as error:
            raise ToolchainError(
                f"{self.archive} cannot be read: {error.strerror or error}"
            ) from error
        return total.digest()

    @property
    def flags(self) -> tuple[str, ...]:
        return tuple(f"-D{define}" for define in self.defines)


def mapped_sizes(text: str, board: Board, memory: str) -> list[tuple[str, int]]:
    """(archive, bytes) in a memory, from the map that GNU ld writes of a link, a failed one too."""
    total: dict[str, int] = {}
    for section, address, size, archive in _MAPPED.findall(text.partition(_MAP_BEGINS)[2]):
        if section.startswith(_NOT_LOADED):
            continue
        at = int(address, 16)
        ram = next((m.name for m in board.memories if m.writable and m.contains(at)), None)
        stored = not section.startswith((".bss", ".noinit", "COMMON"))
        if memory == (ram or board.flash.name) or (stored and memory == board.flash.name):
            total[archive] = total.get(archive, 0) + int(size, 16)
    return list(total.items())


def cxx_compiler(toolchain: Toolchain, core: Core) -> Compiler:
    """The C++ compiler beside a C one. Raises `ToolchainError` where there is none, or where it
    lacks its libraries."""
    program = str(Path(toolchain.command[0]).with_name(gcc.CXX_PROGRAM))
    if toolchain.name != "gcc" or not Path(program).exists():
        raise ToolchainError(
            f"C++ for {core.name} needs {gcc.CXX_PROGRAM} with newlib and libstdc++, and "
            f"{toolchain.name} brings none: install gcc-arm-none-eabi, libnewlib-arm-none-eabi "
            "and libstdc++-arm-none-eabi-newlib"
        )
    flags = (*gcc.target_flags(core), *(f for f in COMMON_FLAGS if f not in _C_ONLY), *_CXX_FLAGS)
    _check_headers(program, gcc.target_flags(core))
    return Compiler(
        name="g++",
        version=toolchain.version,
        origin=toolchain.origin,
        command=(program,),
        flags=flags,
        environment=(),
    )


@cache
def _check_headers(program: str, flags: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory(prefix="edge-probe-") as folder:
        source = Path(folder) / "probe.cc"
        source.write_text(_PROBE, encoding="ascii")
        done = run_tool([program, *flags, "-std=c++17", "-fsyntax-only", "probe.cc"], Path(folder))
    if done.returncode:
        first = next((line for line in done.stderr.splitlines() if "error:" in line), "")
        what = first.split("error:", 1)[-1].strip() or f"exit code {done.returncode}"
        raise ToolchainError(
            f"{program} has no complete C++ library ({what}): install "
            "libnewlib-arm-none-eabi and libstdc++-arm-none-eabi-newlib"
        )
