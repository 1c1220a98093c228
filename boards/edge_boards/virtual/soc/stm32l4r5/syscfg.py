"""System configuration (RM0432 chapter 9) and the debug unit (DBGMCU)."""

from __future__ import annotations

from typing import ClassVar

from edge_boards.virtual.peripherals.base import Peripheral, Register
from edge_boards.virtual.peripherals.debug_unit import DebugUnit


class Syscfg(Peripheral):
    """Memory remapping, the SRAM2's protection and the analogue switches are not modelled."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: Register("MEMRMP"),
        0x04: Register("CFGR1", 0x7C00_0001),
        0x08: Register("EXTICR1", 0, 0xFFFF),
        0x0C: Register("EXTICR2", 0, 0xFFFF),
        0x10: Register("EXTICR3", 0, 0xFFFF),
        0x14: Register("EXTICR4", 0, 0xFFFF),
        0x18: Register("SCSR"),
        0x1C: Register("CFGR2"),
        0x20: Register("SWPR"),
        0x28: Register("SWPR2"),
    }


class Dbgmcu(DebugUnit):
    """The debug unit's registers besides IDCODE hold what is written."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        0x00: Register("IDCODE"),
        0x04: Register("CR", 0, 0x7),
        0x08: Register("APB1FZR1", 0, 0x82E0_1C3F),
        0x0C: Register("APB1FZR2", 0, 0x0000_0022),
        0x10: Register("APB2FZ", 0, 0x0007_2800),
    }
