"""The peripheral bus: an access by address finds its peripheral, or stops the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_boards.virtual.faults import Unmodelled
from edge_boards.virtual.peripherals.base import Peripheral

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

_BLOCK = 0x400

_SCS, _MPU, _SYSTICK, _DWT = 0xE000_E000, 0xE000_ED90, 0xE000_E010, 0xE000_1000
_DEMCR = 0xE000_EDFC
_PRIVATE = 0xE000_0000, 0xE004_2000  # the core's own; from there on it is the vendor's again


class Bus:
    """All registers. Peripherals by name in `peripherals`."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.peripherals: dict[str, Peripheral] = {}
        self._by_block: dict[int, Peripheral] = {}
        for peripheral in (machine.rcc, *machine.soc.peripherals(machine)):
            self._add(peripheral)

    def _add(self, peripheral: Peripheral) -> None:
        self.peripherals[peripheral.name] = peripheral
        self._by_block[peripheral.base // _BLOCK] = peripheral

    def reset(self) -> None:
        for peripheral in self.peripherals.values():
            peripheral.reset()

    def _find(self, address: int) -> Peripheral:
        peripheral = self._by_block.get(address // _BLOCK)
        if peripheral is None:
            raise Unmodelled("access to a peripheral that is not modelled")
        if not self._machine.rcc.clocked(peripheral.name):
            raise Unmodelled(f"access to {peripheral.name} while its clock is off in the RCC")
        return peripheral

    def read(self, address: int, size: int) -> int:
        if address & (size - 1):
            raise Unmodelled("unaligned access to a register")
        if not _PRIVATE[0] <= address < _PRIVATE[1]:
            peripheral = self._find(address)
            return peripheral.read(address - peripheral.base, size)
        word = address & ~3
        value = self._read_private(word)
        return value >> 8 * (address & 3) & ((1 << 8 * size) - 1)

    def _read_private(self, address: int) -> int:
        machine = self._machine
        if _DWT <= address < _DWT + 0x1000:
            return machine.dwt.read(address - _DWT)
        if _SYSTICK <= address < _SYSTICK + 0x10:
            return machine.systick.read(address - _SYSTICK)
        if _MPU <= address < _MPU + 0x2C:
            return machine.mpu.read(address - _MPU)
        if address == _DEMCR:
            return machine.dwt.demcr
        if _SCS <= address < _SCS + 0x1000:
            return machine.system.read(address)
        raise Unmodelled("access to a register of the core that is not modelled")

    def write(self, address: int, size: int, value: int) -> None:
        if address & (size - 1):
            raise Unmodelled("unaligned access to a register")
        if not _PRIVATE[0] <= address < _PRIVATE[1]:
            peripheral = self._find(address)
            peripheral.write(address - peripheral.base, size, value)
            return
        machine = self._machine
        if _SCS <= address < _SCS + 0x1000 and not _is_word_register(address):
            machine.system.write(address, size, value)
            return
        if size != 4:
            raise Unmodelled(f"{8 * size}-bit write to a register of the core")
        if _DWT <= address < _DWT + 0x1000:
            machine.dwt.write(address - _DWT, value)
        elif _SYSTICK <= address < _SYSTICK + 0x10:
            machine.systick.write(address - _SYSTICK, value)
        elif _MPU <= address < _MPU + 0x2C:
            machine.mpu.write(address - _MPU, value)
        elif address == _DEMCR:
            machine.dwt.set_demcr(value)
        else:
            raise Unmodelled("access to a register of the core that is not modelled")


def _is_word_register(address: int) -> bool:
    return (
        _SYSTICK <= address < _SYSTICK + 0x10
        or _MPU <= address < _MPU + 0x2C
        or address & ~3 == _DEMCR
    )
