"""QEMU as a child process: a serial line, a control line, and what it has to say on stderr."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import socket
import subprocess
from pathlib import Path

from edge_boards.board import Board
from edge_boards.errors import VirtualBoardError
from edge_boards.virtual.qemu.program import FATAL, check_version, find_qemu, last_words
from edge_boards.virtual.qemu.qmp import Qmp

ICOUNT_SHIFT = 7
"""An instruction takes 2^7 ns of virtual time: firmware/ports/mps/counting.c counts by that."""

# Here rather than after the fork, where nothing should be loaded.
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
_KEPT_LINES = 200


class Qemu:
    """One running QEMU. The flash file is read when it starts.

    Raises `VirtualBoardError` when QEMU is missing, too old, ends or hangs at the start.
    """

    def __init__(self, board: Board, flash: Path) -> None:
        assert board.virtual is not None
        program = find_qemu()
        self.said: list[str] = []
        self.dying = False
        self._partial = b""
        # QEMU's end of the line is kept here too: what it has not read can then be dropped.
        self.serial, self._far_end = socket.socketpair()
        control, theirs_control = socket.socketpair()
        handles = (self._far_end.fileno(), theirs_control.fileno())
        command = _command(program, board, str(board.virtual.machine), flash, *handles)
        try:
            self._child = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                pass_fds=handles,
                # A terminal's Ctrl-C is for whoever runs in it; when this process dies, however it
                # does, QEMU goes with it.
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        except OSError as error:
            for end in (self.serial, self._far_end, control):
                end.close()
            raise VirtualBoardError(f"{command[0]} cannot be started: {error.strerror}") from None
        finally:
            theirs_control.close()
        assert self._child.stderr is not None
        self._stderr = self._child.stderr.fileno()
        os.set_blocking(self._stderr, False)
        self.serial.setblocking(False)
        self._far_end.setblocking(False)
        self.control = Qmp(control)
        self._control_socket = control
        try:
            self.control.greet()
            check_version(self.control.version)
        except VirtualBoardError as error:
            ended = self.ended(0.5)
            self.close()
            if ended is not None:
                raise VirtualBoardError(f"QEMU does not start: {ended}") from None
            raise error from None

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def handles(self) -> tuple[int, int, int]:
        """To be read from: serial line, control line, stderr."""
        return self.serial.fileno(), self.control.fileno(), self._stderr

    def listen(self) -> list[str]:
        """New whole lines of stderr."""
        found: list[str] = []
        with contextlib.suppress(BlockingIOError):
            while data := os.read(self._stderr, 65536):
                *lines, self._partial = (self._partial + data).split(b"\n")
                found += [line.decode("utf-8", "replace") for line in lines]
        self.said = (self.said + found)[-_KEPT_LINES:]
        # What follows are the registers, and the end.
        self.dying = self.dying or any(line.startswith(FATAL) for line in found)
        return found

    def reset(self) -> None:
        """The reset button, held down: memories keep what they hold, the flash holds the flash file
        again, and what is on the line either way is dropped. `go` lets it start."""
        self.control.ask("stop")
        for end in (self.serial, self._far_end):
            with contextlib.suppress(OSError):
                while end.recv(65536):
                    pass
        self.control.ask("system_reset")

    def go(self) -> None:
        self.control.ask("cont")

    def ended(self, wait: float = 5.0) -> str | None:
        """Why it has ended; None while it runs. Only for who has a sign that it ended."""
        try:
            status = self._child.wait(wait)
        except subprocess.TimeoutExpired:
            return None
        self.listen()
        self.said.append(self._partial.decode("utf-8", "replace"))
        if status < 0 and status != -signal.SIGABRT:
            return f"killed by {signal.Signals(-status).name}"
        return last_words(self.said)

    def close(self) -> None:
        """Ends it; it has nothing to save."""
        self._child.kill()
        self._child.wait()
        assert self._child.stderr is not None
        self._child.stderr.close()
        for end in (self.serial, self._far_end, self._control_socket):
            end.close()


def _command(
    program: str, board: Board, machine: str, flash: Path, serial: int, control: int
) -> list[str]:
    file = str(flash).replace(",", ",,")  # QEMU's own escape
    return [
        program,
        *("-machine", machine),
        *("-nodefaults", "-no-user-config", "-display", "none", "-nic", "none"),
        *("-icount", f"shift={ICOUNT_SHIFT}"),
        *("-d", "guest_errors,unimp"),
        *("-chardev", f"socket,id=console,fd={serial}", "-serial", "chardev:console"),
        *("-chardev", f"socket,id=control,fd={control}", "-mon", "chardev=control,mode=control"),
        *("-device", f"loader,file={file},addr={board.code_address:#x},force-raw=on"),
    ]


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
