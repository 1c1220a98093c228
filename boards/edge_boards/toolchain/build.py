"""From sources to an image: compile, link, check, measure; everything appears or nothing does."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from edge_boards.board import Board
from edge_boards.data import data_path
from edge_boards.elf import SHF_EXECINSTR, SHN_UNDEF, Elf
from edge_boards.errors import ImageError, ImageTooBigError, ToolchainError
from edge_boards.ports import port_folders
from edge_boards.toolchain.checks import DOUBLE_HELPER, check_image
from edge_boards.toolchain.compiler import (
    CompileJob,
    Digests,
    Progress,
    compile_objects,
    error_lines,
)
from edge_boards.toolchain.generate import board_header, build_id_header, models_source
from edge_boards.toolchain.library import CXX_SUFFIXES, Library, cxx_compiler, mapped_sizes
from edge_boards.toolchain.linker import LINKER_SYMBOLS, linker_script
from edge_boards.toolchain.seal import check_early, seal
from edge_boards.toolchain.sizes import ModelSources, SizeReport, check_fits, measure, too_big
from edge_boards.toolchain.toolchain import Toolchain

# These files define what compilers turn loops into: they must not become calls of themselves.
_LIBC_FLAGS = ("-fno-builtin",)
_LIBC_GCC_FLAGS = ("-fno-tree-loop-distribute-patterns",)


@dataclass(frozen=True)
class BuildRequest:
    """What to build. `optimize` replaces the -O level of models and kernels ("-O2").

    `app` is a folder of `firmware`/apps; `firmware` is the shipped one unless a folder with
    runtime/, ports/ and apps/ of the user's own is named; `library` is what the models' code calls.
    """

    board: Board
    app: str
    models: tuple[ModelSources, ...]
    out_dir: Path
    optimize: str | None = None
    firmware: Path | None = None
    library: Library | None = None


@dataclass(frozen=True)
class Image:
    """A built image: its files, its identity, its sizes."""

    elf: Path
    binary: Path
    map: Path
    build_id: bytes
    sizes: SizeReport
    toolchain: str
    project: Path | None = None  # the PlatformIO project that made it, where one did


def _sources(folder: Path) -> list[Path]:
    return sorted(p for p in folder.glob("*") if p.suffix in (".c", ".S", *CXX_SUFFIXES))


def _jobs(request: BuildRequest, toolchain: Toolchain, generated: Path) -> list[CompileJob]:
    """Every source with its flags and folders, firmware first, in an order of names only."""
    root = request.firmware or data_path("firmware")
    runtime, app = root / "runtime", root / "apps" / request.app
    ports = port_folders(root / "ports", request.board.soc.port)
    library = request.library
    adapter = (root / library.adapter,) if library else ()
    for folder in (runtime, app, *adapter):
        if not folder.is_dir():
            raise ToolchainError(f"{folder} is missing: {request.board.name} cannot be built for")
    ours = (generated, runtime, *ports, app, *adapter)
    beside = library.include_dirs if library else ()
    defines = library.flags if library else ()
    jobs = []
    for source in chain.from_iterable(map(_sources, (*ports, runtime, app, *adapter))):
        flags: tuple[str, ...] = ("-Os",)
        if source.name == "eag_libc.c":
            if library:
                continue  # it comes with a whole C library
            flags += _LIBC_FLAGS + (_LIBC_GCC_FLAGS if toolchain.name == "gcc" else ())
        if source.suffix in CXX_SUFFIXES:
            jobs.append(CompileJob(source, flags + defines, ours, beside))
        else:
            jobs.append(CompileJob(source, flags, ours))
    jobs.append(CompileJob(generated / "eag_models.c", ("-Os",), ours))
    level = request.optimize or "-O2"
    shared: dict[str, tuple[bytes, Path]] = {}
    for model in request.models:
        folders = (*model.include_dirs, runtime, *adapter)
        for source in model.sources:
            try:
                digest = hashlib.sha256(source.read_bytes()).digest()
            except OSError as error:
                raise ToolchainError(
                    f"{source} cannot be read ({error.strerror}); export {model.name} again"
                ) from error
            before = shared.get(source.name)
            if before is None:
                shared[source.name] = (digest, source)
                jobs.append(CompileJob(source, (level, *defines), folders, beside))
            elif before[0] != digest:
                raise ToolchainError(
                    f"{source} and {before[1]} differ: models of one image need kernels of one "
                    "version; export both again"
                )
    return jobs


def _build_id(request: BuildRequest, toolchain: Toolchain, jobs: Sequence[CompileJob]) -> bytes:
    """First 8 bytes of SHA-256 over compiler, flags, script and every source and header."""
    digests = Digests()
    total = hashlib.sha256()
    for text in (toolchain.identity, *toolchain.flags, linker_script(request.board)):
        total.update(text.encode() + b"\0")
    if request.library:
        total.update(request.library.digest())
    for job in jobs:
        total.update(" ".join(job.flags).encode() + b"\0")
        for name, digest in digests.closure(job.source, (*job.include_dirs, *job.system_dirs)):
            total.update(name.encode() + b"\0" + digest)
    return total.digest()[:8]


@contextmanager
def _working_folder(out_dir: Path) -> Iterator[Path]:
    """A folder inside `out_dir` that goes in the end, and `out_dir` with it where it is new and the
    work failed."""
    is_new = not out_dir.exists()
    out_dir.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=out_dir, prefix=".build-") as work:
            yield Path(work)
    except BaseException:
        if is_new:
            with suppress(OSError):
                out_dir.rmdir()
        raise


def build_image(
    request: BuildRequest, toolchain: Toolchain, progress: Progress | None = None
) -> Image:
    """Build the request's app with its models; files APP.elf, APP.bin, APP.map in `out_dir`.

    Unchanged objects come from the user's cache. Raises `ImageTooBigError` before anything is
    compiled where the models cannot fit, `ToolchainError` for a compiler error, `ImageError` for
    an image that must not be flashed; `out_dir` then is as it was.
    """
    board = request.board
    check_fits(board, request.models)
    names = [model.name for model in request.models]
    try:
        with _working_folder(request.out_dir) as folder:
            # Written before the build id is known, and so not part of it.
            (folder / "eag_board.h").write_text(board_header(board))
            (folder / "eag_models.c").write_text(models_source(names))
            jobs = _jobs(request, toolchain, folder)
            build_id = _build_id(request, toolchain, jobs)
            (folder / "eag_build_id.h").write_text(build_id_header(build_id))
            (folder / "image.ld").write_text(linker_script(board))
            objects = _compile(request, toolchain, jobs, folder, progress)
            _link(request, toolchain, objects, folder)
            elf = Elf.load(folder / "image.elf")
            soft_double = request.library is not None and request.library.soft_double
            image = checked_image(elf, board, toolchain.describe(), soft_double=soft_double)
            check_early(objects)
            image = seal(folder / "image.elf", board, image)
            sizes = measure(elf, board, request.models, len(image))
            (folder / "image.bin").write_bytes(image)
            made = {}
            for suffix in ("map", "bin", "elf"):
                made[suffix] = request.out_dir / f"{request.app}.{suffix}"
                (folder / f"image.{suffix}").replace(made[suffix])
    except OSError as error:
        raise ToolchainError(
            f"cannot write the image to {request.out_dir}: {error.strerror or error}; nothing was "
            "left there, choose another folder or free some space"
        ) from error
    return Image(made["elf"], made["bin"], made["map"], build_id, sizes, toolchain.describe())


def checked_image(elf: Elf, board: Board, toolchain: str, *, soft_double: bool = False) -> bytes:
    """An image that our linker script made, as it lies in flash, once it has passed all checks
    (`soft_double`: see `check_image`). Raises `ImageError`.
    """
    image = elf.flat(board.code_address, board.flash.size)
    length = elf.symbol("eag_image_bytes").value
    if length != len(image):
        raise ImageError(
            f"the linker's image length {length} is not the image's, {len(image)}: please report "
            f"this with {toolchain}"
        )
    check_image(elf, board, image, soft_double=soft_double)
    return image


def _compile(
    request: BuildRequest,
    toolchain: Toolchain,
    jobs: Sequence[CompileJob],
    folder: Path,
    progress: Progress | None,
) -> list[Path]:
    """C by the toolchain, C++ by the compiler beside it."""
    c = [job for job in jobs if job.source.suffix not in CXX_SUFFIXES]
    cxx = [job for job in jobs if job.source.suffix in CXX_SUFFIXES]
    if not cxx:
        return compile_objects(toolchain, jobs, folder, progress)
    beside = cxx_compiler(toolchain, request.board.core)

    def after(before: int) -> Progress | None:
        return None if progress is None else lambda done, _: progress(before + done, len(jobs))

    objects = compile_objects(toolchain, c, folder, after(0))
    return objects + compile_objects(beside, cxx, folder, after(len(c)), first=len(c))


def _link(
    request: BuildRequest, toolchain: Toolchain, objects: Sequence[Path], folder: Path
) -> None:
    board, models, library = request.board, request.models, request.library
    libraries: tuple[str, ...] = ()
    if library:
        # By a name of its own, so that no path of this machine gets into the map.
        (folder / f"lib{library.name}.a").symlink_to(library.archive.resolve())
        libraries = (f"lib{library.name}.a", "-lm", "-lc", "-lgcc")
    done = toolchain.link(
        [path.name for path in objects], "image.ld", "image.elf", "image.map", folder, libraries
    )
    if done.returncode == 0:
        return
    words = done.stderr or done.stdout
    overflow = dict(_overflows(words))
    if overflow:
        raise ImageTooBigError(
            "; ".join(
                too_big(
                    board,
                    memory,
                    board.memory(memory).size + extra,
                    _contributors(board, memory, models, objects, folder / "image.map"),
                )
                for memory, extra in sorted(overflow.items())
            )
        )
    missing = _undefined_references(words) if library else undefined(objects)
    doubles = {name: users for name, users in missing.items() if DOUBLE_HELPER.fullmatch(name)}
    if doubles:
        users = sorted({user for found in doubles.values() for user in found})
        raise ImageError(
            f"double-precision arithmetic in function {', '.join(users[:5])} "
            f"({', '.join(sorted(doubles)[:3])}): {board.soc.name}'s FPU has none; use float and "
            "constants such as 1.0f"
        )
    if missing:
        listed = "; ".join(
            f"{name} (used by {', '.join(sorted(users)[:3])})"
            for name, users in sorted(missing.items())[:5]
        )
        raise ToolchainError(f"the image does not link, nothing defines {listed}")
    raise ToolchainError(f"{toolchain.name} could not link the image\n{error_lines(words)}")


def _undefined_references(words: str) -> dict[str, set[str]]:
    """What GNU ld says is missing where libraries take part, with the functions that use it."""
    wanted: dict[str, set[str]] = {}
    user = "the image"
    for line in words.splitlines():
        if found := re.search(r"in function [`'](.+?)'", line):
            user = found[1]
        if found := re.search(r"undefined reference to [`'](.+?)'", line):
            wanted.setdefault(found[1], set()).add(user)
    return wanted


def _overflows(words: str) -> list[tuple[str, int]]:
    """(memory, bytes too many) from what GNU ld or lld says; the largest of a memory last."""
    gnu = re.findall(r"region [`'](\w+)' overflowed by (\d+) bytes", words)
    lld = re.findall(r"will not fit in region '(\w+)': overflowed by (\d+) bytes", words)
    return sorted(((name, int(extra)) for name, extra in gnu + lld), key=lambda o: o[1])


def _contributors(
    board: Board,
    memory: str,
    models: Sequence[ModelSources],
    objects: Sequence[Path],
    link_map: Path,
) -> list[tuple[str, int]]:
    """What fills a memory: arenas, constants, and the share of each object and library."""
    found = [(f"{m.name} arena", size) for m in models for r, size in m.arena if r == memory]
    found += [(f"{m.name} {n}", s) for m in models for n, r, s in m.constants if r == memory]
    in_flash = memory == board.flash.name
    for path in objects:
        elf = Elf.load(path)
        wanted = [
            s
            for s in elf.sections
            if s.allocated
            and not s.name.startswith((".eag_weights", ".eag_table", ".bss.eag_arena"))
            and (s.loaded if in_flash else memory == board.ram.name and s.flags & 1)
        ]
        found.append((path.stem.split("_", 1)[1], sum(s.size for s in wanted)))
    if link_map.is_file():  # lld, which links no libraries here, may write none
        found += mapped_sizes(link_map.read_text("utf-8", "replace"), board, memory)
    return found


def undefined(objects: Sequence[Path]) -> dict[str, set[str]]:
    """Symbols that no object defines, each with the functions that use it.

    Symbols of the linker script count as defined.
    """
    defined = set(LINKER_SYMBOLS)
    wanted: dict[str, set[str]] = {}
    for path in objects:
        elf = Elf.load(path)
        defined |= {s.name for s in elf.symbols if s.section != SHN_UNDEF}
        for relocation in elf.relocations:
            if relocation.symbol >= len(elf.symbols) or relocation.section >= len(elf.sections):
                continue
            symbol = elf.symbols[relocation.symbol]
            section = elf.sections[relocation.section]
            if symbol.section == SHN_UNDEF and symbol.name and section.allocated:
                user = (
                    elf.function_at(relocation.offset, section.index)
                    if section.flags & SHF_EXECINSTR
                    else path.stem.split("_", 1)[1]
                )
                wanted.setdefault(symbol.name, set()).add(user)
    return {name: users for name, users in wanted.items() if name not in defined}
