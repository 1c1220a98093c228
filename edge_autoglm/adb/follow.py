"""The phone's log as it is written: lines from a `logcat` on the phone, from now on."""

from __future__ import annotations

import contextlib
import queue
import secrets
import subprocess
import sys
import threading
import time
from typing import IO

from edge_autoglm.errors import PhoneError

from .adb import Adb, PhoneGoneError
from .logcat import MARKER_TAG, LogLine, read_line

# In the log's own words: who may write which level. All else is left out on the phone.
_FILTERS = (
    "tflite:V tflite_BenchmarkModelActivity:V AndroidRuntime:E libc:F DEBUG:F ActivityManager:I "
    f"lowmemorykiller:I lmkd:I {MARKER_TAG}:I *:S"
)
_BUFFERS = "-b main -b system -b crash"
_MARK_SECONDS = 15.0
_MARK_AGAIN_SECONDS = 1.0
_END_SECONDS = 2.0


class Logcat:
    """A context manager around a `logcat` that runs on the phone.

    It begins at a mark that is written into the log first, so that nothing older is taken for ours
    and nobody's log has to be cleared.

    Raises PhoneError: the phone writes no log; PhoneGoneError: it went away.
    """

    def __init__(self, adb: Adb) -> None:
        self._adb = adb
        # Not `adb logcat`, which waits without end for a phone that is not there.
        command = adb.command("shell", f"logcat -v threadtime {_BUFFERS} -T 1 {_FILTERS}")
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            start_new_session=sys.platform != "win32",
        )  # fmt: skip
        self._lines: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=_read, args=(self._process.stdout, self._lines), daemon=True
        )
        self._reader.start()
        try:
            self._find_mark()
        except BaseException:
            self.close()
            raise

    def _find_mark(self) -> None:
        mark = secrets.token_hex(8)
        deadline = time.monotonic() + _MARK_SECONDS
        while (now := time.monotonic()) < deadline:
            # Again and again: one that is written before logcat listens may be missed.
            self._adb.shell(f"log -p i -t {MARKER_TAG} {mark}")
            again = now + _MARK_AGAIN_SECONDS
            while (now := time.monotonic()) < again:
                line = self.next(again - now)
                if line is not None and line.tag == MARKER_TAG and mark in line.text:
                    return
        raise PhoneError(
            f"{self._adb.serial}: logcat gives nothing; turn logging on in the phone's developer "
            "options (logger buffer sizes)"
        )

    def next(self, seconds: float) -> LogLine | None:
        """The next line, None where none comes in `seconds`, or one that is no line of a log."""
        try:
            line = self._lines.get(timeout=max(0.0, seconds))
        except queue.Empty:
            if self._process.poll() is None:
                return None
            line = b""  # it ended, though something that it started still holds the pipe
        if not line:
            self._lines.put(b"")
            raise self._gone()
        return read_line(line.decode("utf-8", "replace"))

    def _gone(self) -> PhoneGoneError:
        """Why the stream ended: asks, since a cable and a killed adb look the same from here."""
        serial = self._adb.serial
        try:
            state = self._adb.call("get-state", seconds=10).out.strip()
        except PhoneError:
            state = ""
        if state.endswith("device"):
            return PhoneGoneError(
                f"{serial}: adb's connection was cut in mid-run (was its server restarted?); run "
                "this again"
            )
        return PhoneGoneError(f"{serial} went away in mid-run; is the cable still in?")

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_END_SECONDS)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._reader.join(_END_SECONDS)  # not for ever: something else may hold the pipe

    def __enter__(self) -> Logcat:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _read(pipe: IO[bytes], lines: queue.SimpleQueue[bytes]) -> None:
    with pipe, contextlib.suppress(OSError, ValueError):
        for line in pipe:
            lines.put(line)
    lines.put(b"")
