"""The MPU (DDI 0403E B3.5): regions become page rights of the CPU, looked at exactly where a
region covers a page only in part (native/hooks.c)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edge_boards.virtual import native
from edge_boards.virtual.engine import PROT_EXEC, PROT_READ, PROT_WRITE
from edge_boards.virtual.faults import Unmodelled
from edge_boards.virtual.memory import PAGE

if TYPE_CHECKING:
    from edge_boards.virtual.machine import Machine

ALL = native.READ | native.WRITE | native.EXECUTE
# AP field to what privileged code may do (DDI 0403E, table B3-15).
_ACCESS = {0: 0, 1: 3, 2: 3, 3: 3, 5: 1, 6: 1, 7: 1}
_ENABLE, _HFNMIENA, _PRIVDEFENA = 1, 2, 4


class Mpu:
    """Registers at 0xE000ED90, and what they allow."""

    def __init__(self, machine: Machine, regions: int) -> None:
        self._machine = machine
        self._count = regions
        self._closed: set[tuple[int, int]] = set()
        self.reset()

    def reset(self) -> None:
        self.ctrl = 0
        self._number = 0
        self._rbar = [0] * self._count
        self._rasr = [0] * self._count
        self._apply()

    def read(self, offset: int) -> int:
        if offset == 0x00:
            return self._count << 8
        if offset == 0x04:
            return self.ctrl
        if offset == 0x08:
            return self._number
        if offset in (0x0C, 0x14, 0x1C, 0x24):
            return self._rbar[self._number] | self._number
        if offset in (0x10, 0x18, 0x20, 0x28):
            return self._rasr[self._number]
        raise Unmodelled("read of an unmodelled register of the MPU")

    def write(self, offset: int, value: int) -> None:
        if offset == 0x04:
            self.ctrl = value & 7
        elif offset == 0x08:
            self._select(value & 0xFF)
        elif offset in (0x0C, 0x14, 0x1C, 0x24):
            if value & 0x10:
                self._select(value & 15)
            self._rbar[self._number] = value & ~0x1F & 0xFFFF_FFFF
        elif offset in (0x10, 0x18, 0x20, 0x28):
            self._rasr[self._number] = value & 0x173F_FF3F
        elif offset != 0x00:
            raise Unmodelled("write of an unmodelled register of the MPU")
        self._apply()

    def _select(self, number: int) -> None:
        if number >= self._count:
            raise Unmodelled(f"MPU region {number}: this core has {self._count}")
        self._number = number

    def allows(self, address: int, *, native_write: bool) -> bool:
        """Whether privileged code may access an address."""
        if not self.ctrl & _ENABLE:
            return True
        state = self._machine.engine.state
        rights = self._machine.engine.hooks.eag_mpu_permissions(state, address)
        return bool(rights & (native.WRITE if native_write else native.READ))

    def _apply(self) -> None:
        state = self._machine.engine.state
        if not self.ctrl & _ENABLE:
            state.mpu_count = 0
            self._reopen(set())
            return
        state.mpu_count = self._count
        state.mpu_background = ALL if self.ctrl & _PRIVDEFENA else 0
        for i in range(self._count):
            rasr = self._rasr[i]
            region = state.mpu[i]
            if not rasr & 1:
                region.base, region.last = 1, 0
                continue
            size = 1 << (rasr >> 1 & 31) + 1
            access = _ACCESS.get(rasr >> 24 & 7)
            if size < 32 or access is None:
                raise Unmodelled(f"MPU region {i}: RASR 0x{rasr:08x} is unpredictable")
            region.base = self._rbar[i] & ~(size - 1) & 0xFFFF_FFFF
            region.last = region.base + size - 1 & 0xFFFF_FFFF
            region.subregions = rasr >> 8 & 0xFF
            can_run = access & native.READ and not rasr >> 28 & 1
            region.permissions = access | (native.EXECUTE if can_run else 0)
        self._reopen(self._restricted_pages())

    def _restricted_pages(self) -> set[tuple[int, int]]:
        """Pages whose rights are not simply all: the page's first address, and Unicorn's rights;
        0 where the page has several."""
        state, hooks = self._machine.engine.state, self._machine.engine.hooks
        edges = {0}
        for i in range(self._count):
            region = state.mpu[i]
            if region.last >= region.base:
                eighth = (region.last - region.base + 1) // 8
                edges.update(region.base + eighth * n for n in range(8) if eighth >= 32)
                edges.update((region.base, region.last + 1))
        pages: set[int] = set()
        for memory in self._machine.memory.regions:
            points = sorted(
                {memory.base} | {e for e in edges if memory.base <= e < memory.base + memory.size}
            )
            for start, end in zip(points, [*points[1:], memory.base + memory.size], strict=True):
                if hooks.eag_mpu_permissions(state, start) == ALL:
                    continue
                pages.update(range(start // PAGE, (end - 1) // PAGE + 1))
        result: set[tuple[int, int]] = set()
        for page in pages:
            first = page * PAGE
            inside = {first} | {e for e in edges if first <= e < first + PAGE}
            rights = {hooks.eag_mpu_permissions(state, address) for address in inside}
            result.add((first, rights.pop() if len(rights) == 1 else 0))
        return result

    def _reopen(self, wanted: set[tuple[int, int]]) -> None:
        if wanted == self._closed:
            return
        closed, self._closed = self._closed, wanted
        # Not from inside an access: Unicorn would cut the memory that it is running from.
        self._machine.defer(lambda: self._protect_pages(closed, wanted))

    def _protect_pages(self, closed: set[tuple[int, int]], wanted: set[tuple[int, int]]) -> None:
        named = {first for first, _ in wanted}
        opened = {(first, ALL) for first, _ in closed if first not in named}
        run: list[tuple[int, int]] = []
        for page in sorted(opened | (wanted - closed)):
            if run and (page[0] != run[-1][0] + PAGE or page[1] != run[-1][1]):
                self._protect(run)
                run = []
            run.append(page)
        if run:
            self._protect(run)
        self._machine.engine.flush_tlb()

    def _protect(self, run: list[tuple[int, int]]) -> None:
        first, rights = run[0]
        memory = self._machine.memory.find(first)
        assert memory is not None
        allowed = (
            (PROT_READ if rights & native.READ else 0)
            | (PROT_WRITE if rights & native.WRITE and memory.writable else 0)
            | (PROT_EXEC if rights & native.EXECUTE else 0)
        )
        size = min(len(run) * PAGE, memory.base + memory.size - first)
        self._machine.engine.protect(first, size, allowed)
        rest = run[size // PAGE :]
        if rest:  # the next memory begins where this one ends
            self._protect(rest)
