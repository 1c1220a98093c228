"""In-order single issue of the Cortex-M4: how many cycles a straight run of instructions takes.

Sources, most trusted first: the measurements of jnk0le/random, "pipeline cycle test/doc/
cortex_m3m4.md" (STM32F407); DDI 0439 and 100166, "Cortex-M4 instructions", "Load/store timings" and
the FPU's table. All figures are for memory without wait states.
"""

from __future__ import annotations

from collections.abc import Collection

from .decode import Instruction, Unit

LOAD = 2  # the second cycle is free for a load or store right behind it
REGISTER_OFFSET_STORE = 2
TABLE_BRANCH = 2
DIVIDE_CYCLES = 7  # SDIV, UDIV: 2 to 12 on silicon, by the operands; the middle
FLOAT_SLOW_CYCLES = 14  # VDIV.F32, VSQRT.F32
FLOAT_MAC_CYCLES = 3
REFILL = 2  # of the pipeline, at a taken branch: 1 to 3 in the manual; the middle
UNALIGNED_TARGET = 1  # more where a 32-bit instruction across two words is branched to
BARRIER_CYCLES = 4  # DSB, DMB, ISB
_FLOAT_MACS = ("vmla", "vmls", "vfma", "vfms", "vnmla", "vnmls", "vfnma", "vfnms")
_BARRIERS = ("dsb", "dmb", "isb")
_COMPUTE = frozenset({Unit.ALU, Unit.DSP, Unit.MAC, Unit.DIVIDE})
_MEMORY = frozenset({Unit.LOAD, Unit.STORE, Unit.MULTIPLE})


def _base(instruction: Instruction) -> int:
    """Cycles of an instruction on its own."""
    text = instruction.text
    match instruction.unit:
        case Unit.LOAD:
            return LOAD
        case Unit.STORE:
            return REGISTER_OFFSET_STORE if instruction.indexed else 1
        case Unit.MULTIPLE:
            return 1 + instruction.words
        case Unit.BRANCH:
            return TABLE_BRANCH if instruction.addressed else 1
        case Unit.DIVIDE:
            return DIVIDE_CYCLES
        case Unit.FLOAT_SLOW:
            return FLOAT_SLOW_CYCLES
        case Unit.FLOAT:
            if text.startswith(_FLOAT_MACS):
                return FLOAT_MAC_CYCLES
            # A VMOV of two core registers moves them one by one.
            return 2 if text.startswith("vmov") and instruction.words == 2 else 1
        case Unit.ALONE:
            return BARRIER_CYCLES if text.startswith(_BARRIERS) else 1
        case _:
            return 1


def _beside(before: Instruction, now: Instruction, same_bus: bool) -> int:
    """What the instruction right before adds to, or takes off, an instruction's cycles."""
    extra = 0
    if now.unit in _MEMORY and now.addressed & before.writes and before.unit in _COMPUTE:
        extra += 1  # no result is forwarded to the address
    overlaps = before.unit is Unit.LOAD and now.unit in (Unit.LOAD, Unit.STORE)
    if overlaps and same_bus and not now.addressed & before.writes:
        extra -= 1
    if before.unit is Unit.STORE and now.unit is Unit.LOAD:
        extra += 1
    if before.unit is Unit.STORE and now.unit is Unit.MULTIPLE and now.text[:3] in ("ldm", "pop"):
        extra += 1
    slow = before.unit in (Unit.FLOAT, Unit.FLOAT_SLOW)
    if slow and now.reads & before.writes:
        extra += 1
    if now.text.startswith("it") and before.size == 2:
        extra -= 1  # folded onto a 16-bit instruction
    return extra


def straight_cycles(instructions: tuple[Instruction, ...], far: Collection[int]) -> int:
    """Cycles of all of `instructions`, branches not taken.

    `far` are the addresses of those that access flash: the flash is on another bus than the RAM,
    and accesses to the two do not overlap.
    """
    cycles = 0
    before: Instruction | None = None
    for now in instructions:
        cost = _base(now)
        if before is not None:
            same_bus = (before.address in far) == (now.address in far)
            cost += _beside(before, now, same_bus)
        cycles += max(0, cost)
        before = now
    return cycles


def taken_cycles(target: int, target_size: int) -> int:
    """What a taken branch costs beyond its own cycles."""
    across = target_size == 4 and target % 4 != 0
    return REFILL + (UNALIGNED_TARGET if across else 0)
