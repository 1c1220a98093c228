"""A reader of 32-bit little-endian ELF files: sections, segments, symbols, relocations.

Every offset is checked against the file, so that a truncated or hostile file is an `ImageError`
and never an `IndexError`. Source: System V ABI, chapter 4; ELF for the Arm Architecture.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from edge_boards.errors import ImageError

SHF_WRITE, SHF_ALLOC, SHF_EXECINSTR = 1, 2, 4
SHT_PROGBITS, SHT_SYMTAB, SHT_RELA, SHT_NOBITS, SHT_REL = 1, 2, 4, 8, 9
PT_LOAD = 1
STT_NOTYPE, STT_OBJECT, STT_FUNC, STT_SECTION = 0, 1, 2, 3
SHN_UNDEF, SHN_ABS = 0, 0xFFF1
EM_ARM, EM_XTENSA, EM_RISCV = 40, 94, 243
_MACHINES = {EM_ARM: f"Arm ({EM_ARM})", EM_XTENSA: "Xtensa", EM_RISCV: "RISC-V"}


@dataclass(frozen=True)
class Section:
    """A section; `address` is where it runs."""

    index: int
    name: str
    type: int
    flags: int
    address: int
    offset: int
    size: int
    link: int
    info: int

    @property
    def allocated(self) -> bool:
        return bool(self.flags & SHF_ALLOC)

    @property
    def loaded(self) -> bool:
        """Whether the image carries its bytes."""
        return self.allocated and self.type != SHT_NOBITS

    def contains(self, address: int) -> bool:
        return self.address <= address < self.address + self.size


@dataclass(frozen=True)
class Segment:
    """A program header; `physical` is where its bytes lie in flash, `virtual` where they run."""

    type: int
    offset: int
    virtual: int
    physical: int
    file_size: int
    memory_size: int


@dataclass(frozen=True)
class Symbol:
    """A symbol; a function's `value` has the Thumb bit, `address` has not."""

    name: str
    value: int
    size: int
    type: int
    binding: int
    section: int

    @property
    def address(self) -> int:
        return self.value & ~1 if self.type == STT_FUNC else self.value


@dataclass(frozen=True)
class Relocation:
    """A reference from `offset` in section `section` to symbol number `symbol`."""

    section: int
    offset: int
    symbol: int


class Elf:
    """One parsed file. Raises `ImageError`, naming the file, for anything out of bounds."""

    def __init__(self, data: bytes, name: str = "ELF image", machine: int = EM_ARM) -> None:
        self._data = data
        self._name = name
        if len(data) < 52 or data[:4] != b"\x7fELF":
            raise self._bad("no ELF file")
        if data[4:6] != b"\x01\x01":
            raise self._bad("no 32-bit little-endian ELF file")
        header = self._unpack("<HHIIIIIHHHHHH", 16)
        self.type, self.machine, _, self.entry = header[:4]
        self._phoff, self._shoff = header[4], header[5]
        self._phentsize, self._phnum, self._shentsize, self._shnum, self._shstrndx = header[8:13]
        if self.machine != machine:
            raise self._bad(f"made for machine {self.machine}, not for {_MACHINES[machine]}")
        self.sections = self._read_sections()
        self.segments = self._read_segments()

    @classmethod
    def load(cls, path: Path, machine: int = EM_ARM) -> Elf:
        try:
            return cls(path.read_bytes(), path.name, machine)
        except OSError as error:
            raise ImageError(f"{path}: cannot be read: {error.strerror}") from error

    def _bad(self, words: str) -> ImageError:
        return ImageError(f"{self._name}: {words}")

    def _bytes(self, offset: int, size: int) -> bytes:
        if offset < 0 or size < 0 or offset + size > len(self._data):
            raise self._bad(f"{size} bytes at {offset} lie outside the file ({len(self._data)})")
        return self._data[offset : offset + size]

    def _unpack(self, form: str, offset: int) -> tuple[int, ...]:
        return struct.unpack(form, self._bytes(offset, struct.calcsize(form)))

    def _string(self, table: bytes, offset: int) -> str:
        if offset >= len(table):
            if offset == 0:
                return ""
            raise self._bad(f"name at {offset} lies outside its string table ({len(table)})")
        end = table.find(b"\0", offset)
        return table[offset : end if end >= 0 else len(table)].decode("utf-8", "replace")

    def _read_sections(self) -> tuple[Section, ...]:
        if not self._shoff or not self._shnum:
            return ()
        if self._shentsize < 40:
            raise self._bad(f"section headers of {self._shentsize} bytes; they have 40")
        self._bytes(self._shoff, self._shentsize * self._shnum)
        raw = [
            self._unpack("<IIIIIIIIII", self._shoff + i * self._shentsize)
            for i in range(self._shnum)
        ]
        if self._shstrndx >= len(raw):
            raise self._bad("its section name table is missing")
        names = self._bytes(raw[self._shstrndx][4], raw[self._shstrndx][5])
        sections = []
        for index, (name, kind, flags, address, offset, size, link, info, _, _) in enumerate(raw):
            if kind not in (0, SHT_NOBITS):
                self._bytes(offset, size)
            sections.append(
                Section(
                    index, self._string(names, name), kind, flags, address, offset, size, link, info
                )
            )
        return tuple(sections)

    def _read_segments(self) -> tuple[Segment, ...]:
        if not self._phoff or not self._phnum:
            return ()
        if self._phentsize < 32:
            raise self._bad(f"program headers of {self._phentsize} bytes; they have 32")
        segments = []
        for i in range(self._phnum):
            kind, offset, virtual, physical, file_size, memory_size = self._unpack(
                "<IIIIII", self._phoff + i * self._phentsize
            )
            if kind == PT_LOAD:
                self._bytes(offset, file_size)
            segments.append(Segment(kind, offset, virtual, physical, file_size, memory_size))
        return tuple(segments)

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """The symbol table, in file order; relocations count into it."""
        table = next((s for s in self.sections if s.type == SHT_SYMTAB), None)
        if table is None:
            return ()
        if table.link >= len(self.sections):
            raise self._bad("its symbol names are missing")
        strings = self.sections[table.link]
        names = self._bytes(strings.offset, strings.size)
        data = self._bytes(table.offset, table.size)
        return tuple(
            Symbol(self._string(names, name), value, size, info & 15, info >> 4, section)
            for name, value, size, info, _, section in struct.iter_unpack(
                "<IIIBBH", data[: len(data) // 16 * 16]
            )
        )

    @cached_property
    def _by_name(self) -> dict[str, Symbol]:
        found: dict[str, Symbol] = {}
        for symbol in self.symbols:
            if symbol.section != SHN_UNDEF and symbol.name:
                found.setdefault(symbol.name, symbol)
        return found

    def find(self, name: str) -> Symbol | None:
        """The first defined symbol of that name."""
        return self._by_name.get(name)

    def symbol(self, name: str) -> Symbol:
        """The same, but its absence is an `ImageError`."""
        found = self.find(name)
        if found is None:
            raise self._bad(f"symbol {name} is missing; was it built for another version?")
        return found

    @cached_property
    def functions(self) -> tuple[Symbol, ...]:
        """Functions by address, local ones included."""
        found = (s for s in self.symbols if s.type == STT_FUNC and s.section != SHN_UNDEF)
        return tuple(sorted(found, key=lambda s: (s.section if self.type == 1 else 0, s.address)))

    def function_at(self, address: int, section: int | None = None) -> str:
        """The name of the function around an address (of an object's section), or the address."""
        best: Symbol | None = None
        for symbol in self.functions:
            if section is not None and symbol.section != section:
                continue
            if symbol.address > address:
                if section is not None or self.type != 1:
                    break
                continue
            if not symbol.size or address < symbol.address + symbol.size:
                best = symbol
        return best.name if best is not None else f"{address:#010x}"

    def section(self, name: str) -> Section | None:
        return next((s for s in self.sections if s.name == name), None)

    def section_bytes(self, section: Section) -> bytes:
        """A section's bytes; none for one that only takes room in RAM."""
        if section.type in (0, SHT_NOBITS):
            return b""
        return self._bytes(section.offset, section.size)

    @cached_property
    def relocations(self) -> tuple[Relocation, ...]:
        """All references of an object file."""
        found = []
        for section in self.sections:
            if section.type not in (SHT_REL, SHT_RELA):
                continue
            size = 8 if section.type == SHT_REL else 12
            data = self.section_bytes(section)
            for at in range(0, len(data) // size * size, size):
                offset, info = struct.unpack_from("<II", data, at)
                found.append(Relocation(section.info, offset, info >> 8))
        return tuple(found)

    def flat(self, base: int, limit: int) -> bytes:
        """The image as it lies in flash from `base` on, gaps filled with 0xFF.

        Args: base: the first flash address. limit: most bytes the flash has.
        Raises `ImageError` where a loaded segment lies outside those.
        """
        parts = [s for s in self.segments if s.type == PT_LOAD and s.file_size]
        if not parts:
            raise self._bad("nothing to load: no segment has bytes")
        for part in parts:
            if part.physical < base or part.physical + part.file_size > base + limit:
                raise self._bad(
                    f"{part.file_size} bytes load at {part.physical:#010x}, outside the flash "
                    f"({base:#010x} to {base + limit:#010x})"
                )
        image = bytearray(b"\xff" * max(p.physical + p.file_size - base for p in parts))
        for part in parts:
            at = part.physical - base
            image[at : at + part.file_size] = self._bytes(part.offset, part.file_size)
        return bytes(image)
