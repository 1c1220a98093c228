"""The process of an engine: `python -m edge_autoglm.backends.worker onnx|c SECONDS`.

Requests are pickled (what, arguments) on stdin, answers (ok, result, peak bytes) on stdout.
Everything that a library prints goes to stderr, which is the log. SECONDS is the most that one
request may take.
"""

from __future__ import annotations

import os
import pickle
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

_SPARE_SECONDS = 30


class OnnxEngine:
    """ONNX Runtime with one provider."""

    def load(self, content: bytes, provider: str, alone: bool) -> dict[str, Any]:
        """`alone`: nothing of the model may be computed by another provider."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        if alone:
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        start = time.perf_counter()
        # Neither here nor later: where the provider fails, Python's side would take the CPU.
        self.session = onnxruntime.InferenceSession(
            content, options, providers=[provider], enable_fallback=0
        )
        self.session.disable_fallback()
        seconds = time.perf_counter() - start
        self.names = [each.name for each in self.session.get_inputs()]
        return {
            "seconds": seconds,
            "version": onnxruntime.__version__,
            "providers": self.session.get_providers(),
            "inputs": [_port(each) for each in self.session.get_inputs()],
            "outputs": [_port(each) for each in self.session.get_outputs()],
        }

    def providers(self) -> tuple[str, list[str]]:
        """The runtime's version, and what it was built with: not all of it need come up here."""
        import onnxruntime

        return onnxruntime.__version__, onnxruntime.get_available_providers()

    def run(self, inputs: Sequence[Any], repeats: int) -> tuple[list[float], list[Any]]:
        fed = dict(zip(self.names, inputs, strict=True))
        # `run` gives arrays of the host: the outputs are read back when it returns.
        return _timed(lambda: [np.asarray(each) for each in self.session.run(None, fed)], repeats)


class CEngine:
    """The generated C, built for this machine."""

    def load(self, content: bytes, name: str, board: Any, folder: str) -> dict[str, Any]:
        from dataclasses import replace

        from edge_export import HostModel, export_model
        from edge_quantize.ingest.tflite import read_tflite

        start = time.perf_counter()
        graph = replace(read_tflite(content), name=name)
        exported = export_model(graph, board, Path(folder) / "model")
        self.model = HostModel(exported)
        return {"seconds": time.perf_counter() - start}

    def run(self, inputs: Sequence[Any], repeats: int) -> tuple[list[float], list[Any]]:
        return _timed(lambda: list(self.model.run(inputs)), repeats)


ENGINES: dict[str, type[Any]] = {"onnx": OnnxEngine, "c": CEngine}


def _port(each: Any) -> tuple[str, str, list[int | str | None]]:
    return each.name, each.type, list(each.shape)


def _timed(once: Callable[[], list[Any]], repeats: int) -> tuple[list[float], list[Any]]:
    seconds: list[float] = []
    results: list[Any] = []
    for _ in range(repeats):
        start = time.perf_counter()
        results = once()
        seconds.append(time.perf_counter() - start)
    return seconds, results


def peak_bytes() -> int:
    """The most memory this process had. Linux's own count: `ru_maxrss` begins with that of the
    process that started this one."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        import resource

        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def main(engine: str, patience: float) -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    tempfile.tempdir = None  # as TMPDIR says
    worker = ENGINES[engine]()
    while True:
        try:
            what, arguments = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        # The parent stops what takes too long; where the parent was killed, the system does.
        _alarm(int(patience) + _SPARE_SECONDS)
        try:
            answer = True, getattr(worker, what)(**arguments)
        except Exception as error:
            answer = False, " ".join(_words(error).split())
        _alarm(0)
        pickle.dump((*answer, peak_bytes()), answers)
        answers.flush()


def _alarm(seconds: int) -> None:
    if sys.platform != "win32":
        signal.alarm(seconds)


def _words(error: Exception) -> str:
    problems = [str(problem) for problem in getattr(error, "problems", ())]
    text = str(error) or type(error).__name__
    return f"{text}: {problems[0]}" if problems and problems[0] not in text else text


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
