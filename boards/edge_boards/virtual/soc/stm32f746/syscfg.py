"""System configuration (RM0385 chapter 7) and the debug unit's identity (chapter 40)."""

from __future__ import annotations

from typing import ClassVar

from edge_boards.virtual.peripherals.base import Peripheral, Register
from edge_boards.virtual.peripherals.debug_unit import DebugUnit


class Syscfg(Peripheral):
    """Memory remapping of external memories is not modelled."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: Register("MEMRMP"),
        0x04: Register("PMC"),
        0x08: Register("EXTICR1", 0, 0xFFFF),
        0x0C: Register("EXTICR2", 0, 0xFFFF),
        0x10: Register("EXTICR3", 0, 0xFFFF),
        0x14: Register("EXTICR4", 0, 0xFFFF),
        0x20: Register("CMPCR"),
    }


class Dbgmcu(DebugUnit):
    """The debug unit's registers besides IDCODE hold what is written."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: Register("IDCODE"),
        0x04: Register("CR", 0, 0x7),
        0x08: Register("APB1FZ", 0, 0x1A00_1FFF),
        0x0C: Register("APB2FZ", 0, 0x0007_0003),
    }
