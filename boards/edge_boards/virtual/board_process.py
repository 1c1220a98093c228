"""What the processes of all virtual boards have in common: one process a folder, a pseudo-terminal
for each serial link, a control socket, a log.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path

from edge_boards.board import Board
from edge_boards.errors import VirtualBoardError
from edge_boards.virtual.ptys import PtyLink
from edge_boards.virtual.requests import Operation, answer
from edge_boards.virtual.stale import software
from edge_boards.virtual.state import BoardFiles

BACKLOG = 8192
"""Bytes taken from a host ahead of what the board has seen."""

UNSENT = 1 << 16
"""Bytes kept for a host that does not read."""

IDLE_WAIT_S = 0.5


class AlreadyRunning(VirtualBoardError):  # noqa: N818 - no error to who only wants a board
    """Another process has this folder."""


class BoardProcess(ABC):
    """One running virtual board, without what runs the firmware.

    A subclass takes what it needs in `__init__`, names its links to `open_links`, and calls
    `open_control` when the board can be talked to.
    """

    def __init__(self, board: Board, files: BoardFiles) -> None:
        self.board = board
        self.name = files.folder.name
        self.pid = os.getpid()
        self.software = software(board.path)
        self.files = files
        self.stopping = False
        self.problem: str | None = None
        self.ptys: dict[str, PtyLink] = {}
        self._server: socket.socket | None = None
        self._clients: dict[int, tuple[socket.socket, bytearray]] = {}
        self._lock = _take_lock(files)
        _prepare_flash(files.flash, board.flash.size)

    @property
    @abstractmethod
    def state(self) -> str:
        """running, bootloader, or stopped."""

    @property
    @abstractmethod
    def operations(self) -> Mapping[str, Operation]:
        """What the control socket answers, by `op`."""

    @abstractmethod
    def turn(self) -> None:
        """Lets the board run for a moment, and looks around."""

    def open_links(self, names: Iterable[str]) -> None:
        self.ptys = {name: PtyLink(self.files.link(name)) for name in names}

    def open_control(self) -> None:
        """The control socket appears: from now on the board is found."""
        self._server = _listen(self.files.control)
        self.files.pid.write_text(f"{self.pid}\n")

    def log(self, line: str) -> None:
        print(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {self.name}: {line}", flush=True)

    def serve(self) -> None:
        """Until `stopping`."""
        while not self.stopping:
            self.turn()

    def wait_for(
        self, readers: Iterable[int], writers: Iterable[int], wait: float
    ) -> tuple[list[int], list[int]]:
        """Waits at most `wait` seconds for readers, writers and the control socket.

        Handles that are ready, to read (those of the control socket among them) and to write.
        """
        assert self._server is not None
        asked = [self._server.fileno(), *self._clients, *readers]
        ready, free, _ = select.select(asked, list(writers), [], wait)
        return ready, free

    def answer(self, ready: Iterable[int]) -> list[int]:
        """Answers on the control socket; the handles that are not the control socket's."""
        assert self._server is not None
        others = []
        for handle in ready:
            if handle == self._server.fileno():
                self._accept()
            elif handle in self._clients:
                self._hear(handle)
            else:
                others.append(handle)
        return others

    def _accept(self) -> None:
        assert self._server is not None
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
                client.sendall(answer(self.operations, line))
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
        if self._server is not None:
            self._server.close()
        for pty in self.ptys.values():
            pty.close()
        self.files.pid.unlink(missing_ok=True)
        self.close_engine()
        self.log("stopped")
        self.files.control.unlink(missing_ok=True)
        os.close(self._lock)

    @abstractmethod
    def close_engine(self) -> None:
        """Ends what runs the firmware."""


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
    write_flash(path, b"\xff" * size)


def write_flash(path: Path, content: bytes) -> None:
    """Whole or not at all: a flash file that is cut has another size."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


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
