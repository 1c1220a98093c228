"""In-order dual issue of the Cortex-M7: how many cycles a straight run of instructions takes.

Rules and figures: the measured tables of jnk0le/random, "pipeline cycle test/doc/cortex_m7.md"
(STM32H743); quinapalus, "Cortex-M7 instruction cycle counts" (STM32H730); LLVM's
ARMScheduleM7.td. Where they disagree the first wins. Each constant below says what it stands for.
"""

from __future__ import annotations

from dataclasses import dataclass

from .decode import FLAGS, Instruction, Unit

# Latencies: cycles from a producer's issue to the first in which its consumer can issue.
LOAD_TO_ALU = 1
LOAD_TO_MAC = 2
NARROW_LOAD = 1  # a byte or halfword load is later by this
MAC_TO_OTHER = 2  # and 1 along the accumulator chain
FLOAT_LATENCY = 3
DIVIDE_CYCLES = 8  # SDIV, UDIV: 3 to 12 on silicon, by the operands; the middle
FLOAT_SLOW_CYCLES = 14  # VDIV.F32, VSQRT.F32


@dataclass(frozen=True)
class Cost:
    """A schedule's length, and what a branch at its end needs to know."""

    cycles: int
    flags_age: int  # cycles between the last write of the flags and the last issue


def _loads_share_bank(older: Instruction, younger: Instruction) -> bool:
    """DTCM is two 32-bit banks: an even and an odd word go together. Different bases: unknown,
    taken as a hit, because compilers walk two arrays far more often than one column."""
    if older.base is None or older.base != younger.base:
        return False
    return (older.offset >> 2) & 1 == (younger.offset >> 2) & 1


_SINGLE = frozenset({Unit.MULTIPLE, Unit.ALONE, Unit.DIVIDE, Unit.FLOAT_SLOW})


def pairs(older: Instruction, younger: Instruction) -> bool:
    """Whether the two may issue in one cycle, dependencies aside."""
    a, b = older.unit, younger.unit
    if a in _SINGLE or b in _SINGLE or a is Unit.BRANCH:
        return False
    if b is Unit.DSP or (older.shifts and younger.shifts):
        return False
    both = {a, b}
    if both == {Unit.MAC} or both == {Unit.MAC, Unit.STORE}:
        return False
    if both == {Unit.STORE} or both == {Unit.FLOAT}:
        return False
    return not (both == {Unit.LOAD} and _loads_share_bank(older, younger))


def _latency(producer: Instruction, consumer: Instruction, register: int) -> int:
    """Cycles from the producer's issue until the consumer can issue."""
    unit = producer.unit
    accumulating = register in consumer.accumulators and consumer.unit is Unit.MAC
    if register == FLAGS:
        latency = 0 if consumer.unit is Unit.BRANCH else 1
    elif unit is Unit.MAC:
        latency = 1 if accumulating else MAC_TO_OTHER
    elif unit in (Unit.LOAD, Unit.MULTIPLE) and register not in producer.stepped:
        to_mac = consumer.unit is Unit.MAC and not accumulating
        latency = (LOAD_TO_MAC if to_mac else LOAD_TO_ALU) + producer.narrow * NARROW_LOAD
    elif unit is Unit.FLOAT:
        latency = FLOAT_LATENCY
    else:
        latency = 1
    return latency + (1 if register in consumer.early and register != FLAGS else 0)


def _occupancy(instruction: Instruction) -> int:
    """Cycles during which nothing else issues."""
    match instruction.unit:
        case Unit.MULTIPLE:
            return (instruction.words + 1) // 2
        case Unit.DIVIDE:
            return DIVIDE_CYCLES
        case Unit.FLOAT_SLOW:
            return FLOAT_SLOW_CYCLES
        case _:
            return 1


def schedule(instructions: tuple[Instruction, ...]) -> Cost:
    """Cycles to issue all of `instructions` from an empty pipeline."""
    producers: dict[int, tuple[Instruction, int]] = {}
    cycle = -1  # of the last issue
    busy_until = 0  # first cycle in which something may issue
    older: Instruction | None = None  # alone in `cycle` so far
    flags_at = 0
    for instruction in instructions:
        ready = 0
        for register in instruction.reads:
            if register in producers:
                producer, issued = producers[register]
                ready = max(ready, issued + _latency(producer, instruction, register))
        together = older is not None and ready <= cycle and pairs(older, instruction)
        if together:
            older = None
        else:
            cycle = max(ready, busy_until)
            older = instruction
        busy_until = cycle + _occupancy(instruction)
        last = busy_until - 1
        for register in instruction.writes:
            producers[register] = (instruction, last)
        if FLAGS in instruction.writes:
            flags_at = cycle
    return Cost(cycles=busy_until, flags_age=cycle - flags_at)
