"""The process of a board that this package emulates itself.

Modelled time runs as fast as the emulation goes. Only when the firmware sleeps with nothing on
its lines does it wait in real time for its next tick, so that an idle board costs no processor
and its heartbeats come at their rate.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from edge_boards.board import Board
from edge_boards.elf import Elf
from edge_boards.virtual.board_process import BACKLOG, IDLE_WAIT_S, UNSENT, BoardProcess
from edge_boards.virtual.faults import MachineStop
from edge_boards.virtual.machine import Machine, Pause
from edge_boards.virtual.machine_requests import operations
from edge_boards.virtual.requests import Operation
from edge_boards.virtual.state import BoardFiles

SLICE_S = 0.005
"""Real time between two looks at the links; how many cycles that is depends on the firmware."""

SLICE_CYCLES = range(1_000, 4_000_000)


class MachineProcess(BoardProcess):
    """A `Machine` with its ptys and its control socket."""

    def __init__(self, board: Board, files: BoardFiles, boot0: bool) -> None:
        super().__init__(board, files)
        self.skip_idle = False
        self._slice = SLICE_CYCLES.start
        self.machine = Machine(board, files.flash)
        self.open_links(self.machine.links)
        self.reset(boot0)
        self.open_control()

    @property
    def state(self) -> str:
        if self.problem is not None:
            return "stopped"
        return "bootloader" if self.machine.bootrom is not None else "running"

    @property
    def operations(self) -> Mapping[str, Operation]:
        return operations(self)

    def reset(self, boot0: bool) -> None:
        """The reset button; brings a stopped machine back."""
        self.problem = None
        self.machine.reset(boot0)
        for name, link in self.machine.links.items():
            link.take()
            self.ptys[name].flush()
        self.log(f"reset, BOOT0 {'high' if boot0 else 'low'}")

    def load_symbols(self, path: Path) -> None:
        """Function names of an ELF, for errors."""
        elf = Elf.load(path)
        self.machine.symbolise = elf.function_at

    # -- the loop

    def turn(self) -> None:
        started = time.monotonic()
        wait = self._run()
        self._send()
        self._wait(wait)
        if self.machine.bootrom is not None:
            self.machine.bootrom.quiet(time.monotonic() - started)

    def _run(self) -> float:
        """Runs a slice; seconds that may be waited for something from outside."""
        if self.problem is not None:
            return IDLE_WAIT_S
        started = time.monotonic()
        try:
            pause = self.machine.run(self._slice, skip_idle=self.skip_idle)
        except MachineStop as stop:
            self.problem = str(stop)
            self.log(self.problem)
            return 0.0
        self._adapt(pause, time.monotonic() - started)
        if pause is Pause.SLEEPING:
            return self.machine.next_tick_seconds()
        if pause is Pause.IDLE or self.machine.bootrom is not None:
            return IDLE_WAIT_S
        return 0.0

    def _adapt(self, pause: Pause, seconds: float) -> None:
        if seconds > 2 * SLICE_S:
            self._slice = max(SLICE_CYCLES.start, self._slice // 2)
        elif pause is Pause.BUDGET and seconds < SLICE_S:
            self._slice = min(SLICE_CYCLES.stop, self._slice * 2)

    def _send(self) -> None:
        for name, link in self.machine.links.items():
            data = link.take()
            pty = self.ptys[name]
            if data or pty.pending:
                pty.write(data)
                pty.drop_beyond(UNSENT)

    def _wait(self, wait: float) -> None:
        hungry = {}
        for name, link in self.machine.links.items():
            if self.machine.lines.backlog(link) < BACKLOG:
                hungry[self.ptys[name].fileno()] = name
        unsent = [p.fileno() for p in self.ptys.values() if p.pending]
        started = time.monotonic()
        ready, _ = self.wait_for(hungry, unsent, wait)
        waited = time.monotonic() - started
        if wait and self.problem is None and self.machine.core.sleeping:
            if ready:
                self.machine.pass_idle_time(min(waited, wait))
            else:
                self.machine.skip_to_tick()
        for handle in self.answer(ready):
            name = hungry[handle]
            data = self.ptys[name].read()
            if data and self.problem is None:
                self.machine.links[name].feed(data)

    def close_engine(self) -> None:
        self.machine.close()
