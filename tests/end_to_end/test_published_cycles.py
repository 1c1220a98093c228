"""The Cortex-M4's cycle model beside figures that others measured, for who has their sources.

EDGE_AUTOGLM_PQM4 names a checkout of github.com/mupq/pqm4 with its submodules mupq and
mupq/pqclean, EDGE_AUTOGLM_COREMARK one of github.com/eembc/coremark.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")
pytest.importorskip("capstone", reason="capstone is not installed (extra: virtual)")

import bare_metal
from bare_metal import L4R5

from edge_boards.loader import load_board
from edge_boards.virtual.machine import Machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which(bare_metal.GCC) is None, reason="no arm-none-eabi-gcc on PATH"),
]

SCRIPT = """
ENTRY(start)
stack_top = 0x20030000;
SECTIONS {
  .text 0x08000000 : { KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.data*) . = ALIGN(8); }
  .bss 0x20002000 (NOLOAD) : { *(.bss*) *(COMMON) }
  end = .;
  /DISCARD/ : { *(.ARM.*) *(.comment) }
}
"""
STEPS = r"""
#include <stddef.h>
#include <stdint.h>
#define OUT ((volatile uint32_t *)0x20001000)
typedef void (*step)(void);
void call(step);
extern char call_return[];
__asm(".thumb\n .syntax unified\n .text\n .balign 4\n .global call\n .type call, %function\n"
      ".thumb_func\n call: push {r4, lr}\n blx r0\n .global call_return\n"
      "call_return: pop {r4, pc}\n");
static void each(void);
void run(void) {
  *(volatile uint32_t *)0xE000ED88 |= 0xFu << 20;
  __asm volatile("dsb; isb");
  OUT[0] = (uint32_t)call_return;
  while (!OUT[1]) {}
  each();
  OUT[3] = 1;
}
"""


def measured(
    folder: Path, main: str, sources: list[Path], flags: list[str], wait_states: int = 0
) -> list[int]:
    """Modelled cycles of each step that `each()` in `main` calls."""
    script, start, own, elf = (folder / n for n in ("ld", "start.c", "main.c", "elf"))
    script.write_text(SCRIPT)
    start.write_text(L4R5.start)
    own.write_text(STEPS + main)
    command = [bare_metal.GCC, *L4R5.gcc, "-mthumb", "-mfloat-abi=hard", "-O3", "-std=gnu99", "-w"]
    command += ["-ffreestanding", "-nostartfiles", "--specs=nosys.specs", f"-Wl,-T,{script}"]
    command += [*flags, "-o", str(elf), str(start), str(own), *map(str, sources)]
    subprocess.run(command, check=True)
    machine = Machine(load_board(L4R5.board))
    machine.load_flash(bare_metal.flash_bytes(elf.read_bytes()))
    machine.reset()
    machine.memory.write(bare_metal.OUT, bytes(0x8000))
    # Caches and prefetch on, whatever clock would need these wait states.
    machine.bus.peripherals["FLASH"].values[0] = 0x700 | wait_states
    machine.run(100_000)
    raw = machine.memory.read(bare_metal.OUT, 4)
    assert raw is not None
    back = int.from_bytes(raw, "little") & ~1
    machine.counter.arm(back - 2, back, model_cycles=True)
    machine.memory.write(bare_metal.OUT + 4, b"\1")
    machine.run(400_000_000)
    assert machine.memory.read(bare_metal.OUT + 8, 8) == b"\0\0\0\0\1\0\0\0", "it went wrong"
    cycles = [step.cycles for step in machine.counter.take()]
    machine.close()
    return cycles


KEM = r"""
#include <string.h>
#include "api.h"
#define NAMED(name) N_(PREFIX, name)
#define N_(a, b) N__(a, b)
#define N__(a, b) a##b
static uint8_t pk[NAMED(CRYPTO_PUBLICKEYBYTES)], sk[NAMED(CRYPTO_SECRETKEYBYTES)];
static uint8_t ct[NAMED(CRYPTO_CIPHERTEXTBYTES)], a[NAMED(CRYPTO_BYTES)], b[NAMED(CRYPTO_BYTES)];
int PQCLEAN_randombytes(uint8_t *out, size_t size) {
  static uint32_t x;
  while (size--) *out++ = (x = x * 1664525u + 1013904223u) >> 24;
  return 0;
}
static void key_pair(void) { NAMED(crypto_kem_keypair)(pk, sk); }
static void encapsulate(void) { NAMED(crypto_kem_enc)(ct, a, pk); }
static void decapsulate(void) { NAMED(crypto_kem_dec)(b, ct, sk); }
static void each(void) {
  call(key_pair); call(encapsulate); call(decapsulate);
  OUT[2] = memcmp(a, b, sizeof a);
}
"""

# benchmarks.csv of pqm4: nucleo-l4r5zi at 20 MHz, without wait states, gcc 11.3.
PUBLISHED = {
    "m4fspeed": (392_423, 390_881, 428_167),
    "m4fstack": (392_224, 392_864, 430_202),
    "clean": (595_793, 700_605, 888_653),
}


@pytest.mark.parametrize("implementation", PUBLISHED)
def test_ml_kem_takes_what_pqm4_measured_on_the_nucleo_l4r5zi(
    implementation: str, tmp_path: Path
) -> None:
    named = os.environ.get("EDGE_AUTOGLM_PQM4")
    if named is None:
        pytest.skip("no pqm4: set EDGE_AUTOGLM_PQM4 to a checkout")
    pqm4 = Path(named)
    common = pqm4 / "mupq" / "common"
    if implementation == "clean":
        folder = pqm4 / "mupq" / "pqclean" / "crypto_kem" / "ml-kem-512" / "clean"
        prefix = "PQCLEAN_MLKEM512_CLEAN_"
    else:
        folder = pqm4 / "crypto_kem" / "ml-kem-512" / implementation
        prefix = ""
    sources = [*folder.glob("*.c"), *folder.glob("*.S")]
    sources += [common / "fips202.c", pqm4 / "common" / "keccakf1600.S"]
    flags = [f"-DPREFIX={prefix}", f"-I{folder}", f"-I{common}", f"-I{pqm4 / 'common'}"]
    cycles = measured(tmp_path, KEM, sources, flags)
    for modelled, published in zip(cycles, PUBLISHED[implementation], strict=True):
        assert modelled == pytest.approx(published, rel=0.04)


COREMARK = r"""
#include "coremark.h"
volatile ee_s32 seed1_volatile, seed2_volatile, seed5_volatile;
volatile const ee_s32 seed3_volatile = 0x66, seed4_volatile = ITERATIONS;
ee_u32 default_num_contexts = 1;
void start_time(void) {}
void stop_time(void) {}
CORE_TICKS get_time(void) { return 1; }
secs_ret time_in_secs(CORE_TICKS ticks) { return 100; }
void portable_init(core_portable *port, int *count, char *arguments[]) { port->portable_id = 1; }
void portable_fini(core_portable *port) {}
int ee_printf(const char *format, ...) { return 0; }
int benchmark(void);
static void all(void) { benchmark(); }
static void each(void) { call(all); }
"""


def coremark_cycles(sources: Path, folder: Path, iterations: int, wait_states: int) -> int:
    folder.mkdir()
    # Its bare-metal port lacks an include of its own.
    flags = [
        "-include",
        "stddef.h",
        f"-I{sources}",
        f"-I{sources / 'barebones'}",
        "-Dmain=benchmark",
    ]
    flags += ["-DPERFORMANCE_RUN=1", f"-DITERATIONS={iterations}", "-DMAIN_HAS_NOARGC=1"]
    flags += ['-DFLAGS_STR=""']
    names = ("core_list_join", "core_main", "core_matrix", "core_state", "core_util")
    (cycles,) = measured(
        folder, COREMARK, [sources / f"{name}.c" for name in names], flags, wait_states
    )
    return cycles


def test_the_art_hides_nearly_all_wait_states_from_coremark(tmp_path: Path) -> None:
    # DS12023 calls it "0-wait-state execution" and gives 3.41 CoreMark/MHz at 120 MHz.
    named = os.environ.get("EDGE_AUTOGLM_COREMARK")
    if named is None:
        pytest.skip("no CoreMark: set EDGE_AUTOGLM_COREMARK to a checkout")
    each = {
        wait_states: coremark_cycles(Path(named), tmp_path / f"{wait_states}-6", 6, wait_states)
        - coremark_cycles(Path(named), tmp_path / f"{wait_states}-2", 2, wait_states)
        for wait_states in (0, 5)
    }
    assert each[0] < each[5] < 1.03 * each[0]
