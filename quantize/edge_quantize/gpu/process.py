"""LiteRT in a process of its own: frames to it and from it, a limit of time, and how it ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import GpuRunError, GpuUnavailableError

from .driver import Driver

Array = npt.NDArray[np.generic]
_WORKER = Path(__file__).with_name("worker.py")
_MOST_LOG = 4 << 20
# An error to whoever reads the log: what is not read may be one.
_FLOOD = f"\nERROR: the log is longer than {_MOST_LOG >> 20} MiB, of which the rest was not read\n"
_END_SECONDS = 5.0


class LiteRtProcess:
    """Model and log are files without names, so that nothing is left of them however this ends.

    Raises OSError where the temporary folder is full, GpuUnavailableError on Windows.
    """

    def __init__(self, model: bytes, driver: Driver | None) -> None:
        if sys.platform == "win32":
            raise GpuUnavailableError(
                "LiteRT runs in a process of its own on Linux and macOS only; on Windows use WSL"
            )
        self._model = _nameless(model)
        self._log = _nameless(b"")
        environment = dict(os.environ)
        if driver is not None:
            environment |= driver.environment()
        number = self._model.fileno()
        self._process = subprocess.Popen(
            # -P: the modules beside the worker have names that others have too.
            [sys.executable, "-P", str(_WORKER), f"/dev/fd/{number}"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, env=environment,
            pass_fds=(number,),
        )  # fmt: skip
        self._usable = True

    @property
    def log(self) -> str:
        """What it has printed so far; of a flood the beginning, and a line that it is one."""
        if self._log.closed:
            return self._kept
        # Not by seeking: the process writes at the position that the two share.
        found = os.pread(self._log.fileno(), _MOST_LOG, 0).decode("utf-8", "replace")
        size = os.fstat(self._log.fileno()).st_size
        return found if size <= _MOST_LOG else found + _FLOOD

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(
        self, request: dict[str, Any], arrays: Sequence[Array], seconds: float, doing: str
    ) -> tuple[dict[str, Any], tuple[Array, ...]]:
        """One request and its answer. `seconds` is the longest silence; `doing` names the request
        in a message. Raises GpuRunError when the process ends, hangs or answers nonsense."""
        if not self._usable:
            raise GpuRunError(f"LiteRT's process is gone, so that it cannot {doing}", self.log)
        head = request | {"seconds": seconds, "arrays": [[str(a.dtype), a.shape] for a in arrays]}
        # Until the whole answer is there; what interrupts this leaves half a frame behind.
        self._usable = False
        watch = _Watch(self._process, seconds)
        try:
            self._send(head, arrays)
            answer, results = self._receive(watch)
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            watch.stop()
            raise GpuRunError(self._reason(watch, doing, error), self.log) from error
        finally:
            watch.stop()
        self._usable = not watch.expired  # it was in the very last moment
        return answer, results

    def _send(self, head: dict[str, Any], arrays: Sequence[Array]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(head).encode() + b"\n")
        for array in arrays:
            self._process.stdin.write(np.ascontiguousarray(array).tobytes())
        self._process.stdin.flush()

    def _receive(self, watch: _Watch) -> tuple[dict[str, Any], tuple[Array, ...]]:
        assert self._process.stdout is not None
        while True:
            line = self._process.stdout.readline()
            if not line.endswith(b"\n"):
                raise EOFError
            answer = json.loads(line)
            watch.again()
            if "at" not in answer:
                break
        results = []
        for dtype, shape in answer["arrays"]:
            kind = np.dtype(dtype)
            size = kind.itemsize * int(np.prod(shape))
            content = self._process.stdout.read(size)
            if len(content) != size:
                raise EOFError
            results.append(np.frombuffer(content, kind).reshape(shape))
        return answer, tuple(results)

    def _reason(self, watch: _Watch, doing: str, error: Exception) -> str:
        if watch.expired:
            return f"LiteRT did not {doing} within {watch.seconds:g} s; it was stopped"
        if isinstance(error, ValueError | KeyError | TypeError):
            self._kill()
            return f"LiteRT's process gave no sound answer when it was to {doing}"
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            return f"LiteRT's process closed its output when it was to {doing}"
        last = self.log.strip().rpartition("\n")[2].strip() if code == 1 else ""
        return f"LiteRT's process {_ending(code, last)} when it was to {doing}"

    def _kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ends the process: at once where it is in the middle of something."""
        if self._log.closed:
            return
        if not self._usable:
            self._kill()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            with contextlib.suppress(OSError):  # what was not sent has no reader any more
                stream.close()
        try:
            self._process.wait(_END_SECONDS)
        except BaseException as error:
            self._kill()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
        finally:
            self._usable = False
            self._kept = self.log
            self._log.close()
            self._model.close()


class _Watch:
    """Kills a process that is silent for too long; reads and writes of its pipes then end."""

    def __init__(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        self.seconds, self.expired = seconds, False
        self._process = process
        self._over = threading.Event()
        self.again()
        # One thread for all inferences of a request: starting one for each would be in their time.
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def again(self) -> None:
        """It has said something."""
        self._end = time.monotonic() + self.seconds

    def stop(self) -> None:
        """From here on nothing is killed any more."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while (left := self._end - time.monotonic()) > 0:
            if self._over.wait(left):
                return
        self.expired = True
        self._process.kill()


def _nameless(content: bytes) -> IO[bytes]:
    file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115  # its owner closes it
    try:
        view = memoryview(content)
        while len(view):
            view = view[file.write(view) :]
    except OSError as error:
        file.close()
        error.filename = tempfile.gettempdir()
        raise
    file.seek(0)
    return file


def _ending(code: int, last: str) -> str:
    """How a process ended, in words: `code` is negative for a signal, `last` what it said."""
    if code >= 0:
        return f"ended ({last or f'exit code {code}'})"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    more = ", perhaps because memory ran out" if name == "SIGKILL" else ""
    return f"crashed ({name}{more})"
