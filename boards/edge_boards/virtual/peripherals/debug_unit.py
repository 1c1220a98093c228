"""The debug unit (DBGMCU): what the chip says it is."""

from __future__ import annotations

from edge_boards.virtual.peripherals.base import Peripheral

IDCODE = 0x00


class DebugUnit(Peripheral):
    """IDCODE is the board file's device id and the model's revision."""

    def on_read(self, offset: int) -> int:
        if offset == IDCODE:
            return self.machine.soc.revision << 16 | self.machine.chip_id
        return self.values[offset]
