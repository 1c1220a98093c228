"""ADC1 (RM0385 chapter 15), as far as supply and die temperature need it: regular conversions of
channel 17 (VREFINT) and 18 (temperature), started by software.

The analogue world is fixed: 3300 mV and 25 C. A virtual board has no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from edge_boards.virtual.faults import Unmodelled
from edge_boards.virtual.peripherals.base import Peripheral, Register

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

SR, CR1, CR2, SMPR1, SMPR2 = 0x00, 0x04, 0x08, 0x0C, 0x10
SQR1, SQR2, SQR3, DR = 0x2C, 0x30, 0x34, 0x4C
COMMON_CSR, COMMON_CCR = 0x300, 0x304
_ADON, _SWSTART, _EOC, _STRT, _OVR = 1, 1 << 30, 1 << 1, 1 << 4, 1 << 5
_TSVREFE, _VBATE = 1 << 23, 1 << 22
_SAMPLES = (3, 15, 28, 56, 84, 112, 144, 480)

# What ST measures in each chip at 3.3 V: VREFINT, and the sensor at 30 and at 110 C. 1.21 V, and
# 0.76 V at 25 C + 2.5 mV/C (DS10916), as 12-bit readings.
VREFIN_CAL = 1502
TS_CAL1 = 959
TS_CAL2 = 1207
TEMPERATURE_AT_25C = 943
READINGS = {17: VREFIN_CAL, 18: TEMPERATURE_AT_25C}


class Adc(Peripheral):
    """ADC1 and the common registers, in one block of 1 KB."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        SR: Register("SR", 0, 0x3F),
        CR1: Register("CR1", 0, 0x0300_0000),
        CR2: Register("CR2", 0, _ADON | _SWSTART | 1 << 10 | 1 << 11),
        SMPR1: Register("SMPR1", 0, 0x07FF_FFFF),
        SMPR2: Register("SMPR2", 0, 0x3FFF_FFFF),
        SQR1: Register("SQR1", 0, 0x000F_FFFF),
        SQR2: Register("SQR2", 0, 0x3FFF_FFFF),
        SQR3: Register("SQR3", 0, 0x3FFF_FFFF),
        DR: Register("DR", 0, 0, 0xFFFF),
        COMMON_CSR: Register("CSR"),
        COMMON_CCR: Register("CCR", 0, 0x00C3_0000),
    }

    def __init__(self, machine: Machine, name: str, base: int) -> None:
        self._epoch = 0
        super().__init__(machine, name, base)

    def reset(self) -> None:
        super().reset()
        self._epoch += 1

    def on_read(self, offset: int) -> int:
        value = self.values[offset]
        if offset == DR:
            self.values[SR] &= ~_EOC
        if offset == COMMON_CSR:
            return self.values[SR] & 0x3F
        return value

    def on_write(self, offset: int, value: int) -> None:
        if offset == SR:
            self.values[SR] &= value  # cleared by writing 0
            return
        self.store(offset, value & ~_SWSTART if offset == CR2 else value)
        if offset == CR2 and value & _SWSTART:
            self._start(value)

    def _start(self, value: int) -> None:
        if not value & _ADON:
            raise Unmodelled("ADC1 conversion is started while ADON is 0")
        if self.values[SQR1] >> 20 & 15:
            raise Unmodelled("ADC1 sequences of more than one conversion")
        if self.values[CR1] >> 24 & 3:
            raise Unmodelled("ADC1 resolutions other than 12 bits")
        channel = self.values[SQR3] & 31
        if channel not in READINGS:
            raise Unmodelled(f"ADC1 channel {channel}: nothing is connected to it")
        common = self.values[COMMON_CCR]
        if not common & _TSVREFE or (channel == 18 and common & _VBATE):
            raise Unmodelled("ADC1 reads an internal channel without TSVREFE, or with VBATE set")
        rcc = self.machine.rcc
        clock = rcc.pclk2 / (2, 4, 6, 8)[common >> 16 & 3]
        if clock > 36e6:
            raise Unmodelled(f"ADC1 clock is {clock / 1e6:.1f} MHz; 36 MHz is allowed")
        sampling = _SAMPLES[self.values[SMPR1] >> 3 * (channel - 10) & 7]
        self.values[SR] |= _STRT
        epoch = self._epoch

        def done() -> None:
            if self._epoch == epoch:
                self.values[DR] = READINGS[channel]
                self.values[SR] |= _EOC

        self.machine.after_seconds((sampling + 12) / clock, done)
