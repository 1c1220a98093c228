"""What the CPU cannot do by itself: faults that silicon defines become exceptions, everything
else stops the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from edge_boards.virtual import engine as unicorn
from edge_boards.virtual import native
from edge_boards.virtual.core import SVCALL
from edge_boards.virtual.faults import FaultKind, Unmodelled
from edge_boards.virtual.memory import AddressKind, HostMemory, kind_of_unmapped
from edge_boards.virtual.peripherals.flash import FlashInterface

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
            core.pend(SVCALL)
            return pc & ~1
        if number == _BKPT:
            return core.fault(FaultKind.BREAKPOINT, pc & ~1)
        if number in _FAULTS:
            return core.fault(_FAULTS[number], pc & ~1)
        return machine.halt(f"the CPU emulation raises exception {number}", pc=pc)

    def error(self, error: int, pc: int) -> int:
        """Unicorn could not run the instruction at `pc`."""
        machine, core = self._machine, self._machine.core
        if error == unicorn.ERR_INSN_INVALID:
            return core.fault(FaultKind.UNDEFINSTR, pc)
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
        if kind_of_unmapped(address) is AddressKind.UNMODELLED:
            machine.halt("access to an address that is not modelled", address=address, pc=pc)
        return core.fault(FaultKind.PRECISERR, pc, address)

    def _write_to_flash(self, region: HostMemory, address: int, pc: int) -> int:
        machine, size = self._machine, self._state.fault_size
        interface = cast(FlashInterface, machine.bus.peripherals["FLASH"])
        value = self._state.fault_value & ((1 << 8 * size) - 1)
        try:
            if region.host != machine.memory.flash.host:
                raise Unmodelled("write to read-only memory")
            interface.store_to_flash(address - region.base, size, value)
        except Unmodelled as problem:
            machine.halt(str(problem), address=address, pc=pc)
        raw = machine.memory.read(pc, 2) or b"\0\0"
        return pc + (4 if raw[1] >= 0xE8 else 2)
