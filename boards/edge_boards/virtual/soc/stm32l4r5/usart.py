"""USART and LPUART of the STM32L4R5 (RM0432, chapters USART and LPUART). Their FIFOs are off after
reset, and must stay so here; a prescaler stands before the baud rate."""

from __future__ import annotations

from typing import ClassVar

from edge_boards.virtual.peripherals.base import Register
from edge_boards.virtual.peripherals.usart import BRR, CR1, CR2, CR3, GTPR, RTOR, Usart

PRESC = 0x2C
_PRESCALERS = (1, 2, 4, 6, 8, 10, 12, 16, 32, 64, 128, 256)


class L4Usart(Usart):
    """One USART with its FIFO off."""

    ISR_RESET = 0x0000_00C0
    REGISTERS: ClassVar[dict[int, Register]] = {
        **Usart.REGISTERS,
        PRESC: Register("PRESC", 0, 0x0000_000F),
    }

    def kernel_hz(self) -> float:
        prescaler = min(self.values[PRESC], len(_PRESCALERS) - 1)
        return super().kernel_hz() / _PRESCALERS[prescaler]


class Lpuart(L4Usart):
    """The LPUART: BRR counts 256ths of a clock cycle and has 20 bits; no oversampling by 8."""

    LEAST_BRR = 0x300
    REGISTERS: ClassVar[dict[int, Register]] = {
        **{k: r for k, r in L4Usart.REGISTERS.items() if k not in (GTPR, RTOR)},
        CR1: Register("CR1", 0, 0x1000_17FD),
        CR2: Register("CR2", 0, 0x0000_2000),
        CR3: Register("CR3", 0, 0x0000_1001),
        BRR: Register("BRR", 0, 0x000F_FFFF),
    }

    def per_bit(self) -> float:
        return self.values[BRR] / 256
