"""A serial link as a pseudo-terminal with a stable name.

The board's side never blocks: bytes that nobody reads are dropped once the terminal's buffer is
full, as a wire with nobody at its end does. The host may close and open the port as it likes.
"""

from __future__ import annotations

import errno
import os
import termios
import tty
from pathlib import Path

_CHUNK = 4096


class PtyLink:
    """One pty. `fileno` is the board's side, for select."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._master, slave = os.openpty()
        tty.setraw(slave)
        os.set_blocking(self._master, False)
        # Held open, so that the board's side sees no hang-up while no host is connected.
        self._slave = slave
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.ttyname(slave))
        temporary.replace(path)
        self._unsent = bytearray()

    def fileno(self) -> int:
        return self._master

    def read(self) -> bytes:
        """What the host has sent, b"" where nothing."""
        try:
            return os.read(self._master, _CHUNK)
        except (BlockingIOError, InterruptedError):
            return b""
        except OSError as error:
            if error.errno == errno.EIO:
                return b""
            raise

    @property
    def pending(self) -> bool:
        """Whether bytes wait for the terminal to take them."""
        return bool(self._unsent)

    def write(self, data: bytes) -> None:
        """Bytes for the host."""
        self._unsent += data
        while self._unsent:
            try:
                sent = os.write(self._master, self._unsent[:_CHUNK])
            except (BlockingIOError, InterruptedError):
                break
            del self._unsent[:sent]

    def drop_beyond(self, limit: int) -> int:
        """Drops the newest bytes above `limit`; how many."""
        surplus = max(0, len(self._unsent) - limit)
        if surplus:
            del self._unsent[limit:]
        return surplus

    def flush(self) -> None:
        """Drops what was sent either way and not read: a host that connects after a reset must
        not find in its port what the board said before.
        """
        self._unsent.clear()
        # The board's bytes wait in the slave's input queue, the host's in the master's; of a
        # pseudo-terminal only the slave's flush reaches what the line discipline has not taken.
        termios.tcflush(self._slave, termios.TCIOFLUSH)
        while self.read():
            pass

    def close(self) -> None:
        self.path.unlink(missing_ok=True)
        os.close(self._master)
        os.close(self._slave)
