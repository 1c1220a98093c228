"""A virtual board with a life of its own: `python -m edge_boards.virtual.process`.

Modelled time runs as fast as the emulation goes. Only when the firmware sleeps with nothing on
its lines does it wait in real time for its next tick, so that an idle board costs no processor
and its heartbeats come at their rate.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType

from edge_boards.board import Board
from edge_boards.elf import Elf
from edge_boards.errors import BoardsError, VirtualBoardError
from edge_boards.loader import load_board
from edge_boards.virtual.faults import MachineStop
from edge_boards.virtual.machine import Machine, Pause
from edge_boards.virtual.ptys import PtyLink
from edge_boards.virtual.requests import answer
from edge_boards.virtual.state import ALREADY_RUNNING, BoardFiles

SLICE_S = 0.005
"""Real time between two looks at the links; how many cycles that is depends on the firmware."""

SLICE_CYCLES = range(1_000, 4_000_000)

BACKLOG = 8192
"""Bytes taken from a host ahead of what the board has seen."""

UNSENT = 1 << 16
_IDLE_WAIT_S = 0.5
_READY = b"ready"


class AlreadyRunning(VirtualBoardError):  # noqa: N818 - no error to who only wants a board
    """Another process has this folder."""


class BoardProcess:
    """One running virtual board: the machine, its ptys and its control socket."""

    def __init__(self, board: Board, files: BoardFiles, boot0: bool) -> None:
        self.name = files.folder.name
        self.pid = os.getpid()
        self.files = files
        self.stopping = False
        self.skip_idle = False
        self.problem: str | None = None
        self._slice = SLICE_CYCLES.start
        self._lock = _take_lock(files)
        _prepare_flash(files.flash, board.flash.size)
        self.machine = Machine(board, files.flash)
        self._links = {name: PtyLink(files.link(name)) for name in self.machine.links}
        self.reset(boot0)
        self._server = _listen(files.control)
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}
        files.pid.write_text(f"{self.pid}\n")

    @property
    def state(self) -> str:
        if self.problem is not None:
            return "stopped"
        return "bootloader" if self.machine.bootrom is not None else "running"

    def reset(self, boot0: bool) -> None:
        """The reset button; brings a stopped machine back."""
        self.problem = None
        self.machine.reset(boot0)
        for name, link in self.machine.links.items():
            link.take()
            self._links[name].flush()
        self.log(f"reset, BOOT0 {'high' if boot0 else 'low'}")

    def load_symbols(self, path: Path) -> None:
        """Function names of an ELF, for errors."""
        elf = Elf.load(path)
        self.machine.symbolise = elf.function_at

    def log(self, line: str) -> None:
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self.name}: {line}", flush=True)

    # -- the loop

    def serve(self) -> None:
        """Until `stopping`."""
        while not self.stopping:
            started = time.monotonic()
            wait = self._run()
            self._send()
            self._look_around(wait)
            if self.machine.bootrom is not None:
                self.machine.bootrom.quiet(time.monotonic() - started)

    def _run(self) -> float:
        """Runs a slice; seconds that may be waited for something from outside."""
        if self.problem is not None:
            return _IDLE_WAIT_S
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
            return _IDLE_WAIT_S
        return 0.0

    def _adapt(self, pause: Pause, seconds: float) -> None:
        if seconds > 2 * SLICE_S:
            self._slice = max(SLICE_CYCLES.start, self._slice // 2)
        elif pause is Pause.BUDGET and seconds < SLICE_S:
            self._slice = min(SLICE_CYCLES.stop, self._slice * 2)

    def _send(self) -> None:
        for name, link in self.machine.links.items():
            data = link.take()
            pty = self._links[name]
            if data or pty.pending:
                pty.write(data)
                pty.drop_beyond(UNSENT)

    def _look_around(self, wait: float) -> None:
        readers: list[int] = [self._server.fileno(), *self._clients]
        hungry = {}
        for name, link in self.machine.links.items():
            if self.machine.lines.backlog(link) < BACKLOG:
                hungry[self._links[name].fileno()] = name
        unsent = [p.fileno() for p in self._links.values() if p.pending]
        started = time.monotonic()
        try:
            ready, _, _ = select.select([*readers, *hungry], unsent, [], wait)
        except InterruptedError:
            return
        waited = time.monotonic() - started
        if wait and self.problem is None and self.machine.core.sleeping:
            if ready:
                self.machine.pass_idle_time(min(waited, wait))
            else:
                self.machine.skip_to_tick()
        for handle in ready:
            if handle in hungry:
                name = hungry[handle]
                data = self._links[name].read()
                if data and self.problem is None:
                    self.machine.links[name].feed(data)
            elif handle == self._server.fileno():
                self._accept()
            else:
                self._hear(handle)

    def _accept(self) -> None:
        try:
            client, _ = self._server.accept()
        except OSError:
            return
        client.setblocking(False)
        self._clients[client.fileno()] = (client, bytearray())

    def _hear(self, handle: int) -> None:
        client, buffer = self._clients[handle]
        try:
            data = client.recv(65536)
            buffer += data
            while b"\n" in buffer:
                line, _, rest = bytes(buffer).partition(b"\n")
                buffer[:] = rest
                client.setblocking(True)
                client.settimeout(5.0)
                client.sendall(answer(self, line))
                client.setblocking(False)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            del self._clients[handle]
            client.close()

    def close(self) -> None:
        """Leaves flash.bin and the log; everything else goes."""
        for client, _ in self._clients.values():
            client.close()
        self._server.close()
        for pty in self._links.values():
            pty.close()
        self.files.pid.unlink(missing_ok=True)
        self.machine.close()
        self.log("stopped")
        self.files.control.unlink(missing_ok=True)
        os.close(self._lock)


def _take_lock(files: BoardFiles) -> int:
    """One process a folder, whatever a crash left behind: the lock goes with its holder."""
    handle = os.open(files.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(handle)
        raise AlreadyRunning(f"{files.folder.name} is already running") from None
    for stale in (files.control, files.pid):
        stale.unlink(missing_ok=True)
    return handle


def _prepare_flash(path: Path, size: int) -> None:
    if path.exists() and path.stat().st_size == size:
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(b"\xff" * size)
    temporary.replace(path)


def _listen(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    temporary = f".{path.name}.{os.getpid()}"
    try:
        # By way of the folder's handle: an address holds 107 bytes, a path may be longer.
        server.bind(f"/proc/self/fd/{folder}/{temporary}")
        server.listen(8)
        (path.parent / temporary).replace(path)
    finally:
        os.close(folder)
    return server


def _detach() -> int:
    """Goes on in a child of nobody; the parent leaves when the child is ready, or has failed.

    Returns the handle on which the child says that it is ready.
    """
    read_end, write_end = os.pipe()
    child = os.fork()
    if child:
        os.close(write_end)
        ready = os.read(read_end, len(_READY)) == _READY
        status = 0 if ready else os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        os._exit(status if status >= 0 else 1)
    os.close(read_end)
    os.setsid()
    return write_end


def main(arguments: list[str] | None = None) -> int:
    """Runs one board until SIGTERM, SIGINT or the control op `stop`."""
    parser = argparse.ArgumentParser(prog="python -m edge_boards.virtual.process")
    parser.add_argument("--board", required=True, help="name or file of the board")
    parser.add_argument("--folder", required=True, type=Path, help="where its files lie")
    parser.add_argument("--boot0", action="store_true", help="start in the ROM bootloader")
    parser.add_argument("--detach", action="store_true", help="come back when the board is ready")
    options = parser.parse_args(arguments)
    tell = _detach() if options.detach else None
    files = BoardFiles(options.folder.absolute())
    try:
        files.folder.mkdir(parents=True, exist_ok=True)
        process = BoardProcess(load_board(options.board), files, options.boot0)
    except AlreadyRunning as error:
        print(f"error: {error}", file=sys.stderr)
        return ALREADY_RUNNING
    except (BoardsError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        process.stopping = True

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    process.log(f"ready, pid {process.pid}")
    try:
        if tell is not None:
            os.write(tell, _READY)
            os.close(tell)
        process.serve()
    except BrokenPipeError:  # who started it has given up waiting
        process.log("nobody waits for this board any more")
        return 1
    finally:
        process.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
