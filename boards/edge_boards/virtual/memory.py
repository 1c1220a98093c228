"""The memories of one chip, shared with the CPU, and what lies between them."""

from __future__ import annotations

import ctypes
import enum
import mmap
import random
import struct
from dataclasses import dataclass
from pathlib import Path

from edge_boards.virtual import native
from edge_boards.virtual.engine import PROT_EXEC, PROT_READ, PROT_WRITE, Engine
from edge_boards.virtual.soc.description import Alias, Chip, Factory

PAGE = 1024  # Unicorn's, for this core


class AddressKind(enum.Enum):
    """What an address without memory behind it means."""

    RESERVED = "reserved"  # silicon answers with a BusFault
    UNMODELLED = "unmodelled"


@dataclass(frozen=True)
class HostMemory:
    """One memory: `view` and `classes` are shared with Unicorn and the hooks."""

    name: str
    base: int
    size: int
    writable: bool
    view: memoryview
    host: int
    classes: ctypes.Array[ctypes.c_uint8]

    def contains(self, address: int, size: int = 1) -> bool:
        return self.base <= address and address + size <= self.base + self.size


def _pages(size: int, file: Path | None = None) -> tuple[memoryview, int]:
    if file is None:
        area = mmap.mmap(-1, size)
    else:
        with file.open("r+b") as handle:
            area = mmap.mmap(handle.fileno(), size)
    view = memoryview(area)
    return view, ctypes.addressof(ctypes.c_char.from_buffer(view))


class MemoryMap:
    """All memories of one chip. Contents survive a reset; `power_on` scrambles the RAMs."""

    def __init__(self, soc: Chip, board_name: str, engine: Engine, flash_file: Path | None) -> None:
        self._engine = engine
        self._unmodelled = soc.unmodelled
        self.stale = True
        self.regions: list[HostMemory] = []
        for memory in soc.memories:
            file = flash_file if memory is soc.flash else None
            view, host = _pages(memory.size, file)
            if memory is soc.flash and file is None:
                view[:] = b"\xff" * memory.size
            self._add(memory.name, memory.address, memory.size, memory.writable, view, host)
        self.flash = self.regions[0]
        for alias in soc.aliases:
            self.regions.append(self._aliased(alias))
        view, host = _pages(soc.factory.size)
        _write_factory(view, soc.factory, soc.flash.size, board_name)
        self._add("system", soc.factory.base, soc.factory.size, False, view, host)
        self._map()

    def _add(
        self, name: str, base: int, size: int, writable: bool, view: memoryview, host: int
    ) -> None:
        classes = (ctypes.c_uint8 * (size // 2))()
        self.regions.append(HostMemory(name, base, size, writable, view, host, classes))

    def _aliased(self, alias: Alias) -> HostMemory:
        """The same bytes, and the same knowledge of the code in them, at another address."""
        of = self.find(alias.of, alias.size)
        assert of is not None, f"{alias.name} is an alias of nothing"
        at = alias.of - of.base
        return HostMemory(
            alias.name,
            alias.address,
            alias.size,
            of.writable,
            of.view[at : at + alias.size],
            of.host + at,
            (ctypes.c_uint8 * (alias.size // 2)).from_buffer(of.classes, at // 2),
        )

    def _map(self) -> None:
        engine = self._engine
        assert len(self.regions) <= native.REGIONS
        for index, region in enumerate(self.regions):
            rights = PROT_READ | PROT_EXEC | (PROT_WRITE if region.writable else 0)
            engine.map_memory(region.base, region.size, rights, region.host)
            engine.state.regions[index] = native.Region(
                region.base,
                region.size,
                region.host,
                ctypes.addressof(region.classes),
                int(region.writable),
                0,
            )
        engine.state.region_count = len(self.regions)

    def power_on(self) -> None:
        """RAM holds anything but zeros, the same anything each time."""
        noise = random.Random(746)  # the same seed on purpose: runs repeat
        for region in self.regions:
            if region.writable:
                region.view[:] = noise.randbytes(region.size)
        self.forget_code()

    def find(self, address: int, size: int = 1) -> HostMemory | None:
        for region in self.regions:
            if region.contains(address, size):
                return region
        return None

    def read(self, address: int, size: int) -> bytes | None:
        """Bytes, as a debugger reads them; None where there is no memory."""
        region = self.find(address, size)
        if region is None:
            return None
        start = address - region.base
        return bytes(region.view[start : start + size])

    def read_code(self, address: int, size: int) -> bytes:
        """Bytes of memory, as the cycle model disassembles them; empty where there is none."""
        return self.read(address, size) or b""

    def write(self, address: int, data: bytes) -> bool:
        """Writes RAM, as a debugger does; False where there is none."""
        region = self.find(address, len(data))
        if region is None or not region.writable:
            return False
        start = address - region.base
        region.view[start : start + len(data)] = data
        return True

    def program(self, offset: int, data: bytes) -> None:
        """Sets flash bytes, whatever they were; decoded code is forgotten."""
        self.flash.view[offset : offset + len(data)] = data
        self.forget_code()

    def forget_code(self) -> None:
        """Code memory changed: instruction classes and translations are stale."""
        self.stale = True

    def refresh(self) -> None:
        """Forgets what was stale; between two runs of the CPU only. Marks go too."""
        for region in self.regions:
            ctypes.memset(region.classes, 0, len(region.classes))
        self._engine.flush_code()
        self.stale = False

    def kind_of_unmapped(self, address: int) -> AddressKind:
        """What an access outside all memories and registers is."""
        if any(first <= address < end for first, end in self._unmodelled):
            return AddressKind.UNMODELLED
        return AddressKind.RESERVED

    def mark(self, address: int) -> None:
        """Makes the hooks stop before the instruction at `address`."""
        region = self.find(address, 2)
        if region is not None:
            region.classes[(address - region.base) >> 1] |= native.CLASS_MARK

    def unmark(self, address: int) -> None:
        region = self.find(address, 2)
        if region is not None:
            region.classes[(address - region.base) >> 1] &= ~native.CLASS_MARK & 0xFF


def _write_factory(view: memoryview, factory: Factory, flash_size: int, board_name: str) -> None:
    view[:] = b"\xff" * factory.size
    uid = (board_name.encode() + b"-VIRTUAL----")[:12]
    view[factory.uid - factory.base :][:12] = uid
    for address, value in ((factory.flash_kbytes, flash_size // 1024), *factory.words):
        struct.pack_into("<H", view, address - factory.base, value)
