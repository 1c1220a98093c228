"""The virtual STM32F746 runs small programs as the chip would."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

import bare_metal

from edge_boards.board import Board
from edge_boards.loader import load_board
from edge_boards.virtual.machine import Machine, Pause

if bare_metal.compiler() is None:
    pytest.skip("no compiler for the board (arm-none-eabi-gcc or ziglang)", allow_module_level=True)

DONE = 0x600D600D


@pytest.fixture(scope="module")
def board() -> Board:
    return load_board("stm32f746")


@pytest.fixture
def machine(board: Board) -> Iterator[Machine]:
    made = Machine(board)
    yield made
    made.close()


def run(machine: Machine, source: str, cycles: int = 2_000_000) -> tuple[int, ...]:
    """Runs a program to its end; the words it left at OUT."""
    start(machine, source)
    machine.run(cycles)
    assert out(machine)[255] == DONE, f"the program did not end; PC 0x{machine.pc:08x}"
    return out(machine)


def start(machine: Machine, source: str) -> None:
    machine.load_flash(bare_metal.build(source))
    machine.reset()
    machine.memory.write(0x20001000, bytes(1024))


def out(machine: Machine) -> tuple[int, ...]:
    raw = machine.memory.read(0x20001000, 1024)
    assert raw is not None
    return struct.unpack("<256I", raw)


ECHO = """
void run(void) {
  console(139);
  put('h'); put('i');
  for (;;) put(get() + 1);
}
"""


def test_a_polling_program_talks_over_the_console(machine: Machine) -> None:
    start(machine, ECHO)
    machine.run(100_000)
    assert machine.links["console"].take() == b"hi"
    machine.links["console"].feed(b"abc")
    machine.run(100_000)
    assert machine.links["console"].take() == b"bcd"


INTERRUPTS = """
static volatile uint8_t ring[256];
static volatile uint32_t head, tail, ticks;
void on_tick(void) { ticks++; }
void on_usart(void) {
  if (USART1_ISR & 0x20) ring[head++ & 255] = USART1_RDR;
  if ((USART1_CR1 & 0x80) && (USART1_ISR & 0x80)) {
    if (tail != head) USART1_TDR = ring[tail++ & 255] ^ 0x20;
    if (tail == head) USART1_CR1 &= ~0x80u;
  }
}
void run(void) {
  head = tail = ticks = 0;
  console(139);
  USART1_CR1 |= 0x20;
  NVIC_ISER1 = 1u << 5;
  SYST_RVR = 15999; SYST_CVR = 0; SYST_CSR = 7;
  while (ticks < 100) {
    __asm volatile("wfi");
    if (tail != head) USART1_CR1 |= 0x80;
  }
  OUT[0] = ticks; OUT[1] = head;
}
"""


def test_interrupts_and_ticks_wake_the_core(machine: Machine) -> None:
    start(machine, INTERRUPTS)
    machine.run(50_000)
    machine.links["console"].feed(b"hello there")
    assert machine.run(1_700_000) in (Pause.BUDGET, Pause.IDLE)
    assert machine.links["console"].take() == b"HELLO\x00THERE"
    assert out(machine)[:2] == (100, 11)
    assert machine.seconds == pytest.approx(0.1, rel=0.1)
