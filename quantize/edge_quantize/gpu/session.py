"""A model that is loaded by LiteRT's CompiledModel in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import GpuCompileError, GpuRunError

from .driver import Driver, find_driver
from .log import BackendLog, read_log

Array = npt.NDArray[np.generic]
_WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class GpuRun:
    """Inferences on one input: the last outputs, and the seconds each took (writing the inputs,
    computing, and reading the outputs back)."""

    outputs: tuple[Array, ...]
    seconds: tuple[float, ...]


class GpuSession:
    """A context manager. `accelerators` is ("gpu",), so that what the GPU does not take is an
    error, or ("gpu", "cpu"), or ("cpu",).

    Raises GpuUnavailableError when there is no driver, GpuCompileError (with the log) when the
    backend refuses the model, GpuRunError when its process dies.
    """

    def __init__(
        self,
        model: bytes,
        accelerators: Sequence[str] = ("gpu",),
        *,
        driver: Driver | None = None,
        enforce_float32: bool = False,
        threads: int = 1,
    ) -> None:
        self.accelerators = tuple(accelerators)
        self.driver = driver
        if driver is None and "gpu" in accelerators:
            self.driver = find_driver()
        self._request = {
            "do": "load",
            "accelerators": list(accelerators),
            "enforce_float32": enforce_float32,
            "threads": threads,
        }
        self._folder = tempfile.TemporaryDirectory(prefix="edge-gpu-")
        self._log_path = Path(self._folder.name, "log")
        path = Path(self._folder.name, "model.tflite")
        path.write_bytes(model)
        self._process = self._started(path)
        try:
            answer, _ = self._ask(self._request, ())
        except BaseException:
            self.close()
            raise
        self.load_seconds = float(answer["load_seconds"])
        self.fully_accelerated = bool(answer["fully_accelerated"])
        self.inputs: list[dict[str, Any]] = answer["inputs"]
        self.outputs: list[dict[str, Any]] = answer["outputs"]

    def _started(self, path: Path) -> subprocess.Popen[bytes]:
        environment = dict(os.environ)
        if self.driver is not None:
            environment |= self.driver.environment()
        with self._log_path.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, str(_WORKER), str(path)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment,
            )  # fmt: skip

    @property
    def text(self) -> str:
        """The log so far."""
        return self._log_path.read_text("utf-8", "replace")

    @property
    def log(self) -> BackendLog:
        return read_log(self.text)

    def run(self, inputs: Sequence[Array], repeats: int = 1) -> GpuRun:
        """Inferences on one input, in the model's own element types."""
        answer, arrays = self._ask({"do": "run", "repeats": repeats}, inputs)
        return GpuRun(arrays, tuple(answer["seconds"]))

    def _ask(
        self, request: dict[str, Any], arrays: Sequence[Array]
    ) -> tuple[dict[str, Any], tuple[Array, ...]]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        head = request | {"arrays": [[str(a.dtype), list(a.shape)] for a in arrays]}
        try:
            self._process.stdin.write(json.dumps(head).encode() + b"\n")
            for array in arrays:
                self._process.stdin.write(np.ascontiguousarray(array).tobytes())
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            code = self._process.wait()
            raise GpuRunError(
                f"LiteRT's process ended ({code}) while it was to {request['do']}", self.text
            )
        answer = json.loads(line)
        results = []
        for dtype, shape in answer["arrays"]:
            kind = np.dtype(dtype)
            content = self._process.stdout.read(kind.itemsize * int(np.prod(shape)))
            results.append(np.frombuffer(content, kind).reshape(shape))
        self.peak_bytes = int(answer["peak_bytes"])
        if "error" in answer:
            kinds = GpuCompileError if request["do"] == "load" else GpuRunError
            raise kinds(answer["error"], self.text)
        return answer, tuple(results)

    def close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()

    def __enter__(self) -> GpuSession:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
