"""The virtual board: a Cortex-M7, its memories and its peripherals, run in modelled time.

One instruction is one cycle until a cycle model is attached. Nothing here knows of processes,
sockets or real time: tests and the benchmark use a `Machine` directly.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, cast

from edge_boards.board import Board
from edge_boards.errors import VirtualBoardError
from edge_boards.virtual import engine as unicorn
from edge_boards.virtual import native
from edge_boards.virtual.bootrom import BootRom, Protection
from edge_boards.virtual.bus import Bus
from edge_boards.virtual.core import HFSR_VECTTBL, Core
from edge_boards.virtual.counting import StepCounter, trampoline
from edge_boards.virtual.cycles.steps import StepCycles
from edge_boards.virtual.engine import Engine
from edge_boards.virtual.events import FAR, Agenda, Event
from edge_boards.virtual.faults import BusError, FaultKind, MachineStop, Unmodelled
from edge_boards.virtual.image import ImageInfo, find_image_info
from edge_boards.virtual.links import Link
from edge_boards.virtual.memory import AddressKind, HostMemory, MemoryMap, kind_of_unmapped
from edge_boards.virtual.peripherals.flash import FlashInterface, wait_states_for
from edge_boards.virtual.peripherals.gpio import Gpio
from edge_boards.virtual.peripherals.mpu import Mpu
from edge_boards.virtual.peripherals.power import Pwr
from edge_boards.virtual.peripherals.rcc import SOFTWARE_RESET, Rcc
from edge_boards.virtual.peripherals.system import Dwt, SystemRegisters, SysTick
from edge_boards.virtual.peripherals.usart import Usart

MODEL = "stm32f746"
_RCC_BASE = 0x4002_3800
_IO = ((0x4000_0000, 0x8_0000), (0xE000_0000, 0x10_0000))
_BOOT_FLASH = 0x0020_0000  # BOOT_ADD0 as shipped: flash on the ITCM bus (RM0385 2.5)
_WFI = (b"\x30\xbf", b"\x20\xbf")
_AF7 = 7
_AF8 = 8
_AF8_UARTS = frozenset({"UART4", "UART5", "USART6", "UART7", "UART8"})
_EXC_SVC, _EXC_BKPT, _EXC_EXIT = 2, 7, 8
_EXC_FAULTS = {
    3: FaultKind.IACCVIOL,
    4: FaultKind.DACCVIOL,
    17: FaultKind.NOCP,
    18: FaultKind.INVSTATE,
}


class Pause(enum.Enum):
    """Why `Machine.run` came back."""

    BUDGET = "budget"  # the cycles asked for are over
    IDLE = "idle"  # asleep, and nothing but bytes from outside can wake it
    SLEEPING = "sleeping"  # asleep until a tick, and the caller did not want to skip the wait
    BREAKPOINT = "breakpoint"
    BOOTLOADER = "bootloader"  # the ROM bootloader waits for bytes, or has just handed over


class Machine:
    """One virtual STM32F746. Use: `load_flash`, `reset`, `run`, `links[...]`."""

    def __init__(self, board: Board, flash_file: Path | None = None) -> None:
        if board.virtual is None or board.virtual.model != MODEL:
            raise VirtualBoardError(
                f"board {board.name} has no virtual model; there is one for {MODEL}"
            )
        self.board = board
        self.chip_id = board.virtual.chip_id
        self.bootloader_version = board.virtual.bootloader_version
        sizes = board.flash.sectors
        self.sectors = tuple((sum(sizes[:i]), size) for i, size in enumerate(sizes))
        self.symbolise: Callable[[int], str | None] | None = None
        self.on_pins: Callable[[str, int, int], None] | None = None
        self.engine = Engine()
        self.agenda = Agenda()
        self._deferred: list[Callable[[], None]] = []
        self._problem: Exception | None = None
        self._problem_address = 0
        self._seconds = 0.0
        self._clock_since = 0
        self._reset_wanted = False
        self._running = False
        self._hclk = 0
        self.breakpoints: set[int] = set()
        self.memory = MemoryMap(board, self.engine, flash_file)
        self.core = Core(self)
        self.system = SystemRegisters(self)
        self.systick = SysTick(self)
        self.dwt = Dwt(self)
        self.mpu = Mpu(self, board.core.mpu_regions)
        self.rcc = Rcc(self, "RCC", _RCC_BASE, board.clock.oscillator_hz)
        self.bus = Bus(self)
        self.bus.add_rcc(self.rcc)
        for base, size in _IO:
            self.engine.map_io(base, size, self._io_read, self._io_write)
        self.links = {s.name: Link(s, self._fed) for s in board.serial}
        self.counter = StepCounter(self)
        self._step_cycles: StepCycles | None = None
        self.image: ImageInfo | None = None
        self.bootrom: BootRom | None = None
        self.protection = Protection()
        self._trace_listener: Callable[[memoryview], None] | None = None
        self._pc = 0
        self.boot0 = False
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
        self._restart(boot0, 0, power_on=power_on)

    def _restart(self, boot0: bool, cause: int, *, power_on: bool) -> None:
        if power_on:
            self.memory.power_on()
        self.boot0 = boot0
        self._reset_wanted = False
        self._problem = None
        self.agenda.clear()
        self.rcc.set_reset_cause(cause, power_on=power_on)
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
        state.skip = 1
        for link in self.links.values():
            link.to_board.clear()
        for usart in self._usarts():
            usart.incoming.clear()
        self.image = find_image_info(self.memory.flash.view)
        self.counter.steps.clear()
        if self.counter.on and self.image is not None and self.image.step_return:
            self.counter.arm(*trampoline(self.image.step_return))
        for name in unicorn.REGISTERS:
            if name not in ("PC", "XPSR", "IPSR", "SP"):
                self.engine.write(name, 0)
        self.engine.write("XPSR", 0x0100_0000)
        self.bootrom = BootRom(self) if boot0 else None
        if boot0:
            return
        self.start_at(_BOOT_FLASH)

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
        return int(self.engine.state.instructions)

    @property
    def pc(self) -> int:
        return self._pc

    @property
    def seconds(self) -> float:
        """Modelled time since power-on."""
        return self._seconds + (self.cycles - self._clock_since) / max(self._hclk, 1)

    def clock_changed(self, hclk: int) -> None:
        """The core clock is another one from now on."""
        self._seconds = self.seconds
        self._clock_since = self.cycles
        self._hclk = hclk

    def after_cycles(self, cycles: int, action: Callable[[], None]) -> Event:
        event = self.agenda.at(self.cycles + cycles, action)
        self.engine.state.deadline = min(self.engine.state.deadline, event.at)
        return event

    def after_seconds(self, seconds: float, action: Callable[[], None]) -> Event:
        return self.after_cycles(max(1, round(seconds * max(self._hclk, 1))), action)

    def check_clock_limits(self) -> None:
        """Wait states, voltage scale and bus limits at the clocks of now."""
        flash = cast(FlashInterface, self.bus.peripherals["FLASH"])
        needed = wait_states_for(self.rcc.hclk)
        if flash.latency < needed:
            raise Unmodelled(
                f"flash runs with {flash.latency} wait states at {self.rcc.hclk / 1e6:g} MHz, "
                f"which needs {needed}"
            )
        limits = cast(Pwr, self.bus.peripherals["PWR"]).limits_mhz()
        clocks = (("HCLK", self.rcc.hclk), ("PCLK1", self.rcc.pclk1), ("PCLK2", self.rcc.pclk2))
        for (name, hertz), limit in zip(clocks, limits, strict=True):
            if hertz > limit * 1_000_000:
                raise Unmodelled(
                    f"{name} is {hertz / 1e6:g} MHz; {limit} MHz is allowed at this voltage scale "
                    "and over-drive"
                )

    # -- what peripherals ask for

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

    # -- serial links

    def _usarts(self) -> list[Usart]:
        return [p for p in self.bus.peripherals.values() if isinstance(p, Usart)]

    def _connected(self, uart: str, pin: tuple[str, int]) -> bool:
        port, number = pin
        gpio = cast(Gpio, self.bus.peripherals[f"GPIO{port}"])
        return gpio.function(number) == (_AF8 if uart in _AF8_UARTS else _AF7)

    def _fed(self, link: Link) -> None:
        if self.bootrom is not None:
            return
        self._deliver(link)

    def _deliver(self, link: Link) -> None:
        """Bytes of the host go onto the line; without a receiver they are lost, as on a wire."""
        if not link.to_board:
            return
        uart = cast(Usart, self.bus.peripherals[link.serial.peripheral])
        if self._connected(link.serial.peripheral, link.rx_pin):
            uart.incoming.extend(link.to_board)
            uart.line_in()
        link.to_board.clear()

    def line_out(self, uart: str, byte: int) -> None:
        """A byte has left a transmitter: every link on a pin that is set up for it sees it."""
        for link in self.links.values():
            if link.serial.peripheral == uart and self._connected(uart, link.tx_pin):
                link.to_host.append(byte)

    def backlog(self, link: Link) -> int:
        """Bytes fed that the board has not seen yet."""
        uart = cast(Usart, self.bus.peripherals[link.serial.peripheral])
        return len(uart.incoming) + len(link.to_board)

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

    # -- counting and tracing

    def count(self, on: bool) -> None:
        """Counts instructions step by step, for the image in flash."""
        if self._step_cycles is not None:
            self._step_cycles.abandon()
            self._step_cycles = None
        if not on:
            self.counter.disarm()
            self.trace(None)
            return
        if self.image is None:
            self.image = find_image_info(self.memory.flash.view)
        if self.image is None or not self.image.step_return:
            raise VirtualBoardError(
                "the image in flash does not say where its steps are: it has no eag_image_info"
            )
        self.counter.arm(*trampoline(self.image.step_return))
        self._step_cycles = StepCycles(self.board, self)
        # Short pieces: time stands still within one, and bytes on a line must not bunch up.
        self.trace(self._step_cycles.listen, capacity=2048, data=self._step_cycles.cached_ranges)

    def read_code(self, address: int, size: int) -> bytes:
        """Bytes of memory, as the cycle model disassembles them; empty where there is none."""
        return self.memory.read(address, size) or b""

    def step_begins(self) -> None:
        """A counted step's trampoline is about to call it."""
        if self._step_cycles is not None:
            self.drain_trace()
            self._step_cycles.begin(self.engine.state)

    def step_ends(self) -> None:
        """A counted step came back: from here on its time is what the model says, and the
        firmware reads the same from its own cycle counter."""
        if self._step_cycles is not None:
            self.drain_trace()
            self._step_cycles.end(self.engine.state)

    def trace(
        self,
        listener: Callable[[memoryview], None] | None,
        *,
        capacity: int = 1 << 16,
        data: Sequence[tuple[int, int]] = (),
    ) -> None:
        """Hands every block and every access to the `data` address ranges (first, last) to
        `listener`, in order, as a memoryview of uint32 pairs: address; size | native.TRACE_*.

        A pair with TRACE_CUT says that the block before it ended early, before that address.
        """
        self._trace_listener = listener
        if listener is None:
            self.engine.trace(None, 0, ())
            return
        buffer = self.engine.trace(self.drain_trace, capacity, data)
        assert buffer is not None
        self._trace_view = memoryview(buffer).cast("B").cast("I")

    def drain_trace(self) -> None:
        """Hands over what has been recorded so far."""
        state = self.engine.state
        if self._trace_listener is not None and state.trace_length:
            self._trace_listener(self._trace_view[: 2 * state.trace_length])
        state.trace_length = 0

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
                self._restart(self.boot0, SOFTWARE_RESET, power_on=False)
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
        if at > end:
            self.engine.state.cycles = end
            return Pause.BUDGET
        if not skip_idle and self.agenda.only_idle():
            return Pause.SLEEPING
        self.engine.state.cycles = max(at, self.cycles)
        return None

    def next_tick_seconds(self) -> float:
        """How long the machine would sleep from now."""
        return max(0, self.agenda.next_at() - self.cycles) / max(self._hclk, 1)

    def skip_to_tick(self) -> None:
        """The wait that `Pause.SLEEPING` announced is over."""
        at = self.agenda.next_at()
        if at < FAR:
            self.engine.state.cycles = max(at, self.cycles)

    def pass_idle_time(self, seconds: float) -> None:
        """Part of that wait is over, because something else came first."""
        ahead = round(seconds * max(self._hclk, 1))
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
            self._cut()
            return False
        if reason == native.MARKED:
            return self._marked()
        if reason == native.INTERRUPT:
            self._cpu_exception(state.detail)
        elif reason != native.RAN:
            self._hook_fault(reason)
        elif error != unicorn.ERR_OK:
            self._cpu_error(error)
        else:
            self._fell_asleep()
        return False

    def _cut(self) -> None:
        """Tells a tracing listener that the current block ends here for now."""
        state = self.engine.state
        if state.trace_capacity:
            at = 2 * state.trace_length
            self._trace_view[at] = self._pc
            self._trace_view[at + 1] = native.TRACE_CUT
            state.trace_length += 1
            if state.trace_length == state.trace_capacity:
                self.drain_trace()

    def _refuse_entry(self) -> None:
        stack, entry = self._entry_words
        if self._entry_bad:
            if stack == entry == 0xFFFF_FFFF:
                self.halt("the flash is erased; program an image", address=_BOOT_FLASH, pc=entry)
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
        self._cut()
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
        instruction = self.memory.read((self._pc - 2) & 0xFFFF_FFFF, 2)
        if instruction not in _WFI:
            self.halt("the CPU emulation came back without a reason", pc=self._pc)
        self.core.sleeping = True

    def _hook_fault(self, reason: int) -> None:
        state = self.engine.state
        core, pc = self.core, self._pc
        if reason == native.UNALIGNED:
            self._pc = core.fault(FaultKind.UNALIGNED, pc)
        elif reason == native.UNDEFINED:
            self._pc = core.fault(FaultKind.UNDEFINSTR, pc)
        elif reason == native.NO_FPU:
            self._pc = core.fault(FaultKind.NOCP, pc)
        else:
            self.halt("code runs outside all memories", address=state.pc)

    def _cpu_exception(self, number: int) -> None:
        pc = self.engine.read("PC")
        if number == _EXC_EXIT:
            self._pc = self.core.leave(pc | 1)
        elif number == _EXC_SVC:
            self._pc = pc & ~1
            self.core.pend(11)
        elif number == _EXC_BKPT:
            self._pc = self.core.fault(FaultKind.BREAKPOINT, pc & ~1)
        elif number in _EXC_FAULTS:
            self._pc = self.core.fault(_EXC_FAULTS[number], pc & ~1)
        else:
            self.halt(f"the CPU emulation raises exception {number}", pc=pc)

    def _cpu_error(self, error: int) -> None:
        state, core = self.engine.state, self.core
        pc = self._pc
        if error == unicorn.ERR_INSN_INVALID:
            self._pc = core.fault(FaultKind.UNDEFINSTR, pc)
            return
        if error not in unicorn.MEM_ERRORS:
            self.halt(f"the CPU emulation fails: {self.engine.error_text(error)}", pc=pc)
        address, kind = state.fault_address, state.fault_kind
        region = self.memory.find(address)
        fetch = kind in unicorn.FETCH_KINDS
        if region is not None and not region.writable and kind in unicorn.WRITE_KINDS:
            self._write_to_flash(region, address, pc)
        elif region is not None:
            # Pages are closed by the MPU alone.
            self._pc = core.fault(
                FaultKind.IACCVIOL if fetch else FaultKind.DACCVIOL, pc, None if fetch else address
            )
        elif not fetch and kind_of_unmapped(address) is AddressKind.UNMODELLED:
            self.halt("access to an address that is not modelled", address=address, pc=pc)
        elif fetch and address >= 0xFFFF_FF00:
            self._pc = core.fault(FaultKind.INVPC, pc)
        else:
            self._pc = core.fault(
                FaultKind.IBUSERR if fetch else FaultKind.PRECISERR, pc, None if fetch else address
            )

    def _write_to_flash(self, region: HostMemory, address: int, pc: int) -> None:
        state = self.engine.state
        interface = cast(FlashInterface, self.bus.peripherals["FLASH"])
        mask = (1 << 8 * state.fault_size) - 1
        try:
            if region.host != self.memory.flash.host:
                raise Unmodelled("write to read-only memory")
            interface.store_to_flash(
                address - region.base, state.fault_size, state.fault_value & mask
            )
        except Unmodelled as problem:
            self.halt(str(problem), address=address, pc=pc)
        raw = self.memory.read(pc, 2) or b"\0\0"
        self._pc = pc + (4 if raw[1] >= 0xE8 else 2)
