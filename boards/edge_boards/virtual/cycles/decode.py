"""Thumb-2 instructions as the cycle models see them.

Capstone disassembles; what its register lists leave out (the source of SSAT, the accumulators of
SMLAL, the registers of a VLDM) is worked out here from the operands, because a missing dependency
would make the model too fast without a word.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any

import capstone
from capstone import arm

FLAGS = -1  # the condition flags, as a register


class Unit(enum.Enum):
    """What an instruction occupies when it issues."""

    ALU = enum.auto()
    DSP = enum.auto()  # bit-field, extension, saturation, packing: the older slot only
    MAC = enum.auto()  # every multiply
    DIVIDE = enum.auto()
    LOAD = enum.auto()
    STORE = enum.auto()
    MULTIPLE = enum.auto()  # LDM, LDRD, STM, PUSH, ...: alone
    BRANCH = enum.auto()
    FLOAT = enum.auto()
    FLOAT_SLOW = enum.auto()  # VDIV, VSQRT
    ALONE = enum.auto()  # barriers, system registers


@dataclass(frozen=True)
class Instruction:
    """One decoded instruction. Registers are capstone's numbers, flags are `FLAGS`."""

    address: int
    size: int
    unit: Unit
    reads: frozenset[int]
    writes: frozenset[int]
    early: frozenset[int]  # sources of the shifter, needed a cycle before the others
    accumulators: frozenset[int]  # what a MAC adds to: forwarded from another MAC at once
    stepped: frozenset[int]  # base registers written back: ready from the address adder
    shifts: bool  # has a shifted operand
    words: int  # 32-bit words a MULTIPLE moves
    narrow: bool  # a byte or halfword load
    base: int | None  # of a load with a constant offset: register and offset tell the bank
    offset: int
    addressed: frozenset[int]  # registers that a memory address is made from
    indexed: bool  # that address is the sum of two of them
    conditional_branch: bool
    indirect: bool  # the target comes from a register or from memory
    text: str


_DSP_PREFIXES = (
    "sxt", "uxt", "ubfx", "sbfx", "bfi", "bfc", "pkh", "ssat", "usat", "rev", "rbit", "clz",
    "sel", "qadd", "qsub", "qdadd", "qdsub", "sadd", "ssub", "uadd", "usub", "shadd", "shsub",
    "uhadd", "uhsub", "sasx", "ssax", "qasx", "qsax", "uasx", "usax", "usad",
)  # fmt: skip
_MAC_PREFIXES = ("mul", "mla", "mls", "smul", "smla", "smls", "smmul", "smmla", "smmls",
                 "smuad", "smusd", "umul", "umla", "umaal", "smull", "smlal")  # fmt: skip
_TWO_RESULTS = ("smull", "umull", "smlal", "umlal", "umaal", "smlsld", "ldrd")
_NO_RESULT = ("cmp", "cmn", "tst", "teq", "str", "stm", "push", "vstr", "vstm", "vpush", "vcmp",
              "b", "cb", "tb", "it", "nop", "pld", "dsb", "dmb", "isb", "msr", "cps", "svc",
              "bkpt", "wf", "sev", "udf", "yield")  # fmt: skip
_NOT_BRANCH = ("bic", "bfi", "bfc", "bkpt")
_FLAG_WRITERS = ("cmp", "cmn", "tst", "teq")
_PC = arm.ARM_REG_PC


def _unit(mnemonic: str, groups: set[int], writes: frozenset[int]) -> Unit:
    if mnemonic.startswith(("ldm", "ldrd", "pop", "stm", "strd", "push", "vldm", "vstm", "vpush",
                            "vpop")):  # fmt: skip
        return Unit.MULTIPLE
    if mnemonic.startswith(("vldr", "ldr")):
        return Unit.LOAD
    if mnemonic.startswith(("vstr", "str")):
        return Unit.STORE
    if mnemonic.startswith(("vdiv", "vsqrt")):
        return Unit.FLOAT_SLOW
    if mnemonic.startswith("v"):
        return Unit.FLOAT
    if mnemonic.startswith(("sdiv", "udiv")):
        return Unit.DIVIDE
    if mnemonic.startswith(_MAC_PREFIXES):
        return Unit.MAC
    if mnemonic.startswith(("dsb", "dmb", "isb", "msr", "mrs", "cps", "svc", "wf", "sev")):
        return Unit.ALONE
    if mnemonic.startswith(_DSP_PREFIXES):
        return Unit.DSP
    if arm.ARM_GRP_JUMP in groups or mnemonic.startswith(("cb", "tb", "bl")) or _PC in writes:
        return Unit.BRANCH
    return Unit.ALU


def _count_results(mnemonic: str) -> int:
    if mnemonic.startswith(_NOT_BRANCH[:3]):
        return 1
    if mnemonic.startswith(_TWO_RESULTS):
        return 2
    return 0 if mnemonic.startswith(_NO_RESULT) else 1


def _decode(insn: Any) -> Instruction:
    mnemonic = insn.mnemonic
    reads: set[int] = set()
    writes: set[int] = set()
    early: set[int] = set()
    stepped: set[int] = set()
    results = _count_results(mnemonic)
    listed = mnemonic.startswith(("ldm", "pop", "vldm", "vpop"))
    base: int | None = None
    offset = 0
    addressed: set[int] = set()
    indexed = False
    registers = 0
    for position, operand in enumerate(insn.operands):
        if operand.type == arm.ARM_OP_REG:
            registers += 1
            loads_list = listed and (position > 0 or mnemonic.startswith(("pop", "vpop")))
            if loads_list or (not listed and position < results):
                writes.add(operand.reg)
                if operand.access & capstone.CS_AC_READ:
                    reads.add(operand.reg)
            else:
                reads.add(operand.reg)
            if operand.shift.type:
                early.add(operand.reg)
        elif operand.type == arm.ARM_OP_MEM:
            reads.add(operand.mem.base)
            addressed.add(operand.mem.base)
            if operand.mem.index:
                reads.add(operand.mem.index)
                addressed.add(operand.mem.index)
                indexed = True
            else:
                base, offset = operand.mem.base, operand.mem.disp
    if mnemonic.startswith(("push", "pop", "vpush", "vpop")):
        reads.add(arm.ARM_REG_SP)
        stepped.add(arm.ARM_REG_SP)
        addressed.add(arm.ARM_REG_SP)
    elif mnemonic.startswith(("ldm", "stm", "vldm", "vstm")) and insn.operands:
        addressed.add(insn.operands[0].reg)
    if insn.writeback and insn.operands and not stepped:
        memory = [o.mem.base for o in insn.operands if o.type == arm.ARM_OP_MEM]
        stepped.add(memory[0] if memory else insn.operands[0].reg)
    writes |= stepped
    accumulators: set[int] = set()
    if mnemonic.startswith(("smlal", "umlal", "umaal", "smlsld")):
        accumulators = set(writes)
        reads |= accumulators
    elif mnemonic.startswith(("mla", "smla", "smls", "smmla")) and len(insn.operands) == 4:
        accumulators = {insn.operands[3].reg}
    if insn.update_flags or mnemonic.startswith(_FLAG_WRITERS):
        writes.add(FLAGS)
    conditional = insn.cc not in (arm.ARM_CC_INVALID, arm.ARM_CC_AL) and mnemonic[:2] != "it"
    if conditional or mnemonic.startswith(("adc", "sbc", "rrx")):
        reads.add(FLAGS)
    if mnemonic.startswith("sel"):
        reads.add(FLAGS)
    groups = set(insn.groups)
    unit = _unit(mnemonic, groups, frozenset(writes))
    jumps = unit is Unit.BRANCH or _PC in writes
    direct = jumps and any(o.type == arm.ARM_OP_IMM for o in insn.operands)
    words = registers - (1 if listed and mnemonic.startswith(("ldm", "vldm")) else 0)
    if mnemonic.startswith(("stm", "vstm")):
        words = registers - 1
    if mnemonic.startswith(("ldrd", "strd")):
        words = 2
    doubles = mnemonic.startswith("v") and any(
        arm.ARM_REG_D0 <= o.reg <= arm.ARM_REG_D31
        for o in insn.operands
        if o.type == arm.ARM_OP_REG
    )
    return Instruction(
        address=insn.address,
        size=insn.size,
        unit=unit,
        reads=frozenset(reads),
        writes=frozenset(writes),
        early=frozenset(early),
        accumulators=frozenset(accumulators),
        stepped=frozenset(stepped),
        shifts=bool(early),
        words=max(1, words * (2 if doubles else 1)),
        narrow=mnemonic.startswith(("ldrb", "ldrsb", "ldrh", "ldrsh")),
        base=base if unit is Unit.LOAD and not insn.writeback else None,
        offset=offset,
        addressed=frozenset(addressed),
        indexed=indexed,
        conditional_branch=jumps and (conditional or mnemonic.startswith("cb")),
        indirect=jumps and not direct,
        text=f"{mnemonic} {insn.op_str}".strip(),
    )


class Decoder:
    """Decodes blocks of Thumb code.

    An encoding that capstone does not know counts as one that issues alone, so that the model
    stays slow rather than wrong about it.
    """

    def __init__(self) -> None:
        self._engine = capstone.Cs(
            capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB | capstone.CS_MODE_MCLASS
        )
        self._engine.detail = True

    def block(self, code: bytes, address: int) -> tuple[Instruction, ...]:
        """Every instruction of `code`, which starts at `address`, in order."""
        decoded: list[Instruction] = []
        position = 0
        while position + 2 <= len(code):
            for insn in self._engine.disasm(code[position:], address + position):
                decoded.append(_decode(insn))
                position += insn.size
            if position + 2 <= len(code):
                half = int.from_bytes(code[position : position + 2], "little")
                size = 4 if half >> 11 in (0b11101, 0b11110, 0b11111) else 2
                decoded.append(_unknown(address + position, size))
                position += size
        return tuple(decoded)


def _unknown(address: int, size: int) -> Instruction:
    none: frozenset[int] = frozenset()
    return Instruction(
        address=address,
        size=size,
        unit=Unit.ALONE,
        reads=none,
        writes=none,
        early=none,
        accumulators=none,
        stepped=none,
        shifts=False,
        words=1,
        narrow=False,
        base=None,
        offset=0,
        addressed=none,
        indexed=False,
        conditional_branch=False,
        indirect=False,
        text="unknown",
    )
