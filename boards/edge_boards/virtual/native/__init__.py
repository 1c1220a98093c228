"""Builds the hooks (C) for this machine, once, and mirrors its structures.

A Python hook on every instruction would cost a microsecond each; the C ones cost about five
nanoseconds. The library is kept in the user's cache folder under a name made from the source, so
a new version of either never meets an old one.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
from functools import cache
from pathlib import Path

from edge_boards.errors import ToolchainError, VirtualBoardError
from edge_boards.toolchain.host import find_host_compiler

_FOLDER = Path(__file__).parent
SOURCES = (_FOLDER / "hooks.c", _FOLDER / "exceptions.c")
HEADER = _FOLDER / "machine.h"
REGIONS = 8
MPU_REGIONS = 16

RAN = 0
DEADLINE = 1
MARKED = 2
UNALIGNED = 3
UNDEFINED = 4
NO_FPU = 5
RECHECK = 6
INTERRUPT = 7
NOWHERE = 8
UNPRIVILEGED = 9
UNALIGNED_REGISTER = 10

STACKED, STACK_PROTECTED, STACK_NOWHERE = 0, 1, 2
LEFT, BAD_RETURN, UNSTACK_NOWHERE = 0, 1, 2

REGISTER_ORDER = (
    *(f"R{n}" for n in range(13)),
    *("SP", "LR", "PC", "XPSR", "IPSR", "MSP", "PSP", "CONTROL", "FAULTMASK", "FPSCR"),
    *(f"S{n}" for n in range(16)),
)
"""The registers that the hooks know, in the order of `register_ids`."""

CLASS_KNOWN = 0x80
CLASS_MARK = 0x20

READ, WRITE, EXECUTE = 1, 2, 4

TRACE_DATA = 0x10000
TRACE_WRITE = 0x20000
TRACE_CUT = 0x40000
TRACE_SIZE_MASK = 0xFFFF
TRACE_PC_SHIFT = 19
TRACE_PC_BYTES = 1 << 14
"""Of a data access: from bit 19 on half the instruction's address, modulo so many bytes."""


class Region(ctypes.Structure):
    """`struct eag_region`."""

    _fields_ = (
        ("base", ctypes.c_uint32),
        ("size", ctypes.c_uint32),
        ("bytes", ctypes.c_void_p),
        ("classes", ctypes.c_void_p),
        ("writable", ctypes.c_uint32),
        ("padding", ctypes.c_uint32),
    )


class MpuRegion(ctypes.Structure):
    """`struct eag_mpu_region`."""

    _fields_ = (
        ("base", ctypes.c_uint32),
        ("last", ctypes.c_uint32),
        ("subregions", ctypes.c_uint32),
        ("permissions", ctypes.c_uint32),
    )


class HookState(ctypes.Structure):
    """`struct eag_machine`."""

    _fields_ = (
        ("instructions", ctypes.c_uint64),
        ("cycles", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("per_instruction", ctypes.c_uint64),
        ("reason", ctypes.c_uint32),
        ("detail", ctypes.c_uint32),
        ("pc", ctypes.c_uint32),
        ("skip", ctypes.c_uint32),
        ("it_start", ctypes.c_uint32),
        ("it_end", ctypes.c_uint32),
        ("recheck", ctypes.c_uint32),
        ("pending", ctypes.c_uint32),
        ("fpu_enabled", ctypes.c_uint32),
        ("fault_kind", ctypes.c_uint32),
        ("fault_address", ctypes.c_uint32),
        ("fault_size", ctypes.c_uint32),
        ("fault_value", ctypes.c_uint64),
        ("flush_tlb", ctypes.c_uint32),
        ("mpu_count", ctypes.c_uint32),
        ("mpu_background", ctypes.c_uint32),
        ("mpu", MpuRegion * MPU_REGIONS),
        ("region_count", ctypes.c_uint32),
        ("trace_length", ctypes.c_uint32),
        ("trace_capacity", ctypes.c_uint32),
        ("regions", Region * REGIONS),
        ("trace", ctypes.c_void_p),
        ("stop", ctypes.c_void_p),
        ("register_read", ctypes.c_void_p),
        ("control", ctypes.c_void_p),
        ("drain", ctypes.c_void_p),
        ("register_write", ctypes.c_void_p),
        ("register_ids", ctypes.c_int * len(REGISTER_ORDER)),
        ("tlb_flush_code", ctypes.c_uint32),
        ("active_depth", ctypes.c_uint32),
        ("active", ctypes.c_uint32 * 32),
        ("lines", ctypes.c_uint32 * 4),
        ("handler_since", ctypes.c_uint64),
        ("handler_instructions", ctypes.c_uint64),
        ("align_stack", ctypes.c_uint32),
        ("fp_context_address", ctypes.c_uint32),
        ("sleep_on_exit", ctypes.c_uint32),
        ("event", ctypes.c_uint32),
        ("fpv5", ctypes.c_uint32),
        ("coherent", ctypes.c_uint32),
    )


def _cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "edge-autoglm"


def _build(target: Path) -> None:
    try:
        find_host_compiler().shared_library(SOURCES, target, (_FOLDER,))
    except ToolchainError as error:
        raise VirtualBoardError(
            f"the virtual board's instruction hooks cannot be compiled for this machine: {error}"
        ) from None


@cache
def load_hooks() -> ctypes.CDLL:
    """The compiled hooks; compiles them the first time.

    Raises `VirtualBoardError` where this machine has no C compiler.
    """
    text = b"".join(path.read_bytes() for path in (HEADER, *SOURCES))
    digest = hashlib.sha256(text).hexdigest()[:16]
    target = _cache_folder() / f"virtual-hooks-{platform.machine()}-{digest}.so"
    try:
        if not target.exists():
            _build(target)
        library = ctypes.CDLL(str(target))
    except OSError as error:
        raise VirtualBoardError(
            f"cannot load the virtual board's hooks {target}: {error}"
        ) from None
    library.eag_mpu_permissions.argtypes = (ctypes.POINTER(HookState), ctypes.c_uint32)
    library.eag_mpu_permissions.restype = ctypes.c_uint32
    library.eag_enter.argtypes = (
        ctypes.POINTER(HookState),
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.c_uint32,
    )
    library.eag_enter.restype = ctypes.c_uint32
    library.eag_leave.argtypes = (
        ctypes.POINTER(HookState),
        ctypes.c_void_p,
        ctypes.c_uint32,
        ctypes.POINTER(ctypes.c_uint32),
    )
    library.eag_leave.restype = ctypes.c_uint32
    return library
