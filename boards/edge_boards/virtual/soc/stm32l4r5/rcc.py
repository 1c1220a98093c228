"""Reset and clock control (RM0432 chapter 6): oscillators, PLL, clock tree, gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, cast

from edge_boards.virtual.faults import Unmodelled
from edge_boards.virtual.peripherals.base import Register
from edge_boards.virtual.peripherals.clock_tree import ClockTree, Gate, ResetFlags, gate_mask

from .power import Pwr

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

CR, ICSCR, CFGR, PLLCFGR = 0x00, 0x04, 0x08, 0x0C
AHB1RSTR, AHB2RSTR, AHB3RSTR, APB1RSTR1, APB1RSTR2, APB2RSTR = 0x28, 0x2C, 0x30, 0x38, 0x3C, 0x40
AHB1ENR, AHB2ENR, AHB3ENR, APB1ENR1, APB1ENR2, APB2ENR = 0x48, 0x4C, 0x50, 0x58, 0x5C, 0x60
CCIPR, BDCR, CSR, CRRCR, CCIPR2 = 0x88, 0x90, 0x94, 0x98, 0x9C

HSI16_HZ = 16_000_000
# RCC_CR's MSIRANGE and RCC_CSR's MSISRANGE.
MSI_HZ = (
    *(100_000, 200_000, 400_000, 800_000, 1_000_000, 2_000_000),
    *(4_000_000, 8_000_000, 16_000_000, 24_000_000, 32_000_000, 48_000_000),
)
# DS12023: typical starts; the PLL's longest lock.
MSI_STARTUP_S = 5e-6
HSI_STARTUP_S = 1e-6
HSE_STARTUP_S = 2e-3
HSE_BYPASS_S = 1e-6
PLL_LOCK_S = 40e-6
LSI_STARTUP_S = 80e-6

_MSION, _MSIRDY, _MSIPLLEN, _MSIRGSEL = 1, 1 << 1, 1 << 2, 1 << 3
_HSION, _HSIRDY = 1 << 8, 1 << 10
_HSEON, _HSERDY, _HSEBYP, _CSSON = 1 << 16, 1 << 17, 1 << 18, 1 << 19
_PLLON, _PLLRDY = 1 << 24, 1 << 25
_LSION, _LSIRDY = 1, 1 << 1
_PLLREN = 1 << 24
_READY = (_MSIRDY, _HSIRDY, _HSERDY, _PLLRDY)
_SOURCES = ("MSI", "HSI16", "HSE", "the PLL")

_VCO_HIGHEST_HZ = {1: 344_000_000, 2: 128_000_000}
"""By voltage range (DS12023)."""

BOOST_HZ = 80_000_000
"""Above it, the core clock is reached and left by way of AHB / 2 (RM0432 5.1, voltage scaling)."""
BOOST_WAIT_S = 1e-6

GPIO_PORTS = "ABCDEFGHI"
_GATES: dict[str, Gate] = {
    **{f"GPIO{port}": (AHB2ENR, i) for i, port in enumerate(GPIO_PORTS)},
    "ADC1": (AHB2ENR, 13),
    "USART2": (APB1ENR1, 17),
    "USART3": (APB1ENR1, 18),
    "UART4": (APB1ENR1, 19),
    "UART5": (APB1ENR1, 20),
    "PWR": (APB1ENR1, 28),
    "LPUART1": (APB1ENR2, 0),
    "SYSCFG": (APB2ENR, 0),
    "USART1": (APB2ENR, 14),
}
_UART_SELECT = {"USART1": 0, "USART2": 2, "USART3": 4, "UART4": 6, "UART5": 8, "LPUART1": 10}
_ADC_SELECT = 28


class Rcc(ClockTree):
    """The clock tree of the STM32L4R5."""

    GATES = _GATES
    RESETS: ClassVar[dict[int, int]] = {
        AHB2ENR: AHB2RSTR,
        APB1ENR1: APB1RSTR1,
        APB1ENR2: APB1RSTR2,
        APB2ENR: APB2RSTR,
    }
    FLAGS = ResetFlags(
        register=CSR,
        all=0xFF00_0000,
        clear=1 << 23,
        power=1 << 27,  # BORRSTF
        pin=1 << 26,
        software=1 << 28,
    )
    REGISTERS: ClassVar[dict[int, Register]] = {
        CR: Register("CR", 0x0000_0063, 0x010D_01F9, 0x2A02_0402),
        ICSCR: Register("ICSCR", 0x4080_0080, 0x7F00_FF00, 0x00FF_00FF),
        CFGR: Register("CFGR", 0, 0x0000_3FF3, 0x0C),
        PLLCFGR: Register("PLLCFGR", 0x0000_1000, 0xFF73_7FF3),
        0x10: Register("PLLSAI1CFGR", 0x0000_1000),
        0x14: Register("PLLSAI2CFGR", 0x0000_1000),
        0x18: Register("CIER"),
        0x1C: Register("CIFR"),
        0x20: Register("CICR", 0, 0x0000_063F),
        AHB1RSTR: Register("AHB1RSTR"),
        AHB2RSTR: Register("AHB2RSTR", 0, gate_mask(_GATES, AHB2ENR)),
        AHB3RSTR: Register("AHB3RSTR"),
        APB1RSTR1: Register("APB1RSTR1", 0, gate_mask(_GATES, APB1ENR1)),
        APB1RSTR2: Register("APB1RSTR2", 0, gate_mask(_GATES, APB1ENR2)),
        APB2RSTR: Register("APB2RSTR", 0, gate_mask(_GATES, APB2ENR)),
        AHB1ENR: Register("AHB1ENR", 0x0000_0100, 0x0000_0100),
        AHB2ENR: Register("AHB2ENR", 0, gate_mask(_GATES, AHB2ENR)),
        AHB3ENR: Register("AHB3ENR"),
        APB1ENR1: Register("APB1ENR1", 0x0000_0400, gate_mask(_GATES, APB1ENR1) | 1 << 10),
        APB1ENR2: Register("APB1ENR2", 0, gate_mask(_GATES, APB1ENR2)),
        APB2ENR: Register("APB2ENR", 0, gate_mask(_GATES, APB2ENR)),
        0x68: Register("AHB1SMENR", 0x0003_1307, 0x0003_1307),
        0x6C: Register("AHB2SMENR", 0x0054_77FF, 0x0054_77FF),
        0x70: Register("AHB3SMENR", 0x0000_0301, 0x0000_0301),
        0x78: Register("APB1SMENR1", 0xF3FE_CC3F, 0xF3FE_CC3F),
        0x7C: Register("APB1SMENR2", 0x0000_0023, 0x0000_0023),
        0x80: Register("APB2SMENR", 0x0167_7801, 0x0167_7801),
        CCIPR: Register("CCIPR", 0, 0x3000_0FFF),
        BDCR: Register("BDCR"),
        CSR: Register("CSR", 0x0C00_0600, 0x0080_0001, 0xFF00_0002),
        CRRCR: Register("CRRCR"),
        CCIPR2: Register("CCIPR2"),
    }

    def __init__(self, machine: Machine, name: str, base: int) -> None:
        clock = machine.board.clock
        self._hse_kind = clock.oscillator
        self._hse_hz = clock.oscillator_hz if clock.oscillator.startswith("hse") else 0
        self._switched_at = 0.0
        super().__init__(machine, name, base)

    # -- what the peripherals ask for

    def uart_hz(self, name: str) -> int:
        """The kernel clock of a U(S)ART, hertz."""
        choice = self.values[CCIPR] >> _UART_SELECT[name] & 3
        if choice == 0:
            return self.pclk2 if name == "USART1" else self.pclk1
        # The LSE's domain is not modelled, so it never runs.
        return (0, self.sysclk, HSI16_HZ if self.values[CR] & _HSIRDY else 0, 0)[choice]

    def adc_hz(self) -> int:
        """The ADC's asynchronous clock, hertz; 0 where none is selected that runs."""
        return self.sysclk if self.values[CCIPR] >> _ADC_SELECT & 3 == 3 else 0

    # -- writes

    def on_write(self, offset: int, value: int) -> None:
        if offset == CR:
            self._write_control(value)
        elif offset == PLLCFGR:
            if self.values[CR] & _PLLON and (value ^ self.values[PLLCFGR]) & ~_PLLREN:
                raise Unmodelled("RCC_PLLCFGR is written while the PLL is on")
            if self._source == 3 and not value & _PLLREN:
                raise Unmodelled("RCC_PLLCFGR stops the output that the core runs from (PLLREN)")
            self.store(offset, value)
        elif offset == CFGR:
            self._write_configuration(value)
        elif offset == CSR:
            self._clear_flags(value)
            self._ready_later(CSR, _LSION, _LSIRDY, bool(value & _LSION), LSI_STARTUP_S)
        elif offset in self.RESETS.values():
            self._reset_peripherals(offset, value)
        elif offset != 0x20:  # CICR clears flags that are never set
            self.store(offset, value)

    @property
    def _source(self) -> int:
        return self.values[CFGR] >> 2 & 3

    def _write_control(self, value: int) -> None:
        before, source = self.values[CR], self._source
        on = (_MSION, _HSION, _HSEON, _PLLON)
        if not value & on[source]:
            if source != 0:
                raise Unmodelled("RCC_CR turns off the oscillator that the core runs from")
            value |= _MSION  # hardware keeps the running system clock on
        if value & before & _PLLON and not value & on[self._pll_source()]:
            raise Unmodelled("RCC_CR turns off the oscillator that the PLL runs from")
        if value & _CSSON:
            raise Unmodelled("RCC_CR turns on the clock security system")
        if (value ^ before) & _HSEBYP and before & _HSEON:
            raise Unmodelled("RCC_CR changes HSEBYP while the HSE is on")
        self._check_range(before, value)
        self.store(CR, value)
        if value & _PLLON and not before & _PLLON:
            self._check_pll()
        self._ready_later(CR, _MSION, _MSIRDY, bool(value & _MSION), MSI_STARTUP_S)
        self._ready_later(CR, _HSION, _HSIRDY, bool(value & _HSION), HSI_STARTUP_S)
        startup = self._hse_startup(bool(value & _HSEBYP))
        self._ready_later(CR, _HSEON, _HSERDY, bool(value & _HSEON), startup)
        self._ready_later(CR, _PLLON, _PLLRDY, bool(value & _PLLON), PLL_LOCK_S)
        if source == 0:
            self._recompute()
            self.machine.check_clock_limits()

    def _hse_startup(self, bypass: bool) -> float | None:
        """Seconds until the HSE is ready; None where what the board has at its pins does not
        start this way."""
        if not self._hse_hz or bypass != (self._hse_kind == "hse-bypass"):
            return None
        return HSE_BYPASS_S if bypass else HSE_STARTUP_S

    def _check_range(self, before: int, value: int) -> None:
        """The MSI's range: what RCC_CR says once MSIRGSEL is set."""
        chosen = value >> 4 & 15
        if chosen >= len(MSI_HZ):
            raise Unmodelled(f"RCC_CR's MSIRANGE {chosen}: there are {len(MSI_HZ)}")
        changed = (value ^ before) & (0xF0 | _MSIRGSEL)
        if changed and before & _MSION and not before & _MSIRDY:
            raise Unmodelled("RCC_CR changes the MSI's range while it is starting")
        if before & _MSIRGSEL and not value & _MSIRGSEL:
            raise Unmodelled("RCC_CR clears MSIRGSEL, which only a reset does")
        if changed and value & _PLLON and self._pll_source() == 0:
            raise Unmodelled("RCC_CR changes the MSI's range while the PLL runs from it")

    def _msi_hz(self) -> int:
        own = self.values[CR] & _MSIRGSEL
        return MSI_HZ[self.values[CR] >> 4 & 15 if own else self.values[CSR] >> 8 & 15]

    # -- the PLL

    def _pll_source(self) -> int:
        """As `_source` counts: 0 MSI, 1 HSI16, 2 HSE."""
        return (0, 0, 1, 2)[self.values[PLLCFGR] & 3]

    def _pll_input(self) -> int:
        return (self._msi_hz(), HSI16_HZ, self._hse_hz)[self._pll_source()]

    def _check_pll(self) -> None:
        config = self.values[PLLCFGR]
        if config & 3 == 0:
            raise Unmodelled("the PLL is turned on without a source")
        source = self._pll_source()
        if not self.values[CR] & _READY[source]:
            raise Unmodelled(
                f"the PLL is turned on before its source, {_SOURCES[source]}, is ready"
            )
        n = config >> 8 & 127
        if not 8 <= n <= 127:
            raise Unmodelled(f"PLL factor out of range: N {n}; 8 to 127 is allowed")
        vco_in = self._pll_input() / ((config >> 4 & 15) + 1)
        vco = vco_in * n
        if not 2.66e6 <= vco_in <= 16e6:
            raise Unmodelled(f"PLL input is {vco_in / 1e6:.3f} MHz; 2.66 to 16 MHz is allowed")
        pwr = cast(Pwr, self.machine.bus.peripherals["PWR"])
        highest = _VCO_HIGHEST_HZ[pwr.settled_range]
        if not 64e6 <= vco <= highest:
            raise Unmodelled(
                f"PLL VCO is {vco / 1e6:.1f} MHz; 64 to {highest / 1e6:g} MHz is allowed in this "
                "voltage range"
            )

    def _pll_hz(self) -> int:
        config = self.values[PLLCFGR]
        vco = self._pll_input() * (config >> 8 & 127) // ((config >> 4 & 15) + 1)
        return vco // (2 * (config >> 25 & 3) + 2)

    # -- the system clock

    def _write_configuration(self, value: int) -> None:
        wanted, before, running = value & 3, self._source, self.hclk
        if not self.values[CR] & _READY[wanted]:
            raise Unmodelled(f"RCC_CFGR switches to {_SOURCES[wanted]}, which is not ready")
        if wanted == 3 and not self.values[PLLCFGR] & _PLLREN:
            raise Unmodelled("RCC_CFGR switches to the PLL, whose output R is off (PLLREN)")
        self.store(CFGR, value)
        self.values[CFGR] = self.values[CFGR] & ~0xC | wanted << 2
        self._recompute()
        crosses = (running > BOOST_HZ) != (self.hclk > BOOST_HZ)
        if crosses and wanted != before:
            raise Unmodelled(
                f"the core clock jumps from {running / 1e6:g} to {self.hclk / 1e6:g} MHz; above "
                f"{BOOST_HZ / 1e6:g} MHz it is switched while divided by 2 (HPRE)"
            )
        if self.hclk > BOOST_HZ and self.machine.seconds - self._switched_at < BOOST_WAIT_S:
            raise Unmodelled(
                "the core clock is divided no more within 1 us of a switch to above "
                f"{BOOST_HZ / 1e6:g} MHz"
            )
        if wanted != before:
            self._switched_at = self.machine.seconds
        self.machine.check_clock_limits()

    def _recompute(self) -> None:
        configuration = self.values[CFGR]
        source = configuration >> 2 & 3
        pll = self._pll_hz() if source == 3 else 0
        self.sysclk = (self._msi_hz(), HSI16_HZ, self._hse_hz, pll)[source]
        self.hclk = self.divided_core(self.sysclk, configuration >> 4 & 15)
        self.pclk1 = self.divided(self.hclk, configuration >> 8 & 7)
        self.pclk2 = self.divided(self.hclk, configuration >> 11 & 7)
        self.machine.clock.change(self.hclk)
