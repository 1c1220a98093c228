"""The virtual board: a core, its memories and its peripherals, run in modelled time.

One instruction is one cycle until a cycle model is attached. Nothing here knows of processes,
sockets or real time: tests and the benchmark use a `Machine` directly.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from edge_boards.board import Board
from edge_boards.errors import VirtualBoardError
from edge_boards.virtual import engine as unicorn
from edge_boards.virtual import native
from edge_boards.virtual.bootrom import BootRom, Protection
from edge_boards.virtual.bus import Bus
from edge_boards.virtual.clock import Clock
from edge_boards.virtual.core import HFSR_VECTTBL, Core
from edge_boards.virtual.counting import StepCounter, trampoline
from edge_boards.virtual.engine import Engine
from edge_boards.virtual.events import FAR, Agenda, Event
from edge_boards.virtual.faults import BusError, FaultKind, MachineStop, NoImageStop, Unmodelled
from edge_boards.virtual.image import ImageInfo, find_image_info
from edge_boards.virtual.lines import SerialLines
from edge_boards.virtual.memory import MemoryMap
from edge_boards.virtual.peripherals.counters import Dwt, SysTick
from edge_boards.virtual.peripherals.mpu import Mpu
from edge_boards.virtual.peripherals.system import SystemRegisters
from edge_boards.virtual.soc import soc_of
from edge_boards.virtual.trace import Trace
from edge_boards.virtual.traps import Traps

_PRIVATE_IO = (0xE000_0000, 0xE010_0000)
_WFI, _WFI_WIDE = b"\x30\xbf", b"\xaf\xf3\x03\x80"


class Pause(enum.Enum):
    """Why `Machine.run` came back."""

    BUDGET = "budget"  # the cycles asked for are over
    IDLE = "idle"  # asleep, and nothing but bytes from outside can wake it
    SLEEPING = "sleeping"  # asleep until a tick, and the caller did not want to skip the wait
    BREAKPOINT = "breakpoint"
    BOOTLOADER = "bootloader"  # the ROM bootloader waits for bytes, or has just handed over


class Machine:
    """One virtual board, of the chip that its board file names (`virtual.model`).

    Use: `load_flash`, `reset`, `run`, `links[...]`. Raises `VirtualBoardError` where there is no
    model of the chip, or the board file does not fit it.
    """

    def __init__(self, board: Board, flash_file: Path | None = None) -> None:
        self.board = board
        self.soc = soc_of(board)
        self.chip_id = board.soc.chip_id or 0
        self.bootloader_version = board.virtual.bootloader_version if board.virtual else 0
        sizes = self.soc.sectors
        self.sectors = tuple((sum(sizes[:i]), size) for i, size in enumerate(sizes))
        self.symbolise: Callable[[int], str | None] | None = None
        self.on_pins: Callable[[str, int, int], None] | None = None
        self.engine = Engine(self.soc.core)
        self.agenda = Agenda()
        self.clock = Clock(self.engine.state)
        self._deferred: list[Callable[[], None]] = []
        self._problem: Exception | None = None
        self._problem_address = 0
        self._reset_wanted = False
        self.breakpoints: set[int] = set()
        self.memory = MemoryMap(self.soc, board.name, self.engine, flash_file)
        self.core = Core(self)
        self.system = SystemRegisters(self)
        self.systick = SysTick(self)
        self.dwt = Dwt(self)
        self.mpu = Mpu(self, board.core.mpu_regions)
        self.rcc = self.soc.clock_tree(self)
        self.bus = Bus(self)
        for first, end in (*self.soc.io, _PRIVATE_IO):
            self.engine.map_io(first, end - first, self._io_read, self._io_write)
        self.lines = SerialLines(self, board.serial)
        self.links = self.lines.links
        self.traps = Traps(self)
        self.trace = Trace(self.engine)
        self.counter = StepCounter(self)
        self.image: ImageInfo | None = None
        self.bootrom: BootRom | None = None
        self.protection = Protection()
        self._pc = 0
        self.boot0 = False
        self.restarts = -1
        """How often it was reset, by whom ever, since it was made."""
        self.reset(power_on=True)

    # -- life

    def close(self) -> None:
        """Frees the CPU."""
        self.engine.close()

    def load_flash(self, data: bytes, offset: int = 0) -> None:
        """Erases the flash and puts an image there, as a debugger would."""
        flash = self.memory.flash
        if offset + len(data) > flash.size:
            raise VirtualBoardError(
                f"an image of {len(data)} bytes at 0x{flash.base + offset:08x} does not fit the "
                f"flash of {flash.size} bytes"
            )
        self.memory.program(0, b"\xff" * flash.size)
        self.memory.program(offset, data)

    def reset(self, boot0: bool = False, *, power_on: bool = False) -> None:
        """The reset pin (or power). With `boot0` the ROM bootloader starts."""
        self._restart(boot0, power_on=power_on)

    def _restart(self, boot0: bool, *, software: bool = False, power_on: bool = False) -> None:
        if power_on:
            self.memory.power_on()
        self.boot0 = boot0
        self.restarts += 1
        self._reset_wanted = False
        self._problem = None
        self.agenda.clear()
        self.rcc.set_reset_cause(software=software, power_on=power_on)
        self.core.reset()
        self.system.reset()
        self.systick.reset()
        self.dwt.reset()
        self.mpu.reset()
        self.bus.reset()
        self._run_deferred()
        state = self.engine.state
        state.it_start = state.it_end = 0
        state.recheck = 0
        state.event = 0
        state.skip = 1
        self.lines.reset()
        self.image = find_image_info(self.memory.flash.view)
        self.counter.restart()
        # As a handler, since thread mode could have lost the right to write CONTROL.
        self.engine.write("IPSR", 3)
        self.engine.write("CONTROL", 0)
        self.engine.write("IPSR", 0)
        for name in unicorn.REGISTERS:
            if name not in ("PC", "XPSR", "IPSR", "SP"):
                self.engine.write(name, 0)
        self.engine.write("XPSR", 0x0100_0000)
        self.bootrom = BootRom(self) if boot0 else None
        if boot0:
            return
        self.start_at(self.soc.boot_vectors)

    def start_at(self, vectors: int) -> None:
        """Takes stack pointer and entry from a vector table, as reset does."""
        self.bootrom = None
        self.core.vtor = vectors
        raw = self.memory.read(vectors, 8)
        stack, entry = struct.unpack("<II", raw) if raw else (0, 0)
        self.engine.write("MSP", stack & ~3)
        self.engine.write("LR", 0xFFFF_FFFF)
        self._pc = entry & ~1
        self._entry_bad = not entry & 1 or self.memory.find(self._pc, 2) is None
        self._entry_words = (stack, entry)

    def request_reset(self) -> None:
        """SYSRESETREQ: takes effect before the next instruction."""
        self._reset_wanted = True
        self.ask_stop()

    def reset_peripheral(self, name: str) -> None:
        """A reset bit of the RCC."""
        self.bus.peripherals[name].reset()

    # -- time

    @property
    def cycles(self) -> int:
        """Core cycles since power-on, modelled."""
        return int(self.engine.state.cycles)

    @property
    def instructions(self) -> int:
        """Instructions begun since power-on, handlers' and IT-skipped ones included."""
        return int(self.engine.state.instructions)

    @property
    def pc(self) -> int:
        return self._pc

    @property
    def seconds(self) -> float:
        """Modelled time since power-on."""
        return self.clock.seconds

    def at(self, cycle: int, action: Callable[[], None], *, idle: bool = False) -> Event:
        """Does something at a core cycle; `idle`: it may be waited for in real time."""
        state = self.engine.state
        state.deadline = min(state.deadline, cycle)  # the CPU may be running towards a later one
        return self.agenda.at(cycle, action, idle=idle)

    def after_cycles(self, cycles: int, action: Callable[[], None]) -> Event:
        """Does something so many core cycles from now."""
        return self.at(self.cycles + cycles, action)

    def after_seconds(self, seconds: float, action: Callable[[], None]) -> Event:
        return self.after_cycles(max(1, self.clock.cycles_of(seconds)), action)

    # -- what peripherals ask for

    def check_clock_limits(self) -> None:
        """Stops where wait states, voltage scale or a bus do not allow the clocks of now."""
        self.soc.check_clocks(self)

    def ask_stop(self) -> None:
        """Comes back to `run` before the next instruction."""
        self.engine.state.deadline = 0

    def defer(self, action: Callable[[], None]) -> None:
        """Runs between two instructions: what must not happen inside an access."""
        self._deferred.append(action)
        self.ask_stop()

    def interrupt_changed(self) -> None:
        self.engine.state.pending = 1
        self.ask_stop()

    def set_line(self, irq: int, high: bool) -> None:
        self.core.set_line(irq, high)

    def pins_changed(self, port: str, levels: int) -> None:
        if self.on_pins is not None:
            self.on_pins(port, levels, self.cycles)

    # -- registers and memory, called from inside Unicorn

    def _io_read(self, address: int, size: int) -> int:
        try:
            return self.bus.read(address, size)
        except (Unmodelled, BusError, MachineStop) as problem:
            self._remember(problem, address)
            return 0

    def _io_write(self, address: int, size: int, value: int) -> None:
        try:
            self.bus.write(address, size, value)
        except (Unmodelled, BusError, MachineStop) as problem:
            self._remember(problem, address)

    def _remember(self, problem: Exception, address: int) -> None:
        if self._problem is None:
            self._problem = problem
            self._problem_address = address
        self.ask_stop()

    def halt(self, what: str, *, address: int | None = None, pc: int | None = None) -> NoReturn:
        """Stops the machine for good, with an error."""
        where = self.engine.state.pc if pc is None else pc
        function = self.symbolise(where) if self.symbolise is not None else None
        raise MachineStop(what, pc=where, address=address, function=function)

    # -- counting

    def count(self, on: bool) -> None:
        """Counts instructions, and models cycles, step by step for the image in flash.

        Raises `VirtualBoardError` where the image does not say where its steps are.
        """
        if not on:
            self.counter.disarm()
            return
        self.image = find_image_info(self.memory.flash.view)
        if self.image is None or not self.image.step_return:
            raise VirtualBoardError(
                "the image in flash does not say where its steps are: it has no eag_image_info"
            )
        self.counter.arm(*trampoline(self.image.step_return), model_cycles=True)

    # -- running

    def run(
        self,
        cycles: int | None = None,
        *,
        skip_idle: bool = True,
        until: Callable[[], bool] | None = None,
    ) -> Pause:
        """Runs for `cycles` of modelled time (None: until it idles), or until `until()` holds.

        With `skip_idle` the time asleep before a tick passes at once; without, the call returns
        so that the caller can wait. Raises `MachineStop`.
        """
        end = FAR if cycles is None else self.cycles + cycles
        while True:
            if self.bootrom is not None:
                self.bootrom.work()
                return Pause.BOOTLOADER
            if until is not None and until():
                return Pause.BREAKPOINT
            self.agenda.fire(self.cycles)
            self._run_deferred()
            if self._reset_wanted:
                self._restart(self.boot0, software=True)
                continue
            self._take_interrupt()
            if self.core.sleeping:
                pause = self._sleep(end, skip_idle)
                if pause is not None:
                    return pause
                continue
            if self.cycles >= end:
                return Pause.BUDGET
            if self._execute(min(end, self.agenda.next_at())):
                return Pause.BREAKPOINT

    def _run_deferred(self) -> None:
        while self._deferred:
            actions, self._deferred = self._deferred, []
            for action in actions:
                action()

    def _take_interrupt(self) -> None:
        core = self.core
        if not core.pending:
            self.engine.state.pending = 0
            return
        number = core.next_exception()
        if number is not None:
            core.sleeping = False
            self._pc = core.enter(number, self._pc)
        elif core.sleeping and core.next_exception(ignore_primask=True) is not None:
            core.sleeping = False
        self.engine.state.pending = int(core.waiting())

    def _sleep(self, end: int, skip_idle: bool) -> Pause | None:
        """Time passes without instructions, up to the next event."""
        at = self.agenda.next_at()
        if at >= FAR:
            return Pause.IDLE
        # However long: a wait that were cut into budgets would pass at once, piece by piece.
        if not skip_idle and self.agenda.only_idle():
            return Pause.SLEEPING
        if at > end:
            self.engine.state.cycles = end
            return Pause.BUDGET
        self.engine.state.cycles = max(at, self.cycles)
        return None

    def next_tick_seconds(self) -> float:
        """How long the machine would sleep from now."""
        return max(0, self.agenda.next_at() - self.cycles) / self.clock.hertz

    def skip_to_tick(self) -> None:
        """The wait that `Pause.SLEEPING` announced is over."""
        at = self.agenda.next_at()
        if at < FAR:
            self.engine.state.cycles = max(at, self.cycles)

    def pass_idle_time(self, seconds: float) -> None:
        """Part of that wait is over, because something else came first."""
        ahead = self.clock.cycles_of(seconds)
        self.engine.state.cycles = min(self.cycles + ahead, max(self.agenda.next_at(), self.cycles))

    def _execute(self, deadline: int) -> bool:
        """Runs the CPU up to `deadline` or whatever stops it; whether at a breakpoint."""
        state = self.engine.state
        if self._pc < 0x10 or self._entry_bad:
            self._refuse_entry()
        if self.memory.stale:
            self.memory.refresh()
            self.counter.mark()
            for address in self.breakpoints:
                self.memory.mark(address)
        state.deadline = deadline
        state.reason = native.RAN
        error = self.engine.run(self._pc)
        reason = state.reason
        if reason != native.INTERRUPT:
            self._pc = self.engine.read("PC") & ~1
        if self._problem is not None:
            self._raise_problem()
        if reason in (native.DEADLINE, native.RECHECK):
            self.trace.cut(self._pc)
            return False
        if reason == native.MARKED:
            return self._marked()
        if reason == native.INTERRUPT:
            self._pc = self.traps.exception(state.detail)
        elif reason != native.RAN:
            self._pc = self.traps.refused(reason, self._pc)
        elif error != unicorn.ERR_OK:
            self._pc = self.traps.error(error, self._pc)
        else:
            self._fell_asleep()
        return False

    def _refuse_entry(self) -> None:
        stack, entry = self._entry_words
        if self._entry_bad:
            if stack == entry == 0xFFFF_FFFF:
                raise NoImageStop(self.board.name)
            self.core.hfsr |= HFSR_VECTTBL
            self.halt(f"the vector table's entry 0x{entry:08x} is not Thumb code", pc=entry)

    def _raise_problem(self) -> None:
        problem, self._problem = self._problem, None
        if isinstance(problem, MachineStop):
            raise problem
        if isinstance(problem, BusError):
            self._pc = self.core.fault(
                FaultKind.PRECISERR, self.engine.state.pc, self._problem_address
            )
            return
        self.halt(str(problem), address=self._problem_address)

    def _marked(self) -> bool:
        state = self.engine.state
        state.skip = self._pc
        self.trace.cut(self._pc)
        known = self.counter.reached(self._pc)
        if self._pc in self.breakpoints:
            return True
        if not known:
            self.memory.unmark(self._pc)
        return False

    def add_breakpoint(self, address: int) -> None:
        """`run` comes back before the instruction at `address`."""
        self.breakpoints.add(address & ~1)
        self.memory.mark(address & ~1)

    def _fell_asleep(self) -> None:
        before = self.memory.read_code(self._pc - 4, 4)
        if before[2:] != _WFI and before != _WFI_WIDE:
            self.halt("the CPU emulation came back without a reason", pc=self._pc)
        self.core.sleeping = True
