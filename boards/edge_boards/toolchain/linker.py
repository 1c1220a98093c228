"""The linker script, made from the board. One script for GNU ld and lld.

Sections that C code names, and where they go (R is a memory of the board):

    .eag_vectors          the start of flash          .eag_image_info    right after it
    .eag_early, .eag_early_data                       flash, before all the rest
    .text, .rodata, .eag_code.flash                   flash
    .eag_table.R, .eag_weights.R, .eag_code.R         R; copied there at start where R is RAM
    .data, .bss, .eag_rings, .noinit                  the stack's memory
    .bss.eag_arena.R                                  R, not initialised

Symbols it defines: eag_stack_limit, eag_stack_top; eag_copy_table_start/_end (entries: source,
destination, bytes), eag_zero_table_start/_end (destination, bytes); eag_image_bytes, whose address
is the image's length; eag_early_end; for the size report eag_R_load, eag_R_weights,
eag_R_weights_end, eag_R_end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from edge_boards.board import STACK_GUARD_BYTES, Board, Memory

ENTRY = "eag_reset"
LINKER_SYMBOLS = frozenset(
    {
        "eag_stack_limit",
        "eag_stack_top",
        "eag_image_bytes",
        "eag_copy_table_start",
        "eag_copy_table_end",
        "eag_zero_table_start",
        "eag_zero_table_end",
    }
)
"""Names that C may use and the script defines."""


class ScriptWriter:
    """Lines with indentation."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._depth = 0

    def line(self, text: str = "") -> None:
        self._lines.append("  " * self._depth + text if text else "")

    @contextmanager
    def block(self, head: str, tail: str = "") -> Iterator[None]:
        self.line(f"{head} {{")
        self._depth += 1
        yield
        self._depth -= 1
        self.line(f"}}{tail}")

    def text(self) -> str:
        return "\n".join(self._lines) + "\n"


def stack_bounds(board: Board) -> tuple[int, int]:
    """(limit, top) of the stack: at the low end of its memory, above the guard.

    An overflow then runs into the guard, and beyond it into addresses where nothing answers,
    never into data.
    """
    limit = board.ram.address + STACK_GUARD_BYTES
    return limit, limit + board.own_stack.size


def linker_script(board: Board) -> str:
    """The script's text; the same board gives the same text."""
    out = ScriptWriter()
    limit, top = stack_bounds(board)
    out.line(f"/* Made from the board file {board.name}. */")
    out.line(f"ENTRY({ENTRY})")
    with out.block("MEMORY"):
        for memory in board.memories:
            out.line(_memory_line(board, memory, top))
    out.line(f"eag_stack_limit = {limit:#010x};")
    out.line(f"eag_stack_top = {top:#010x};")
    rams = [m for m in board.memories if m.writable]
    with out.block("SECTIONS"):
        _flash_sections(out, board, rams)
        for memory in rams:
            _load_section(out, board, memory)
        _ram_sections(out, board, rams)
        _discards(out)
    last = f".load.{rams[-1].name}"
    out.line(f"eag_image_bytes = LOADADDR({last}) + SIZEOF({last}) - LOADADDR(.vectors);")
    return out.text()


def _memory_line(board: Board, memory: Memory, stack_top: int) -> str:
    origin, size = memory.address, memory.size
    if memory.name == board.flash.name:
        origin = board.code_address
    elif memory.name == board.ram.name:
        origin, size = stack_top, memory.end - stack_top
    access = "rwx" if memory.writable else "rx"
    return f"{memory.name} ({access}) : ORIGIN = {origin:#010x}, LENGTH = {size:#x}"


def _flash_sections(out: ScriptWriter, board: Board, rams: list[Memory]) -> None:
    flash = board.flash.name
    into = f" > {flash}"
    with out.block(".vectors :", into):
        out.line("KEEP(*(.eag_vectors))")
    with out.block(".image_info :", into):
        out.line("KEEP(*(.eag_image_info))")
    with out.block(".early :", into):
        out.line("*(.eag_early)")
        out.line("*(.eag_early_data)")
        out.line("eag_early_end = .;")
    with out.block(".text :", into):
        out.line(f"*(.text .text.* .eag_code.{flash})")
    with out.block(".rodata :", into):
        out.line("*(.rodata .rodata.*)")
        out.line(". = ALIGN(4);")
        out.line("eag_copy_table_start = .;")
        for memory in rams:
            name = memory.name
            out.line(f"LONG(LOADADDR(.load.{name}))")
            out.line(f"LONG(eag_{name}_load)")
            out.line(f"LONG(eag_{name}_end - eag_{name}_load)")
        out.line("eag_copy_table_end = .;")
        out.line("eag_zero_table_start = .;")
        for name in ("rings", "bss"):
            out.line(f"LONG(eag_{name}_start)")
            out.line(f"LONG(eag_{name}_end - eag_{name}_start)")
        out.line("eag_zero_table_end = .;")
    for memory in (m for m in board.memories if not m.writable):
        name = memory.name
        inside = f" > {name}"
        if name != flash:
            with out.block(f".text.{name} :", inside):
                out.line(f"*(.eag_code.{name})")
        with out.block(f".table.{name} :", inside):
            out.line(f"*(.eag_table.{name})")
        with out.block(f".weights.{name} :", inside):
            out.line(f"*(.eag_weights.{name})")
            out.line(". = ALIGN(4);")


def _load_section(out: ScriptWriter, board: Board, memory: Memory) -> None:
    """What lies in flash and is copied to a RAM at start."""
    name = memory.name
    with out.block(f".load.{name} :", f" > {name} AT> {board.flash.name}"):
        out.line(". = ALIGN(4);")
        out.line(f"eag_{name}_load = .;")
        out.line(f"*(.eag_code.{name})")
        out.line(f"*(.eag_table.{name})")
        if name == board.ram.name:
            out.line("*(.data .data.*)")
        out.line(". = ALIGN(4);")
        out.line(f"eag_{name}_weights = .;")
        out.line(f"*(.eag_weights.{name})")
        out.line(f"eag_{name}_weights_end = .;")
        out.line(". = ALIGN(4);")
        out.line(f"eag_{name}_end = .;")


def _ram_sections(out: ScriptWriter, board: Board, rams: list[Memory]) -> None:
    into = f" > {board.ram.name}"
    with out.block(".noinit (NOLOAD) :", into):
        out.line("*(.noinit .noinit.*)")
    # All arenas come before .bss, whose pattern would take them.
    for memory in rams:
        with out.block(f".arena.{memory.name} (NOLOAD) :", f" > {memory.name}"):
            out.line(f"*(.bss.eag_arena.{memory.name})")
    for section, pattern in (("rings", ".eag_rings .bss.eag_rings"), ("bss", ".bss .bss.* COMMON")):
        with out.block(f".{section} (NOLOAD) :", into):
            out.line(". = ALIGN(4);")
            out.line(f"eag_{section}_start = .;")
            out.line(f"*({pattern})")
            out.line(". = ALIGN(4);")
            out.line(f"eag_{section}_end = .;")


def _discards(out: ScriptWriter) -> None:
    with out.block("/DISCARD/ :"):
        out.line("*(.ARM.exidx .ARM.exidx.* .ARM.extab .ARM.extab.*)")
        out.line("*(.eh_frame .eh_frame_hdr .comment .note .note.*)")
