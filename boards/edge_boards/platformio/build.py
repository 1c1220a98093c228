"""From an exported model to an image by way of PlatformIO."""

from __future__ import annotations

import re
from pathlib import Path

from edge_boards.board import Board
from edge_boards.elf import EM_ARM, EM_RISCV, EM_XTENSA, PT_LOAD, Elf
from edge_boards.errors import ImageError
from edge_boards.platformio.ini import by_framework, platformio_of
from edge_boards.platformio.project import WORKSPACE, project_files, write_project
from edge_boards.platformio.tool import PioCore, check_packages, find_core, run_build
from edge_boards.schema import ARM_CORES
from edge_boards.toolchain import Image, ModelSources, SizeReport
from edge_boards.toolchain.build import checked_image
from edge_boards.toolchain.compiler import Progress
from edge_boards.toolchain.seal import check_early, check_sealed
from edge_boards.toolchain.sizes import MemoryUse, check_fits, measure

_DONE = re.compile(r"(?:Compiling|Archiving|Linking) ")
_COMPILER = re.compile(r" - (toolchain-[\w-]+) @ ([\w.+-]+)")
_BUILD_ID = re.compile(r"EAG_BUILD_ID \{(.*)\}")
_INFO = b"EAG1"  # eag_image.h


def build_with_platformio(
    board: Board, exported: Path, model: ModelSources, progress: Progress | None = None
) -> Image:
    """Builds the profile app with PlatformIO, in the project `exported`/platformio.

    An image that our linker script made is checked as ours are. Raises `ToolchainError`,
    `ImageTooBigError`, `ImageError`.
    """
    platform = platformio_of(board).platform
    core = find_core("" if by_framework(board) else "; --with own builds without it")
    if not by_framework(board):
        check_fits(board, (model,))
    project = write_project(board, exported)
    check_packages(core, project, board.name, platform)
    sources = [name for name in project_files(board) if name.endswith((".c", ".cpp", ".S"))]
    # A framework's own sources come on top: how many, PlatformIO does not say before.
    known = len(sources) + len(model.sources) + 1
    done = 0
    compilers: dict[str, str] = {}

    def on_line(line: str) -> None:
        nonlocal done
        compilers.update(_COMPILER.findall(line))
        if _DONE.match(line):
            done += 1
            if progress is not None:
                progress(done, max(done, known))

    run_build(core, project, board.name, on_line)
    return _image(board, project, model, _described(core, compilers))


def _described(core: PioCore, compilers: dict[str, str]) -> str:
    used = ", ".join(f"{name} {version}" for name, version in sorted(compilers.items()))
    return f"{used or 'a compiler'} by {core.describe()}"


def _image(board: Board, project: Path, model: ModelSources, toolchain: str) -> Image:
    """What PlatformIO left, read and checked."""
    built = (project / WORKSPACE).resolve() / "build" / board.name
    path = built / "firmware.elf"
    elf = Elf.load(path, _machine(board))
    build_id = _build_id(built, path)
    binary = _binary(board, elf, built)
    if by_framework(board):
        sizes = framework_sizes(elf, board, model)
    else:
        image = checked_image(elf, board, toolchain)
        if binary.read_bytes() != image:
            raise ImageError(f"{binary} is not what {path.name} loads")
        check_early(sorted(built.rglob("*.o")))
        check_sealed(elf, board, image)
        sizes = measure(elf, board, (model,), len(image))
    return Image(path, binary, built / "firmware.map", build_id, sizes, toolchain, project)


def _binary(board: Board, elf: Elf, built: Path) -> Path:
    """The image as it lies in flash. Platforms that make only a .hex of it get one made here."""
    binary = built / "firmware.bin"
    if binary.is_file():
        return binary
    if board.core.name in ARM_CORES:
        binary.write_bytes(elf.flat(board.flash.address, board.flash.size))
        return binary
    raise ImageError(f"{built}: PlatformIO made no firmware.bin")


def _machine(board: Board) -> int:
    if board.core.name in ARM_CORES:
        return EM_ARM
    return EM_XTENSA if board.core.name.startswith("xtensa") else EM_RISCV


def _build_id(built: Path, elf: Path) -> bytes:
    """The build id that the project's script made, if the image really carries it."""
    header = (built / "generated" / "eag_build_id.h").read_text(encoding="utf-8")
    found = _BUILD_ID.search(header)
    build_id = bytes(int(byte, 16) for byte in found[1].split(",")) if found else b""
    content = elf.read_bytes()
    at = content.find(_INFO)
    while at >= 0 and content[at + 8 : at + 16] != build_id:
        at = content.find(_INFO, at + 1)
    if not build_id or at < 0:
        raise ImageError(f"{elf}: carries no build id; is it what this build made?")
    return build_id


def framework_sizes(elf: Elf, board: Board, model: ModelSources) -> SizeReport:
    """The report of an image that a framework's linker script made.

    RAM is what lies at addresses of the board's RAMs; flash is all that is loaded, code that runs
    from RAM included.
    """
    flash = sum(part.file_size for part in elf.segments if part.type == PT_LOAD)
    used = {memory.name: 0 for memory in board.memories}
    used[board.flash.name] = flash
    for memory in (m for m in board.memories if m.writable):
        used[memory.name] = sum(
            s.size for s in elf.sections if s.allocated and memory.contains(s.address)
        )
    ram = sum(size for name, size in used.items() if name != board.flash.name)
    arena = sum(size for _, size in model.arena)
    weights = min(model.weight_bytes, flash)
    return SizeReport(
        memories=tuple(MemoryUse(m.name, used[m.name], m.size) for m in board.memories),
        code=flash - weights,
        weights=weights,
        arena=arena,
        stack=None,
        rings=None,
        static_ram=max(0, ram - arena),
    )
