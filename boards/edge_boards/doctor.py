"""What this machine can do: compilers that compile, extras that import, pseudo-terminals.

Ports, probes and programmers belong to the floor above (`edge_autoglm.doctor`).

Each check tries the thing itself, for a compiler that is installed but broken, or an extension
module that does not load here, are what people come to `doctor` with.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from edge_boards.errors import BoardsError, ToolchainError
from edge_boards.loader import list_boards, load_board
from edge_boards.toolchain import find_host_compiler, find_toolchain
from edge_boards.toolchain.compiler import CompileJob, cache_folder, compile_objects, run_tool
from edge_boards.toolchain.gcc import CXX_PROGRAM
from edge_boards.toolchain.library import cxx_compiler


@dataclass(frozen=True)
class Check:
    """One finding. `mend` says what to do and is empty where all is well.

    `needed` is false for what only widens the possibilities: its absence is no fault.
    """

    name: str
    ok: bool
    detail: str
    mend: str = ""
    needed: bool = True


def checks() -> tuple[Check, ...]:
    """All checks of boards, compilers, extras and the machine, in the order of a report."""
    found: list[Check] = [_machine(), _boards()]
    compilers = [_cross("gcc"), _cross("zig")]
    if not any(c.ok for c in compilers):
        compilers = [Check(c.name, c.ok, c.detail, c.mend) for c in compilers]
    found += [*compilers, _cxx(), _host()]
    found += [_extra(*row) for row in _EXTRAS]
    found += [_ptys(), _tool("qemu-system-arm", "runs the boards mps2-an500 and mps3-an547")]
    found.append(_cache())
    return tuple(found)


def _machine() -> Check:
    where = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    if sys.platform == "linux" and platform.machine() == "x86_64":
        return Check("machine", True, where)
    return Check(
        "machine",
        False,
        f"{where}: complete on Linux x86-64 only",
        "export, build and flash work here; see the checks below for what does not",
        needed=False,
    )


def _boards() -> Check:
    try:
        boards = list_boards()
    except BoardsError as error:
        return Check("board files", False, str(error), "mend the file, or remove it")
    return Check("board files", True, f"{len(boards)} boards (`edge-autoglm boards`)")


def _try(name: str, work: Callable[[Path], str], mend: str, needed: bool) -> Check:
    try:
        with tempfile.TemporaryDirectory() as folder:
            return Check(name, True, work(Path(folder)), needed=needed)
    except (BoardsError, OSError) as error:
        return Check(name, False, str(error).splitlines()[0], mend, needed)


def _source(folder: Path) -> Path:
    path = folder / "check.c"
    path.write_text("#include <stdint.h>\nint32_t check(int32_t a);\nint32_t check(int32_t a) {\n")
    with path.open("a") as file:
        # Unlike any before it, so that the object cannot come from the cache.
        file.write(f"  return a + {int.from_bytes(os.urandom(3), 'little')};\n}}\n")
    return path


def _cross(name: str) -> Check:
    def work(folder: Path) -> str:
        board = load_board("stm32f746")
        toolchain = find_toolchain(board, name)
        compile_objects(toolchain, [CompileJob(_source(folder), ("-O2",))], folder)
        return toolchain.describe()

    mend = {
        "gcc": "install arm-none-eabi-gcc (Debian: gcc-arm-none-eabi); zig serves as well",
        "zig": f"{Path(sys.executable).name} -m pip install ziglang",
    }
    return _try(f"board compiler {name}", work, mend[name], needed=False)


def _cxx() -> Check:
    """The C++ compiler with its library's headers, which Debian has in a package of their own."""

    def work(_folder: Path) -> str:
        board = load_board("stm32f746")
        try:
            compiler = cxx_compiler(find_toolchain(board, "gcc"), board.core)
        except ToolchainError as error:
            raise ToolchainError(f"{str(error).partition(': install ')[0]}; {purpose}") from error
        return f"{compiler.command[0]} {compiler.version}; {purpose}"

    purpose = "needed for --runtime tflm only"
    mend = (
        "install arm-none-eabi-g++ with its libraries (Debian: gcc-arm-none-eabi "
        "libnewlib-arm-none-eabi libstdc++-arm-none-eabi-newlib)"
    )
    return _try(CXX_PROGRAM, work, mend, needed=False)


def _host() -> Check:
    def work(folder: Path) -> str:
        compiler = find_host_compiler()
        compiler.shared_library([_source(folder)], folder / "check.so")
        return compiler.describe()

    mend = f"install gcc or clang, or: {Path(sys.executable).name} -m pip install ziglang"
    return _try("host compiler", work, mend, needed=True)


_EXTRAS = (
    ("unicorn", "unicorn", "the virtual board", "edge-autoglm[virtual]"),
    ("capstone", "capstone", "the virtual board's cycle model", "edge-autoglm[virtual]"),
    ("tflite_micro", "tflite-micro", "bit-exact verdicts", "edge-autoglm[reference]"),
)


def _extra(module: str, package: str, purpose: str, install: str) -> Check:
    try:
        version = metadata.version(package)
    except metadata.PackageNotFoundError:
        # In quotes: zsh takes bare brackets for a pattern.
        mend = f"{Path(sys.executable).name} -m pip install '{install}'"
        if module == "tflite_micro" and (sys.platform, platform.machine()) != ("linux", "x86_64"):
            mend = "it has a wheel for Linux x86-64 only; here verdicts are within N LSB of LiteRT"
        return Check(package, False, f"not installed; needed for {purpose}", mend, needed=False)
    # In a process of its own: an extension made for another CPU ends the process it loads into.
    done = run_tool([sys.executable, "-c", f"import {module}"])
    if done.returncode:
        words = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        return Check(
            package, False, f"{version} does not import: {words}", "install it again", needed=False
        )
    return Check(package, True, f"{version}, for {purpose}", needed=False)


def _ptys() -> Check:
    name = "pseudo-terminals"
    if sys.platform == "win32":
        return Check(
            name,
            False,
            "Windows has none, so a virtual board has no serial links",
            "run virtual boards under WSL 2",
            needed=False,
        )
    try:
        first, second = os.openpty()
    except OSError as error:
        return Check(name, False, f"{error.strerror}", "mount /dev/pts", needed=False)
    os.close(first)
    os.close(second)
    return Check(name, True, "the virtual board's serial links", needed=False)


def _tool(program: str, purpose: str) -> Check:
    path = shutil.which(program)
    if path is None:
        return Check(
            program, False, f"not installed; it {purpose}", "install it if wanted", needed=False
        )
    return Check(program, True, f"{path}; {purpose}", needed=False)


def _cache() -> Check:
    try:
        folder = cache_folder()
    except OSError as error:
        return Check("cache", False, f"{error}", "name a folder in EDGE_AUTOGLM_CACHE")
    free = shutil.disk_usage(folder).free >> 20
    if free < 200:
        return Check("cache", False, f"{folder}: {free} MiB free", "free some space")
    return Check("cache", True, f"{folder}, {free} MiB free")
