"""The virtual STM32F746 runs small programs as the chip would."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

import bare_metal
from bare_metal import Bench

from edge_boards.loader import load_board
from edge_boards.virtual.machine import Pause

if bare_metal.compiler() is None:
    pytest.skip("no compiler for the board (arm-none-eabi-gcc or ziglang)", allow_module_level=True)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


ECHO = """
void run(void) {
  console(139);
  put('h'); put('i');
  for (;;) put(get() + 1);
}
"""


def test_a_polling_program_talks_over_the_console(bench: Bench) -> None:
    bench.start(ECHO)
    bench.go_on(100_000)
    assert bench.console.take() == b"hi"
    bench.console.feed(b"abc")
    bench.go_on(100_000)
    assert bench.console.take() == b"bcd"


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


def test_interrupts_and_ticks_wake_the_core(bench: Bench) -> None:
    bench.start(INTERRUPTS)
    bench.go_on(50_000)
    bench.console.feed(b"hello there")
    assert bench.go_on(1_700_000) in (Pause.BUDGET, Pause.IDLE)
    assert bench.console.take() == b"HELLO\x00THERE"
    assert bench.out()[:2] == (100, 11)
    assert bench.machine.seconds == pytest.approx(0.1, rel=0.1)


def test_a_sleeping_board_without_events_idles(bench: Bench) -> None:
    bench.run("void run(void) {}")
    assert bench.go_on(1_000_000_000) is Pause.IDLE


CYCLES = """
void run(void) {
  DWT_CTRL = 1;
  OUT[0] = DWT_CYCCNT;
  DEMCR |= 1u << 24;
  DWT_CTRL = 1;
  OUT[1] = DWT_CYCCNT;
  DWT_LAR = 0xC5ACCE55;
  DWT_CTRL = 1;
  uint32_t before = DWT_CYCCNT;
  __asm volatile("nop; nop; nop; nop; nop");
  OUT[2] = DWT_CYCCNT - before;
}
"""


def test_the_cycle_counter_needs_trcena_and_its_lock_opened(bench: Bench) -> None:
    out = bench.run(CYCLES)
    assert out[:2] == (0, 0)
    assert 6 <= out[2] <= 9


CLOCK = """
#define PWR_CR1 REG(0x40007000)
#define PWR_CSR1 REG(0x40007004)
void run(void) {
  RCC_APB1ENR |= 1u << 28;
  RCC_CR |= 1u << 16;
  while (!(RCC_CR & 1u << 17)) {}
  PWR_CR1 |= 3u << 14;
  RCC_PLLCFGR = 25 | 432u << 6 | 0u << 16 | 1u << 22 | 9u << 24;
  RCC_CR |= 1u << 24;
  PWR_CR1 |= 1u << 16;
  while (!(PWR_CSR1 & 1u << 16)) {}
  PWR_CR1 |= 1u << 17;
  while (!(PWR_CSR1 & 1u << 17)) {}
  while (!(RCC_CR & 1u << 25)) {}
  FLASH_ACR = STATES;
  RCC_CFGR = 5u << 10 | 4u << 13;
  RCC_CFGR |= 2;
  while ((RCC_CFGR >> 2 & 3) != 2) {}
  OUT[0] = RCC_CFGR;
}
"""


def test_the_clock_tree_follows_the_registers(bench: Bench) -> None:
    bench.run(CLOCK.replace("STATES", "7"))
    rcc = bench.machine.rcc
    assert (rcc.sysclk, rcc.hclk, rcc.pclk1, rcc.pclk2) == (
        *(216_000_000, 216_000_000),
        *(54_000_000, 108_000_000),
    )
    assert bench.machine.seconds > 0.002  # the crystal took its time


OSCILLATOR = """
void run(void) {
  RCC_CR |= BYPASSu << 18;
  RCC_CR |= 1u << 16;
  for (volatile int i = 0; i < 20000; i++) {}
  OUT[0] = RCC_CR >> 17 & 1;
}
"""


@pytest.mark.parametrize(
    ("board", "bypass", "ready"),
    [
        ("stm32f746", 0, 1),  # a crystal of 25 MHz
        ("stm32f746", 1, 0),
        ("nucleo-f746zg", 0, 0),
        ("nucleo-f746zg", 1, 1),  # 8 MHz from the ST-LINK
    ],
)
def test_an_oscillator_starts_only_as_the_board_has_it(board: str, bypass: int, ready: int) -> None:
    with Bench(load_board(board)) as bench:
        assert bench.run(OSCILLATOR.replace("BYPASS", str(bypass)))[0] == ready


def test_the_nucleo_reaches_216_mhz_from_its_8_mhz() -> None:
    source = CLOCK.replace("STATES", "7").replace("= 25 |", "= 8 |")
    source = source.replace("RCC_CR |= 1u << 16;", "RCC_CR |= 1u << 18; RCC_CR |= 1u << 16;")
    with Bench(load_board("nucleo-f746zg")) as bench:
        bench.run(source)
        assert bench.machine.rcc.hclk == 216_000_000


RAM_CODE = """
typedef uint32_t (*code)(void);
void run(void) {
  static const uint16_t first[] = {0x2007, 0x4770}, second[] = {0x2009, 0x4770};
  volatile uint16_t *itcm = (volatile uint16_t *)0x100;
  itcm[0] = first[0]; itcm[1] = first[1];
  __asm volatile("dsb; isb" ::: "memory");
  OUT[0] = ((code)0x101)();
  itcm[0] = second[0]; itcm[1] = second[1];
  REG(0xE000EF50) = 0;
  __asm volatile("dsb; isb" ::: "memory");
  OUT[1] = ((code)0x101)();
}
"""


def test_code_runs_from_itcm_and_may_be_replaced(bench: Bench) -> None:
    assert bench.run(RAM_CODE)[:2] == (7, 9)


def test_both_flash_aliases_show_the_same_bytes(bench: Bench) -> None:
    out = bench.run("void run(void) { OUT[0] = REG(0x08000004); OUT[1] = REG(0x00200004); }")
    assert out[0] == out[1] != 0


def test_factory_words_are_where_the_manual_says(bench: Bench) -> None:
    out = bench.run(
        "void run(void) { OUT[0] = REG(0x1FF0F420); OUT[1] = *(volatile uint16_t *)0x1FF0F442;"
        " OUT[2] = REG(0xE0042000) & 0xFFF; OUT[3] = REG(0xE000ED00); }"
    )
    assert out[0].to_bytes(4, "little") == b"stm3"
    assert out[1:4] == (1024, 0x449, 0x410FC271)


SELF_PROGRAMMING = """
#define FLASH_KEYR REG(0x40023C04)
#define FLASH_SR REG(0x40023C0C)
#define FLASH_CR REG(0x40023C10)
void run(void) {
  FLASH_KEYR = 0x45670123; FLASH_KEYR = 0xCDEF89AB;
  FLASH_CR = 2u << 8 | 5u << 3 | 2;
  FLASH_CR |= 1u << 16;
  while (FLASH_SR & 1u << 16) {}
  FLASH_CR = 2u << 8 | 1;
  REG(0x08040000) = 0x12345678;
  while (FLASH_SR & 1u << 16) {}
  OUT[0] = REG(0x08040000); OUT[1] = REG(0x08040004);
}
"""


def test_firmware_may_erase_and_program_flash(bench: Bench) -> None:
    assert bench.run(SELF_PROGRAMMING, 100_000_000)[:2] == (0x12345678, 0xFFFFFFFF)


def test_ram_survives_reset_and_not_power_off(bench: Bench) -> None:
    bench.run("void run(void) { REG(0x20008000) = 0xCAFE; }")
    bench.machine.reset()
    assert bench.machine.memory.read(0x20008000, 4) == b"\xfe\xca\0\0"
    bench.machine.reset(power_on=True)
    assert bench.machine.memory.read(0x20008000, 4) != b"\xfe\xca\0\0"


def test_reset_flags_tell_power_pin_and_software_apart(bench: Bench) -> None:
    source = """
    void run(void) {
      uint32_t flags = REG(0x40023874);
      REG(0x40023874) = flags | 1u << 24;
      OUT[REG(0x20000800)++] = flags >> 24;
      if (REG(0x20000800) == 2) SCB_AIRCR = 0x05FA0004;
    }
    """
    bench.machine.load_flash(bare_metal.build(source))
    bench.machine.memory.write(0x20000800, bytes(4))
    bench.machine.reset(power_on=True)
    bench.machine.memory.write(0x20000800, bytes(4))
    bench.go_on(10_000)
    bench.machine.reset()
    bench.go_on(10_000)
    assert bench.out()[:3] == (0x0E, 0x04, 0x14)
