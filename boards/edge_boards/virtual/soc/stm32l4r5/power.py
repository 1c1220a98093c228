"""Power control (RM0432 chapter 5): voltage ranges, and the supply of port G."""

from __future__ import annotations

from typing import ClassVar

from edge_boards.virtual.faults import Unmodelled
from edge_boards.virtual.peripherals.base import Peripheral, Register

CR1, CR2, CR3, CR4, SR1, SR2, SCR, CR5 = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18, 0x80
_VOS, _DBP = 3 << 9, 1 << 8
_RANGE_1, _RANGE_2 = 1, 2
_IOSV, _USV = 1 << 9, 1 << 10
_VOSF = 1 << 10
_R1MODE = 1 << 8
VOS_S = 20e-6  # DS12023: the regulator's longest way from range 2 to range 1


class Pwr(Peripheral):
    """Voltage scaling and IOSV. Low-power modes and voltage monitors are not modelled."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        CR1: Register("CR1", _RANGE_1 << 9, _VOS | _DBP),
        CR2: Register("CR2", 0, _IOSV | _USV),
        CR3: Register("CR3", 0x0000_8000),
        CR4: Register("CR4"),
        SR1: Register("SR1"),
        SR2: Register("SR2", 0x0000_0100),
        SCR: Register("SCR", 0, 0x0000_011F),
        CR5: Register("CR5", _R1MODE, _R1MODE),
    }

    def on_write(self, offset: int, value: int) -> None:
        if offset == SCR:
            return  # clears flags that are never set
        before = self.values[offset]
        self.store(offset, value)
        if offset == CR1 and (value ^ before) & _VOS:
            self._change_range()
        if offset in (CR1, CR5):
            self.machine.check_clock_limits()

    def _change_range(self) -> None:
        if self.voltage_range not in (_RANGE_1, _RANGE_2):
            raise Unmodelled(f"PWR_CR1's VOS {self.voltage_range} is forbidden")
        if self.voltage_range == _RANGE_2:
            self.values[SR2] &= ~_VOSF
            return
        self.values[SR2] |= _VOSF

        def settled() -> None:
            self.values[SR2] &= ~_VOSF

        self.machine.after_seconds(VOS_S, settled)

    @property
    def voltage_range(self) -> int:
        """As PWR_CR1's VOS says."""
        return self.values[CR1] >> 9 & 3

    @property
    def settled_range(self) -> int:
        """The range whose limits hold: the lower one while the regulator is on its way up."""
        return _RANGE_2 if self.values[SR2] & _VOSF else self.voltage_range

    @property
    def boost(self) -> bool:
        """Range 1 boost: R1MODE is 0."""
        return self.settled_range == _RANGE_1 and not self.values[CR5] & _R1MODE

    @property
    def vddio2(self) -> bool:
        """Whether the firmware has said that PG2 to PG15 have their supply (IOSV)."""
        return bool(self.values[CR2] & _IOSV)

    def highest_mhz(self) -> int:
        """The highest core and bus clock (RM0432 5.1, dynamic voltage scaling)."""
        if self.settled_range == _RANGE_2:
            return 26
        return 120 if self.boost else 80
