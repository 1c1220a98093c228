"""Ways to move bytes to and from a board.

A `Transport` moves bytes and knows nothing of frames. `SerialTransport` serves real ports and the
ptys of virtual boards alike.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol

import serial
from serial.tools import list_ports
from serial.tools.list_ports_common import ListPortInfo

from edge_autoglm.errors import TransportError
from edge_boards.errors import BoardsError


class Transport(Protocol):
    """Bytes out, bytes in, one speed."""

    @property
    def name(self) -> str:
        """What a message calls it: `/dev/ttyACM0`, `virtual stm32f746`."""
        ...

    @property
    def baud(self) -> int: ...

    def read(self, timeout: float) -> bytes:
        """Waits at most `timeout` seconds for the first byte; gives all that is there.

        Raises:
            TransportError: the port went away.
        """
        ...

    def write(self, data: bytes) -> None:
        """Sends all of `data`, or raises `TransportError`."""
        ...

    def set_baud(self, baud: int) -> None:
        """Changes this side's speed, after what was written has left."""
        ...

    def board_seconds(self) -> float | None:
        """The board's own clock where it can be read beside the line (a virtual board), or None.

        A virtual board may be slower than time; while its clock advances, it is not silent.
        """
        ...

    def close(self) -> None: ...


class SerialTransport:
    """A serial port, opened for this process alone.

    Args:
        path: a device, or a virtual board's pty link.
        baud: bits a second.
        name: for messages; the path without one.
        parity: `N` or `E` (ST's ROM bootloader wants 8E1).
        clock: reads the board's own clock, for a virtual board.

    Raises:
        TransportError: absent (with the ports that exist), busy (with who holds it, where that
            can be seen), or without permission (with what to do).
    """

    def __init__(
        self,
        path: str | Path,
        baud: int = 115_200,
        *,
        name: str | None = None,
        parity: str = "N",
        clock: Callable[[], float | None] | None = None,
    ) -> None:
        self._path = str(path)
        self._name = name or self._path
        self._clock = clock
        try:
            self._port = serial.Serial(
                self._path, baud, parity=parity, timeout=0.1, write_timeout=30, exclusive=True
            )
        except (serial.SerialException, OSError, ValueError) as error:
            raise open_error(self._path, error) from error

    @property
    def name(self) -> str:
        return self._name

    @property
    def baud(self) -> int:
        return int(self._port.baudrate)

    def read(self, timeout: float) -> bytes:
        try:
            waiting = self._port.in_waiting
            if not waiting:
                if timeout <= 0:
                    return b""
                if self._port.timeout != timeout:
                    self._port.timeout = timeout
                first = self._port.read(1)
                if not first:
                    return b""
                return bytes(first + self._port.read(self._port.in_waiting))
            return bytes(self._port.read(waiting))
        except (serial.SerialException, OSError, TypeError) as error:
            raise self._gone(error) from error

    def write(self, data: bytes) -> None:
        try:
            self._port.write(data)
        except serial.SerialTimeoutException as error:
            raise TransportError(
                f"{self._name}: the port takes no bytes for 30 s; is the board's USB cable in, "
                "and the virtual board running (`edge-autoglm virtual list`)?"
            ) from error
        except (serial.SerialException, OSError, TypeError) as error:
            raise self._gone(error) from error

    def set_baud(self, baud: int) -> None:
        try:
            self._port.flush()
            self._port.baudrate = baud
        except (serial.SerialException, OSError, ValueError) as error:
            raise TransportError(
                f"{self._name}: this port cannot run at {baud} baud ({error}); try 115200"
            ) from error

    def discard(self) -> None:
        """Throws away what has come and was not read."""
        try:
            self._port.reset_input_buffer()
        except (serial.SerialException, OSError) as error:
            raise self._gone(error) from error

    def board_seconds(self) -> float | None:
        return self._clock() if self._clock else None

    def close(self) -> None:
        self._port.close()

    def __enter__(self) -> SerialTransport:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _gone(self, error: Exception) -> TransportError:
        if self._clock is not None:
            try:
                self._clock()
            except (TransportError, BoardsError) as why:
                return TransportError(str(why))
            return TransportError(
                f"{self._name}: the connection was lost; repeat the command "
                "(`edge-autoglm virtual list` tells whether the board runs)"
            )
        # pyserial raises TypeError when another thread closed the port under a read.
        return TransportError(
            f"{self._name}: the connection was lost ({error}); plug the board in again, or start "
            "the virtual board anew, and repeat the command"
        )


def real_ports() -> tuple[ListPortInfo, ...]:
    """The serial ports of this machine that belong to a device, USB ones first."""
    ports = list_ports.comports()
    # /dev/ttyS0 to S31 exist on every PC; those without hardware have no description.
    real = [port for port in ports if port.vid is not None or port.hwid not in ("n/a", None, "")]
    return tuple(sorted(real, key=lambda port: (port.vid is None, port)))


def serial_ports() -> tuple[str, ...]:
    """Their devices."""
    return tuple(str(port.device) for port in real_ports())


def is_no_port(path: str) -> bool:
    """Whether `path` is a folder, or a device as /dev/null is, and so can be no serial port.

    It is not opened for that: opening a port may reset the board.
    """
    try:
        found = Path(path).stat()
    except OSError:
        return False
    if stat.S_ISDIR(found.st_mode):
        return True
    memory = 1  # Linux's major number of /dev/null, /dev/zero, /dev/mem
    return (
        sys.platform == "linux"
        and stat.S_ISCHR(found.st_mode)
        and os.major(found.st_rdev) == memory
    )


def no_port_error(path: str) -> TransportError:
    there = ", ".join(serial_ports()) or "none"
    return TransportError(f"{path}: is no serial port; ports here: {there}")


def open_error(path: str, error: Exception) -> TransportError:
    """What went wrong when `path` was opened, in one line, with what to try."""
    number = getattr(error, "errno", None)
    text = str(error)
    if not Path(path).exists() and os.name == "posix":
        ports = serial_ports()
        there = ", ".join(ports) if ports else "none"
        return TransportError(
            f"{path}: no such port; ports here: {there}. With no board, use --port virtual"
        )
    if number == errno.EACCES or "Permission" in text:
        return TransportError(
            f"{path}: no permission; add yourself to its group (`sudo usermod -aG dialout $USER`, "
            'then log in again) or add a udev rule with MODE="0666" for it'
        )
    if number in (errno.EBUSY, errno.EWOULDBLOCK, errno.EAGAIN) or "lock" in text:
        holders = holders_of(path)
        by = f" by {', '.join(holders)}" if holders else ""
        return TransportError(f"{path}: busy, held{by}; close that program and try again")
    if is_no_port(path) or number in (errno.ENOTTY, errno.EISDIR) or "Inappropriate" in text:
        return no_port_error(path)
    return TransportError(f"{path}: cannot be opened as a serial port ({text})")


def holders_of(path: str) -> tuple[str, ...]:
    """Processes that hold `path` open, as `name (pid N)`, where /proc tells; else nothing.

    A virtual board's own process, which holds its end for good, is not among them.
    """
    proc = Path("/proc")
    if not proc.is_dir():
        return ()
    target = os.path.realpath(path)
    found = []
    for folder in proc.iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if any(os.path.realpath(fd) == target for fd in (folder / "fd").iterdir()):
                if b"edge_boards.virtual.process" in (folder / "cmdline").read_bytes().split(b"\0"):
                    continue
                name = (folder / "comm").read_text(encoding="utf-8").strip()
                found.append(f"{name} (pid {folder.name})")
        except OSError:
            continue  # ended meanwhile, or another user's
    return tuple(found)
