"""Small programs for the virtual boards, compiled for their cores on the spot."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import struct
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # Unicorn is an extra: tests that need it skip before they come here
    from edge_boards.board import Board
    from edge_boards.virtual.machine import Machine, Pause

GCC = "arm-none-eabi-gcc"

CORE = r"""
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#define REG(address) (*(volatile uint32_t *)(address))
#define SYST_CSR REG(0xE000E010)
#define SYST_RVR REG(0xE000E014)
#define SYST_CVR REG(0xE000E018)
#define NVIC_ISER1 REG(0xE000E104)
#define SCB_VTOR REG(0xE000ED08)
#define SCB_AIRCR REG(0xE000ED0C)
#define SCB_CCR REG(0xE000ED14)
#define SCB_SHCSR REG(0xE000ED24)
#define SCB_CFSR REG(0xE000ED28)
#define SCB_HFSR REG(0xE000ED2C)
#define SCB_MMFAR REG(0xE000ED34)
#define SCB_BFAR REG(0xE000ED38)
#define SCB_CPACR REG(0xE000ED88)
#define DEMCR REG(0xE000EDFC)
#define DWT_CTRL REG(0xE0001000)
#define DWT_CYCCNT REG(0xE0001004)
#define DWT_LAR REG(0xE0001FB0)
#define MPU_CTRL REG(0xE000ED94)
#define MPU_RBAR REG(0xE000ED9C)
#define MPU_RASR REG(0xE000EDA0)
#define OUT ((volatile uint32_t *)0x20001000)
static inline void fpu_on(void) {
  SCB_CPACR |= 0xFu << 20;
  __asm volatile("dsb; isb");
}
"""

F7_HEADER = (
    CORE
    + r"""
#define RCC_CR REG(0x40023800)
#define RCC_PLLCFGR REG(0x40023804)
#define RCC_CFGR REG(0x40023808)
#define RCC_AHB1ENR REG(0x40023830)
#define RCC_APB1ENR REG(0x40023840)
#define RCC_APB2ENR REG(0x40023844)
#define FLASH_ACR REG(0x40023C00)
#define GPIOA_MODER REG(0x40020000)
#define GPIOA_AFRH REG(0x40020024)
#define GPIOB_MODER REG(0x40020400)
#define GPIOB_AFRL REG(0x40020420)
#define USART1_CR1 REG(0x40011000)
#define USART1_BRR REG(0x4001100C)
#define USART1_ISR REG(0x4001101C)
#define USART1_ICR REG(0x40011020)
#define USART1_RDR REG(0x40011024)
#define USART1_TDR REG(0x40011028)
static inline void console(uint32_t divider) {
  RCC_AHB1ENR |= 3;
  RCC_APB2ENR |= 1u << 4;
  GPIOA_MODER = (GPIOA_MODER & ~(3u << 18)) | 2u << 18;
  GPIOA_AFRH = 7u << 4;
  GPIOB_MODER = (GPIOB_MODER & ~(3u << 14)) | 2u << 14;
  GPIOB_AFRL = 7u << 28;
  USART1_BRR = divider;
  USART1_CR1 = 0xD;
}
static inline void put(uint32_t byte) {
  while (!(USART1_ISR & 0x80)) {}
  USART1_TDR = byte;
}
static inline uint32_t get(void) {
  while (!(USART1_ISR & 0x20)) {}
  return USART1_RDR;
}
"""
)

L4_HEADER = (
    CORE
    + r"""
#define RCC_CR REG(0x40021000)
#define RCC_CFGR REG(0x40021008)
#define RCC_PLLCFGR REG(0x4002100C)
#define RCC_AHB2ENR REG(0x4002104C)
#define RCC_APB1ENR1 REG(0x40021058)
#define RCC_APB1ENR2 REG(0x4002105C)
#define RCC_APB2ENR REG(0x40021060)
#define RCC_CCIPR REG(0x40021088)
#define RCC_CSR REG(0x40021094)
#define PWR_CR1 REG(0x40007000)
#define PWR_CR2 REG(0x40007004)
#define PWR_SR2 REG(0x40007014)
#define PWR_CR5 REG(0x40007080)
#define FLASH_ACR REG(0x40022000)
#define GPIOG_MODER REG(0x48001800)
#define GPIOG_AFRL REG(0x48001820)
#define GPIOG_AFRH REG(0x48001824)
#define LPUART1_CR1 REG(0x40008000)
#define LPUART1_BRR REG(0x4000800C)
#define LPUART1_ISR REG(0x4000801C)
#define LPUART1_ICR REG(0x40008020)
#define LPUART1_RDR REG(0x40008024)
#define LPUART1_TDR REG(0x40008028)
#define NVIC_ISER2 REG(0xE000E108)
static inline void console(uint32_t divider) {
  RCC_AHB2ENR |= 1u << 6;
  RCC_APB1ENR1 |= 1u << 28;
  RCC_APB1ENR2 |= 1;
  PWR_CR2 |= 1u << 9;
  GPIOG_MODER = (GPIOG_MODER & ~(15u << 14)) | 10u << 14;
  GPIOG_AFRL = 8u << 28;
  GPIOG_AFRH = 8;
  LPUART1_BRR = divider;
  LPUART1_CR1 = 0xD;
}
static inline void put(uint32_t byte) {
  while (!(LPUART1_ISR & 0x80)) {}
  LPUART1_TDR = byte;
}
static inline uint32_t get(void) {
  while (!(LPUART1_ISR & 0x20)) {}
  return LPUART1_RDR;
}
static inline void flash_states(uint32_t states) {
  FLASH_ACR = (FLASH_ACR & ~15u) | states;
}
"""
)

START = r"""
void run(void);
__attribute__((weak)) void on_fault(void) { for (;;) {} }
__attribute__((weak)) void on_hard_fault(void) { on_fault(); }
__attribute__((weak)) void on_memory_fault(void) { on_fault(); }
__attribute__((weak)) void on_bus_fault(void) { on_fault(); }
__attribute__((weak)) void on_usage_fault(void) { on_fault(); }
__attribute__((weak)) void on_call(void) { on_fault(); }
__attribute__((weak)) void on_pend(void) { on_fault(); }
__attribute__((weak)) void on_tick(void) { on_fault(); }
__attribute__((weak)) void on_usart(void) { on_fault(); }
__attribute__((noreturn)) void start(void) {
  SCB_VTOR = 0x08000000;
  run();
  OUT[255] = 0x600D600D;
  for (;;) __asm volatile("wfi");
}
extern char stack_top[];
__attribute__((section(".vectors"), used)) const void *const vectors[16 + IRQS] = {
    stack_top, start, on_fault, on_hard_fault, on_memory_fault, on_bus_fault, on_usage_fault,
    0, 0, 0, 0, on_call, on_fault, 0, on_pend, on_tick, [16 + CONSOLE_IRQ] = on_usart};
"""

SCRIPT = """
ENTRY(start)
stack_top = 0x20010000;
SECTIONS {
  .text 0x08000000 : { KEEP(*(.vectors)) *(.text*) *(.rodata*) }
  .data 0x20002000 (NOLOAD) : { *(.bss*) *(COMMON) *(.data*) }
  /DISCARD/ : { *(.ARM.*) *(.comment) }
}
"""


@dataclass(frozen=True)
class Target:
    """A board to run small programs on."""

    board: str
    gcc: tuple[str, ...]
    zig: str
    header: str
    irqs: int
    console_irq: int

    @property
    def start(self) -> str:
        """The start-up code: `run()` is called after reset."""
        lines = f"#define IRQS {self.irqs}\n#define CONSOLE_IRQ {self.console_irq}\n"
        return self.header + lines + START


F746 = Target(
    board="stm32f746",
    gcc=("-mcpu=cortex-m7", "-mfpu=fpv5-sp-d16"),
    zig="-mcpu=cortex_m7+fp_armv8d16sp",
    header=F7_HEADER,
    irqs=98,
    console_irq=37,
)
L4R5 = Target(
    board="nucleo-l4r5zi",
    gcc=("-mcpu=cortex-m4", "-mfpu=fpv4-sp-d16"),
    zig="-mcpu=cortex_m4",
    header=L4_HEADER,
    irqs=95,
    console_irq=70,
)


def compiler(target: Target = F746) -> list[str] | None:
    """The command that compiles for the board, None where there is none."""
    if shutil.which(GCC):
        return [GCC, *target.gcc]
    if importlib.util.find_spec("ziglang") is not None:
        zig = [sys.executable, "-m", "ziglang", "cc", "-target", "thumb-freestanding-eabihf"]
        return [*zig, target.zig]
    return None


@cache
def build(source: str, optimize: str = "-O1", target: Target = F746) -> bytes:
    """The flash image of the target's start-up code and `source`, whose `run()` it calls."""
    command = compiler(target)
    assert command is not None, "no compiler for the board"
    name = hashlib.sha256((target.start + source + optimize).encode()).hexdigest()[:12]
    with tempfile.TemporaryDirectory(prefix=f"bare-{name}-") as folder:
        boot, c, script, elf = (
            Path(folder) / n for n in ("start.c", "main.c", "link.ld", "out.elf")
        )
        boot.write_text(target.start)
        c.write_text(target.header + source)
        script.write_text(SCRIPT)
        done = subprocess.run(
            [
                *command,
                *("-mthumb", "-mfloat-abi=hard", optimize, "-ffreestanding", "-nostdlib"),
                *("-fno-builtin", "-Wl,-T," + str(script), str(boot), str(c), "-o", str(elf)),
            ],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return flash_bytes(elf.read_bytes())


def flash_bytes(elf: bytes) -> bytes:
    """The loadable bytes from 0x08000000 of a 32-bit little-endian ELF."""

    def word(at: int, size: int = 4) -> int:
        return int.from_bytes(elf[at : at + size], "little")

    headers, count = word(28), word(44, 2)
    image = b""
    for i in range(count):
        at = headers + 32 * i
        kind, offset, physical, size = word(at), word(at + 4), word(at + 12), word(at + 16)
        if kind == 1 and size and physical >> 20 == 0x080:
            start = physical - 0x0800_0000
            image = image.ljust(start + size, b"\xff")
            image = image[:start] + elf[offset : offset + size] + image[start + size :]
    return image


OUT = 0x2000_1000
DONE = 0x600D_600D


class Bench:
    """A virtual board in this process, and the words that a program leaves at OUT."""

    def __init__(self, board: Board | None = None, target: Target = F746) -> None:
        # Needs the package that the tests of the compiler alone do not.
        from edge_boards.loader import load_board
        from edge_boards.virtual.machine import Machine

        self.machine: Machine = Machine(board or load_board(target.board))
        self._target = target
        self.console = self.machine.links["console"]

    def __enter__(self) -> Bench:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.machine.close()

    def start(self, source: str) -> None:
        """Puts a program into flash and resets; OUT is all zeros."""
        self.machine.load_flash(build(source, target=self._target))
        self.machine.reset()
        self.machine.memory.write(OUT, bytes(1024))

    def run(self, source: str, cycles: int = 2_000_000) -> tuple[int, ...]:
        """Runs a program to its end; the words at OUT."""
        self.start(source)
        self.machine.run(cycles)
        words = self.out()
        assert words[255] == DONE, f"the program did not end; PC 0x{self.machine.pc:08x}"
        return words

    def go_on(self, cycles: int) -> Pause:
        return self.machine.run(cycles)

    def out(self) -> tuple[int, ...]:
        raw = self.machine.memory.read(OUT, 1024)
        assert raw is not None
        return struct.unpack("<256I", raw)
