"""The memories of the STM32F746, shared with the CPU, and what lies between them.

Sources: RM0385 chapter 2 (memory map) and 3 (flash), DS10916 (calibration words). Sizes and
addresses of the main memories come from the board file.
"""

from __future__ import annotations

import ctypes
import enum
import mmap
import random
import struct
from dataclasses import dataclass
from pathlib import Path

from edge_boards.board import Board
from edge_boards.virtual import native
from edge_boards.virtual.engine import PROT_EXEC, PROT_READ, PROT_WRITE, Engine

SYSTEM_BASE, SYSTEM_SIZE = 0x1FF0_F000, 0x800
UID_ADDRESS = 0x1FF0_F420
FLASH_SIZE_ADDRESS = 0x1FF0_F442
VREFIN_CAL_ADDRESS = 0x1FF0_F44A
TS_CAL1_ADDRESS = 0x1FF0_F44C  # at 30 C
TS_CAL2_ADDRESS = 0x1FF0_F44E  # at 110 C

# 1.21 V and 0.76 V + 2.5 mV/C (DS10916) as 12-bit readings at 3.3 V.
VREFIN_CAL = 1502
TS_CAL1 = 959
TS_CAL2 = 1207

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
    """All memories of one board. Contents survive a reset; `power_on` scrambles the RAMs."""

    def __init__(self, board: Board, engine: Engine, flash_file: Path | None) -> None:
        self._engine = engine
        self.stale = True
        flash = board.flash
        view, host = _pages(flash.size, flash_file)
        if flash_file is None:
            view[:] = b"\xff" * flash.size
        classes = (ctypes.c_uint8 * (flash.size // 2))()
        self.flash = HostMemory("flash", flash.address, flash.size, False, view, host, classes)
        self.regions = [self.flash]
        for alias, address in flash.aliases:
            self.regions.append(
                HostMemory(f"flash.{alias}", address, flash.size, False, view, host, classes)
            )
        for memory in board.memories:
            if memory.writable:
                view, host = _pages(memory.size)
                classes = (ctypes.c_uint8 * (memory.size // 2))()
                self.regions.append(
                    HostMemory(memory.name, memory.address, memory.size, True, view, host, classes)
                )
        view, host = _pages(SYSTEM_SIZE)
        classes = (ctypes.c_uint8 * (SYSTEM_SIZE // 2))()
        self._system = HostMemory("system", SYSTEM_BASE, SYSTEM_SIZE, False, view, host, classes)
        self._write_system(flash.size, board.name)
        self.regions.append(self._system)
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

    def _write_system(self, flash_size: int, board_name: str) -> None:
        view = self._system.view
        view[:] = b"\xff" * SYSTEM_SIZE
        uid = (board_name.encode() + b"-VIRTUAL----")[:12]
        view[UID_ADDRESS - SYSTEM_BASE :][:12] = uid
        for address, value in (
            (FLASH_SIZE_ADDRESS, flash_size // 1024),
            (VREFIN_CAL_ADDRESS, VREFIN_CAL),
            (TS_CAL1_ADDRESS, TS_CAL1),
            (TS_CAL2_ADDRESS, TS_CAL2),
        ):
            struct.pack_into("<H", view, address - SYSTEM_BASE, value)

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

    def mark(self, address: int) -> None:
        """Makes the hooks stop before the instruction at `address`."""
        region = self.find(address, 2)
        if region is not None:
            region.classes[(address - region.base) >> 1] |= native.CLASS_MARK

    def unmark(self, address: int) -> None:
        region = self.find(address, 2)
        if region is not None:
            region.classes[(address - region.base) >> 1] &= ~native.CLASS_MARK & 0xFF


def kind_of_unmapped(address: int) -> AddressKind:
    """What an access outside all memories and registers is.

    Flash bank images in system memory, external memory (FMC, QUADSPI) and peripherals exist on
    silicon and are not modelled; the rest is reserved there too.
    """
    if 0x1FF0_0000 <= address < 0x2000_0000:
        return AddressKind.UNMODELLED
    if 0x4000_0000 <= address < 0xC000_0000 or 0xC000_0000 <= address < 0xE010_0000:
        return AddressKind.UNMODELLED
    return AddressKind.RESERVED
