"""What an image must be before it may be flashed."""

from __future__ import annotations

import re
import struct

from edge_boards.board import Board
from edge_boards.elf import SHF_EXECINSTR, Elf, Section
from edge_boards.errors import ImageError
from edge_boards.toolchain.linker import stack_bounds
from edge_boards.toolchain.thumb import f64_offsets

_MOST_NAMED = 5
DOUBLE_HELPER = re.compile(r"__aeabi_(d\w+|c?dcmp\w+|\w+2d)")
"""The names that the run-time ABI for Arm gives to double-precision arithmetic in software."""
_KNOWN = re.compile(
    r"\.(vectors|image_info|early|text|rodata|noinit|rings|bss|(text|table|weights|load|arena)\.\w+)"
)


def check_image(elf: Elf, board: Board, image: bytes, *, soft_double: bool = False) -> None:
    """All checks; `image` is the flat binary. `soft_double` allows what computes in double
    precision by software: a library may, our own code never does. Raises `ImageError` with the
    first check that fails."""
    check_sections(elf)
    check_vectors(elf, board, image)
    if board.core.fpu is None or "-sp-" in board.core.fpu:
        check_no_f64(elf, board)
        if not soft_double:
            check_no_f64_helper(elf, board)


def check_sections(elf: Elf) -> None:
    """No section that the linker script does not place: it would lie anywhere."""
    strange = [s for s in elf.sections if s.allocated and s.size and not _KNOWN.fullmatch(s.name)]
    if strange:
        names = ", ".join(s.name for s in strange[:_MOST_NAMED])
        raise ImageError(
            f"section {names} has no place in the linker script; does the model's plan name a "
            "memory that this board lacks?"
        )


def code_runs(elf: Elf, section: Section) -> list[tuple[int, bytes]]:
    """The runs of Thumb code in a section, by its mapping symbols: (address, bytes).

    Source: ELF for the Arm Architecture, 5.5.5. `$t` starts code, `$d` data such as literals.
    """
    marks = sorted(
        (symbol.value & ~1, symbol.name[1])
        for symbol in elf.symbols
        if re.match(r"\$[tad](\.|$)", symbol.name) and symbol.section == section.index
    )
    data = elf.section_bytes(section)
    end = section.address + len(data)
    runs = []
    for index, (address, kind) in enumerate(marks):
        until = marks[index + 1][0] if index + 1 < len(marks) else end
        if kind == "t" and section.address <= address < until <= end:
            runs.append((address, data[address - section.address : until - section.address]))
    return runs


def check_no_f64(elf: Elf, board: Board) -> None:
    """No double-precision instruction: on a single-precision FPU it is an undefined one."""
    found: dict[str, int] = {}
    for section in elf.sections:
        if not section.loaded or not section.flags & SHF_EXECINSTR or not section.size:
            continue
        runs = code_runs(elf, section)
        if not runs:
            raise ImageError(
                f"section {section.name} has no mapping symbols, so its code cannot be checked; "
                "link without --strip"
            )
        for address, code in runs:
            for offset in f64_offsets(code):
                found.setdefault(elf.function_at(address + offset), address + offset)
    if found:
        named = [f"{name} (at {at:#010x})" for name, at in found.items()]
        more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
        raise ImageError(
            f"double-precision instruction in function {', '.join(named[:_MOST_NAMED])}{more}: "
            f"{board.soc.name}'s FPU has none; use float and constants such as 1.0f"
        )


def check_no_f64_helper(elf: Elf, board: Board) -> None:
    """Nor a library's function in its stead, where one was linked."""
    found = sorted(s.name for s in elf.symbols if DOUBLE_HELPER.fullmatch(s.name))
    if found:
        raise ImageError(
            f"double-precision arithmetic ({', '.join(found[:_MOST_NAMED])}): {board.soc.name}'s "
            "FPU has none; use float and constants such as 1.0f"
        )


def check_vectors(elf: Elf, board: Board, image: bytes) -> None:
    """The vector table at the start of flash: a stack in RAM, a reset handler in flash."""
    section = elf.section(".vectors")
    if section is None or section.size < 16 or section.address != board.code_address:
        raise ImageError(
            f"no vector table at the start of flash ({board.code_address:#010x}); "
            "the port must put one into section .eag_vectors"
        )
    stack, reset = struct.unpack_from("<II", image)
    limit, top = stack_bounds(board)
    if not limit < stack <= top or stack % 8:
        raise ImageError(
            f"initial stack pointer {stack:#010x} is not in the stack, {limit:#010x} to {top:#010x}"
        )
    low, high = board.code_address, board.code_address + len(image)
    if not reset & 1 or not low <= reset & ~1 < high:
        raise ImageError(
            f"reset vector {reset:#010x} is no Thumb address in the image, "
            f"{low:#010x} to {high:#010x}"
        )
