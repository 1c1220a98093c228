"""What the cores' own registers say, and how the models of the cores differ.

Sources: DDI 0403E (ARMv7-M), DDI 0489 (Cortex-M7 r1p2), DDI 0439 (Cortex-M4 r0p1).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_CCR_STKALIGN = 1 << 9
_CCR_BP = 1 << 18


@dataclass(frozen=True)
class Caches:
    """Level-1 caches as the identification registers tell them."""

    data: int
    """CCSIDR of the data cache."""

    instructions: int


@dataclass(frozen=True)
class CoreModel:
    """One kind of core."""

    name: str
    """As board files call it, and Unicorn's table of CPUs (`engine.CPUS`)."""

    read_only: Mapping[int, int]
    """Registers that never change, by address."""

    plain: Mapping[int, tuple[int, int]]
    """Registers that hold what is written, without an effect on the model: reset value and
    writable bits."""

    ccr_reset: int
    ccr_writable: int
    caches: Caches | None
    debug_lock: bool
    """Whether the DWT has a software lock (LAR) that is shut after reset."""

    fpv5: bool
    """Whether its FPU is an FPv5 (VSEL, VRINTA, ...); else an FPv4. Both are single-precision."""

    code_is_coherent: bool
    """Whether code that is written to RAM runs without further ado; with an instruction cache
    it must be invalidated first."""


_MEMORY_MODEL = {
    0xE000_ED40: 0x0000_0030,  # ID_PFR0
    0xE000_ED44: 0x0000_0200,
    0xE000_ED48: 0x0010_0000,
    0xE000_ED4C: 0x0000_0000,
    0xE000_ED50: 0x0010_0030,
    0xE000_ED54: 0x0000_0000,
    0xE000_ED58: 0x0100_0000,
    0xE000_ED5C: 0x0000_0000,
}

CORTEX_M7 = CoreModel(
    name="cortex-m7",
    read_only={
        0xE000_ED00: 0x410F_C271,  # CPUID: Cortex-M7 r0p1
        **_MEMORY_MODEL,
        0xE000_ED60: 0x0110_1110,  # ID_ISAR0
        0xE000_ED64: 0x0211_2000,
        0xE000_ED68: 0x2023_2231,
        0xE000_ED6C: 0x0111_1131,
        0xE000_ED70: 0x0131_0132,
        0xE000_ED78: 0x0900_0003,  # CLIDR
        0xE000_ED7C: 0x8303_C003,  # CTR: lines of 32 bytes
        0xE000_EF40: 0x1011_0021,  # MVFR0: single precision only
        0xE000_EF44: 0x1100_0011,
        0xE000_EF48: 0x0000_0040,
    },
    plain={
        0xE000_E008: (0, 0x1FFF_FC04),  # ACTLR
        0xE000_ED30: (0, 0x1F),  # DFSR
        0xE000_ED3C: (0, 0),  # AFSR
        0xE000_EF90: (0, 0xF),  # ITCMCR
        0xE000_EF94: (0, 0xF),  # DTCMCR
        0xE000_EF98: (0, 0xF),  # AHBPCR
        0xE000_EF9C: (0, 0x7),  # CACR
        0xE000_EFA0: (0x0000_0799, 0xFFFF),  # AHBSCR
    },
    ccr_reset=_CCR_STKALIGN | _CCR_BP,
    ccr_writable=0x0007_031B,
    # 4 KB data, 4 ways; 4 KB instructions, 2 ways (RM0385: the STM32F746's)
    caches=Caches(data=0xF003_E019, instructions=0xF007_E009),
    debug_lock=True,
    fpv5=True,
    code_is_coherent=False,
)

CORTEX_M4 = CoreModel(
    name="cortex-m4",
    read_only={
        0xE000_ED00: 0x410F_C241,  # CPUID: Cortex-M4 r0p1
        **_MEMORY_MODEL,
        0xE000_ED60: 0x0110_1110,  # ID_ISAR0
        0xE000_ED64: 0x0211_2000,
        0xE000_ED68: 0x2123_2231,
        0xE000_ED6C: 0x0111_1131,
        0xE000_ED70: 0x0131_0132,
        0xE000_EF40: 0x1011_0021,  # MVFR0: single precision
        0xE000_EF44: 0x1100_0011,
    },
    plain={
        0xE000_E008: (0, 0x307),  # ACTLR
        0xE000_ED30: (0, 0x1F),  # DFSR
        0xE000_ED3C: (0, 0),  # AFSR
    },
    ccr_reset=_CCR_STKALIGN,
    ccr_writable=0x031B,
    caches=None,
    debug_lock=False,
    fpv5=False,
    code_is_coherent=True,
)
