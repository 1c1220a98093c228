"""What all compilers here have in common: one way to run them, to read their errors, to reuse
their objects.

An object is kept under a key made of the compiler's identity, the flags, and the contents of the
source and of every header it includes; no path is part of it. Compilers run in the source's own
folder, and folders are mapped away, so that the same sources give the same bytes anywhere.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from edge_boards.errors import ToolchainError

Progress = Callable[[int, int], None]
"""Called with the sources compiled so far, and all of them."""

_TIMEOUT_S = 300
_CACHE_BYTES = 256 << 20
_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*"([^"\n]+)"', re.MULTILINE)


def cache_folder(*parts: str) -> Path:
    """A folder to keep what can be made again, created: EDGE_AUTOGLM_CACHE, else XDG's.

    Where the user's cache cannot be written, the system's temporary folder serves.
    """
    named = os.environ.get("EDGE_AUTOGLM_CACHE")
    base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
    folder = (Path(named) if named else Path(base) / "edge-autoglm").joinpath(*parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass  # a read-only home is no reason to fail: the temporary folder follows
    user = getattr(os, "getuid", int)()
    folder = Path(tempfile.gettempdir(), f"edge-autoglm-{user}", *parts)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


@dataclass(frozen=True)
class Compiler:
    """A C compiler: how to call it, and how to name it in a report."""

    name: str  # "gcc", "clang", "zig"
    version: str
    origin: str  # where it was found, in words
    command: tuple[str, ...]
    flags: tuple[str, ...]  # always given: target and language
    environment: tuple[tuple[str, str], ...]
    search: tuple[str, ...] = ()  # flags with paths of the compiler's own; no part of its identity

    @property
    def identity(self) -> str:
        """What makes objects of one compiler differ from another's; no paths."""
        return f"{self.name} {self.version}"

    def describe(self) -> str:
        return f"{self.name} {self.version} ({self.origin})"

    def run(self, arguments: Sequence[str], cwd: Path) -> subprocess.CompletedProcess[str]:
        """Call it; a non-zero exit is the caller's to read."""
        return run_tool([*self.command, *arguments], cwd, dict(self.environment))


def run_tool(
    command: Sequence[str], cwd: Path | None = None, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a tool with its words captured. Raises `ToolchainError` where it cannot start."""
    try:
        return subprocess.run(
            list(command),
            cwd=cwd,
            env={**os.environ, "LC_ALL": "C", **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except OSError as error:
        raise ToolchainError(f"{command[0]} cannot be started: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise ToolchainError(
            f"{command[0]} did not end within {_TIMEOUT_S} s; stopped it: {error.cmd[-1]}"
        ) from error


def error_lines(stderr: str, most: int = 6) -> str:
    """A compiler's first errors, each with the lines it shows of the source."""
    lines = [line.rstrip() for line in stderr.splitlines() if line.strip()]
    at = next((i for i, line in enumerate(lines) if "error:" in line or "undefined" in line), 0)
    return "\n".join(lines[at : at + most])


@dataclass(frozen=True)
class CompileJob:
    """One source to compile. Of headers in `system_dirs` no warnings are wanted."""

    source: Path
    flags: tuple[str, ...] = ()
    include_dirs: tuple[Path, ...] = ()
    system_dirs: tuple[Path, ...] = ()


class Digests:
    """Contents of sources and headers as digests, each file read once."""

    def __init__(self) -> None:
        self._files: dict[Path, tuple[bytes, tuple[str, ...]] | None] = {}

    def _file(self, path: Path) -> tuple[bytes, tuple[str, ...]] | None:
        if path not in self._files:
            try:
                text = path.read_bytes()
            except OSError:
                self._files[path] = None
            else:
                names = tuple(n.decode("utf-8", "replace") for n in _INCLUDE.findall(text))
                self._files[path] = (hashlib.sha256(text).digest(), names)
        return self._files[path]

    def closure(self, source: Path, include_dirs: Sequence[Path]) -> list[tuple[str, bytes]]:
        """The source and every quoted header it may reach: (name, SHA-256), in order found.

        Conditions are not evaluated: a header in a branch not taken counts as well.
        """
        found: list[tuple[str, bytes]] = []
        seen: set[Path] = set()
        waiting = [source]
        while waiting:
            path = waiting.pop()
            entry = self._file(path)
            if path in seen or entry is None:
                continue
            seen.add(path)
            found.append((path.name, entry[0]))
            for name in reversed(entry[1]):
                for folder in (path.parent, *include_dirs):
                    candidate = Path(os.path.normpath(folder / name))
                    if self._file(candidate) is not None:
                        waiting.append(candidate)
                        break
        return found


def object_key(compiler: Compiler, job: CompileJob, digests: Digests) -> str:
    """What decides the object's bytes, as a hexadecimal digest."""
    total = hashlib.sha256()
    for text in (compiler.identity, *compiler.flags, *job.flags):
        total.update(text.encode() + b"\0")
    for name, digest in digests.closure(job.source, (*job.include_dirs, *job.system_dirs)):
        total.update(name.encode() + b"\0" + digest)
    return total.hexdigest()


def _arguments(job: CompileJob, compiler: Compiler, output: Path) -> list[str]:
    folder = job.source.resolve().parent
    folders = [folder, *(d.resolve() for d in job.include_dirs)]
    system = [d.resolve() for d in job.system_dirs]
    return [
        *compiler.flags,
        *compiler.search,
        *job.flags,
        *(f"-I{d}" for d in folders[1:]),
        *(f"-isystem{d}" for d in system),
        *(f"-ffile-prefix-map={d}/=" for d in dict.fromkeys([*folders, *system])),
        "-c",
        job.source.name,
        "-o",
        str(output),
    ]


def _compile(compiler: Compiler, job: CompileJob, output: Path) -> None:
    if not job.source.is_file():
        raise ToolchainError(f"{job.source} is missing; export the model again")
    done = compiler.run(_arguments(job, compiler, output), job.source.resolve().parent)
    if done.returncode:
        words = done.stderr or done.stdout
        first = next((line for line in words.splitlines() if "error:" in line), "")
        what = first.split("error:", 1)[-1].strip() if first else f"exit code {done.returncode}"
        raise ToolchainError(
            f"{compiler.name} could not compile {job.source}: {what}\n{error_lines(words)}"
        )


def _keep(made: Path, kept: Path) -> None:
    """Copy an object into the cache, whole or not at all; a full disk only costs the reuse."""
    temporary = kept.with_name(f"{kept.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        shutil.copyfile(made, temporary)
        temporary.replace(kept)
    except OSError:
        temporary.unlink(missing_ok=True)


def prune_cache(folder: Path, most: int = _CACHE_BYTES) -> None:
    """Remove the objects not used for longest until the folder holds at most `most` bytes."""
    entries = []
    for path in folder.iterdir():
        try:
            stat = path.stat()
        except OSError:
            continue  # another build removed it
        entries.append((stat.st_mtime, stat.st_size, path))
    total = sum(size for _, size, _ in entries)
    for _, size, path in sorted(entries):
        if total <= most:
            return
        path.unlink(missing_ok=True)
        total -= size


def compile_objects(
    compiler: Compiler,
    jobs: Sequence[CompileJob],
    folder: Path,
    progress: Progress | None = None,
    workers: int = 2,
    digests: Digests | None = None,
    first: int = 0,
) -> list[Path]:
    """Compile every job into `folder`, `workers` at a time; objects in the jobs' order.

    Objects are numbered from `first`, so that two compilers may share a folder. Raises
    `ToolchainError` for the first job, in order, that fails.
    """
    cache = cache_folder("objects")
    digests = digests or Digests()
    keys = [object_key(compiler, job, digests) for job in jobs]
    outputs = [folder / f"{i:03d}_{job.source.name}.o" for i, job in enumerate(jobs, first)]

    def one(index: int) -> None:
        kept = cache / f"{keys[index]}.o"
        try:
            shutil.copyfile(kept, outputs[index])
            os.utime(kept)
        except OSError:
            _compile(compiler, jobs[index], outputs[index])
            _keep(outputs[index], kept)

    with ThreadPoolExecutor(max_workers=max(1, workers)) as pool:
        tasks = [pool.submit(one, i) for i in range(len(jobs))]
        try:
            for done, task in enumerate(tasks, start=1):
                task.result()
                if progress is not None:
                    progress(done, len(jobs))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise
    prune_cache(cache)
    return outputs
