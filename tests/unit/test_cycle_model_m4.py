"""The modelled Cortex-M4 on short runs of instructions, and what flash behind the ART costs."""

from __future__ import annotations

import pytest

pytest.importorskip("capstone", reason="capstone is not installed (extra: virtual)")

from thumb_code import assemble

from edge_boards.virtual.cycles.art import Lines
from edge_boards.virtual.cycles.decode import Decoder
from edge_boards.virtual.cycles.m4 import CycleModel, FlashSettings
from edge_boards.virtual.cycles.m4_timing import straight_cycles
from edge_boards.virtual.native import TRACE_CUT, TRACE_DATA, TRACE_PC_SHIFT

NO_WAIT = FlashSettings(0, True, True, True)
FULL_SPEED = FlashSettings(5, True, True, True)  # 120 MHz


def cycles(source: str, far: tuple[int, ...] = ()) -> int:
    return straight_cycles(Decoder().block(assemble(source), 0), far)


TIMING = {
    "additions": ("add r0, r1, r2\nadd r3, r0, r2\nadd r4, r3, r0, lsl #3", 3),
    "multiply-accumulates": ("smlad r0, r1, r2, r0\nmla r3, r1, r2, r0\nsmlal r0, r1, r2, r3", 3),
    "saturation and extension": ("ssat r0, #8, r1\nsxtb16 r2, r0\npkhbt r3, r0, r2", 3),
    "a load": ("ldr r0, [r1]", 2),
    "loads behind each other": ("ldr r0, [r1]\nldr r2, [r3]\nldrb r4, [r5]\nldrsh r6, [r7]", 5),
    "a load from a loaded address": ("ldr r0, [r1]\nldr r2, [r0]", 4),
    "a chain on one stepped base": ("ldr r0, [r1], #4\nldr r2, [r1], #4", 4),
    "a chain on two": ("ldr r0, [r1], #4\nldr r2, [r3], #4\nldr r4, [r1]", 4),
    "an address just computed": ("add r1, r2, r3\nldr r0, [r1]", 4),
    "an address computed earlier": ("add r1, r2, r3\nnop\nldr r0, [r1]", 4),
    "a store": ("str r0, [r1, #4]", 1),
    "a store behind a load": ("ldr r0, [r1]\nstr r0, [r2]", 2),
    "a store with a register offset": ("str r0, [r1, r2]", 2),
    "a load behind a store": ("str r0, [r1]\nldr r2, [r3]", 4),
    "four registers at once": ("ldm r0, {r1, r2, r3, r4}", 5),
    "two words at once": ("ldrd r0, r1, [r2]", 3),
    "a saved frame": ("push {r4, r5, lr}", 4),
    "float arithmetic": ("vadd.f32 s0, s1, s2\nvmul.f32 s3, s4, s5", 2),
    "a float used at once": ("vadd.f32 s0, s1, s2\nvmul.f32 s3, s0, s5", 3),
    "a float multiply-accumulate": ("vmla.f32 s0, s1, s2", 3),
    "a float division": ("vdiv.f32 s0, s1, s2", 14),
    "an IT behind a short instruction": ("cmp r0, r1\nit eq\naddeq r0, r1", 2),
}


@pytest.mark.parametrize("name", TIMING)
def test_timing(name: str) -> None:
    source, expected = TIMING[name]
    assert cycles(source) == expected


def test_loads_from_flash_and_from_ram_do_not_overlap() -> None:
    source = "ldr r0, [r1]\nldr r2, [r3]\nldr r4, [r5]\nldr r6, [r7]"
    assert cycles(source) == cycles(source, far=(0, 2, 4, 6)) == 5
    assert cycles(source, far=(0, 4)) == 8
    assert cycles(source, far=(0, 2)) == 6


def model_of(
    code: bytes, settings: FlashSettings = NO_WAIT, *, in_flash: bool = True
) -> CycleModel:
    def read(address: int, size: int) -> bytes:
        return code[address : address + size]

    return CycleModel(read, lambda _: in_flash, lambda: settings)


def run(model: CycleModel, *blocks: tuple[int, int]) -> int:
    """Cycles of some blocks (address, size) one after another, caches as they were."""
    before = model.cycles
    model.restart()
    model.feed([word for block in blocks for word in block])
    model.finish()
    return model.cycles - before


def constant(instruction: int, address: int) -> tuple[int, int]:
    """An instruction reads a word of flash."""
    return address, 4 | TRACE_DATA | instruction >> 1 << TRACE_PC_SHIFT


def test_a_taken_branch_refills_the_pipeline_and_one_not_taken_does_not() -> None:
    model = model_of(assemble("1: subs r0, #1\nbne 1b\nnop"))
    assert run(model, *[(0, 4)] * 10, (4, 2)) == 10 * 2 + 9 * 2 + 1


def test_a_long_instruction_across_words_is_a_slow_target() -> None:
    across = model_of(assemble("nop\n1: add.w r8, r9, r10\nb 1b"))
    aligned = model_of(assemble("1: add.w r8, r9, r10\nb 1b"))
    assert run(across, (2, 6), (2, 6)) == 2 + 3 + 2
    assert run(aligned, (0, 6), (0, 6)) == 2 + 2 + 2


def test_a_block_cut_by_an_interrupt_costs_what_it_costs_whole() -> None:
    code = assemble("\n".join(["add r0, r1, r2\nadd r0, r0, r2"] * 4))
    whole = run(model_of(code), (0, len(code)))
    assert run(model_of(code), (0, len(code)), (16, TRACE_CUT), (16, len(code) - 16)) == whole


def test_new_code_waits_for_the_flash_and_cached_code_does_not() -> None:
    code = assemble("\n".join(["add.w r8, r9, r10"] * 32))  # 16 double words
    model = model_of(code, FULL_SPEED)
    # 5 for the first; then 2 of the 6 cycles of each read are spent on the double word before.
    assert run(model, (0, len(code))) == 32 + 5 + 15 * 4
    assert run(model, (0, len(code))) == 32
    assert run(model_of(code, FULL_SPEED, in_flash=False), (0, len(code))) == 32
    no_prefetch = FlashSettings(5, True, True, False)
    assert run(model_of(code, no_prefetch), (0, len(code))) == 32 + 16 * 5
    no_cache = model_of(code, FlashSettings(5, False, True, True))
    assert run(no_cache, (0, len(code))) == run(no_cache, (0, len(code))) == 32 + 5 + 15 * 4


def test_a_loop_longer_than_the_lines_is_never_all_there() -> None:
    code = assemble("\n".join(["add.w r8, r9, r10"] * 512))  # 2 KB; the lines are 1 KB
    model = model_of(code, FULL_SPEED)
    blocks = [(at, 64) for at in range(0, 2048, 64)]
    first = run(model, *blocks)
    assert run(model, *blocks) == first == 512 + 5 + 255 * 4
    fits = [(at, 64) for at in range(0, 1024, 64)]
    run(model, *fits)
    assert run(model, *fits) == 256


def test_constants_wait_once_for_each_double_word() -> None:
    model = model_of(assemble("ldr r0, [r1]"), FULL_SPEED)
    run(model, (0, 2))

    def stream(begin: int, end: int) -> int:
        reads = (((0, 2), constant(0, address)) for address in range(begin, end, 4))
        return run(model, *(entry for pair in reads for entry in pair))

    assert stream(0x4000, 0x4100) == 64 * 2 + 32 * 5
    assert stream(0x4000, 0x4100) == 64 * 2  # 256 bytes are kept
    assert stream(0x4000, 0x4200) == 128 * 2 + 32 * 5
    assert stream(0x4000, 0x4100) == 64 * 2 + 32 * 5


def test_the_least_recently_used_line_is_dropped() -> None:
    lines = Lines(2)
    assert lines.touch(0)
    assert lines.touch(4)
    assert not lines.touch(0)
    assert lines.touch(1)  # same line, not yet read
    assert lines.touch(8)
    assert not lines.touch(0)
    assert lines.touch(4)
