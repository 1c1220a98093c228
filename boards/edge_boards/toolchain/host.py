"""The host's own C compiler: for generated C as a shared library, and for programs in tests."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_boards.errors import ToolchainError
from edge_boards.toolchain import zig
from edge_boards.toolchain.compiler import (
    CompileJob,
    Compiler,
    compile_objects,
    error_lines,
    run_tool,
)

_WARNINGS = ("-Wall", "-Wextra", "-Werror")


@dataclass(frozen=True)
class HostCompiler(Compiler):
    """Compiles for the machine it runs on.

    `shared_linker` links shared libraries in the compiler's stead: zig's own driver would first
    build a C library and compiler support, a minute's work that code which calls neither, or finds
    them in the process that loads it, does not need.
    """

    shared_linker: tuple[str, ...] = ()

    def shared_library(
        self,
        sources: Sequence[Path],
        output: Path,
        include_dirs: Sequence[Path] = (),
        flags: Sequence[str] = ("-O2",),
        workers: int = 2,
    ) -> Path:
        """Build a shared library; it appears whole or not at all. Unchanged objects are reused.

        Raises `ToolchainError` with the compiler's first errors.
        """
        return self._build(sources, output, include_dirs, flags, ("-shared",), workers)

    def program(
        self,
        sources: Sequence[Path],
        output: Path,
        include_dirs: Sequence[Path] = (),
        flags: Sequence[str] = ("-O2",),
        workers: int = 2,
    ) -> Path:
        """Build an executable; otherwise as `shared_library`."""
        return self._build(sources, output, include_dirs, flags, (), workers)

    def _build(
        self,
        sources: Sequence[Path],
        output: Path,
        include_dirs: Sequence[Path],
        flags: Sequence[str],
        link_flags: Sequence[str],
        workers: int,
    ) -> Path:
        if not any(flag.startswith("-O") for flag in flags):
            flags = ("-O2", *flags)
        given = ("-std=c11", "-fPIC", *_WARNINGS, *flags)
        jobs = [CompileJob(source, given, tuple(include_dirs)) for source in sources]
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=output.parent, prefix=".build-") as work:
            folder = Path(work)
            objects = compile_objects(self, jobs, folder, workers=workers)
            names = [path.name for path in objects]
            sanitizers = [flag for flag in flags if flag.startswith("-fsanitize")]
            if "-shared" in link_flags and self.shared_linker and not sanitizers:
                done = run_tool([*self.shared_linker, *names, "-o", "made"], folder)
            else:
                done = self.run([*sanitizers, *link_flags, *names, "-o", "made", "-lm"], folder)
            if done.returncode:
                raise ToolchainError(
                    f"{self.name} could not link {output.name}\n{error_lines(done.stderr)}"
                )
            (folder / "made").replace(output)
        return output


def _from_path(program: str) -> HostCompiler | None:
    path = shutil.which(program)
    if path is None:
        return None
    done = run_tool([path, "--version"])
    if done.returncode:
        return None  # a stand-in that only tells how to install a compiler
    first = done.stdout.splitlines()[0] if done.stdout else ""
    version = re.search(r"\d+\.\d+[.\d]*", first)
    name = "clang" if "clang" in done.stdout else "gcc"
    quiet = zig.CLANG_FLAGS if name == "clang" else ()
    text = version.group() if version else "of unknown version"
    return HostCompiler(name, text, f"{program} from PATH", (path,), quiet, ())


def _zig() -> HostCompiler | None:
    found = zig.find_program()
    if found is None:
        return None
    program, origin = found
    return HostCompiler(
        name="zig",
        version=zig.version(program),
        origin=origin,
        command=(program, "cc"),
        flags=(*zig.CLANG_FLAGS, "-g0", "-fno-sanitize=undefined"),
        environment=zig.environment(),
        shared_linker=(program, "ld.lld", "-shared") if sys.platform == "linux" else (),
    )


def find_host_compiler(prefer: str | None = None) -> HostCompiler:
    """A C compiler for this machine: cc, gcc or clang from PATH, else zig.

    `prefer` names one of them and then nothing else is tried. Raises `ToolchainError`.
    """
    names = ("cc", "gcc", "clang", "zig") if prefer is None else (prefer,)
    for name in names:
        found = _zig() if name == "zig" else _from_path(name)
        if found is not None:
            return found
    raise ToolchainError(
        f"no C compiler for this machine ({', '.join(names)}); "
        f"`{Path(sys.executable).name} -m pip install ziglang` installs one without root"
    )
