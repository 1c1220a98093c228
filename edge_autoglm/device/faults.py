"""A Cortex-M fault's registers in words.

Bits of CFSR and HFSR after the Armv7-M Architecture Reference Manual (DDI 0403), B3.2.15 and
B3.2.16; bit 20 is Armv8-M's (DDI 0553).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_CFSR = {
    0: "instruction fetch from a place that the MPU forbids",
    1: "data access to a place that the MPU forbids (a stack overflow meets the guard here)",
    3: "MPU fault while leaving an exception",
    4: "MPU fault while entering an exception (the stack is full)",
    5: "MPU fault while saving the FPU's state",
    8: "bus error on an instruction fetch",
    9: "bus error on a data access",
    10: "bus error on a data access, noticed later (a buffered write)",
    11: "bus error while leaving an exception",
    12: "bus error while entering an exception",
    13: "bus error while saving the FPU's state",
    16: "undefined instruction",
    17: "return to an address without the Thumb bit",
    18: "wrong EXC_RETURN",
    19: "a coprocessor or FPU that is off",
    20: "the stack pointer fell below the stack's limit: the stack is full",
    24: "unaligned access",
    25: "division by zero",
}
_MMARVALID = 1 << 7
_BFARVALID = 1 << 15
_HFSR = {1: "vector table read failed", 30: "escalated to a hard fault", 31: "debug event"}


def fault_words(registers: Mapping[str, Any]) -> str:
    """The causes that CFSR and HFSR hold, with the address where one is valid.

    Args:
        registers: `cfsr`, `hfsr` and, where the bits say they are valid, `mmfar` and `bfar`.
    """
    cfsr, hfsr = int(registers.get("cfsr", 0)), int(registers.get("hfsr", 0))
    causes = [words for bit, words in _CFSR.items() if cfsr >> bit & 1]
    if cfsr & _MMARVALID and "mmfar" in registers:
        causes.append(f"at address 0x{int(registers['mmfar']):08X}")
    if cfsr & _BFARVALID and "bfar" in registers:
        causes.append(f"at address 0x{int(registers['bfar']):08X}")
    causes += [words for bit, words in _HFSR.items() if hfsr >> bit & 1]
    return ", ".join(causes) if causes else "no cause recorded"


def fault_message(board: str, registers: Mapping[str, Any], step: str | None) -> str:
    """One line for a FAULT event: where, why, and in which step of the model."""
    where = f" in {step}" if step else ""
    return (
        f"{board}: the firmware faulted{where}: {fault_words(registers)} "
        f"(PC 0x{int(registers.get('pc', 0)):08X}, LR 0x{int(registers.get('lr', 0)):08X}, "
        f"CFSR 0x{int(registers.get('cfsr', 0)):08X}); it resets itself. Look the PC up in the "
        "image's .map file"
    )
