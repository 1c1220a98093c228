"""The process of a board that QEMU runs.

QEMU has the machine; this process has everything that the world sees: the pseudo-terminal, the
control socket, the flash file, the log. While the firmware sleeps, QEMU's virtual time is real
time, so that an idle board costs next to nothing and its heartbeats come at their rate.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge_boards.board import Board
from edge_boards.errors import VirtualBoardError
from edge_boards.virtual.board_process import (
    BACKLOG,
    IDLE_WAIT_S,
    UNSENT,
    BoardProcess,
    write_flash,
)
from edge_boards.virtual.faults import no_image
from edge_boards.virtual.image import find_image_info
from edge_boards.virtual.qemu.engine import Qemu
from edge_boards.virtual.requests import MAX_READ, Operation, number
from edge_boards.virtual.state import BoardFiles

CONSOLE = "console"
_NO_BOOTROM = "has no ROM bootloader: `flash --port virtual` puts an image into its flash"
# Lines of stderr that are no notes of what QEMU does not model or a device would not like: QEMU's
# words in its own name, and an access where nothing is, which is a fault, and the firmware's.
_NO_NOTE = re.compile(r"\S*qemu\S*: |Invalid (read|write) at addr|\s*$")


class QemuProcess(BoardProcess):
    """QEMU with a pty and a control socket."""

    def __init__(self, board: Board, files: BoardFiles, boot0: bool) -> None:
        if boot0:
            raise VirtualBoardError(f"virtual {board.name} {_NO_BOOTROM}")
        super().__init__(board, files)
        self._qemu: Qemu | None = None
        self._to_board = bytearray()
        self._build_id: str | None = None
        self._running_s = 0.0
        self._since = time.monotonic()
        self._last_line = ""
        self._power_on()
        self.open_links([CONSOLE])
        self.open_control()

    @property
    def state(self) -> str:
        return "running" if self.problem is None else "stopped"

    @property
    def operations(self) -> Mapping[str, Operation]:
        return {
            "status": self._status,
            "reset": self._reset,
            "stop": self._stop,
            "time": self._time,
            "memory": self._memory,
            "load": self._load,
        }

    # -- life

    def _power_on(self) -> None:
        """Starts QEMU with what the flash file holds; RAM is zero."""
        self.close_engine()
        self.problem = None
        self._forget()
        try:
            content = self.files.flash.read_bytes()
        except OSError as error:
            problem = f"{self.files.flash} cannot be read: {error.strerror}"
            self._halt(problem)
            raise VirtualBoardError(problem) from None
        image = find_image_info(content)
        self._build_id = image.build_id.hex() if image else None
        if content[:8] == b"\xff" * 8:
            self._halt(no_image(self.board.name))
            return
        try:
            self._qemu = Qemu(self.board, self.files.flash)
        except VirtualBoardError as error:
            self._halt(str(error))
            raise
        self._since = time.monotonic()
        version = ".".join(map(str, self._qemu.control.version))
        self.log(f"power on, QEMU {version}, process {self._qemu.pid}")

    def _forget(self) -> None:
        """Drops what is on its way in either direction."""
        self._to_board.clear()
        for pty in self.ptys.values():
            pty.flush()

    def _halt(self, problem: str) -> None:
        if self._qemu is not None and self.problem is None:
            self._running_s += time.monotonic() - self._since
        self.problem = problem
        self.log(problem)

    def close_engine(self) -> None:
        if self._qemu is not None:
            if self.problem is None:
                self._running_s += time.monotonic() - self._since
            self._qemu.close()
            self._qemu = None

    # -- the loop

    def turn(self) -> None:
        qemu, pty = self._qemu, self.ptys[CONSOLE]
        readers = list(qemu.handles) if qemu else []
        if len(self._to_board) < BACKLOG:
            readers.append(pty.fileno())
        writers = [pty.fileno()] if pty.pending else []
        if qemu and self._to_board:
            writers.append(qemu.serial.fileno())
        ready, free = self.wait_for(readers, writers, IDLE_WAIT_S)
        if pty.fileno() in ready:
            data = pty.read()
            if self.problem is None:
                self._to_board += data
        if pty.fileno() in free:
            pty.write(b"")
        if qemu:
            self._take(qemu, ready)
        self._feed()
        self.answer(handle for handle in ready if handle not in readers)

    def _take(self, qemu: Qemu, ready: list[int]) -> None:
        serial, control, stderr = qemu.handles
        if serial in ready:
            with contextlib.suppress(OSError):
                pty = self.ptys[CONSOLE]
                pty.write(qemu.serial.recv(65536))
                pty.drop_beyond(UNSENT)
        if stderr in ready:
            for line in qemu.listen():
                if line != self._last_line:
                    self.log(f"QEMU: {line}")
                self._last_line = line
                if qemu.dying or self.problem is not None:
                    continue
                if not _NO_NOTE.match(line):
                    self._stop_cpu(qemu, line)
        if control in ready and not qemu.control.look():
            self._lost(qemu)

    def _feed(self) -> None:
        if self._qemu is None or not self._to_board:
            return
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            del self._to_board[: self._qemu.serial.send(self._to_board)]

    def _stop_cpu(self, qemu: Qemu, line: str) -> None:
        with contextlib.suppress(VirtualBoardError):
            qemu.control.ask("stop")
        self._halt(f"QEMU does not model this: {line}")

    def _lost(self, qemu: Qemu) -> None:
        """The line to QEMU is closed."""
        why = qemu.ended() or "it closed its control line"
        if self.problem is None:
            self._halt(f"QEMU ended: {why}")
        self.close_engine()

    # -- requests

    def _status(self, _request: dict[str, Any]) -> dict[str, Any]:
        return {
            "board": self.name,
            "pid": self.pid,
            "software": self.software,
            "links": list(self.ptys),
            "state": self.state,
            "stopped": self.problem,
            "boot0": False,
            "build_id": self._build_id,
            "qemu": self._qemu.pid if self._qemu else None,
        }

    def _stop(self, _request: dict[str, Any]) -> dict[str, Any]:
        self.stopping = True
        return {"state": "stopping"}

    def _reset(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reset button; what stopped is started anew."""
        if request.get("boot0"):
            raise VirtualBoardError(f"virtual {self.name} {_NO_BOOTROM}")
        if self._qemu is None or self.problem is not None:
            self._power_on()
        else:
            try:
                self._qemu.reset()
                self._forget()
                self._qemu.go()
                self.log("reset")
            except VirtualBoardError as error:
                self.log(str(error))
                self._power_on()
        return {"state": self.state}

    def _load(self, request: dict[str, Any]) -> dict[str, Any]:
        """Puts an image into the flash, as a debugger would, and starts it."""
        path = Path(str(request.get("image", "")))
        size = self.board.flash.size
        try:
            content = path.read_bytes()
        except OSError as error:
            raise VirtualBoardError(f"{path} cannot be read: {error.strerror}") from None
        if not 0 < len(content) <= size:
            raise VirtualBoardError(
                f"an image of {len(content)} bytes does not fit the flash of {size} bytes"
            )
        try:
            write_flash(self.files.flash, content.ljust(size, b"\xff"))
        except OSError as error:
            raise VirtualBoardError(
                f"{self.files.flash} cannot be written: {error.strerror}; it is as it was"
            ) from None
        self._power_on()
        return {"state": self.state}

    def _time(self, _request: dict[str, Any]) -> dict[str, Any]:
        """Seconds that the board has run, of this machine's clock: QEMU does not tell its own.
        A QEMU that hangs has stopped."""
        if self._qemu is not None and self.problem is None:
            try:
                self._qemu.control.ask("query-status")
            except VirtualBoardError as error:
                self._halt(str(error))
                self._qemu.close()
                self._qemu = None
        now = time.monotonic() - self._since if self._qemu and self.problem is None else 0.0
        return {"seconds": self._running_s + now, "clock_hz": self.board.clock.hz}

    def _memory(self, request: dict[str, Any]) -> dict[str, Any]:
        address, size = number(request, "address"), number(request, "size")
        if self._qemu is None:
            raise VirtualBoardError(f"virtual {self.name} has stopped: {self.problem}")
        if not 0 < size <= MAX_READ:
            raise VirtualBoardError(f"no memory of {size} bytes at 0x{address:08x}")
        file = self.files.folder / f".memory.{self.pid}"
        try:
            what = {"val": address, "size": size, "filename": str(file), "cpu-index": 0}
            self._qemu.control.ask("memsave", what)
            data = file.read_bytes()
        except (VirtualBoardError, OSError) as error:
            raise VirtualBoardError(
                f"no memory of {size} bytes at 0x{address:08x} ({error})"
            ) from None
        finally:
            file.unlink(missing_ok=True)
        return {"address": address, "data": data.hex()}
