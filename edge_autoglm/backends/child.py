"""A backend's engine in a process of its own, so that a crash there takes nobody with it, its
memory can be told from ours, and what it prints can be read."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from edge_autoglm.measure.figures import Figure, Kind
from edge_quantize.graph import Graph

from .base import Array, BackendError, BackendRefusedError, BackendRunError, Inference, Loaded

# A large model is compiled for a GPU in minutes; beyond this something hangs.
PATIENCE_SECONDS = 600.0


class Child:
    """A worker with one engine (`worker.py`). `folder` is removed with it, whatever is in it."""

    def __init__(self, name: str, engine: str) -> None:
        self._name = name
        self._temporary = tempfile.TemporaryDirectory(prefix="edge-backend-")
        self.folder = Path(self._temporary.name)
        self.peak_bytes = 0
        self._kept_log: str | None = None
        self._usable = True
        environment = {
            **os.environ,
            # Where this process imports from, "" for the working folder included.
            "PYTHONPATH": os.pathsep.join(str(Path(path).absolute()) for path in sys.path),
            "TMPDIR": str(self.folder),  # what a killed compiler leaves goes with the folder
        }
        with self._log.open("wb") as log:
            # A session of its own: Ctrl-C is ours to act on, and all that it started ends with it.
            self._process = subprocess.Popen(
                # -P: a numpy.py in the user's folder is none of ours.
                [
                    sys.executable, "-P", "-m", "edge_autoglm.backends.worker", engine,
                    str(PATIENCE_SECONDS),
                ],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment,
                start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    @property
    def log(self) -> str:
        """What it printed so far, or until it was closed."""
        if self._kept_log is not None:
            return self._kept_log
        return self._log.read_text("utf-8", "replace")

    def ask(self, kind: type[BackendError], what: str, **arguments: Any) -> Any:
        """One call of the engine. Raises `kind` with its words, BackendRunError when it dies."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if not self._usable:
            raise BackendRunError(f"{self._name}: its process is gone, so that it cannot {what}")
        # Until the whole answer is there; what interrupts this leaves half of one behind.
        self._usable = False
        late = threading.Event()

        def stop() -> None:
            late.set()
            self._kill()

        watch = threading.Timer(PATIENCE_SECONDS, stop)
        watch.daemon = True
        watch.start()
        try:
            # Our own process on a pipe of our own: nobody else can write what is unpickled here.
            pickle.dump((what, arguments), self._process.stdin)
            self._process.stdin.flush()
            ok, answer, self.peak_bytes = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError, pickle.UnpicklingError) as error:
            how = _ending(self._code()) + self._last_words()
            if late.is_set():
                how = f": it gave no answer for {PATIENCE_SECONDS:g} s and was stopped"
            raise BackendRunError(
                f"{self._name}: its process ended while it was to {what}{how}"
            ) from error
        finally:
            watch.cancel()
        self._usable = True
        if not ok:
            raise kind(f"{self._name}: {answer}")
        return answer

    def _code(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(5)
        return None

    def _last_words(self) -> str:
        lines = [line.strip() for line in self.log.splitlines() if line.strip()]
        return f": {lines[-1][:200]}" if lines else ""

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """Ends it: at once where it is in the middle of something. May be called twice."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if self._kept_log is not None:
            return  # its number may be another process's by now
        if not self._usable:  # it is busy, or gone, and may never read what was sent
            self._kill()
        self._usable = False
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(2)  # it is idle, and ends when its input does
        except BaseException as error:
            self._kill()
            self._process.wait()
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
        finally:
            self._process.stdout.close()
            self._kept_log = self.log
            self._temporary.cleanup()


class ChildLoaded(Loaded):
    """A model loaded by a child."""

    def __init__(self, child: Child, ports: Graph | None, **arguments: Any) -> None:
        """Raises BackendRefusedError in the engine's words; the child is closed then."""
        super().__init__(ports)
        self._child = child
        try:
            answer = child.ask(BackendRefusedError, "load", **arguments)
        except BaseException:
            child.close()
            raise
        self.answer: dict[str, Any] = answer
        self.load = Figure(answer["seconds"], Kind.MEASURED)

    def _infer(self, inputs: Sequence[Array], repeats: int) -> Inference:
        seconds, outputs = self._child.ask(
            BackendRunError, "run", inputs=tuple(inputs), repeats=repeats
        )
        return Inference(tuple(outputs), tuple(seconds))

    def memory(self) -> Figure | None:
        return Figure(self._child.peak_bytes, Kind.MEASURED)

    def close(self) -> None:
        self._child.close()


def _ending(code: int | None) -> str:
    if code is None:
        return ""
    if code < 0:
        with contextlib.suppress(ValueError):
            return f" ({signal.Signals(-code).name})"
    return f" ({code})"
