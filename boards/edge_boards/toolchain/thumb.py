"""Just enough of Thumb-2 decoding to find double-precision instructions in code.

Source: ARMv7-M Architecture Reference Manual, A5.1 (instruction lengths), A6.4 (floating-point
data processing). Bits 11:9 of the second halfword are 101 for coprocessors 10 and 11, bit 8 is
`sz`: 1 for double precision.
"""

from __future__ import annotations

from collections.abc import Iterator


def is_wide(halfword: int) -> bool:
    """Whether an instruction that starts with this halfword has 32 bits."""
    return halfword >> 11 in (0b11101, 0b11110, 0b11111)


def is_f64(first: int, second: int) -> bool:
    """Whether a 32-bit instruction computes on, or converts from or to, double precision.

    Loads, stores and moves of D registers are not meant: a single-precision FPU has them.
    """
    if first >> 8 not in (0xEE, 0xFE) or second & 0x0E10 != 0x0A00:
        return False
    if second & 0x0100:
        return True
    # VCVT.F64.F32 has sz = 0: its source is single precision, its result is not.
    return first & 0xFFBF == 0xEEB7 and second & 0x00D0 == 0x00C0


def f64_offsets(code: bytes) -> Iterator[int]:
    """Offsets of double-precision instructions in a run of Thumb code."""
    at = 0
    while at + 2 <= len(code):
        first = int.from_bytes(code[at : at + 2], "little")
        if not is_wide(first):
            at += 2
            continue
        if at + 4 <= len(code) and is_f64(first, int.from_bytes(code[at + 2 : at + 4], "little")):
            yield at
        at += 4
