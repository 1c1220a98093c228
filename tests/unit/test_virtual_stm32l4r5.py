"""The virtual STM32L4R5 runs small programs as the chip would, and stops where it would not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

import bare_metal
from bare_metal import L4R5, Bench

from edge_boards.virtual.faults import MachineStop
from edge_boards.virtual.machine import Pause

if bare_metal.compiler(L4R5) is None:
    pytest.skip("no compiler for the board (arm-none-eabi-gcc or ziglang)", allow_module_level=True)

MSI_HZ = 4_000_000
BRR_115200 = 256 * MSI_HZ // 115_200


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench(target=L4R5) as made:
        yield made


def stop(bench: Bench, source: str, cycles: int = 2_000_000) -> MachineStop:
    """How a program's run ends."""
    bench.start(source)
    with pytest.raises(MachineStop) as caught:
        bench.machine.run(cycles)
    assert 0x08000000 <= caught.value.pc < 0x08001000
    return caught.value


# -- the console


ECHO = f"void run(void) {{ console({BRR_115200}); EXTRA for (;;) put(get() + 1); }}"


def test_the_console_is_lpuart1_at_pg7_and_pg8(bench: Bench) -> None:
    bench.start(ECHO.replace("EXTRA", ""))
    bench.go_on(10_000)
    bench.console.feed(b"abc")
    bench.go_on(10_000)
    assert bench.console.take() == b"bcd"


def test_a_bit_lasts_brr_256ths_of_a_clock_cycle(bench: Bench) -> None:
    bench.start(f"void run(void) {{ console({256 * 100}); put('a'); put('b'); }}")
    bench.go_on(900)
    assert bench.console.take() == b""
    bench.go_on(500)
    assert bench.console.take() == b"a"
    bench.go_on(1000)
    assert bench.console.take() == b"b"


@pytest.mark.parametrize(
    "off",
    ["PWR_CR2 = 0;", "GPIOG_AFRL = 7u << 28;", "GPIOG_MODER |= 3u << 14;"],
    ids=["no IOSV", "another function", "analogue"],
)
def test_a_transmitter_without_its_pin_is_dead(bench: Bench, off: str) -> None:
    bench.run(f"void run(void) {{ console({256 * 30}); {off} put('a'); put('b'); }}")
    bench.go_on(100_000)
    assert bench.console.take() == b""


def test_a_receiver_without_iosv_hears_nothing(bench: Bench) -> None:
    bench.start(ECHO.replace("EXTRA", "PWR_CR2 = 0;"))
    bench.go_on(10_000)
    bench.console.feed(b"abc")
    bench.go_on(50_000)
    assert bench.console.take() == b""


def test_output_pins_of_port_g_need_iosv_but_for_two(bench: Bench) -> None:
    seen: list[int] = []
    bench.machine.on_pins = lambda port, levels, _: seen.append(levels) if port == "GPIOG" else None
    bench.run(
        "void run(void) { RCC_AHB2ENR |= 1u << 6; RCC_APB1ENR1 |= 1u << 28;"
        " GPIOG_MODER = 0x55555555; REG(0x48001818) = 0xFFFF; OUT[0] = REG(0x48001810);"
        " PWR_CR2 = 1u << 9; REG(0x48001828) = 1; OUT[1] = REG(0x48001810); }"
    )
    assert seen == [0x0003, 0xFFFE]
    assert bench.out()[:2] == (0x0003, 0xFFFE)


def test_its_interrupt_is_number_70(bench: Bench) -> None:
    bench.start(
        f"""
        void on_usart(void) {{ OUT[0] = LPUART1_RDR; OUT[1] = REG(0xE000ED04) & 0x1FF; }}
        void run(void) {{
          console({BRR_115200});
          LPUART1_CR1 |= 1u << 5;
          NVIC_ISER2 = 1u << 6;
          for (;;) __asm volatile("wfi");
        }}
        """
    )
    bench.go_on(5_000)
    bench.console.feed(b"x")
    assert bench.go_on(100_000) is Pause.IDLE
    assert bench.out()[:2] == (ord("x"), 86)


USART = """
void run(void) {
  RCC_AHB2ENR |= 4; RCC_APB1ENR1 |= 1u << 18;
  REG(0x48000800) = 0xFF0FFFFF | 10u << 20; REG(0x48000824) = 0x7700;
  REG(0x4000482C) = PRESC;
  REG(0x4000480C) = 40; REG(0x40004800) = 0xD;
  REG(0x40004828) = 'u';
}
"""


@pytest.mark.parametrize(("prescaler", "divider"), [(0, 1), (1, 2), (7, 16)])
def test_a_usarts_prescaler_slows_it(bench: Bench, prescaler: int, divider: int) -> None:
    link = bench.machine.links["bootloader"]
    bench.start(USART.replace("PRESC", str(prescaler)))
    started = bench.machine.cycles
    while not link.to_host:
        bench.machine.run(20)
    assert bench.machine.cycles - started == pytest.approx(400 * divider, abs=100)
    assert link.take() == b"u"


# -- clocks and voltage


FULL_SPEED = """
void run(void) {
  RCC_APB1ENR1 |= 1u << 28;
  RCC_CR |= 1u << 8;
  while (!(RCC_CR & 1u << 10)) {}
  BOOST
  STATES
  RCC_PLLCFGR = 2 | 1u << 4 | 30u << 8 | 1u << 24;
  RCC_CR |= 1u << 24;
  while (!(RCC_CR & 1u << 25)) {}
  HALF
  RCC_CFGR |= 3;
  while ((RCC_CFGR >> 2 & 3) != 3) {}
  WAIT
  RCC_CFGR &= ~0xF0u;
  OUT[0] = RCC_CFGR;
}
"""
RIGHT = {
    "BOOST": "PWR_CR5 = 0;",
    "STATES": "flash_states(5);",
    "HALF": "RCC_CFGR |= 8u << 4;",
    "WAIT": "for (volatile int i = 0; i < 20; i++) {}",
}


def full_speed(**changes: str) -> str:
    source = FULL_SPEED
    for name, code in {**RIGHT, **changes}.items():
        source = source.replace(name, code)
    return source


def test_it_reaches_120_mhz_by_the_way_the_manual_says(bench: Bench) -> None:
    bench.run(full_speed())
    rcc = bench.machine.rcc
    assert (rcc.sysclk, rcc.hclk, rcc.pclk1, rcc.pclk2) == (120_000_000,) * 4
    assert bench.machine.seconds > 40e-6  # the PLL took its time


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"BOOST": ""}, "SYSCLK is 120 MHz; 80 MHz is allowed in voltage range 1"),
        (
            {"STATES": "flash_states(4);"},
            "4 wait states at 120 MHz in voltage range 1, which needs 5",
        ),
        ({"HALF": ""}, "the core clock jumps from 4 to 120 MHz"),
        ({"WAIT": ""}, "within 1 us of a switch to above 80 MHz"),
    ],
)
def test_120_mhz_has_its_conditions(bench: Bench, changes: dict[str, str], words: str) -> None:
    assert words in stop(bench, full_speed(**changes)).what


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("RCC_CR = 0xB9;", "0 wait states at 48 MHz in voltage range 1, which needs 2"),
        ("flash_states(2); PWR_CR1 = 2u << 9; RCC_CR = 0xB9;", "SYSCLK is 48 MHz; 26 MHz"),
        ("PWR_CR1 = 2u << 9; RCC_CR = 0x89;", "0 wait states at 16 MHz in voltage range 2"),
        ("PWR_CR1 = 3u << 9;", "VOS 3 is forbidden"),
        ("RCC_CR |= 0xC0;", "MSIRANGE 14: there are 12"),
        ("RCC_CFGR = 1;", "switches to HSI16, which is not ready"),
        ("RCC_PLLCFGR = 2 | 30u << 8; RCC_CR |= 1u << 24;", "HSI16, is ready"),
        ("RCC_PLLCFGR = 1 | 7u << 8; RCC_CR |= 1u << 24;", "N 7; 8 to 127"),
        ("RCC_PLLCFGR = 1 | 1u << 4 | 80u << 8; RCC_CR |= 1u << 24;", "input is 2.000 MHz"),
        ("RCC_PLLCFGR = 1 | 100u << 8; RCC_CR |= 1u << 24;", "VCO is 400.0 MHz; 64 to 344 MHz"),
        (
            "RCC_PLLCFGR = 0x1401; RCC_CR |= 1 << 24; for (;;) if (RCC_CR >> 25) RCC_CFGR = 3;",
            "output R is off",
        ),
    ],
)
def test_clocks_beyond_their_limits(bench: Bench, body: str, words: str) -> None:
    stopped = stop(bench, f"void run(void) {{ RCC_APB1ENR1 |= 1u << 28; {body} }}")
    assert words in stopped.what


RAISED_VOLTAGE = """
void run(void) {
  RCC_APB1ENR1 |= 1u << 28;
  PWR_CR1 = 2u << 9;
  flash_states(2);
  PWR_CR1 = 1u << 9;
  WAIT
  RCC_CR = 0xB9;
}
"""


def test_a_higher_voltage_range_takes_its_time(bench: Bench) -> None:
    early = stop(bench, RAISED_VOLTAGE.replace("WAIT", ""))
    assert "SYSCLK is 48 MHz; 26 MHz is allowed in voltage range 2" in early.what
    bench.run(RAISED_VOLTAGE.replace("WAIT", "while (PWR_SR2 & 1u << 10) {}"))
    assert bench.machine.rcc.hclk == 48_000_000


def test_without_an_hse_at_its_pins_none_gets_ready(bench: Bench) -> None:
    out = bench.run(
        "void run(void) { RCC_CR |= 5u << 16; for (volatile int i = 0; i < 9000; i++) {}"
        " OUT[0] = RCC_CR >> 17 & 1; }"
    )
    assert out[0] == 0


def test_the_msis_range_changes_the_core_clock(bench: Bench) -> None:
    bench.run("void run(void) { RCC_CR = 0x79; flash_states(0); }")
    assert bench.machine.rcc.hclk == 8_000_000
    bench.machine.reset()
    assert bench.machine.rcc.hclk == MSI_HZ


# -- memories


def test_flash_is_at_0_too_and_the_sram2_at_two_places(bench: Bench) -> None:
    out = bench.run(
        "void run(void) { OUT[0] = REG(4) == REG(0x08000004);"
        " REG(0x10000010) = 7; OUT[1] = REG(0x20030010); REG(0x2003FFFC) = 9;"
        " OUT[2] = REG(0x1000FFFC); REG(0x2009FFFC) = 1; }"
    )
    assert out[:3] == (1, 7, 9)


def test_factory_words_are_where_the_manual_says(bench: Bench) -> None:
    out = bench.run(
        "void run(void) { OUT[0] = REG(0x1FFF7590); OUT[1] = *(volatile uint16_t *)0x1FFF75E0;"
        " OUT[2] = REG(0xE0042000) & 0xFFF; OUT[3] = REG(0xE000ED00); OUT[4] = REG(0xE000E004);"
        " OUT[5] = SCB_CCR; }"
    )
    assert out[0].to_bytes(4, "little") == b"nucl"
    assert out[1:6] == (2048, 0x470, 0x410FC241, 2, 0x200)


REPLACED_CODE = """
typedef uint32_t (*code)(void);
void run(void) {
  static const uint16_t first[] = {0x2007, 0x4770}, second[] = {0x2009, 0x4770};
  volatile uint16_t *ram = (volatile uint16_t *)0x20008000;
  for (int i = 0; i < 2; i++) ram[i] = first[i];
  __asm volatile("dsb; isb" ::: "memory");
  OUT[0] = ((code)0x20008001)();
  for (int i = 0; i < 2; i++) ram[i] = second[i];
  __asm volatile("dsb; isb" ::: "memory");
  OUT[1] = ((code)0x20008001)();
  ram[0] = 0xbf08; ram[1] = 0x2105; ram[2] = 0x4608; ram[3] = 0x4770; /* it eq; moveq r1, #5 */
  __asm volatile("dsb; isb" ::: "memory");
  OUT[2] = ((code)0x20008001)() != 5;
}
"""


def test_code_in_ram_may_be_replaced_without_telling_a_cache(bench: Bench) -> None:
    assert bench.run(REPLACED_CODE)[:2] == (7, 9)


SELF_PROGRAMMING = """
#define FLASH_KEYR REG(0x40022008)
#define FLASH_SR REG(0x40022010)
#define FLASH_CR REG(0x40022014)
static void wait(void) { while (FLASH_SR & 1u << 16) {} }
void run(void) {
  FLASH_KEYR = 0x45670123; FLASH_KEYR = 0xCDEF89AB;
  FLASH_CR = 1u << 11 | 3u << 3 | 2;
  FLASH_CR |= 1u << 16;
  wait();
  FLASH_CR = 1;
  REG(0x08103000) = 0x12345678; REG(0x08103004) = 0x9ABCDEF0;
  wait();
  OUT[0] = REG(0x08103000); OUT[1] = REG(0x08103004); OUT[2] = FLASH_SR;
  REG(0x08103000) = 0; REG(0x08103004) = 1;
  OUT[3] = FLASH_SR; OUT[4] = REG(0x08103000);
}
"""


def test_firmware_may_erase_a_page_and_program_double_words_once(bench: Bench) -> None:
    bench.machine.load_flash(b"")
    out = bench.run(SELF_PROGRAMMING, 400_000)
    assert out[:5] == (0x12345678, 0x9ABCDEF0, 0, 1 << 3, 0x12345678)


def test_reset_flags_tell_power_pin_and_software_apart(bench: Bench) -> None:
    source = """
    void run(void) {
      uint32_t flags = RCC_CSR;
      RCC_CSR = flags | 1u << 23;
      OUT[REG(0x20000800)++] = flags >> 24;
      if (REG(0x20000800) == 2) SCB_AIRCR = 0x05FA0004;
    }
    """
    bench.machine.load_flash(bare_metal.build(source, target=L4R5))
    bench.machine.reset(power_on=True)
    bench.machine.memory.write(0x20000800, bytes(4))
    bench.go_on(10_000)
    bench.machine.reset()
    bench.go_on(10_000)
    assert bench.out()[:3] == (0x0C, 0x04, 0x14)


# -- the core


def test_the_cycle_counter_has_no_lock(bench: Bench) -> None:
    out = bench.run(
        "void run(void) { DWT_CTRL = 1; OUT[0] = DWT_CYCCNT; DEMCR |= 1u << 24; DWT_CTRL = 1;"
        ' uint32_t before = DWT_CYCCNT; __asm volatile("nop; nop; nop");'
        " OUT[1] = DWT_CYCCNT - before; DWT_LAR = 0xC5ACCE55; OUT[2] = REG(0xE0001FB4); }"
    )
    assert (out[0], out[2]) == (0, 0)
    assert 4 <= out[1] <= 7


def test_dsp_instructions_compute(bench: Bench) -> None:
    out = bench.run(
        """
        void run(void) {
          uint32_t a = 0x7FFF8000, b = 0x00020003, sum = 5, r;
          __asm volatile("smlad %0, %1, %2, %3" : "=r"(r) : "r"(a), "r"(b), "r"(sum));
          OUT[0] = r;
          __asm volatile("sxtb16 %0, %1, ror #8" : "=r"(r) : "r"(0x80017F02));
          OUT[1] = r;
          __asm volatile("ssat %0, #8, %1" : "=r"(r) : "r"(300));
          OUT[2] = r;
        }
        """
    )
    assert out[:3] == (2 * 0x7FFF - 3 * 0x8000 + 5 & 0xFFFFFFFF, 0xFF80007F, 127)


@pytest.mark.parametrize(
    ("instruction", "code"),
    [
        ("vsel.f32", ".hword 0xfe00, 0x0a00"),
        ("vmaxnm.f32", ".hword 0xfe80, 0x0a00"),
        ("vrinta.f32", ".hword 0xfeb8, 0x0a40"),
    ],
)
def test_what_only_a_later_fpu_has_is_undefined(bench: Bench, instruction: str, code: str) -> None:
    out = bench.run(
        f"""
        void on_hard_fault(void) {{ OUT[0] = SCB_CFSR; OUT[255] = 0x600D600D;
                                    for (;;) __asm volatile("wfi"); }}
        void run(void) {{ fpu_on(); __asm volatile("{code}"); }}
        """
    )
    assert out[0] == 1 << 16, instruction


# -- strictness


@pytest.mark.parametrize(
    ("body", "words", "address"),
    [
        ("REG(0x40002C00) = 1;", "peripheral that is not modelled", 0x40002C00),
        ("(void)REG(0x48002400);", "peripheral that is not modelled", 0x48002400),
        ("(void)REG(0x50060800);", "peripheral that is not modelled", 0x50060800),
        ("(void)REG(0x22000000);", "not modelled", 0x22000000),
        ("(void)REG(0x42000000);", "not modelled", 0x42000000),
        ("(void)REG(0x60000000);", "not modelled", 0x60000000),
        ("(void)REG(0x90000000);", "not modelled", 0x90000000),
        ("(void)REG(0x1FFF0000);", "not modelled", 0x1FFF0000),
        ("GPIOG_MODER = 0;", "GPIOG while its clock is off", 0x48001800),
        ("PWR_CR2 = 1u << 9;", "PWR while its clock is off", 0x40007004),
        ("LPUART1_BRR = 0x3000;", "LPUART1 while its clock is off", 0x4000800C),
        ("(void)REG(0x50040008);", "ADC1 while its clock is off", 0x50040008),
        ("console(0x2FF);", "enabled with BRR 767; at least 768", 0x40008000),
        ("console(0x3000); LPUART1_CR1 = 0x2000000D;", "sets bits 0x20000000", 0x40008000),
        ("console(0x3000); LPUART1_CR1 = 0x800D;", "sets bits 0x00008000", 0x40008000),
        ("console(0x3000); REG(0x40008014) = 0;", "unmodelled register LPUART1+0x14", 0x40008014),
        ("console(0x3000); LPUART1_BRR = 0x4000;", "while the USART is enabled", 0x4000800C),
        ("RCC_CCIPR = 3u << 10; console(0x3000); put(1);", "kernel clock that is off", 0x40008028),
        ("RCC_APB1ENR1 |= 1u << 28; PWR_CR1 = 0x202;", "sets bits 0x00000002", 0x40007000),
        ("REG(0x08001000) = 1;", "write to flash outside programming", 0x08001000),
        ("REG(0x00001000) = 1;", "write to flash outside programming", 0x00001000),
        ("REG(0x1FFF7590) = 1;", "write to read-only memory", 0x1FFF7590),
        ("REG(0x40022014) = 1;", "FLASH_CR is written while it is locked", 0x40022014),
        ("FLASH_ACR = 0xE00;", "ICRST is set while that cache is on", 0x40022000),
        ("REG(0xE000EF50) = 0;", "unmodelled register of the core", 0xE000EF50),
        ("(void)REG(0xE000ED78);", "unmodelled register of the core", 0xE000ED78),
        ("SCB_CCR |= 1u << 17;", "CCR's bits that this core does not have", 0xE000ED14),
        ("NVIC_ISER2 = 1u << 31;", "IRQ 95: this part has 95", 0xE000E108),
        ("*(volatile uint8_t *)0x40022000 = 1;", "8-bit write of FLASH_ACR", 0x40022000),
        ("REG(0x40021002) = 1;", "unaligned access to a register", 0x40021002),
    ],
)
def test_what_is_not_modelled_or_not_allowed(
    bench: Bench, body: str, words: str, address: int
) -> None:
    stopped = stop(bench, f"void run(void) {{ {body} }}")
    assert words in stopped.what
    assert stopped.address == address


UNLOCK = "REG(0x40022008) = 0x45670123; REG(0x40022008) = 0xCDEF89AB; REG(0x40022014) = 1;"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("*(volatile uint16_t *)0x08100000 = 1;", "16-bit write to flash"),
        ("REG(0x08100004) = 1;", "from its upper half on"),
        ("REG(0x08100000) = 1; REG(0x08100008) = 1;", "not the other half of the first"),
    ],
)
def test_flash_is_programmed_by_double_words(bench: Bench, body: str, words: str) -> None:
    assert words in stop(bench, f"void run(void) {{ {UNLOCK} {body} }}").what


def test_a_wrong_key_is_a_bus_fault(bench: Bench) -> None:
    out = bench.run(
        """
        void on_hard_fault(void) { OUT[0] = SCB_CFSR; OUT[1] = SCB_BFAR; OUT[255] = 0x600D600D;
                                   for (;;) __asm volatile("wfi"); }
        void run(void) { REG(0x40022008) = 1; }
        """
    )
    assert out[:2] == (0x8200, 0x40022008)


# -- supply and temperature


ADC = """
#define ADC_ISR REG(0x50040000)
#define ADC_CR REG(0x50040008)
#define ADC_SMPR1 REG(0x50040014)
#define ADC_SMPR2 REG(0x50040018)
#define ADC_SQR1 REG(0x50040030)
#define ADC_DR REG(0x50040040)
#define ADC_CCR REG(0x50040308)
static void pause(int us) { for (volatile int i = 0; i < us; i++) {} }
static uint32_t convert(uint32_t channel) {
  ADC_SQR1 = channel << 6;
  ADC_CR |= 4;
  while (!(ADC_ISR & 4)) {}
  return ADC_DR;
}
void run(void) {
  RCC_AHB2ENR |= 1u << 13;
  ADC_CCR = 1u << 16;
  ADC_CR = 0; ADC_CR = 1u << 28;
  REGULATOR
  CALIBRATION
  ADC_SMPR1 = SAMPLES; ADC_SMPR2 = 7u << 21;
  ADC_ISR = 1; ADC_CR |= 1;
  while (!(ADC_ISR & 1)) {}
  SETTLING
  uint32_t reference = convert(0), warmth = convert(17);
  uint32_t full = *(volatile uint16_t *)0x1FFF75AA;
  int32_t cold = *(volatile uint16_t *)0x1FFF75A8, hot = *(volatile uint16_t *)0x1FFF75CA;
  uint32_t supply = 3000 * full / reference;
  OUT[0] = supply;
  OUT[1] = 300 + ((int32_t)(warmth * supply / 3000) - cold) * 1000 / (hot - cold);
}
"""
MEASURED = {
    "REGULATOR": "pause(20);",
    "CALIBRATION": "ADC_CR |= 1u << 31; while (ADC_CR >> 31) {}",
    "SAMPLES": "7",
    "SETTLING": "ADC_CCR |= 3u << 22; pause(120);",
}


def measured(**changes: str) -> str:
    source = ADC
    for name, code in {**MEASURED, **changes}.items():
        source = source.replace(name, code)
    return source


def test_supply_and_temperature_read_as_documented(bench: Bench) -> None:
    supply, temperature = bench.run(measured())[:2]
    assert 3290 <= supply <= 3310
    assert 245 <= temperature <= 260


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"REGULATOR": ""}, "before its regulator is ready"),
        ({"CALIBRATION": ""}, "without having been calibrated"),
        ({"SETTLING": ""}, "channel 0 is read before its source is on and settled: 12 us"),
        (
            {"SETTLING": "ADC_CCR |= 3u << 22; pause(12);", "SAMPLES": "4"},
            "channel 17 is read before its source is on and settled: 120 us",
        ),
        ({"SAMPLES": "1"}, "channel 0 is sampled for 1.62 us; 4 are needed"),
    ],
)
def test_the_adc_has_its_conditions(bench: Bench, changes: dict[str, str], words: str) -> None:
    assert words in stop(bench, measured(**changes)).what
