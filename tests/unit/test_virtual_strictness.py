"""What silicon does not forgive stops the virtual board, with address and PC."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

import bare_metal
from bare_metal import Bench

from edge_boards.virtual.faults import MachineStop

if bare_metal.compiler() is None:
    pytest.skip("no compiler for the board (arm-none-eabi-gcc or ziglang)", allow_module_level=True)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with Bench() as made:
        yield made


def stop(bench: Bench, source: str, cycles: int = 2_000_000) -> MachineStop:
    """How a program's run ends."""
    bench.start(source)
    with pytest.raises(MachineStop) as caught:
        bench.machine.run(cycles)
    assert 0x08000000 <= caught.value.pc < 0x08001000
    assert f"PC 0x{caught.value.pc:08x}" in str(caught.value)
    return caught.value


CLOCK = """
void run(void) {
  RCC_APB1ENR |= 1u << 28;
  RCC_PLLCFGR = 16 | PLLNu << 6 | 0u << 16 | 9u << 24;
  RCC_CR |= 1u << 24;
  while (!(RCC_CR & 1u << 25)) {}
  FLASH_ACR = STATES;
  RCC_CFGR = 5u << 10 | 4u << 13;
  RCC_CFGR |= 2;
}
"""


def test_the_bypass_of_a_running_oscillator(bench: Bench) -> None:
    source = "void run(void) { RCC_CR |= 1u << 16; RCC_CR |= 1u << 18; }"
    assert "HSEBYP while the HSE is on" in str(stop(bench, source))


@pytest.mark.parametrize(
    ("states", "multiplier", "words"),
    [
        ("4", "336", "flash runs with 4 wait states at 168 MHz, which needs 5"),
        ("7", "432", "HCLK is 216 MHz; 180 MHz is allowed"),
    ],
)
def test_clocks_beyond_wait_states_or_voltage(
    bench: Bench, states: str, multiplier: str, words: str
) -> None:
    source = CLOCK.replace("STATES", states).replace("PLLN", multiplier)
    assert words in stop(bench, source).what


@pytest.mark.parametrize(
    ("body", "words", "address"),
    [
        ("REG(0x40010000) = 1;", "peripheral that is not modelled", 0x40010000),
        ("(void)REG(0x50060800);", "not modelled", 0x50060800),
        ("(void)REG(0x60000000);", "not modelled", 0x60000000),
        ("DEMCR |= 1u << 24; (void)REG(0xE0001008);", "register of the DWT", 0xE0001008),
        ("DEMCR |= 1u << 24; (void)REG(0xE0001018);", "register of the DWT", 0xE0001018),
        ("(void)REG(0xE0000000);", "not modelled", 0xE0000000),
        ("USART1_BRR = 100;", "USART1 while its clock is off", 0x4001100C),
        ("REG(0x08001000) = 1;", "write to flash outside programming", 0x08001000),
        ("REG(0x1FF0F420) = 1;", "write to read-only memory", 0x1FF0F420),
        ("console(139); USART1_CR1 = 0x80000005;", "sets bits 0x80000000", 0x40011000),
        ("console(139); USART1_BRR = 17;", "written while the USART is enabled", 0x4001100C),
        ("console(8);", "enabled with BRR 8", 0x40011000),
        ("console(139); USART1_TDR = 1; USART1_TDR = 2; USART1_TDR = 3;", "TXE is 0", 0x40011028),
        ("RCC_APB2ENR |= 16; USART1_TDR = 1;", "transmitter is off", 0x40011028),
        ("RCC_CFGR = 2;", "the PLL, which is not ready", 0x40023808),
        ("RCC_CR = 0; RCC_CFGR = 1;", "HSE, which is not ready", 0x40023808),
        ("*(volatile uint8_t *)0x40023C00 = 1;", "8-bit write of FLASH_ACR", 0x40023C00),
        ("SCB_CCR |= 8;", "UNALIGN_TRP", 0xE000ED14),
        ("REG(0xE000ED10) = 4;", "SLEEPDEEP", 0xE000ED10),
        ("REG(0xE000E10C) = 1u << 31;", "IRQ 127: this part has 98", 0xE000E10C),
    ],
)
def test_what_is_not_modelled_or_not_allowed(
    bench: Bench, body: str, words: str, address: int
) -> None:
    stopped = stop(bench, f"void run(void) {{ {body} }}")
    assert words in stopped.what
    assert stopped.address == address
    assert f"0x{address:08x}" in str(stopped)


def test_a_fault_inside_the_hard_fault_handler_locks_up(bench: Bench) -> None:
    source = """
    void on_hard_fault(void) { __asm volatile("udf #1"); }
    void run(void) { __asm volatile("udf #0"); }
    """
    assert "lockup: UNDEFINSTR" in stop(bench, source).what


@pytest.mark.parametrize("instruction", ["svc #0", "bkpt #0"])
def test_a_call_inside_the_hard_fault_handler_locks_up(bench: Bench, instruction: str) -> None:
    source = """
    void on_hard_fault(void) { __asm volatile("INSTRUCTION"); }
    void run(void) { __asm volatile("udf #0"); }
    """
    assert "lockup: " in stop(bench, source.replace("INSTRUCTION", instruction)).what


def test_unprivileged_code(bench: Bench) -> None:
    source = 'void run(void) { __asm volatile("msr control, %0; isb" :: "r"(1)); }'
    assert "unprivileged" in stop(bench, source).what
    bench.run("void run(void) {}")  # and a reset brings the privilege back


def test_symbols_name_the_function(bench: Bench) -> None:
    bench.machine.symbolise = lambda _: "culprit"
    assert "(culprit)" in str(stop(bench, "void run(void) { REG(0x40010000) = 1; }"))


def test_an_erased_flash_is_said_to_be_one(bench: Bench) -> None:
    bench.machine.load_flash(b"")
    bench.machine.reset()
    with pytest.raises(MachineStop, match="the flash is erased and holds no image") as stopped:
        bench.machine.run(1000)
    said = str(stopped.value)
    assert said.endswith("edge-autoglm flash MODEL --board stm32f746 --port virtual")
    assert "0x" not in said  # no address or PC is at fault


@pytest.mark.parametrize("seed", range(24))
def test_random_flash_ends_in_a_stop_or_in_nothing_but_running(bench: Bench, seed: int) -> None:
    noise = random.Random(seed)
    content = bytearray(noise.randbytes(65536))
    if seed % 2:  # half of them with a vector table that leads into the noise
        content[:8] = (0x20008000).to_bytes(4, "little") + (0x08000201).to_bytes(4, "little")
        for vector in range(8, 0x200, 4):
            target = 0x08000200 + noise.randrange(0xF000) | 1
            content[vector : vector + 4] = target.to_bytes(4, "little")
    bench.machine.load_flash(bytes(content))
    bench.machine.reset()
    try:
        ended = bench.machine.run(300_000).value
    except MachineStop as stopped:
        ended = str(stopped)
    assert ended in ("budget", "idle") or ended.startswith("virtual board stopped: ")
