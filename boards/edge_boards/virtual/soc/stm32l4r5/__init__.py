"""The STM32L4R5 with 2 MB of flash: Cortex-M4 with FPU, up to 120 MHz, no caches but those of the
flash interface (ART).

RM0432 unless another source is named; DS12023 is the data sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from edge_boards.virtual.cores import CORTEX_M4
from edge_boards.virtual.cycles import StepCycles
from edge_boards.virtual.faults import Unmodelled
from edge_boards.virtual.peripherals.base import Peripheral
from edge_boards.virtual.soc.description import (
    Alias,
    BootLink,
    Chip,
    ChipMemory,
    Factory,
    Rom,
    Uart,
)

from .adc import TS_CAL1, TS_CAL2, VREFINT_CAL, Adc
from .flash import DOUBLE_WORD, PAGE_BYTES, PAGES_PER_BANK, FlashInterface, wait_states_for
from .gpio import L4Gpio
from .power import Pwr
from .rcc import GPIO_PORTS, Rcc
from .syscfg import Dbgmcu, Syscfg
from .usart import L4Usart, Lpuart

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

KB = 1024
_GPIO_BASE, _GPIO_SIZE = 0x4800_0000, 0x400
_PAGES = 2 * PAGES_PER_BANK

# Interrupts: chapter NVIC; pins: DS12023, alternate functions.
_UARTS = (
    Uart(
        *("USART1", 0x4001_3800, 37),
        tx={"PA9": 7, "PB6": 7, "PG9": 7},
        rx={"PA10": 7, "PB7": 7, "PG10": 7},
    ),
    Uart(
        *("USART2", 0x4000_4400, 38),
        tx={"PA2": 7, "PD5": 7},
        rx={"PA3": 7, "PD6": 7, "PA15": 3},
    ),
    Uart(
        *("USART3", 0x4000_4800, 39),
        tx={"PB10": 7, "PC4": 7, "PC10": 7, "PD8": 7},
        rx={"PB11": 7, "PC5": 7, "PC11": 7, "PD9": 7},
    ),
    Uart("UART4", 0x4000_4C00, 52, {"PA0": 8, "PC10": 8}, {"PA1": 8, "PC11": 8}),
    Uart("UART5", 0x4000_5000, 53, {"PC12": 8}, {"PD2": 8}),
    Uart(
        *("LPUART1", 0x4000_8000, 70),
        tx={"PA2": 8, "PB11": 8, "PC1": 8, "PG7": 8},
        rx={"PA3": 8, "PB10": 8, "PC0": 8, "PG8": 8},
    ),
)


def _clock_tree(machine: Machine) -> Rcc:
    return Rcc(machine, "RCC", 0x4002_1000)


def _peripherals(machine: Machine) -> Sequence[Peripheral]:
    return (
        *(
            L4Gpio(machine, f"GPIO{letter}", _GPIO_BASE + _GPIO_SIZE * i)
            for i, letter in enumerate(GPIO_PORTS)
        ),
        *(
            (Lpuart if uart.name == "LPUART1" else L4Usart)(machine, uart.name, uart.base, uart.irq)
            for uart in _UARTS
        ),
        Pwr(machine, "PWR", 0x4000_7000),
        Adc(machine, "ADC1", 0x5004_0000),
        Syscfg(machine, "SYSCFG", 0x4001_0000),
        FlashInterface(machine, "FLASH", 0x4002_2000),
        Dbgmcu(machine, "DBGMCU", 0xE004_2000),
    )


def _check_clocks(machine: Machine) -> None:
    """Wait states and voltage range."""
    flash = cast(FlashInterface, machine.bus.peripherals["FLASH"])
    pwr = cast(Pwr, machine.bus.peripherals["PWR"])
    rcc = machine.rcc
    highest = pwr.highest_mhz()
    clocks = (("SYSCLK", rcc.sysclk), ("HCLK", rcc.hclk), ("PCLK1", rcc.pclk1))
    for name, hertz in (*clocks, ("PCLK2", rcc.pclk2)):
        if hertz > highest * 1_000_000:
            mode = " boost" if pwr.boost else ""
            raise Unmodelled(
                f"{name} is {hertz / 1e6:g} MHz; {highest} MHz is allowed in voltage range "
                f"{pwr.settled_range}{mode}"
            )
    needed = wait_states_for(rcc.hclk, pwr.settled_range)
    if flash.latency < needed:
        raise Unmodelled(
            f"flash runs with {flash.latency} wait states at {rcc.hclk / 1e6:g} MHz in voltage "
            f"range {pwr.settled_range}, which needs {needed}"
        )


def _cycles(machine: Machine) -> StepCycles:
    # capstone, which it decodes with, is needed for counted steps only.
    from edge_boards.virtual.cycles.m4 import CycleModel, FlashSettings

    flash = cast(FlashInterface, machine.bus.peripherals["FLASH"])
    ranges = [
        (memory.base, memory.base + memory.size - 1)
        for memory in machine.memory.regions
        if memory.host == machine.memory.flash.host
    ]

    def in_flash(address: int) -> bool:
        return any(first <= address <= last for first, last in ranges)

    def settings() -> FlashSettings:
        return FlashSettings(flash.latency, *flash.caches)

    return StepCycles(CycleModel(machine.memory.read_code, in_flash, settings), ranges)


_FLASH = ChipMemory("flash", 0x0800_0000, 2048 * KB, writable=False)

STM32L4R5 = Chip(
    name="stm32l4r5",
    title="STM32L4R5",
    core=CORTEX_M4,
    irqs=95,
    revision=0x101F,  # V (DBGMCU_IDCODE)
    memories=(
        _FLASH,
        ChipMemory("sram", 0x2000_0000, 640 * KB, writable=True),  # SRAM1, SRAM2 again, SRAM3
    ),
    aliases=(
        # MEM_MODE and FB_MODE as after a reset with BOOT0 low (2.6)
        Alias("flash.boot", 0x0000_0000, _FLASH.address, _FLASH.size),
        Alias("sram2", 0x1000_0000, 0x2003_0000, 64 * KB),
    ),
    sectors=(PAGE_BYTES,) * _PAGES,
    factory=Factory(
        base=0x1FFF_7400,
        size=0x400,
        uid=0x1FFF_7590,
        flash_kbytes=0x1FFF_75E0,
        words=((0x1FFF_75A8, TS_CAL1), (0x1FFF_75AA, VREFINT_CAL), (0x1FFF_75CA, TS_CAL2)),
    ),
    io=(
        (0x4000_0000, 0x4003_0000),
        (0x4800_0000, 0x4801_0000),
        (0x5000_0000, 0x5008_0000),
    ),
    # System memory, the bit-band of SRAM1, peripherals and external memories.
    unmodelled=(
        (0x1FFF_0000, 0x2000_0000),
        (0x2200_0000, 0x2400_0000),
        (0x4000_0000, 0xE010_0000),
    ),
    boot_vectors=0x0000_0000,
    uarts=_UARTS,
    rom=Rom(  # AN2606, STM32L4Rxxx/4Sxxx
        links=(
            BootLink("USART1", "PA9", "PA10"),
            BootLink("USART2", "PA2", "PA3"),
            BootLink("USART3", "PC10", "PC11"),
        ),
        ram=((0x2000_0000, 0x2000_3200),),
        mass_erases={
            0xFFFF: range(_PAGES),
            0xFFFE: range(PAGES_PER_BANK),
            0xFFFD: range(PAGES_PER_BANK, _PAGES),
        },
        write_unit=DOUBLE_WORD,
    ),
    clock_tree=_clock_tree,
    peripherals=_peripherals,
    check_clocks=_check_clocks,
    cycles=_cycles,
)
