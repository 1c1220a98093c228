"""USART and UART (RM0385 chapter 31): no FIFO, one byte in the shift register and one behind."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, ClassVar

from edge_boards.virtual.faults import Unmodelled
from edge_boards.virtual.peripherals.base import Peripheral, Register

if TYPE_CHECKING:
    from edge_boards.virtual.events import Event
    from edge_boards.virtual.machine import Machine

CR1, CR2, CR3, BRR, GTPR, RTOR, RQR, ISR, ICR, RDR, TDR = range(0, 0x2C, 4)

_UE, _RE, _TE, _IDLEIE, _RXNEIE, _TCIE, _TXEIE, _PEIE = (
    *(1, 1 << 2, 1 << 3, 1 << 4),
    *(1 << 5, 1 << 6, 1 << 7, 1 << 8),
)
_OVER8, _PCE, _M0, _M1 = 1 << 15, 1 << 10, 1 << 12, 1 << 28
_PE, _FE, _NF, _ORE, _IDLE, _RXNE, _TC, _TXE = (1 << n for n in range(8))
_BUSY, _TEACK, _REACK = 1 << 16, 1 << 21, 1 << 22
_EIE, _OVRDIS = 1, 1 << 12


class Usart(Peripheral):
    """One USART. Bytes arrive no faster than BRR allows in modelled time; one that arrives while
    RXNE is still set is lost and sets ORE."""

    ISR_RESET: ClassVar[int] = 0x0200_00C0
    LEAST_BRR: ClassVar[int] = 16
    REGISTERS: ClassVar[dict[int, Register]] = {
        CR1: Register("CR1", 0, 0x1000_95FD | _PCE | 1 << 9),
        CR2: Register("CR2", 0, 0x0000_3000),
        CR3: Register("CR3", 0, _EIE | _OVRDIS | 1 << 11),
        BRR: Register("BRR", 0, 0xFFFF),
        GTPR: Register("GTPR"),
        RTOR: Register("RTOR"),
        RQR: Register("RQR", 0, 0x18),
        ISR: Register("ISR"),
        ICR: Register("ICR", 0, 0x0012_1BDF),
        RDR: Register("RDR", 0, 0, 0x1FF),
        TDR: Register("TDR", 0, 0x1FF, 0xFFFF_FE00),
    }

    def __init__(self, machine: Machine, name: str, base: int, irq: int) -> None:
        self._irq = irq
        self.incoming: deque[int] = deque()
        self._arrival: Event | None = None
        self._departure: Event | None = None
        self.lost = 0
        self._frame_of: tuple[float, ...] = ()
        self._frame = 0
        super().__init__(machine, name, base)

    def reset(self) -> None:
        super().reset()
        self.values[ISR] = self.ISR_RESET
        for event in (self._arrival, self._departure):
            if event is not None:
                event.cancel()
        self._arrival = self._departure = None
        self._shifting: int | None = None
        self._line_interrupt()

    def half_access(self, offset: int, size: int) -> bool:
        return size == 2 or offset in (RDR, TDR)

    # -- timing

    def kernel_hz(self) -> float:
        """The clock that BRR divides."""
        return self.machine.rcc.uart_hz(self.name)

    def per_bit(self) -> float:
        """Cycles of that clock in one bit."""
        divider = self.values[BRR]
        if self.values[CR1] & _OVER8:
            return ((divider & 0xFFF0) | (divider & 7) << 1) / 2
        return float(divider)

    def bit_cycles(self) -> float:
        """Core cycles of one bit."""
        kernel = self.kernel_hz()
        if kernel == 0:
            raise Unmodelled(f"{self.name} has a kernel clock that is off")
        return self.per_bit() * self.machine.rcc.hclk / kernel

    def frame_cycles(self) -> int:
        """Core cycles of one frame: start, 7 to 9 bits, stops."""
        control = self.values[CR1] & (_M0 | _M1 | _OVER8)
        divider, stops = self.values[BRR], self.values[CR2]
        given = (control, divider, stops, self.machine.rcc.hclk, self.kernel_hz())
        if given != self._frame_of:
            self._frame_of, self._frame = given, self._frame_cycles()
        return self._frame

    def _frame_cycles(self) -> int:
        control = self.values[CR1]
        word = 9 if control & _M0 else 7 if control & _M1 else 8
        stops = (1, 0.5, 2, 1.5)[self.values[CR2] >> 12 & 3]
        return max(1, round((1 + word + stops) * self.bit_cycles()))

    def baud(self) -> float:
        """Bits a second as set up now; 0 while off."""
        if not self.values[CR1] & _UE:
            return 0.0
        return self.machine.rcc.hclk / self.bit_cycles()

    # -- receiving

    def line_in(self) -> None:
        """Bytes wait on the line: the next begins as soon as the last has ended."""
        ready = self.values[CR1] & (_UE | _RE) == _UE | _RE
        if self._arrival is None and self.incoming and ready:
            self._arrival = self.machine.after_cycles(self.frame_cycles(), self._arrive)

    def _arrive(self) -> None:
        self._arrival = None
        if self.values[CR1] & (_UE | _RE) != _UE | _RE or not self.incoming:
            return
        byte = self.incoming.popleft()
        if self.values[ISR] & _RXNE and not self.values[CR3] & _OVRDIS:
            self.values[ISR] |= _ORE
            self.lost += 1
        else:
            self.values[RDR] = byte
            self.values[ISR] |= _RXNE
        if not self.incoming:
            self.values[ISR] |= _IDLE
        self._line_interrupt()
        self.line_in()

    # -- sending

    def _begin_frame(self, byte: int) -> None:
        self._shifting = byte
        self.values[ISR] &= ~_TC
        self._departure = self.machine.after_cycles(self.frame_cycles(), self._depart)

    def _depart(self) -> None:
        self._departure = None
        byte, self._shifting = self._shifting, None
        if byte is not None:
            self.machine.lines.sent(self.name, byte & 0xFF)
        if not self.values[ISR] & _TXE:
            self.values[ISR] |= _TXE
            self._begin_frame(self.values[TDR])
        else:
            self.values[ISR] |= _TC
        self._line_interrupt()

    # -- registers

    def on_read(self, offset: int) -> int:
        value = self.values[offset]
        if offset == RDR:
            self.values[ISR] &= ~_RXNE
            self._line_interrupt()
        elif offset == ISR:
            busy = _BUSY if self._arrival is not None else 0
            return value | busy
        return value

    def check_bits(self, offset: int, value: int) -> None:
        if offset == ISR:
            raise Unmodelled(f"write of {self.name}_ISR, which is read-only")
        super().check_bits(offset, value)

    def on_write(self, offset: int, value: int) -> None:
        if offset == CR1:
            self._write_control(value)
        elif offset == BRR:
            if self.values[CR1] & _UE:
                raise Unmodelled(f"{self.name}_BRR is written while the USART is enabled")
            self.store(BRR, value)
        elif offset == ICR:
            self.values[ISR] &= ~(value & 0x0012_1BDF & ~(_RXNE | _TXE))
            self._line_interrupt()
        elif offset == RQR:
            if value & 8:
                self.values[ISR] &= ~_RXNE
                self._line_interrupt()
        elif offset == TDR:
            self._write_data(value)
        else:
            if offset == CR2 and self.values[CR1] & _UE and value != self.values[CR2]:
                raise Unmodelled(f"{self.name}_CR2 is written while the USART is enabled")
            self.store(offset, value)
            self._line_interrupt()

    def _write_control(self, value: int) -> None:
        before = self.values[CR1]
        framing = _M0 | _M1 | _PCE | _OVER8 | 1 << 9
        if before & _UE and value & _UE and (value ^ before) & framing:
            raise Unmodelled(f"{self.name}_CR1 changes the frame while the USART is enabled")
        self.store(CR1, value)
        if value & _UE and not before & _UE:
            self._check_baud()
        if not value & _UE and before & _UE:
            self._stop()
        isr = self.values[ISR] & ~(_TEACK | _REACK)
        if value & _UE:
            isr |= (_TEACK if value & _TE else 0) | (_REACK if value & _RE else 0)
        self.values[ISR] = isr
        self._line_interrupt()
        self.line_in()

    def _stop(self) -> None:
        for event in (self._arrival, self._departure):
            if event is not None:
                event.cancel()
        self._arrival = self._departure = None
        self._shifting = None
        self.values[ISR] = self.ISR_RESET

    def _check_baud(self) -> None:
        divider = self.values[BRR]
        if divider < self.LEAST_BRR:
            raise Unmodelled(
                f"{self.name} is enabled with BRR {divider}; at least {self.LEAST_BRR} is needed"
            )

    def _write_data(self, value: int) -> None:
        if self.values[CR1] & (_UE | _TE) != _UE | _TE:
            raise Unmodelled(f"write to {self.name}_TDR while the transmitter is off")
        if not self.values[ISR] & _TXE:
            raise Unmodelled(f"write to {self.name}_TDR while TXE is 0: the byte before is lost")
        self.values[TDR] = value
        if self._shifting is None:
            self._begin_frame(value)
        else:
            self.values[ISR] &= ~_TXE
        self._line_interrupt()

    def _line_interrupt(self) -> None:
        isr, cr1 = self.values[ISR], self.values[CR1]
        high = bool(
            (cr1 & _RXNEIE and isr & (_RXNE | _ORE))
            or (cr1 & _TXEIE and isr & _TXE)
            or (cr1 & _TCIE and isr & _TC)
            or (cr1 & _IDLEIE and isr & _IDLE)
            or (cr1 & _PEIE and isr & _PE)
            or (self.values[CR3] & _EIE and isr & (_ORE | _FE | _NF))
        )
        self.machine.set_line(self._irq, high and bool(cr1 & _UE))
