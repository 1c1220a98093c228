"""Interrupts, frames and faults of the virtual Cortex-M7 and Cortex-M4."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

import bare_metal
from bare_metal import Bench

if bare_metal.compiler() is None:
    pytest.skip("no compiler for the board (arm-none-eabi-gcc or ziglang)", allow_module_level=True)


@pytest.fixture(params=[bare_metal.F746, bare_metal.L4R5], ids=["m7", "m4"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    with Bench(target=request.param) as made:
        yield made


MASKS = """
static volatile uint32_t calls;
void on_pend(void) { calls++; }
static void pend(void) { REG(0xE000ED04) = 1u << 28; }
void run(void) {
  calls = 0;
  REG(0xE000ED20) = 0x80u << 16; /* PendSV's priority */
  __asm volatile("cpsid i" ::: "memory");
  pend(); OUT[0] = calls;
  __asm volatile("cpsie i; isb" ::: "memory");
  OUT[1] = calls;
  uint32_t level = 0x80;
  __asm volatile("msr basepri, %0" :: "r"(level) : "memory");
  pend(); OUT[2] = calls;
  level = 0x90;
  __asm volatile("msr basepri, %0; isb" :: "r"(level) : "memory");
  OUT[3] = calls;
  level = 0;
  __asm volatile("msr basepri, %0; isb" :: "r"(level) : "memory");
  __asm volatile("cpsid f" ::: "memory");
  pend(); OUT[4] = calls;
  __asm volatile("cpsie f; isb" ::: "memory");
  OUT[5] = calls;
}
"""


def test_masks_hold_an_exception_back_until_they_open(bench: Bench) -> None:
    assert bench.run(MASKS)[:6] == (0, 1, 1, 2, 2, 3)


def test_wfi_wakes_with_interrupts_masked_and_takes_none(bench: Bench) -> None:
    out = bench.run(
        """
        static volatile uint32_t calls;
        void on_tick(void) { calls++; SYST_CSR = 0; }
        void run(void) {
          calls = 0;
          __asm volatile("cpsid i" ::: "memory");
          SYST_RVR = 999; SYST_CVR = 0; SYST_CSR = 7;
          __asm volatile("wfi" ::: "memory");
          OUT[0] = calls;
          __asm volatile("cpsie i\\n isb" ::: "memory");
          OUT[1] = calls;
        }
        """
    )
    assert out[:2] == (0, 1)


TICKS = """
static volatile uint32_t calls, at[8];
void on_tick(void) { at[calls++ & 7] = DWT_CYCCNT; }
void run(void) {
  calls = 0;
  DEMCR |= 1u << 24; DWT_LAR = 0xC5ACCE55; DWT_CTRL = 1;
  if (STACK) __asm volatile("msr psp, %0; msr control, %1; isb" :: "r"(0x20009000), "r"(2));
  SYST_RVR = 4999; SYST_CVR = 0; SYST_CSR = 7;
  while (calls < 5) {}
  OUT[0] = at[3] - at[2]; OUT[1] = at[4] - at[3];
  uint32_t control, psp;
  __asm volatile("mrs %0, control; mrs %1, psp" : "=r"(control), "=r"(psp));
  OUT[2] = control; OUT[3] = psp; OUT[255] = 0x600D600D;
  SYST_CSR = 0;
  for (;;) __asm volatile("wfi");
}
"""


@pytest.mark.parametrize("process_stack", [0, 1])
def test_ticks_come_on_time_into_a_busy_loop(bench: Bench, process_stack: int) -> None:
    out = bench.run(TICKS.replace("STACK", str(process_stack)))
    assert all(abs(apart - 5000) < 8 for apart in out[:2])
    assert out[2] == 2 * process_stack
    assert not process_stack or out[3] == 0x20009000


def test_wfe_waits_unless_an_event_came_before(bench: Bench) -> None:
    bench.start(
        """
        void on_tick(void) { SYST_CSR = 0; }
        void run(void) {
          __asm volatile("sev; wfe");
          OUT[0] = 1;
          SYST_RVR = 999; SYST_CVR = 0; SYST_CSR = 7;
          __asm volatile("wfe; yield");
          OUT[1] = 1;
          __asm volatile("wfe; wfe");
          OUT[2] = 1;
        }
        """
    )
    bench.go_on(100_000)
    assert bench.out()[:3] == (1, 1, 0)


NESTED = """
static volatile uint32_t order;
static void note(uint32_t what) { order = order * 10 + what; }
void on_pend(void) {
  note(1);
  __asm volatile("svc #7");
  note(3);
}
void on_call(void) { note(2); OUT[1] = REG(0xE000ED04) & 0x1FF; }
void run(void) {
  order = 0;
  REG(0xE000ED1C) = 0x10u << 24; /* SVCall before PendSV */
  REG(0xE000ED20) = 0x80u << 16;
  REG(0xE000ED04) = 1u << 28;
  __asm volatile("isb");
  note(4);
  OUT[0] = order;
}
"""


def test_a_higher_priority_interrupts_a_handler(bench: Bench) -> None:
    assert bench.run(NESTED)[:2] == (1234, 11)


FRAMES = """
void on_pend(void) {
  __asm volatile("vmov.f32 s0, #3.0\\n vmov.f32 s15, #4.0\\n vmov.f32 s1, s0\\n"
                 "movs r0, #0\\n movs r1, #0\\n movs r2, #0\\n movs r3, #0\\n mov r12, r0"
                 ::: "s0", "s1", "s15", "r0", "r1", "r2", "r3", "r12");
}
__attribute__((noinline)) static void interrupted(void) {
  __asm volatile(
      "vmov.f32 s0, #1.0\\n vmov.f32 s15, #2.0\\n vmov.f32 s16, #5.0\\n"
      "movs r0, #10\\n movs r1, #11\\n movs r2, #12\\n mov r12, #13\\n"
      "ldr r3, =0xE000ED04\\n mov r4, #0x10000000\\n sub sp, #4\\n cmp r4, r4\\n"
      "str r4, [r3]\\n isb\\n"
      "mrs r5, apsr\\n add sp, #4\\n"
      "ldr r4, =0x20001000\\n stm r4!, {r0, r1, r2}\\n str r12, [r4], #4\\n str r5, [r4], #4\\n"
      "vstr s0, [r4]\\n vstr s15, [r4, #4]\\n vstr s16, [r4, #8]\\n b 9f\\n .ltorg\\n 9:"
      ::: "r0", "r1", "r2", "r3", "r4", "r5", "r12", "s0", "s15", "s16", "memory", "cc");
}
void run(void) {
  fpu_on();
  REG(0xE000ED20) = 0x80u << 16;
  interrupted();
}
"""


def test_a_handler_leaves_registers_flags_and_floats_as_they_were(bench: Bench) -> None:
    out = bench.run(FRAMES)
    assert out[:4] == (10, 11, 12, 13)
    assert out[4] >> 30 & 1  # Z
    assert out[5:8] == (0x3F800000, 0x40000000, 0x40A00000)


FAULT = """
__attribute__((naked)) void on_hard_fault(void) {
  __asm volatile("mov r0, sp\\n mov r1, lr\\n b report");
}
__attribute__((used, noreturn)) void report(uint32_t *frame, uint32_t lr) {
  OUT[0] = SCB_CFSR; OUT[1] = SCB_HFSR; OUT[2] = SCB_MMFAR; OUT[3] = SCB_BFAR;
  OUT[4] = frame[6]; OUT[5] = lr; OUT[255] = 0x600D600D;
  for (;;) __asm volatile("wfi");
}
extern char faulting[];
void run(void) {
  OUT[6] = (uint32_t)faulting & ~1u;
  SETUP
  __asm volatile("ldr r0, =ADDRESS\\n b 1f\\n .ltorg\\n 1:\\n"
                 ".global faulting\\n .thumb_func\\n faulting: INSTRUCTION\\n"
                 ::: "r0", "r1", "r2", "r3", "r4", "memory");
}
"""
UNALIGNED, UNDEFINED, NOCP, PRECISE, MEMORY = 1 << 24, 1 << 16, 1 << 19, 0x8200, 0x82


def fault(bench: Bench, instruction: str, address: int = 0, setup: str = "") -> tuple[int, ...]:
    source = FAULT.replace("INSTRUCTION", instruction).replace("ADDRESS", f"0x{address:08x}")
    out = bench.run(source.replace("SETUP", setup))
    assert out[1] == 1 << 30, "not escalated"
    assert out[4] == out[6], "the frame does not hold the faulting instruction's address"
    return out


@pytest.mark.parametrize(
    "instruction",
    [
        *("ldrd r1, r2, [r0]", "strd r1, r2, [r0, #8]", "ldm r0, {r1, r2}", "stm r0!, {r1, r2}"),
        *("ldmia.w r0, {r1, r8}", "ldrex r1, [r0]", "strex r1, r2, [r0]", "ldmdb r0!, {r1, r2}"),
        *("vldr s0, [r0]", "vstr d1, [r0]", "vldmia r0!, {s0-s3}", "vstmdb r0!, {d0-d1}"),
    ],
)
def test_multi_word_accesses_want_aligned_addresses(bench: Bench, instruction: str) -> None:
    assert fault(bench, instruction, 0x20008002, "fpu_on();")[0] == UNALIGNED


@pytest.mark.parametrize("instruction", ["ldr r1, [r0]", "strh r1, [r0]", "ldr.w r1, [r0, #3]"])
def test_single_accesses_may_be_unaligned(bench: Bench, instruction: str) -> None:
    source = FAULT.replace("INSTRUCTION", instruction).replace("ADDRESS", "0x20008001")
    assert bench.run(source.replace("SETUP", ""))[0] == 0


@pytest.mark.parametrize(
    ("instruction", "first", "second"),
    [
        ("vadd.f64 d0, d0, d0", 0xEE30, 0x0B00),
        ("vcvt.f64.f32 d0, s0", 0xEEB7, 0x0AC0),
        ("vmul.f64 d1, d2, d3", 0xEE22, 0x1B03),
        ("vmov.f64 d0, d1", 0xEEB0, 0x0B41),
        ("vmaxnm.f64 d0, d1, d2", 0xFE81, 0x0B02),
    ],
)
def test_double_precision_is_undefined(
    bench: Bench, instruction: str, first: int, second: int
) -> None:
    # By its code: an assembler for this part refuses the mnemonic.
    out = fault(bench, f".hword 0x{first:04x}, 0x{second:04x} @ {instruction}", 0, "fpu_on();")
    assert out[0] == UNDEFINED, instruction


@pytest.mark.parametrize("instruction", ["vmov d0, r0, r1", "vldr d0, [sp]", "vpush {d8-d9}"])
def test_moving_double_registers_is_defined(bench: Bench, instruction: str) -> None:
    undo = "\\n vpop {d8-d9}" if "push" in instruction else ""
    source = FAULT.replace("INSTRUCTION", instruction + undo).replace("ADDRESS", "0")
    assert bench.run(source.replace("SETUP", "fpu_on();"))[0] == 0


def test_the_fpu_must_be_switched_on(bench: Bench) -> None:
    assert fault(bench, "vadd.f32 s0, s0, s0")[0] == NOCP


def test_an_undefined_instruction_faults(bench: Bench) -> None:
    assert fault(bench, "udf #3")[0] == UNDEFINED


@pytest.mark.parametrize("address", [0x18000000, 0x200A0000, 0x00400000])
def test_reserved_addresses_answer_with_a_bus_fault(bench: Bench, address: int) -> None:
    out = fault(bench, "ldr r1, [r0]", address)
    assert (out[0], out[3]) == (PRECISE, address)


GUARD = """
  MPU_RBAR = 0x20003000u | 0x10; MPU_RASR = 1u << 28 | ACCESSu << 24 | 4u << 1 | 1;
  MPU_CTRL = 5; __asm volatile("dsb; isb");
  REG(0x20003020) = 1; (void)REG(0x20002FFC); (void)REG(0x20003040);
"""


@pytest.mark.parametrize(
    ("instruction", "access", "faults"),
    [
        ("str r0, [r0, #0x1c]", 0, True),
        ("ldr r1, [r0]", 0, True),
        ("str r0, [r0]", 6, True),
        ("ldr r1, [r0]", 6, False),
        ("str r0, [r0, #0x20]", 0, False),
    ],
)
def test_the_mpu_guards_to_the_byte(
    bench: Bench, instruction: str, access: int, faults: bool
) -> None:
    setup = GUARD.replace("ACCESS", str(access)).replace("\n", "")
    if faults:
        out = fault(bench, instruction, 0x20003000, setup)
        assert out[0] == MEMORY
        assert 0x20003000 <= out[2] < 0x20003020
    else:
        source = FAULT.replace("INSTRUCTION", instruction).replace("ADDRESS", "0x20003000")
        assert bench.run(source.replace("SETUP", setup))[0] == 0


def test_code_without_the_right_to_run_faults(bench: Bench) -> None:
    source = FAULT.replace("SETUP", "").replace("ADDRESS", "TARGET").replace("INSTRUCTION", "bx r0")
    source = source.replace("OUT[4] = frame[6]", "OUT[4] = 0")
    invalid_state = bench.run(source.replace("TARGET", "0x08000100"))[0]
    no_code = bench.run(source.replace("TARGET", "0x40011001"))[0]
    nowhere = bench.run(source.replace("TARGET", "0x18000001"))[0]
    assert (invalid_state, no_code, nowhere) == (1 << 17, 1, 1 << 8)


def test_an_enabled_fault_handler_is_entered_itself(bench: Bench) -> None:
    out = bench.run(
        """
        void on_usage_fault(void) {
          OUT[0] = SCB_CFSR; OUT[1] = REG(0xE000ED04) & 0x1FF; OUT[255] = 0x600D600D;
          for (;;) __asm volatile("wfi");
        }
        void run(void) { SCB_SHCSR = 7u << 16; __asm volatile("udf #0"); }
        """
    )
    assert out[:2] == (UNDEFINED, 6)


COUNTED = """
static volatile uint32_t calls;
void on_tick(void) { calls++; }
void step(void);
__asm(".thumb\\n .global step\\n .type step, %function\\n .thumb_func\\n"
      "step: ldr r0, =3000\\n"
      "1: subs r0, #1\\n it eq\\n addeq r1, #1\\n tst r0, #1\\n ite eq\\n addeq r2, #1\\n"
      "subne r2, #1\\n cmp r0, #0\\n bne 1b\\n bx lr\\n .ltorg\\n");
void call(void (*what)(void));
extern char back[];
__asm(".thumb\\n .global call\\n .type call, %function\\n .thumb_func\\n"
      "call: push {r4, lr}\\n blx r0\\n .global back\\n back: pop {r4, pc}\\n");
void run(void) {
  OUT[0] = (uint32_t)back;
  while (!OUT[1]) {}
  calls = 0;
  if (OUT[1] == 2) { SYST_RVR = 96; SYST_CVR = 0; SYST_CSR = 7; }
  call(step);
  SYST_CSR = 0;
  OUT[2] = calls;
}
"""


def test_interrupts_leave_a_steps_count_alone(bench: Bench) -> None:
    counts = []
    for mode in (1, 2):
        bench.start(COUNTED)
        bench.go_on(1000)
        back = bench.out()[0] & ~1
        bench.machine.counter.arm(back - 2, back)
        bench.machine.memory.write(bare_metal.OUT + 4, bytes([mode]))
        bench.go_on(1_000_000)
        (step,) = bench.machine.counter.take()
        counts.append(step.instructions)
        assert bench.out()[2] > (100 if mode == 2 else -1)
    assert counts == [27_002, 27_002]
