"""Bytes between a virtual board and its host pass at the speed and by the pins that are set up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

import bare_metal
from bare_metal import Bench

from edge_boards.loader import load_board

if bare_metal.compiler() is None:
    pytest.skip("no compiler for the board (arm-none-eabi-gcc or ziglang)", allow_module_level=True)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


ECHO = """
void run(void) {
  console(139);
  for (;;) put(get());
}
"""
SLOW_READER = """
void run(void) {
  console(139);
  for (volatile int i = 0; i < 3000; i++) {}
  OUT[0] = USART1_ISR & 0xFF; OUT[1] = USART1_RDR; OUT[2] = USART1_ISR & 0xFF;
  USART1_ICR = 8; OUT[3] = USART1_ISR & 0xFF;
}
"""
ORE, RXNE = 1 << 3, 1 << 5


def test_a_byte_takes_ten_bits_at_brr(bench: Bench) -> None:
    bench.start("void run(void) { console(1390); put('a'); put('b'); put('c'); }")
    bench.go_on(2000)
    assert bench.console.take() == b""
    bench.go_on(13_000)
    assert bench.console.take() == b"a"
    bench.go_on(27_000)
    assert bench.console.take() == b"bc"


def test_bytes_arrive_no_faster_than_brr_allows(bench: Bench) -> None:
    bench.start(ECHO)
    bench.go_on(5000)
    bench.console.feed(bytes(range(100)))
    bench.go_on(50 * 1390)
    assert 47 <= len(bench.console.take()) <= 50
    bench.go_on(60 * 1390)
    assert len(bench.console.take()) >= 50


def test_a_byte_that_is_not_fetched_in_time_is_lost_and_said_so(bench: Bench) -> None:
    bench.start(SLOW_READER)
    bench.go_on(2000)
    bench.console.feed(b"xyz")
    bench.go_on(200_000)
    out = bench.out()
    assert out[0] & (ORE | RXNE) == ORE | RXNE
    assert out[1] == ord("x")
    assert out[2] & (ORE | RXNE) == ORE
    assert out[3] & ORE == 0


def test_oversampling_by_8_means_the_same_speed(bench: Bench) -> None:
    # 16 MHz: USARTDIV 0x115 / 2 = 138.5 a bit; its last nibble is stored shifted right.
    bench.start("void run(void) { console(0x112); USART1_CR1 = 0; USART1_CR1 = 0x800D; put('a'); }")
    bench.go_on(3000)
    assert bench.console.take() == b"a"
    uart = bench.machine.bus.peripherals["USART1"]
    assert uart.baud() == pytest.approx(16_000_000 / 138, rel=0.01)  # type: ignore[attr-defined]


@pytest.mark.parametrize("pin", ["GPIOA_AFRH = 0;", "GPIOA_MODER &= ~(3u << 18);"])
def test_a_pin_that_is_not_the_transmitters_carries_nothing(bench: Bench, pin: str) -> None:
    bench.run(f"void run(void) {{ console(139); {pin} put('a'); put('b'); put('c'); }}")
    assert bench.console.take() == b""


def test_a_pin_that_is_not_the_receivers_hears_nothing(bench: Bench) -> None:
    source = "void run(void) { console(139); GPIOB_MODER = 0x280; for (;;) put(get()); }"
    bench.start(source)
    bench.go_on(5000)
    bench.console.feed(b"abc")
    bench.go_on(50_000)
    assert bench.console.take() == b""


def test_what_is_sent_before_the_board_listens_is_lost(bench: Bench) -> None:
    bench.start(
        "void run(void) { for (volatile int i = 0; i < 900; i++) {} console(139);"
        " for (;;) put(get()); }"
    )
    bench.console.feed(b"early")
    bench.go_on(100_000)
    bench.console.feed(b"late")
    bench.go_on(100_000)
    assert bench.console.take() == b"late"


NUCLEO_CONSOLE = """
#define USART3_CR1 REG(0x40004800)
#define USART3_BRR REG(0x4000480C)
#define USART3_ISR REG(0x4000481C)
#define USART3_RDR REG(0x40004824)
#define USART3_TDR REG(0x40004828)
#define GPIOD_MODER REG(0x40020C00)
#define GPIOD_AFRH REG(0x40020C24)
void run(void) {
  RCC_AHB1ENR |= 8; RCC_APB1ENR |= 1u << 18;
  GPIOD_MODER = 10u << 16; GPIOD_AFRH = 0x77;
  USART3_BRR = 139; USART3_CR1 = 0xD;
  for (;;) {
    while (!(USART3_ISR & 0x20)) {}
    USART3_TDR = USART3_RDR + 1;
  }
}
"""


def test_the_nucleos_console_is_usart3_at_pd8_and_pd9() -> None:
    with Bench(load_board("nucleo-f746zg")) as nucleo:
        nucleo.start(NUCLEO_CONSOLE)
        nucleo.go_on(5000)
        nucleo.console.feed(b"abc")
        nucleo.go_on(50_000)
        assert nucleo.console.take() == b"bcd"
    with Bench() as disco:  # where nothing hangs at these pins
        disco.start(NUCLEO_CONSOLE)
        disco.go_on(5000)
        disco.console.feed(b"abc")
        disco.go_on(50_000)
        assert disco.console.take() == b""


ADC = """
static uint32_t convert(uint32_t channel) {
  REG(0x40012034) = channel;
  REG(0x40012008) |= 1u << 30;
  while (!(REG(0x40012000) & 2)) {}
  return REG(0x4001204C);
}
void run(void) {
  RCC_APB2ENR |= 1u << 8;
  REG(0x40012304) = 1u << 23 | 3u << 16;
  REG(0x4001200C) = 7u << 21 | 7u << 24;
  REG(0x40012008) = 1;
  uint32_t reference = convert(17), warmth = convert(18);
  uint32_t full = *(volatile uint16_t *)0x1FF0F44A;
  uint32_t cold = *(volatile uint16_t *)0x1FF0F44C, hot = *(volatile uint16_t *)0x1FF0F44E;
  OUT[0] = 3300 * full / reference;
  OUT[1] = 300 + (int32_t)(warmth - cold) * 800 / (int32_t)(hot - cold);
}
"""


def test_supply_and_temperature_read_as_documented(bench: Bench) -> None:
    supply, temperature = bench.run(ADC)[:2]
    assert supply == 3300
    assert 245 <= temperature <= 255
