"""Double-precision instructions are told from all others: a disassembler is the judge."""

from __future__ import annotations

import capstone
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_boards.toolchain.thumb import f64_offsets, is_f64, is_wide

_MOVES = ("vldr", "vstr", "vldm", "vstm", "vpush", "vpop")


@pytest.fixture(scope="module")
def disassembler() -> capstone.Cs:
    return capstone.Cs(
        capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS | capstone.CS_MODE_V8
    )


@settings(max_examples=1000, deadline=None)
@given(
    first=st.one_of(st.integers(0xEE00, 0xEEFF), st.integers(0xFE00, 0xFEFF)),
    low=st.binary(min_size=2, max_size=2),
)
def test_a_floating_point_instruction_is_f64_exactly_when_its_mnemonic_says_so(
    disassembler: capstone.Cs, first: int, low: bytes
) -> None:
    second = int.from_bytes(low, "little") & 0xF1FF | 0x0A00
    code = first.to_bytes(2, "little") + second.to_bytes(2, "little")
    found = next(iter(disassembler.disasm_lite(code, 0)), None)
    if found is not None:
        assert is_f64(first, second) == (".f64" in found[2])


@settings(max_examples=500, deadline=None)
@given(data=st.binary(min_size=4, max_size=4))
def test_nothing_else_is_taken_for_f64(disassembler: capstone.Cs, data: bytes) -> None:
    found = next(iter(disassembler.disasm_lite(data, 0)), None)
    first = int.from_bytes(data[:2], "little")
    if found is not None:
        assert (found[1] == 4) == is_wide(first)
        told = 0 in list(f64_offsets(data))
        assert told == (found[1] == 4 and ".f64" in found[2])


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ((0xEE20, 0x0B01), True),  # vmul.f64 d0, d0, d1
        ((0xEE20, 0x0A01), False),  # vmul.f32 s0, s0, s2
        ((0xEEB7, 0x0AC0), True),  # vcvt.f64.f32 d0, s0
        ((0xEEB7, 0x0BC0), True),  # vcvt.f32.f64 s0, d0
        ((0xEEB8, 0x0AC0), False),  # vcvt.f32.s32 s0, s0
        ((0xED90, 0x0B00), False),  # vldr d0, [r0]
        ((0xED2D, 0x8B04), False),  # vpush {d8, d9}
        ((0xEC51, 0x0B10), False),  # vmov r0, r1, d0
        ((0xEE10, 0x0B10), False),  # vmov.32 r0, d0[0]
    ],
)
def test_moves_of_double_registers_are_no_double_arithmetic(
    word: tuple[int, int], expected: bool
) -> None:
    assert is_f64(*word) is expected


def test_the_second_half_of_a_wide_instruction_is_not_taken_for_a_first() -> None:
    # movw r0, #0xEE20-like immediates: the middle reads as vmul.f64 when decoded out of step.
    code = bytes.fromhex("40f2") + bytes.fromhex("20ee") + bytes.fromhex("010b")
    assert list(f64_offsets(code)) == []
