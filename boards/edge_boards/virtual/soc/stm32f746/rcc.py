"""Reset and clock control (RM0385 chapter 5): oscillators, PLL, clock tree, gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from edge_boards.virtual.faults import Unmodelled
from edge_boards.virtual.peripherals.base import Register
from edge_boards.virtual.peripherals.clock_tree import ClockTree, Gate, ResetFlags, gate_mask

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

CR, PLLCFGR, CFGR, CIR = 0x00, 0x04, 0x08, 0x0C
AHB1ENR, AHB2ENR, AHB3ENR, APB1ENR, APB2ENR = 0x30, 0x34, 0x38, 0x40, 0x44
AHB1RSTR, APB1RSTR, APB2RSTR = 0x10, 0x20, 0x24
BDCR, CSR, DCKCFGR1, DCKCFGR2 = 0x70, 0x74, 0x8C, 0x90

HSI_HZ = 16_000_000
LSE_HZ = 32_768
HSE_STARTUP_S = 2e-3  # DS10916: typical start of a crystal
HSE_BYPASS_S = 1e-6
PLL_LOCK_S = 75e-6  # DS10916: minimum lock time
LSI_STARTUP_S = 15e-6

_HSION, _HSIRDY, _HSEON, _HSERDY, _HSEBYP, _CSSON = 1, 1 << 1, 1 << 16, 1 << 17, 1 << 18, 1 << 19
_PLLON, _PLLRDY = 1 << 24, 1 << 25

GPIO_PORTS = "ABCDEFGHIJK"
# Enable bits: register offset and bit, by peripheral name.
_GATES: dict[str, Gate] = {
    **{f"GPIO{port}": (AHB1ENR, i) for i, port in enumerate(GPIO_PORTS)},
    "USART2": (APB1ENR, 17),
    "USART3": (APB1ENR, 18),
    "UART4": (APB1ENR, 19),
    "UART5": (APB1ENR, 20),
    "PWR": (APB1ENR, 28),
    "UART7": (APB1ENR, 30),
    "UART8": (APB1ENR, 31),
    "USART1": (APB2ENR, 4),
    "USART6": (APB2ENR, 5),
    "ADC1": (APB2ENR, 8),
    "SYSCFG": (APB2ENR, 14),
}
_UART_SELECT = {"USART1": 0, "USART2": 2, "USART3": 4, "UART4": 6, "UART5": 8, "USART6": 10}
_UART_SELECT |= {"UART7": 12, "UART8": 14}
_APB2 = frozenset({"USART1", "USART6"})


class Rcc(ClockTree):
    """The clock tree of the STM32F746."""

    GATES = _GATES
    RESETS: ClassVar[dict[int, int]] = {AHB1ENR: AHB1RSTR, APB1ENR: APB1RSTR, APB2ENR: APB2RSTR}
    FLAGS = ResetFlags(
        register=CSR,
        all=0xFE00_0000,
        clear=1 << 24,
        power=1 << 25 | 1 << 27,  # BORRSTF, PORRSTF
        pin=1 << 26,
        software=1 << 28,
    )
    REGISTERS: ClassVar[dict[int, Register]] = {
        CR: Register("CR", 0x0000_8083, 0x010D_00F9, 0x0202_FF02),
        PLLCFGR: Register("PLLCFGR", 0x2400_3010, 0x0F43_7FFF, 0xF000_0000),
        CFGR: Register("CFGR", 0, 0xFFFF_FCF3, 0x0C),
        CIR: Register("CIR"),
        AHB1RSTR: Register("AHB1RSTR", 0, gate_mask(_GATES, AHB1ENR)),
        0x14: Register("AHB2RSTR"),
        0x18: Register("AHB3RSTR"),
        APB1RSTR: Register("APB1RSTR", 0, gate_mask(_GATES, APB1ENR)),
        APB2RSTR: Register("APB2RSTR", 0, gate_mask(_GATES, APB2ENR)),
        AHB1ENR: Register("AHB1ENR", 0x0010_0000, gate_mask(_GATES, AHB1ENR) | 1 << 20),
        AHB2ENR: Register("AHB2ENR"),
        AHB3ENR: Register("AHB3ENR"),
        APB1ENR: Register("APB1ENR", 0, gate_mask(_GATES, APB1ENR)),
        APB2ENR: Register("APB2ENR", 0, gate_mask(_GATES, APB2ENR)),
        0x50: Register("AHB1LPENR", 0x7EF7_B7FF, 0xFFFF_FFFF),
        0x54: Register("AHB2LPENR", 0x0000_00F1, 0xFFFF_FFFF),
        0x58: Register("AHB3LPENR", 0x0000_0003, 0xFFFF_FFFF),
        0x60: Register("APB1LPENR", 0xFFFF_CBFF, 0xFFFF_FFFF),
        0x64: Register("APB2LPENR", 0x04F7_7F33, 0xFFFF_FFFF),
        BDCR: Register("BDCR"),
        CSR: Register("CSR", 0x0E00_0000, 0x0100_0001, 0xFE00_0002),
        0x84: Register("PLLI2SCFGR", 0x2400_3000),
        0x88: Register("PLLSAICFGR", 0x2400_3000),
        DCKCFGR1: Register("DCKCFGR1", 0, 1 << 24),
        DCKCFGR2: Register("DCKCFGR2", 0, 0x0000_FFFF),
    }

    def __init__(self, machine: Machine, name: str, base: int) -> None:
        self._hse_hz = machine.board.clock.oscillator_hz
        self._hse_kind = machine.board.clock.oscillator
        super().__init__(machine, name, base)

    def uart_hz(self, name: str) -> int:
        """The kernel clock of a U(S)ART, hertz."""
        choice = self.values[DCKCFGR2] >> _UART_SELECT[name] & 3
        if choice == 0:
            return self.pclk2 if name in _APB2 else self.pclk1
        return (0, self.sysclk, HSI_HZ, LSE_HZ)[choice]

    def on_write(self, offset: int, value: int) -> None:
        if offset == CR:
            self._write_control(value)
        elif offset == PLLCFGR:
            if self.values[CR] & _PLLON and value != self.values[PLLCFGR]:
                raise Unmodelled("RCC_PLLCFGR is written while the PLL is on")
            self.store(offset, value)
        elif offset == CFGR:
            self._write_configuration(value)
        elif offset == CSR:
            self._clear_flags(value)
            self._ready_later(CSR, 1, 1 << 1, bool(value & 1), LSI_STARTUP_S)
        elif offset in (AHB1RSTR, APB1RSTR, APB2RSTR):
            self._reset_peripherals(offset, value)
        else:
            self.store(offset, value)
            if offset in (DCKCFGR1, DCKCFGR2):
                self._recompute()

    def _write_control(self, value: int) -> None:
        source = self.values[CFGR] >> 2 & 3
        if not value & _HSION and source == 0:
            value |= _HSION  # hardware keeps the running system clock on
        if (not value & _HSEON and source == 1) or (not value & _PLLON and source == 2):
            raise Unmodelled("RCC_CR turns off the oscillator that the core runs from")
        if value & _CSSON:
            raise Unmodelled("RCC_CR turns on the clock security system")
        was_on = self.values[CR]
        if (value ^ was_on) & _HSEBYP and was_on & _HSEON:
            raise Unmodelled("RCC_CR changes HSEBYP while the HSE is on")
        self.store(CR, value)
        if value & _PLLON and not was_on & _PLLON:
            self._check_pll()
        self._ready_later(CR, _HSION, _HSIRDY, bool(value & _HSION), 2e-6)
        startup = self._hse_startup(bool(value & _HSEBYP))
        self._ready_later(CR, _HSEON, _HSERDY, bool(value & _HSEON), startup)
        self._ready_later(CR, _PLLON, _PLLRDY, bool(value & _PLLON), PLL_LOCK_S)

    def _hse_startup(self, bypass: bool) -> float | None:
        """Seconds until the HSE is ready; None where what the board has at its pins does not
        start this way."""
        if bypass != (self._hse_kind == "hse-bypass"):
            return None
        return HSE_BYPASS_S if bypass else HSE_STARTUP_S

    def _check_pll(self) -> None:
        config = self.values[PLLCFGR]
        m, n = config & 63, config >> 6 & 511
        from_hse = bool(config >> 22 & 1)
        if from_hse and not self.values[CR] & _HSERDY:
            raise Unmodelled("the PLL is turned on before its source, HSE, is ready")
        source = self._hse_hz if from_hse else HSI_HZ
        if m < 2 or not 50 <= n <= 432:
            raise Unmodelled(f"PLL factors out of range: M {m}, N {n}")
        vco_in, vco = source / m, source / m * n
        if not 0.95e6 <= vco_in <= 2.1e6:
            raise Unmodelled(f"PLL input is {vco_in / 1e6:.3f} MHz; 1 to 2 MHz is allowed")
        if not 100e6 <= vco <= 432e6:
            raise Unmodelled(f"PLL VCO is {vco / 1e6:.1f} MHz; 100 to 432 MHz is allowed")

    def _pll_hz(self) -> int:
        config = self.values[PLLCFGR]
        source = self._hse_hz if config >> 22 & 1 else HSI_HZ
        return source * (config >> 6 & 511) // (config & 63) // (2 * (config >> 16 & 3) + 2)

    def _write_configuration(self, value: int) -> None:
        ready = (_HSIRDY, _HSERDY, _PLLRDY, 0)[value & 3]
        if value & 3 == 3 or not self.values[CR] & ready:
            raise Unmodelled(
                "RCC_CFGR switches to "
                + ("HSI", "HSE", "the PLL", "a reserved source")[value & 3]
                + ", which is not ready"
            )
        self.store(CFGR, value)
        self.values[CFGR] = self.values[CFGR] & ~0xC | (value & 3) << 2
        self._recompute()
        self.machine.check_clock_limits()

    def _recompute(self) -> None:
        configuration = self.values[CFGR]
        source = configuration >> 2 & 3
        self.sysclk = (HSI_HZ, self._hse_hz, self._pll_hz() if source == 2 else 0)[source]
        self.hclk = self.divided_core(self.sysclk, configuration >> 4 & 15)
        self.pclk1 = self.divided(self.hclk, configuration >> 10 & 7)
        self.pclk2 = self.divided(self.hclk, configuration >> 13 & 7)
        self.machine.clock.change(self.hclk)
