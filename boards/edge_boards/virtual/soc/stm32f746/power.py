"""Power control (RM0385 chapter 4), and the limits it sets to the clocks (DS10916, table 16)."""

from __future__ import annotations

from typing import ClassVar

from edge_boards.virtual.peripherals.base import Peripheral, Register

CR1, CSR1, CR2, CSR2 = 0x00, 0x04, 0x08, 0x0C
_ODEN, _ODSWEN, _ODRDY, _ODSWRDY, _VOSRDY = 1 << 16, 1 << 17, 1 << 16, 1 << 17, 1 << 14
OVERDRIVE_S = 40e-6
VOS_S = 40e-6

# HCLK limits in MHz by VOS (1: scale 3, 2: scale 2, 3: scale 1), without and with over-drive.
_LIMITS = {1: (144, 144), 2: (168, 180), 3: (180, 216)}


class Pwr(Peripheral):
    """Voltage scaling and over-drive. Stop and standby modes are not modelled."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        CR1: Register("CR1", 0x0000_C000, 0x0003_C100),
        CSR1: Register("CSR1", _VOSRDY, 0, 0xFFFF_FFFF),
        CR2: Register("CR2", 0, 0, 0x3F),
        CSR2: Register("CSR2", 0, 0, 0x3F),
    }

    def on_write(self, offset: int, value: int) -> None:
        if offset != CR1:
            self.store(offset, value)
            return
        before = self.values[CR1]
        self.store(CR1, value)
        for on, ready in ((_ODEN, _ODRDY), (_ODSWEN, _ODSWRDY)):
            if not value & on:
                self.values[CSR1] &= ~ready
            elif not before & on:
                self._later(on, ready)
        if (value ^ before) & 0xC000:
            self.values[CSR1] &= ~_VOSRDY
            self._later(0, _VOSRDY)
        self.machine.check_clock_limits()

    def _later(self, on: int, ready: int) -> None:
        def become_ready() -> None:
            if not on or self.values[CR1] & on:
                self.values[CSR1] |= ready

        self.machine.after_seconds(VOS_S if not on else OVERDRIVE_S, become_ready)

    @property
    def overdrive(self) -> bool:
        return self.values[CSR1] & (_ODRDY | _ODSWRDY) == _ODRDY | _ODSWRDY

    def limits_mhz(self) -> tuple[int, int, int]:
        """The highest HCLK, PCLK1 and PCLK2 allowed now."""
        scale = self.values[CR1] >> 14 & 3
        plain, driven = _LIMITS.get(scale, (144, 144))
        if self.overdrive:
            return driven, 54, 108
        return plain, 45, 90
