"""The issue rules of the modelled Cortex-M7, on small loops, and what memories cost."""

from __future__ import annotations

import pytest

pytest.importorskip("capstone", reason="capstone is not installed (extra: virtual)")

from thumb_code import assemble

from edge_boards.virtual.cycles.decode import Decoder
from edge_boards.virtual.cycles.m7 import CycleModel, MemoryKind
from edge_boards.virtual.cycles.m7_issue import schedule
from edge_boards.virtual.native import TRACE_CUT, TRACE_DATA


def cycles(source: str, repeat: int = 1) -> float:
    """Cycles an unrolled copy takes, once the first has filled the pipeline."""
    decoder = Decoder()
    one = schedule(decoder.block(assemble(source), 0)).cycles
    many = schedule(decoder.block(assemble("\n".join([source] * (repeat + 1))), 0)).cycles
    return (many - one) / repeat


PAIRING = {
    "two independent additions": ("add r0, r1, r2\nadd r3, r4, r5", 1),
    "an addition that needs the other": ("add r0, r1, r0\nadd r0, r2, r0", 2),
    "two multiply-accumulates": ("smlad r0, r1, r2, r0\nsmlad r3, r4, r5, r3", 2),
    "a multiply-accumulate and a load": ("smlad r0, r1, r2, r0\nldr r3, [r4]", 1),
    "a multiply-accumulate and a store": ("smlad r0, r1, r2, r0\nstr r3, [r4]", 2),
    "an extension before a multiply-accumulate": ("sxtb16 r3, r4\nsmlad r0, r1, r2, r0", 1),
    "two extensions": ("sxtb16 r3, r4\nsxtb16 r5, r6", 2),
    "two shifted operands": ("add r0, r1, r2, lsl #1\nadd r3, r4, r5, lsl #1", 2),
    "loads from an even and an odd bank": ("ldr r0, [r8]\nldr r1, [r8, #4]", 1),
    "loads from one bank": ("ldr r0, [r8]\nldr r1, [r8, #8]", 2),
    "a load and a store": ("ldr r0, [r8]\nstr r1, [r9]", 1),
    "two stores": ("str r0, [r8]\nstr r1, [r9]", 2),
    "four registers at once": ("ldm r8, {r0, r1, r2, r3}", 2),
    "two words at once": ("ldrd r0, r1, [r8]", 1),
}


@pytest.mark.parametrize("name", PAIRING)
def test_pairing(name: str) -> None:
    source, expected = PAIRING[name]
    assert cycles(source, repeat=8) == expected


LATENCY = {
    "load to addition": ("ldr r0, [r8]\nadd r8, r0, r2", 2),
    "load to multiply": ("ldr r0, [r8]\nmul r8, r0, r2", 4),
    "byte load to addition": ("ldrb r0, [r8]\nadd r8, r0, r2", 3),
    "load to a shifted operand": ("ldr r0, [r8]\nadd r8, r2, r0, lsl #2", 3),
    "the accumulator chain": ("smlad r0, r1, r2, r0", 1),
    "multiply to addition": ("mul r0, r8, r2\nadd r8, r0, r2", 3),
    "a base register stepped by a load": ("ldr r0, [r8], #4", 1),
}


@pytest.mark.parametrize("name", LATENCY)
def test_latency(name: str) -> None:
    source, expected = LATENCY[name]
    assert cycles(source, repeat=8) == expected


def model_of(code: bytes, kind: MemoryKind = MemoryKind.TCM) -> CycleModel:
    return CycleModel(lambda address, size: code[address : address + size], lambda _: kind)


def run(model: CycleModel, *blocks: tuple[int, int]) -> None:
    model.feed([word for block in blocks for word in block])
    model.finish()


def read(model: CycleModel, address: int, size: int = 4) -> None:
    model.feed([address, size | TRACE_DATA])


def test_a_loop_learns_its_branch_and_pays_once_at_the_end() -> None:
    code = assemble("1: subs r0, #1\nbne 1b\nnop")
    model = model_of(code)
    run(model, *[(0, 4)] * 100)
    inside = model.mispredicted
    run(model, (4, 2))
    assert inside <= 1
    assert model.mispredicted == inside + 1


def test_a_block_cut_by_an_interrupt_costs_what_it_costs_whole() -> None:
    code = assemble("\n".join(["add r0, r1, r2\nadd r0, r0, r2"] * 4))
    whole, cut = model_of(code), model_of(code)
    run(whole, (0, len(code)))
    run(cut, (0, len(code)), (16, TRACE_CUT), (16, len(code) - 16))
    assert cut.cycles == whole.cycles


def test_a_line_of_flash_costs_seven_and_a_half_cycles_once() -> None:
    model = model_of(b"\x00\xbf" * 32, MemoryKind.FLASH)
    before = model.cycles
    for address in range(0, 32 * 100, 4):
        read(model, 0x08010000 + address)
    assert model.cycles - before == pytest.approx(7.5 * 100, abs=1)
    again = model.cycles
    read(model, 0x08010000 + 32 * 99)
    assert model.cycles == again


def test_unaligned_loads_cost_three_cycles_within_a_line_and_four_across_two() -> None:
    model = model_of(b"\x00\xbf" * 32, MemoryKind.SRAM)
    read(model, 0x20010001)
    assert model.cycles == 3
    read(model, 0x2001001E)
    assert model.cycles == 3 + 4


def test_code_in_flash_is_fetched_by_lines_and_then_cached() -> None:
    code = assemble("\n".join(["add r0, r1, r2\nadd r3, r4, r5"] * 16))
    cold, tcm = model_of(code, MemoryKind.FLASH), model_of(code)
    for model in (cold, tcm):
        run(model, (0, len(code)))
    assert cold.cycles - tcm.cycles == int(7.5 * -(-len(code) // 32))
    first = cold.cycles
    cold.restart()
    run(cold, (0, len(code)))
    assert cold.cycles - first == tcm.cycles


def test_an_unknown_encoding_issues_alone() -> None:
    (instruction,) = Decoder().block(b"\xff\xff\xff\xff", 0)
    assert instruction.size == 4
    assert schedule((instruction, instruction)).cycles == 2
