"""A serial line in a test: a pty whose far end is a firmware process on a host, with a speed and
damage of its own in each direction."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import threading
import time
import tty
from collections import deque
from pathlib import Path
from types import TracebackType

from noise import NoisyLine


class LineRelay:
    """Runs `program` and carries its stdin and stdout to a pty, `path`.

    Args:
        baud: ten bits a byte; None: as fast as the machine goes.
        noise: probability that a byte is damaged, either way.
        seed: of the damage.
    """

    _PIECE = 64
    _SLACK = 0.05

    def __init__(
        self,
        program: Path | list[str],
        *,
        baud: int | None = None,
        noise: float = 0.0,
        seed: int = 1,
        env: dict[str, str] | None = None,
    ) -> None:
        command = [str(program)] if isinstance(program, Path) else program
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, **(env or {})},
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self._ours, theirs = pty.openpty()
        tty.setraw(theirs)
        self.path = os.ttyname(theirs)
        self._keep_open = theirs
        self.baud = baud
        self.to_board = NoisyLine(noise, seed)
        self.to_host = NoisyLine(noise, seed + 1)
        self.muted = False
        self._end, self._wake = os.pipe()
        self._threads = [
            threading.Thread(
                target=self._carry,
                args=(self._ours, self.process.stdin.fileno(), self.to_board),
                daemon=True,
            ),
            threading.Thread(
                target=self._carry,
                args=(self.process.stdout.fileno(), self._ours, self.to_host),
                daemon=True,
            ),
        ]
        for thread in self._threads:
            thread.start()

    def inject(self, data: bytes) -> None:
        """Bytes that reach the host as if the board had sent them."""
        os.write(self._ours, data)

    def hang_up(self) -> None:
        """Pulls the cable: the port's far end is gone."""
        self._stop()
        os.close(self._ours)
        self._ours = -1

    def _stop(self) -> None:
        os.write(self._wake, b"x")
        for thread in self._threads:
            thread.join(5)

    def _carry(self, source: int, sink: int, line: NoisyLine) -> None:
        queue: deque[bytes] = deque()
        # Two milliseconds of the line: fine enough for it, coarse enough for a busy machine.
        size = max(self._PIECE, self.baud // 5000) if self.baud else 4096
        due = time.monotonic()
        while True:
            wait = max(0.0, due - time.monotonic()) if queue else None
            ready, _, _ = select.select(
                [self._end] + ([source] if len(queue) < 4096 else []), [], [], wait
            )
            if self._end in ready:
                return
            try:
                if source in ready:
                    data = os.read(source, 4096)
                    if not data:
                        return
                    if not queue:
                        # This thread may run late; the line would not have waited for it.
                        due = max(due, time.monotonic() - self._SLACK)
                    queue += (data[at : at + size] for at in range(0, len(data), size))
                while queue and time.monotonic() >= due:
                    piece = queue.popleft()
                    due += 10 * len(piece) / self.baud if self.baud else 0
                    arrived = line.send(piece)
                    while arrived and not self.muted:
                        arrived = arrived[os.write(sink, arrived) :]
            except OSError:
                return

    def close(self) -> None:
        """Ends the process and the line."""
        self._stop()
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        for handle in (self._ours, self._keep_open, self._end, self._wake):
            if handle >= 0:
                os.close(handle)

    def __enter__(self) -> LineRelay:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
