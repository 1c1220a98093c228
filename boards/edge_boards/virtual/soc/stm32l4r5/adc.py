"""ADC1 (RM0432 chapter 21), as far as supply and die temperature need it: single regular
conversions of channel 0 (VREFINT) and 17 (temperature), started by software.

The analogue world is fixed: 3300 mV and 25 C. Times are DS12023's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, cast

from edge_boards.virtual.faults import Unmodelled
from edge_boards.virtual.peripherals.base import Peripheral, Register

from .rcc import Rcc

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

ISR, IER, CR, CFGR, CFGR2, SMPR1, SMPR2 = 0x00, 0x04, 0x08, 0x0C, 0x10, 0x14, 0x18
SQR1, DR, DIFSEL, CALFACT, CCR = 0x30, 0x40, 0xB0, 0xB4, 0x308
_ADRDY, _EOSMP, _EOC, _EOS = 1, 1 << 1, 1 << 2, 1 << 3
_ADEN, _ADDIS, _ADSTART, _ADSTP = 1, 1 << 1, 1 << 2, 1 << 4
_ADVREGEN, _DEEPPWD, _ADCAL = 1 << 28, 1 << 29, 1 << 31
_VREFEN, _TSEN = 1 << 22, 1 << 23
_JQDIS, _OVRMOD = 1 << 31, 1 << 12

# What ST measures in each chip at 3.0 V: VREFINT, and the sensor at 30 and at 130 C. 1.212 V, and
# 0.76 V at 30 C + 2.5 mV/C (DS12023), as 12-bit readings; then what they read at 3.3 V and 25 C.
VREFINT_CAL = 1654
TS_CAL1 = 1037
TS_CAL2 = 1379
VREFINT_READING = 1504
TEMPERATURE_READING = 928

# Channel: its reading, its switch in CCR, seconds that it must be sampled, and seconds until it is
# good after it was switched on.
_CHANNELS = {
    0: (VREFINT_READING, _VREFEN, 4e-6, 12e-6),
    17: (TEMPERATURE_READING, _TSEN, 5e-6, 120e-6),
}
_SAMPLES = (2.5, 6.5, 12.5, 24.5, 47.5, 92.5, 247.5, 640.5)
_CONVERSION = 12.5
_CALIBRATION = 116
_PRESCALERS = (1, 2, 4, 6, 8, 10, 12, 16, 32, 64, 128, 256)
REGULATOR_S = 20e-6
_CALIBRATION_FACTOR = 0x40


class Adc(Peripheral):
    """ADC1 and the common registers, in one block of 1 KB."""

    REGISTERS: ClassVar[dict[int, Register]] = {
        ISR: Register("ISR", 0, 0x07FF),
        IER: Register("IER"),
        CR: Register("CR", _DEEPPWD, _ADVREGEN | _DEEPPWD | _ADCAL | 0x17),
        CFGR: Register("CFGR", _JQDIS, _JQDIS | _OVRMOD),
        CFGR2: Register("CFGR2"),
        SMPR1: Register("SMPR1", 0, 0x3FFF_FFFF),
        SMPR2: Register("SMPR2", 0, 0x07FF_FFFF),
        SQR1: Register("SQR1", 0, 0x1F7D_F7CF),
        DR: Register("DR", 0, 0, 0xFFFF),
        DIFSEL: Register("DIFSEL"),
        CALFACT: Register("CALFACT"),
        CCR: Register("CCR", 0, 0x00FF_0000),
    }

    def __init__(self, machine: Machine, name: str, base: int) -> None:
        self._epoch = 0
        super().__init__(machine, name, base)

    def reset(self) -> None:
        super().reset()
        self._epoch += 1
        self._since: dict[int, float] = {}  # when a switch was turned on, modelled seconds
        self._calibrated = False
        self._ready = False

    # -- registers

    def on_read(self, offset: int) -> int:
        if offset == DR:
            self.values[ISR] &= ~_EOC
        return self.values[offset]

    def check_bits(self, offset: int, value: int) -> None:
        if offset == DR:
            raise Unmodelled("write of ADC1_DR, which is read-only")
        super().check_bits(offset, value)

    def on_write(self, offset: int, value: int) -> None:
        if offset == ISR:
            self.values[ISR] &= ~value  # cleared by writing 1
        elif offset == CR:
            self._control(value)
        elif offset == CCR:
            self._common(value)
        elif offset == DIFSEL or not self.values[CR] & _ADSTART:
            self.store(offset, value)
        else:
            raise Unmodelled(f"{self.describe(offset)} is written while a conversion runs")

    def _common(self, value: int) -> None:
        if (value ^ self.values[CCR]) & 0x003F_0000 and self.values[CR] & _ADEN:
            raise Unmodelled("ADC1 changes its clock while it is on")
        self._turned_on(value & ~self.values[CCR])
        self.store(CCR, value)

    def _turned_on(self, bits: int) -> None:
        for bit in (_VREFEN, _TSEN, _ADVREGEN):
            if bits & bit:
                self._since[bit] = self.machine.seconds

    def _on_for(self, bit: int) -> float:
        return self.machine.seconds - self._since.get(bit, self.machine.seconds)

    # -- the converter

    def clock_hz(self) -> float:
        """The ADC's clock, by CCR's CKMODE and PRESC."""
        rcc = cast(Rcc, self.machine.rcc)
        mode = self.values[CCR] >> 16 & 3
        if mode:
            hertz = rcc.hclk / (1, 1, 2, 4)[mode]
            if mode == 1 and rcc.hclk != rcc.sysclk:
                raise Unmodelled("ADC1 takes HCLK undivided, while HPRE divides it")
        else:
            prescaler = min(self.values[CCR] >> 18 & 15, len(_PRESCALERS) - 1)
            hertz = rcc.adc_hz() / _PRESCALERS[prescaler]
        if hertz == 0:
            raise Unmodelled("ADC1 has no clock (RCC_CCIPR's ADCSEL, ADC_CCR's CKMODE)")
        if hertz > 80e6:
            raise Unmodelled(f"ADC1 clock is {hertz / 1e6:.1f} MHz; 80 MHz is allowed")
        return hertz

    def _control(self, value: int) -> None:
        before = self.values[CR]
        if value & _DEEPPWD and value & _ADVREGEN:
            raise Unmodelled("ADC1's regulator is on in deep power-down")
        if value & _DEEPPWD:
            if before & _ADEN:
                raise Unmodelled("ADC1 goes into deep power-down while it is on")
            self._epoch += 1
            self._calibrated = False  # the factor is lost
            self.values[CR] = _DEEPPWD
            return
        self._turned_on(value & _ADVREGEN & ~before)
        kept = before & (_ADEN | _ADSTART | _ADCAL)  # only hardware clears these
        self.values[CR] = value & _ADVREGEN | kept
        if value & ~before & _ADCAL:
            self._calibrate()
        if value & ~before & _ADEN:
            self._enable()
        if value & ~before & _ADDIS:
            self._disable()
        if value & ~before & _ADSTART:
            self._start()

    def _require_regulator(self, what: str) -> None:
        if not self.values[CR] & _ADVREGEN or self._on_for(_ADVREGEN) < REGULATOR_S:
            raise Unmodelled(f"ADC1 {what} before its regulator is ready (ADVREGEN, then 20 us)")

    def _calibrate(self) -> None:
        self._require_regulator("is calibrated")
        if self.values[CR] & _ADEN:
            raise Unmodelled("ADC1 is calibrated while it is on")
        self.values[CR] |= _ADCAL

        def done() -> None:
            self.values[CR] &= ~_ADCAL
            self.values[CALFACT] = _CALIBRATION_FACTOR
            self._calibrated = True

        self._later(_CALIBRATION / self.clock_hz(), done)

    def _enable(self) -> None:
        self._require_regulator("is turned on")
        if self.values[CR] & _ADCAL:
            raise Unmodelled("ADC1 is turned on while it is calibrated")
        self.values[CR] |= _ADEN

        def ready() -> None:
            self.values[ISR] |= _ADRDY
            self._ready = True

        self._later(1 / self.clock_hz(), ready)

    def _disable(self) -> None:
        if self.values[CR] & _ADSTART:
            raise Unmodelled("ADC1 is turned off while a conversion runs")
        self.values[CR] &= ~_ADEN
        self._ready = False

    def _start(self) -> None:
        if not self._ready:
            raise Unmodelled("ADC1 conversion is started before ADRDY")
        if not self._calibrated:
            raise Unmodelled("ADC1 converts without having been calibrated")
        if self.values[SQR1] & 15:
            raise Unmodelled("ADC1 sequences of more than one conversion")
        channel = self.values[SQR1] >> 6 & 31
        if channel not in _CHANNELS:
            raise Unmodelled(f"ADC1 channel {channel}: nothing is connected to it")
        reading, switch, sampled_s, settled_s = _CHANNELS[channel]
        if not self.values[CCR] & switch or self._on_for(switch) < settled_s:
            raise Unmodelled(
                f"ADC1 channel {channel} is read before its source is on and settled: "
                f"{settled_s * 1e6:g} us"
            )
        register, at = (SMPR1, channel) if channel < 10 else (SMPR2, channel - 10)
        samples = _SAMPLES[self.values[register] >> 3 * at & 7]
        clock = self.clock_hz()
        if samples / clock < sampled_s:
            raise Unmodelled(
                f"ADC1 channel {channel} is sampled for {samples / clock * 1e6:.2f} us; "
                f"{sampled_s * 1e6:g} are needed"
            )
        self.values[CR] |= _ADSTART

        def done() -> None:
            self.values[CR] &= ~_ADSTART
            self.values[DR] = reading
            self.values[ISR] |= _EOSMP | _EOC | _EOS

        self._later((samples + _CONVERSION) / clock, done)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        epoch = self._epoch

        def unless_reset() -> None:
            if self._epoch == epoch:
                action()

        self.machine.after_seconds(seconds, unless_reset)
