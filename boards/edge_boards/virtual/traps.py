"""What the CPU cannot do by itself: faults that silicon defines become exceptions, everything
else stops the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from edge_boards.virtual import engine as unicorn
from edge_boards.virtual import native
from edge_boards.virtual.faults import FaultKind, Unmodelled
from edge_boards.virtual.memory import AddressKind, HostMemory
from edge_boards.virtual.peripherals.flash_controller import FlashController

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

# Unicorn's exception numbers.
_SVC, _BKPT, _EXCEPTION_EXIT = 2, 7, 8
_FAULTS = {
    3: FaultKind.IACCVIOL,
    4: FaultKind.DACCVIOL,
    17: FaultKind.NOCP,
    18: FaultKind.INVSTATE,
}
_WFE, _WFE_WIDE = b"\x20\xbf", b"\xaf\xf3\x02\x80"
_HINTS = {_WFE: 2, _WFE_WIDE: 4, b"\x10\xbf": 2, b"\xaf\xf3\x01\x80": 4}  # YIELD beside it
_XPSR_T = 1 << 24
_REFUSALS = {
    native.UNALIGNED: FaultKind.UNALIGNED,
    native.UNDEFINED: FaultKind.UNDEFINSTR,
    native.NO_FPU: FaultKind.NOCP,
}


class Traps:
    """Each method returns the PC that execution goes on from."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self._state = machine.engine.state

    def refused(self, reason: int, pc: int) -> int:
        """The hooks did not let the instruction at `pc` run."""
        if reason == native.UNPRIVILEGED:
            self._machine.halt("unprivileged code is not modelled (CONTROL.nPRIV)", pc=pc)
        if reason == native.UNALIGNED_REGISTER:
            self._machine.halt(
                "unaligned access to a register", address=self._state.fault_address, pc=pc
            )
        kind = _REFUSALS.get(reason)
        if kind is None:
            self._machine.halt("code runs outside all memories", address=self._state.pc)
        return self._machine.core.fault(kind, pc)

    def exception(self, number: int) -> int:
        """Unicorn raised an exception of the core."""
        machine, core = self._machine, self._machine.core
        pc = machine.engine.read("PC")
        if number == _EXCEPTION_EXIT:
            return core.leave(pc | 1)
        if number == _SVC:
            return core.call(pc & ~1)
        if number == _BKPT:
            return core.fault(FaultKind.BREAKPOINT, pc & ~1)
        if number in _FAULTS:
            return core.fault(_FAULTS[number], pc & ~1)
        return machine.halt(f"the CPU emulation raises exception {number}", pc=pc)

    def error(self, error: int, pc: int) -> int:
        """Unicorn could not run the instruction at `pc`."""
        machine, core = self._machine, self._machine.core
        if error == unicorn.ERR_INSN_INVALID:
            return self._invalid(pc)
        if error not in unicorn.MEM_ERRORS:
            machine.halt(f"the CPU emulation fails: {machine.engine.error_text(error)}", pc=pc)
        address, kind = self._state.fault_address, self._state.fault_kind
        fetch = kind in unicorn.FETCH_KINDS
        region = machine.memory.find(address)
        if region is not None and not region.writable and kind in unicorn.WRITE_KINDS:
            return self._write_to_flash(region, address, pc)
        if region is not None:  # pages are closed by the MPU alone
            if fetch:
                return core.fault(FaultKind.IACCVIOL, pc)
            return core.fault(FaultKind.DACCVIOL, pc, address)
        if fetch:
            return core.fault(FaultKind.INVPC if address >= 0xFFFF_FF00 else FaultKind.IBUSERR, pc)
        if machine.memory.kind_of_unmapped(address) is AddressKind.UNMODELLED:
            machine.halt("access to an address that is not modelled", address=address, pc=pc)
        return core.fault(FaultKind.PRECISERR, pc, address)

    def _invalid(self, pc: int) -> int:
        """Unicorn does not run the instruction. For it, WFE and YIELD are of that kind too."""
        machine, core, state = self._machine, self._machine.core, self._state
        begun = int(state.pc)  # Unicorn's own PC is behind a hint already
        code = machine.memory.read_code(begun, 4)
        size = _HINTS.get(code[:2]) or _HINTS.get(code)
        if size is None:
            thumb = machine.engine.read("XPSR") & _XPSR_T
            return core.fault(FaultKind.UNDEFINSTR if thumb else FaultKind.INVSTATE, pc)
        if code[:2] == _WFE or code == _WFE_WIDE:
            core.sleeping, state.event = not state.event, 0
        return begun + size

    def _write_to_flash(self, region: HostMemory, address: int, pc: int) -> int:
        machine, size = self._machine, self._state.fault_size
        interface = cast(FlashController, machine.bus.peripherals["FLASH"])
        value = self._state.fault_value & ((1 << 8 * size) - 1)
        try:
            if region.host != machine.memory.flash.host:
                raise Unmodelled("write to read-only memory")
            interface.store_to_flash(address - region.base, size, value)
        except Unmodelled as problem:
            machine.halt(str(problem), address=address, pc=pc)
        raw = machine.memory.read(pc, 2) or b"\0\0"
        return pc + (4 if raw[1] >= 0xE8 else 2)
