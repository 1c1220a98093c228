"""Instruction counts of the virtual board equal QEMU's -icount on the same code."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

import bare_metal
from bare_metal import F746, L4R5, Target

from edge_boards.loader import load_board
from edge_boards.virtual.machine import Machine

QEMU = "qemu-system-arm"
for tool in (QEMU, bare_metal.GCC):
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed", allow_module_level=True)

QEMUS = {F746: "mps2-an500", L4R5: "mps2-an386"}
"""The machine with the same core."""

REPEATS = 400  # QEMU's timer ticks every 40 instructions; so many runs tell single ones apart

CASES = r"""
#include <stdint.h>
static volatile uint32_t sink;
static uint32_t data[64];
#define CASE __attribute__((noinline, noclone, used)) static void
CASE empty(void) { __asm volatile(""); }
CASE loop(void) { for (volatile int i = 0; i < 37; i++) {} }
CASE branches(void) {
  uint32_t x = 1, n = 0;
  for (int i = 0; i < 200; i++) {
    x = x * 1664525u + 1013904223u;
    if (x & 0x10000) n += i; else if (x & 0x20000) n ^= x; else n--;
  }
  sink = n;
}
CASE it_blocks(void) {
  __asm volatile(
      "movs r0, #0\n movs r1, #0\n movs r3, #9\n"
      "1: cmp r0, r3\n ittee lt\n addlt r0, #1\n addlt.w r1, r1, r0\n subge r1, #1\n movge r0, r0\n"
      "it eq\n moveq r1, r1\n cmp r0, #9\n it ne\n bne 1b\n" ::: "r0", "r1", "r3", "cc");
}
CASE returns_in_it(void) {
  __asm volatile(
      "push {r4, lr}\n bl 2f\n bl 2f\n b 4f\n"
      "2: cmp r4, r4\n it eq\n bxeq lr\n nop\n 4: pop {r4, lr}\n" ::: "r4", "lr", "cc");
}
__attribute__((noinline)) static uint32_t fibonacci(uint32_t n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}
CASE recursion(void) { sink = fibonacci(9); }
CASE tables(void) {
  for (uint32_t i = 0; i < 24; i++) {
    switch (i % 8) {
      case 0: sink = 11; break;
      case 1: sink = i * 3; break;
      case 2: sink = i / 3; break;
      case 3: sink = i << 3; break;
      case 4: data[i] = i; break;
      case 5: sink = data[i]; break;
      case 6: sink = i * i; break;
      default: sink++;
    }
  }
}
CASE multiple_loads(void) {
  __asm volatile(
      "ldr r0, =%0\n movs r1, #6\n"
      "1: ldmia r0, {r2, r3, r4, r5}\n stmia r0!, {r2, r3}\n ldrd r2, r3, [r0]\n"
      "strd r2, r3, [r0, #8]\n subs r1, #1\n bne 1b\n cbz r1, 2f\n nop\n 2: nop\n .ltorg\n"
      :: "i"(data) : "r0", "r1", "r2", "r3", "r4", "r5", "memory", "cc");
}
CASE floats(void) {
  float sum = 0;
  for (int i = 1; i < 30; i++) sum += 1.0f / (float)i;
  sink = (uint32_t)(sum * 1000.0f);
}
CASE dsp(void) {
  __asm volatile(
      "movs r0, #20\n movs r1, #0\n ldr r2, =0x01020304\n"
      "1: sxtb16 r3, r2\n sxtb16 r4, r2, ror #8\n smlad r1, r3, r4, r1\n ssat r3, #8, r1\n"
      "subs r0, #1\n bne 1b\n .ltorg\n" ::: "r0", "r1", "r2", "r3", "r4", "cc");
}
"""
NAMES = (
    *("empty", "loop", "branches", "it_blocks", "returns_in_it", "recursion", "tables"),
    *("multiple_loads", "floats", "dsp"),
)

TRAMPOLINE = r"""
typedef void (*step)(void);
extern const step cases[];
extern const unsigned case_count;
void call(step);
extern char call_return[];
__asm(".thumb\n .syntax unified\n .text\n .balign 4\n .global call\n .type call, %function\n"
      ".thumb_func\n call: push {r4, lr}\n blx r0\n .global call_return\n"
      "call_return: pop {r4, pc}\n");
"""

ON_THE_BOARD = (
    TRAMPOLINE
    + r"""
void run(void) {
  fpu_on();
  OUT[0] = (uint32_t)call_return;
  while (!OUT[1]) {} /* until the counter is armed */
  for (unsigned i = 0; i < case_count; i++) call(cases[i]);
}
"""
)

IN_QEMU = (
    "#include <stdint.h>\n"
    + TRAMPOLINE
    + r"""
#define REG(address) (*(volatile uint32_t *)(address))
static void print(const char *text) {
  register uint32_t op __asm("r0") = 4;
  register const char *argument __asm("r1") = text;
  __asm volatile("bkpt #0xab" : "+r"(op) : "r"(argument) : "memory");
}
static uint32_t ticks(step run) {
  uint32_t before = REG(0x40000004);
  for (int i = 0; i < REPEATS; i++) call(run);
  return before - REG(0x40000004);
}
extern char stack_top[];
__attribute__((noreturn)) void start(void) {
  REG(0xE000ED88) |= 0xFu << 20;
  __asm volatile("dsb\n isb");
  REG(0x40000008) = REG(0x40000004) = 0xFFFFFFFF;
  REG(0x40000000) = 1;
  for (unsigned i = 0; i < case_count; i++) {
    char line[12], *at = line + 11;
    uint32_t value = ticks(cases[i]);
    *at = 0; *--at = '\n';
    do *--at = '0' + value % 10; while (value /= 10);
    print(at);
  }
  register uint32_t op __asm("r0") = 0x18;
  register uint32_t reason __asm("r1") = 0x20026;
  __asm volatile("bkpt #0xab" : : "r"(op), "r"(reason));
  for (;;) {}
}
__attribute__((section(".vectors"), used)) const void *const vectors[] = {stack_top, start};
"""
)

QEMU_SCRIPT = """
ENTRY(start)
stack_top = 0x20300000;
SECTIONS {
  .text 0x00000000 : { KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.eag_*) *(.data*) }
  .bss 0x20000000 (NOLOAD) : { *(.bss*) *(COMMON) }
  /DISCARD/ : { *(.ARM.*) *(.comment) }
}
"""
BOARD_SCRIPT = """
ENTRY(start)
stack_top = 0x20010000;
SECTIONS {
  .text 0x08000000 : { KEEP(*(.vectors)) *(.text*) *(.rodata*) *(.eag_*) *(.data*) }
  .bss 0x20010000 (NOLOAD) : { *(.bss*) *(COMMON) }
  /DISCARD/ : { *(.ARM.*) *(.comment) }
}
"""


@pytest.fixture(params=QEMUS, ids=lambda target: target.board)
def target(request: pytest.FixtureRequest) -> Target:
    made: Target = request.param
    return made


def link(
    target: Target, folder: Path, name: str, script: str, objects: list[Path], source: str
) -> Path:
    main, layout, elf = (folder / f"{name}.{end}" for end in ("c", "ld", "elf"))
    main.write_text(source)
    layout.write_text(script)
    compile_c(
        target, ["-nostdlib", f"-Wl,-T,{layout}", "-o", str(elf), str(main), *map(str, objects)]
    )
    return elf


def compile_c(target: Target, arguments: list[str]) -> None:
    command = [bare_metal.GCC, *target.gcc, "-mthumb"]
    command += ["-mfloat-abi=hard", "-O2", "-ffreestanding", "-fno-tree-loop-distribute-patterns"]
    command += [
        f"-DREPEATS={REPEATS}",
        *arguments,
        *(["-lgcc"] if "-nostdlib" in arguments else []),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def counts_in_qemu(target: Target, elf: Path) -> list[int]:
    """Instructions of each case: what its runs took beyond those of the first, empty one."""
    command = [QEMU, "-M", QEMUS[target], "-nographic", "-icount", "shift=0", "-semihosting"]
    command += ["-monitor", "none", "-serial", "none", "-kernel", str(elf)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    ticks = [int(line) for line in (done.stdout + done.stderr).split()]
    # The empty case is one instruction: bx lr.
    return [round((t - ticks[0]) * 40 / REPEATS) + 1 for t in ticks]


def counts_on_the_board(target: Target, elf: Path) -> list[int]:
    machine = Machine(load_board(target.board))
    machine.load_flash(bare_metal.flash_bytes(elf.read_bytes()))
    machine.reset()
    machine.memory.write(0x20001004, bytes(4))
    machine.run(100_000)
    raw = machine.memory.read(0x20001000, 4)
    assert raw is not None
    back = int.from_bytes(raw, "little") & ~1
    machine.counter.arm(back - 2, back)
    machine.memory.write(0x20001004, b"\1")
    machine.run(400_000_000)
    steps = machine.counter.take()
    machine.close()
    return [step.instructions for step in steps]


def cases_source(names: tuple[str, ...]) -> str:
    table = ", ".join(names)
    return (
        f"typedef void (*step)(void);\nconst step cases[] = {{{table}}};\n"
        "const unsigned case_count = sizeof cases / sizeof *cases;\n"
    )


def test_counts_equal_qemus_on_loops_it_blocks_calls_and_tables(
    target: Target, tmp_path: Path
) -> None:
    source, made = tmp_path / "cases.c", tmp_path / "cases.o"
    source.write_text(CASES + cases_source(NAMES))
    compile_c(target, ["-c", str(source), "-o", str(made)])
    qemu = link(target, tmp_path, "qemu", QEMU_SCRIPT, [made], IN_QEMU)
    header = target.start + ON_THE_BOARD
    board = link(target, tmp_path, "board", BOARD_SCRIPT, [made], header)
    expected = dict(zip(NAMES, counts_in_qemu(target, qemu), strict=True))
    assert dict(zip(NAMES, counts_on_the_board(target, board), strict=True)) == expected
    assert expected["empty"] == 1
    assert expected["recursion"] > 500


RUN_MODEL = r"""
extern const eag_model m_NAME_model;
void m_NAME_init(void);
static void run_NAME(void) {
  uint32_t x = 2;
  m_NAME_init();
  for (unsigned i = 0; i < m_NAME_model.input_count; i++)
    for (uint32_t at = 0; at < m_NAME_model.inputs[i].size; at++) {
      ((int8_t *)m_NAME_model.inputs[i].data)[at] = (int8_t)(x >> 24);
      x = x * 1664525u + 1013904223u;
    }
  for (unsigned i = 0; i < m_NAME_model.step_count; i++) m_NAME_model.steps[i]();
}
"""
MODELS = ("conv_1x1", "conv_same", "add_same_shape", "average_pool_same", "softmax")


def test_counts_equal_qemus_on_exported_models(target: Target, tmp_path: Path) -> None:
    from edge_export.aot.package import export_model
    from edge_quantize.ingest.tflite import read_tflite

    folder = Path(__file__).resolve().parents[1] / "golden" / "models"
    board = load_board(target.board)
    objects: dict[str, Path] = {}
    names = []
    for name in MODELS:
        found = next(iter(sorted(folder.glob(f"{name}*.tflite"))))
        result = export_model(read_tflite(found), board, tmp_path / name, name=f"m_{name}")
        includes = [f"-I{path}" for path in result.include_paths]
        for source in result.source_paths:
            if source.name not in objects:  # models share kernels
                objects[source.name] = made = tmp_path / f"{name}-{source.stem}.o"
                compile_c(target, ["-c", *includes, str(source), "-o", str(made)])
        names.append(name)
    table = ("empty", *(f"run_{name}" for name in names))
    source, made = tmp_path / "cases.c", tmp_path / "cases.o"
    source.write_text(
        '#include "eag_model.h"\n'
        '__attribute__((noinline)) static void empty(void) { __asm volatile(""); }\n'
        + "".join(RUN_MODEL.replace("NAME", name) for name in names)
        + cases_source(table)
    )
    runtime = Path(__file__).resolve().parents[2] / "firmware" / "runtime"
    compile_c(target, ["-c", f"-I{runtime}", str(source), "-o", str(made)])
    linked = [*objects.values(), made]
    qemu = link(target, tmp_path, "qemu", QEMU_SCRIPT, linked, IN_QEMU)
    image = link(target, tmp_path, "board", BOARD_SCRIPT, linked, target.start + ON_THE_BOARD)
    counted = counts_on_the_board(target, image)
    assert counted == counts_in_qemu(target, qemu)
    assert min(counted[1:]) > 100
