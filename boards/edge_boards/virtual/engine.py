"""Unicorn's C library, called directly: the CPU, its registers, its memory, its hooks.

Unicorn's own Python layer copies memory and wraps every callback; here memory is shared with
Unicorn and the busy hooks are C (native/hooks.c). Only this module knows Unicorn.
"""

from __future__ import annotations

import ctypes
import importlib.util
import struct
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from edge_boards.errors import VirtualBoardError
from edge_boards.virtual import native
from edge_boards.virtual.cores import CoreModel

ARCH_ARM = 1
MODE_THUMB_MCLASS = 0x10 | 0x20
CPUS = {"cortex-m4": 9, "cortex-m7": 10}
"""Unicorn's numbers of the cores that there are models of."""

PROT_READ, PROT_WRITE, PROT_EXEC = 1, 2, 4
HOOK_INTR, HOOK_CODE, HOOK_BLOCK = 1, 4, 8
HOOK_MEM_UNMAPPED_AND_PROT = 16 | 32 | 64 | 128 | 256 | 512
HOOK_MEM_READ, HOOK_MEM_WRITE = 1024, 2048

ERR_OK = 0
ERR_INSN_INVALID = 10
MEM_ERRORS = frozenset({6, 7, 8, 12, 13, 14})  # unmapped and protected: read, write, fetch
FETCH_KINDS = frozenset({21, 24})
WRITE_KINDS = frozenset({20, 22})

_CTL_CPU_MODEL = 7 | 1 << 26 | 1 << 30
_CTL_TLB_FLUSH = 11 | 0 << 26 | 1 << 30
_CTL_TB_FLUSH = 10 | 0 << 26 | 1 << 30
_CTL_TB_REMOVE = 9 | 2 << 26 | 1 << 30

NEVER = 0xE000_0000
"""An address that no code runs at, for emu_start's `until`."""

MmioRead = Callable[[int, int], int]
MmioWrite = Callable[[int, int, int], None]

_READ_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint, ctypes.c_void_p
)
_WRITE_CALLBACK = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint, ctypes.c_uint64, ctypes.c_void_p
)
_DRAIN_CALLBACK = ctypes.CFUNCTYPE(None)

REGISTERS = (
    *(f"R{n}" for n in range(13)),
    *("SP", "LR", "PC", "XPSR", "IPSR", "MSP", "PSP", "CONTROL"),
    *("PRIMASK", "BASEPRI", "FAULTMASK", "FPSCR"),
    *(f"S{n}" for n in range(32)),
)


@cache
def _library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("unicorn")
    if spec is None or spec.origin is None:
        raise VirtualBoardError(
            "the virtual board needs Unicorn: pip install 'edge-autoglm[virtual]'"
        )
    folder = Path(spec.origin).parent / "lib"
    found = sorted(folder.glob("libunicorn.so*")) + sorted(folder.glob("libunicorn*.dylib"))
    if not found:
        raise VirtualBoardError(f"Unicorn's library is missing from {folder}; reinstall unicorn")
    library = ctypes.CDLL(str(found[0]))
    library.uc_strerror.restype = ctypes.c_char_p
    return library


@cache
def _register_ids() -> dict[str, int]:
    # Unicorn is GPL-2.0 and optional: imported only where a machine is made.
    from unicorn import arm_const

    return {name: int(getattr(arm_const, f"UC_ARM_REG_{name}")) for name in REGISTERS}


class RegisterBatch:
    """Some registers, read or written by one call into Unicorn."""

    def __init__(self, engine: Engine, names: Sequence[str]) -> None:
        ids = _register_ids()
        self._engine = engine
        self._count = len(names)
        self._ids = (ctypes.c_int * self._count)(*(ids[n] for n in names))
        self._values = (ctypes.c_uint64 * self._count)()
        size = ctypes.sizeof(ctypes.c_uint64)
        base = ctypes.addressof(self._values)
        self._pointers = (ctypes.c_void_p * self._count)(
            *(base + i * size for i in range(self._count))
        )
        self._format = f"<{self._count}Q"

    def read(self) -> tuple[int, ...]:
        engine = self._engine
        engine.library.uc_reg_read_batch(engine.handle, self._ids, self._pointers, self._count)
        return struct.unpack(self._format, bytes(self._values))

    def write(self, *values: int) -> None:
        engine = self._engine
        self._values[:] = list(values)
        engine.library.uc_reg_write_batch(engine.handle, self._ids, self._pointers, self._count)


class Engine:
    """One CPU with its hooks. Registers by name; errors as `VirtualBoardError`."""

    def __init__(self, core: CoreModel) -> None:
        self.library = _library()
        self.hooks = native.load_hooks()
        self.state = native.HookState()
        self._keep: list[Any] = []
        self._ids = _register_ids()
        handle = ctypes.c_void_p()
        self._check(self.library.uc_open(ARCH_ARM, MODE_THUMB_MCLASS, ctypes.byref(handle)), "open")
        self.handle = handle
        self._check(
            self.library.uc_ctl(
                handle, ctypes.c_uint(_CTL_CPU_MODEL), ctypes.c_int(CPUS[core.name])
            ),
            "CPU model",
        )
        self.state.fpv5 = int(core.fpv5)
        self.state.coherent = int(core.code_is_coherent)
        self._value = ctypes.c_uint64()
        self._trace_hooks: list[ctypes.c_size_t] = []
        self._install_hooks()

    def close(self) -> None:
        """Frees the CPU. The machine is of no use afterwards."""
        if self.handle:
            self.library.uc_close(self.handle)
            self.handle = ctypes.c_void_p()

    def _check(self, code: int, what: str) -> None:
        if code != ERR_OK:
            words = self.library.uc_strerror(code).decode()
            raise VirtualBoardError(f"Unicorn refuses ({what}): {words}")

    def _address(self, function: Any) -> int:
        address = ctypes.cast(function, ctypes.c_void_p).value
        assert address is not None
        return address

    def _install_hooks(self) -> None:
        state = self.state
        state.stop = self._address(self.library.uc_emu_stop)
        state.register_read = self._address(self.library.uc_reg_read)
        state.control = self._address(self.library.uc_ctl)
        state.tlb_flush_code = _CTL_TLB_FLUSH
        state.deadline = 0
        state.per_instruction = 1
        state.skip = 1
        state.register_write = self._address(self.library.uc_reg_write)
        for index, name in enumerate(native.REGISTER_ORDER):
            state.register_ids[index] = self._ids[name]
        self._add_hook(HOOK_CODE, self.hooks.eag_on_code)
        self._add_hook(HOOK_INTR, self.hooks.eag_on_interrupt)
        self._add_hook(HOOK_MEM_UNMAPPED_AND_PROT, self.hooks.eag_on_access)

    def _add_hook(self, kind: int, function: Any, begin: int = 1, end: int = 0) -> ctypes.c_size_t:
        hook = ctypes.c_size_t()
        self._check(
            self.library.uc_hook_add(
                self.handle,
                ctypes.byref(hook),
                ctypes.c_int(kind),
                ctypes.cast(function, ctypes.c_void_p),
                ctypes.byref(self.state),
                ctypes.c_uint64(begin),
                ctypes.c_uint64(end),
            ),
            "hook",
        )
        return hook

    def trace(
        self, drain: Callable[[], None] | None, capacity: int, data: Sequence[tuple[int, int]]
    ) -> ctypes.Array[ctypes.c_uint32] | None:
        """Begins (or, with None, ends) recording of blocks and of accesses to `data` ranges.

        Returns the buffer of (address, size and flags) pairs; `drain` is called when it is full.
        """
        for hook in self._trace_hooks:
            self._check(self.library.uc_hook_del(self.handle, hook), "hook")
        self._trace_hooks = []
        self.state.trace_length = 0
        self.state.trace_capacity = 0
        buffer = None
        if drain is not None:
            buffer = (ctypes.c_uint32 * (2 * capacity))()
            callback = _DRAIN_CALLBACK(drain)
            self._trace_keep = (buffer, callback)
            self.state.trace = ctypes.addressof(buffer)
            self.state.drain = self._address(callback)
            self.state.trace_capacity = capacity
            self._trace_hooks.append(self._add_hook(HOOK_BLOCK, self.hooks.eag_on_block))
            for first, last in data:
                kinds = HOOK_MEM_READ | HOOK_MEM_WRITE
                self._trace_hooks.append(self._add_hook(kinds, self.hooks.eag_on_data, first, last))
        self.flush_code()
        return buffer

    def map_memory(self, address: int, size: int, protection: int, host: int) -> None:
        """Maps memory of this process (page aligned) as the CPU's."""
        self._check(
            self.library.uc_mem_map_ptr(
                self.handle,
                ctypes.c_uint64(address),
                ctypes.c_size_t(size),
                ctypes.c_uint32(protection),
                ctypes.c_void_p(host),
            ),
            f"map 0x{address:08x}",
        )

    def protect(self, address: int, size: int, protection: int) -> None:
        self._check(
            self.library.uc_mem_protect(
                self.handle,
                ctypes.c_uint64(address),
                ctypes.c_size_t(size),
                ctypes.c_uint32(protection),
            ),
            f"protect 0x{address:08x}",
        )

    def map_io(self, address: int, size: int, read: MmioRead, write: MmioWrite) -> None:
        """Maps registers: `read(address, size) -> value`, `write(address, size, value)`."""

        def on_read(_uc: Any, offset: int, size: int, _user: Any) -> int:
            return read(address + offset, size)

        def on_write(_uc: Any, offset: int, size: int, value: int, _user: Any) -> None:
            write(address + offset, size, value)

        callbacks = (_READ_CALLBACK(on_read), _WRITE_CALLBACK(on_write))
        self._keep.extend(callbacks)
        self._check(
            self.library.uc_mmio_map(
                self.handle,
                ctypes.c_uint64(address),
                ctypes.c_size_t(size),
                callbacks[0],
                None,
                callbacks[1],
                None,
            ),
            f"map 0x{address:08x}",
        )
        kinds = HOOK_MEM_READ | HOOK_MEM_WRITE
        self._add_hook(kinds, self.hooks.eag_on_register, address, address + size - 1)

    def enter(self, number: int, return_address: int) -> int:
        """Exception entry in the CPU; what went wrong while stacking (native.STACK...)."""
        return int(
            self.hooks.eag_enter(self.state, self.handle, number, return_address & 0xFFFF_FFFF)
        )

    def leave(self, exc_return: int) -> tuple[int, int]:
        """Exception return in the CPU: native.LEFT and the PC, or what was wrong."""
        pc = ctypes.c_uint32()
        result = self.hooks.eag_leave(self.state, self.handle, exc_return, ctypes.byref(pc))
        return int(result), int(pc.value)

    def read(self, name: str) -> int:
        self._value.value = 0
        self.library.uc_reg_read(self.handle, self._ids[name], ctypes.byref(self._value))
        return int(self._value.value) & 0xFFFF_FFFF

    def write(self, name: str, value: int) -> None:
        self._value.value = value
        self.library.uc_reg_write(self.handle, self._ids[name], ctypes.byref(self._value))

    def batch(self, *names: str) -> RegisterBatch:
        return RegisterBatch(self, names)

    def run(self, pc: int) -> int:
        """Runs until a hook stops it; Unicorn's error code."""
        return int(
            self.library.uc_emu_start(
                self.handle,
                ctypes.c_uint64(pc | 1),
                ctypes.c_uint64(NEVER),
                ctypes.c_uint64(0),
                ctypes.c_size_t(0),
            )
        )

    def error_text(self, code: int) -> str:
        return str(self.library.uc_strerror(code).decode())

    def flush_code(self) -> None:
        """Forgets all translated code."""
        self.library.uc_ctl(self.handle, ctypes.c_uint(_CTL_TB_FLUSH))

    def flush_tlb(self) -> None:
        self.library.uc_ctl(self.handle, ctypes.c_uint(_CTL_TLB_FLUSH))
