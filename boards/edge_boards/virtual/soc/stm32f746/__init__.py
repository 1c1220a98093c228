"""The STM32F746 with 1 MB of flash: Cortex-M7 with 4 KB caches, up to 216 MHz.

RM0385 rev 8 unless another source is named; DS10916 is the data sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from edge_boards.virtual.cores import CORTEX_M7
from edge_boards.virtual.cycles import StepCycles
from edge_boards.virtual.faults import Unmodelled
from edge_boards.virtual.peripherals.base import Peripheral
from edge_boards.virtual.peripherals.gpio import Gpio, PortReset
from edge_boards.virtual.peripherals.usart import Usart
from edge_boards.virtual.soc.description import (
    Alias,
    BootLink,
    Chip,
    ChipMemory,
    Factory,
    Rom,
    Uart,
)

from .adc import TS_CAL1, TS_CAL2, VREFIN_CAL, Adc
from .flash import FlashInterface, wait_states_for
from .power import Pwr
from .rcc import GPIO_PORTS, Rcc
from .syscfg import Dbgmcu, Syscfg

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

KB = 1024
_GPIO_BASE, _GPIO_SIZE = 0x4002_0000, 0x400
_GPIO_RESET = {
    "A": PortReset(moder=0xA800_0000, ospeedr=0x0C00_0000, pupdr=0x6400_0000),
    "B": PortReset(moder=0x0000_0280, ospeedr=0x0000_00C0, pupdr=0x0000_0100),
}

# Interrupts: table 46; pins: DS10916, table 12.
_UARTS = (
    Uart("USART1", 0x4001_1000, 37, {"PA9": 7, "PB6": 7}, {"PA10": 7, "PB7": 7}),
    Uart("USART2", 0x4000_4400, 38, {"PA2": 7, "PD5": 7}, {"PA3": 7, "PD6": 7}),
    Uart(
        *("USART3", 0x4000_4800, 39),
        tx={"PB10": 7, "PC10": 7, "PD8": 7},
        rx={"PB11": 7, "PC11": 7, "PD9": 7},
    ),
    Uart(
        *("UART4", 0x4000_4C00, 52),
        tx={"PA0": 8, "PC10": 8, "PH13": 8},
        rx={"PA1": 8, "PC11": 8, "PI9": 8},
    ),
    Uart("UART5", 0x4000_5000, 53, {"PC12": 8}, {"PD2": 8}),
    Uart("USART6", 0x4001_1400, 71, {"PC6": 8, "PG14": 8}, {"PC7": 8, "PG9": 8}),
    Uart("UART7", 0x4000_7800, 82, {"PE8": 8, "PF7": 8}, {"PE7": 8, "PF6": 8}),
    Uart("UART8", 0x4000_7C00, 83, {"PE1": 8}, {"PE0": 8}),
)


def _clock_tree(machine: Machine) -> Rcc:
    return Rcc(machine, "RCC", 0x4002_3800)


def _peripherals(machine: Machine) -> Sequence[Peripheral]:
    return (
        *(
            Gpio(machine, f"GPIO{letter}", _GPIO_BASE + _GPIO_SIZE * i, _GPIO_RESET.get(letter))
            for i, letter in enumerate(GPIO_PORTS)
        ),
        *(Usart(machine, uart.name, uart.base, uart.irq) for uart in _UARTS),
        Pwr(machine, "PWR", 0x4000_7000),
        Adc(machine, "ADC1", 0x4001_2000),
        Syscfg(machine, "SYSCFG", 0x4001_3800),
        FlashInterface(machine, "FLASH", 0x4002_3C00),
        Dbgmcu(machine, "DBGMCU", 0xE004_2000),
    )


def _check_clocks(machine: Machine) -> None:
    """Wait states, voltage scale and bus limits."""
    flash = cast(FlashInterface, machine.bus.peripherals["FLASH"])
    rcc = machine.rcc
    needed = wait_states_for(rcc.hclk)
    if flash.latency < needed:
        raise Unmodelled(
            f"flash runs with {flash.latency} wait states at {rcc.hclk / 1e6:g} MHz, "
            f"which needs {needed}"
        )
    limits = cast(Pwr, machine.bus.peripherals["PWR"]).limits_mhz()
    clocks = (("HCLK", rcc.hclk), ("PCLK1", rcc.pclk1), ("PCLK2", rcc.pclk2))
    for (name, hertz), limit in zip(clocks, limits, strict=True):
        if hertz > limit * 1_000_000:
            raise Unmodelled(
                f"{name} is {hertz / 1e6:g} MHz; {limit} MHz is allowed at this voltage scale "
                "and over-drive"
            )


def _cycles(machine: Machine) -> StepCycles:
    # capstone, which it decodes with, is needed for counted steps only.
    from edge_boards.virtual.cycles.m7 import CycleModel, MemoryKind

    kinds = {"itcm": MemoryKind.TCM, "dtcm": MemoryKind.TCM, "sram": MemoryKind.SRAM}

    def kind_of(address: int) -> MemoryKind:
        memory = machine.memory.find(address)
        return kinds.get(memory.name, MemoryKind.FLASH) if memory else MemoryKind.SRAM

    cached = [
        (m.base, m.base + m.size - 1)
        for m in machine.memory.regions
        if kinds.get(m.name) is not MemoryKind.TCM
    ]
    return StepCycles(CycleModel(machine.memory.read_code, kind_of), cached)


_FLASH = ChipMemory("flash", 0x0800_0000, 1024 * KB, writable=False)

STM32F746 = Chip(
    name="stm32f746",
    title="STM32F746",
    core=CORTEX_M7,
    irqs=98,
    revision=0x1001,  # 40.6.1: revision Z
    memories=(
        _FLASH,
        ChipMemory("itcm", 0x0000_0000, 16 * KB, writable=True),
        ChipMemory("dtcm", 0x2000_0000, 64 * KB, writable=True),
        ChipMemory("sram", 0x2001_0000, 256 * KB, writable=True),  # SRAM1 and SRAM2
    ),
    aliases=(Alias("flash.itcm", 0x0020_0000, _FLASH.address, _FLASH.size),),
    sectors=(*(32 * KB,) * 4, 128 * KB, *(256 * KB,) * 3),  # table 3
    factory=Factory(
        base=0x1FF0_F000,
        size=0x800,
        uid=0x1FF0_F420,
        flash_kbytes=0x1FF0_F442,
        words=((0x1FF0_F44A, VREFIN_CAL), (0x1FF0_F44C, TS_CAL1), (0x1FF0_F44E, TS_CAL2)),
    ),
    io=((0x4000_0000, 0x4008_0000),),
    unmodelled=((0x1FF0_0000, 0x2000_0000), (0x4000_0000, 0xE010_0000)),
    boot_vectors=0x0020_0000,  # BOOT_ADD0 as shipped: flash on the ITCM bus (2.5)
    uarts=_UARTS,
    rom=Rom(  # AN2606, STM32F74xxx
        links=(
            BootLink("USART1", "PA9", "PA10"),
            BootLink("USART3", "PB10", "PB11"),
            BootLink("USART3", "PC10", "PC11"),
        ),
        ram=((0x2000_0000, 0x2000_4000),),
        mass_erases={0xFFFF: range(8)},
    ),
    clock_tree=_clock_tree,
    peripherals=_peripherals,
    check_clocks=_check_clocks,
    cycles=_cycles,
)
