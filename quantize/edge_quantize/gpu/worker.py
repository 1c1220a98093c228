"""Runs a `.tflite` file with LiteRT's CompiledModel, in a process of its own:

    python worker.py MODEL

Requests come on stdin and answers go to stdout, each a frame: one line of JSON, then the bytes of
the arrays that it lists ("arrays": [[dtype, shape], ...]). While inferences are repeated, a line
{"at": N} tells that the process is alive. Everything a library prints goes to stderr, which is the
log. Imports nothing of this package.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import time
from importlib import metadata
from typing import Any, BinaryIO

import numpy as np

_SPARE_SECONDS = 30


def main(path: str) -> None:
    # Ctrl-C goes to the whole group of processes; the parent ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    loaded = None
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        results: list[Any] = []
        arrays = [_read(sys.stdin.buffer, *each) for each in request["arrays"]]
        _limit(request)
        try:
            if request["do"] == "load":
                loaded = _Loaded(path, request)
                answer = loaded.described()
            else:
                assert loaded is not None
                seconds, results = loaded.run(arrays, request, answers)
                answer = {"seconds": seconds}
        except Exception as error:
            results = []
            answer = {"error": " ".join(str(error).split()) or type(error).__name__}
            answer["kind"] = type(error).__name__
        signal.alarm(0)
        ctypes.CDLL(None).fflush(None)
        answer["peak_bytes"] = _peak_bytes()
        _write(answers, answer, results)


def _limit(request: dict[str, Any]) -> None:
    """The parent stops what takes too long; where the parent is gone, the system does."""
    signal.alarm(int(request["seconds"]) + _SPARE_SECONDS)


class _Loaded:
    def __init__(self, path: str, request: dict[str, Any]) -> None:
        from ai_edge_litert.compiled_model import CompiledModel
        from ai_edge_litert.hardware_accelerator import HardwareAccelerator
        from ai_edge_litert.options import CpuOptions, GpuOptions, Options

        chosen = HardwareAccelerator(0)
        for name in request["accelerators"]:
            chosen |= HardwareAccelerator[name.upper()]
        start = time.perf_counter()
        self.model = CompiledModel.from_file(
            path,
            options=Options(
                hardware_accelerators=chosen,
                cpu_options=CpuOptions(num_threads=request["threads"]),
                gpu_options=GpuOptions(enforce_f32=request["enforce_float32"]),
            ),
        )
        self.signatures = list(self.model.get_signature_list())
        self.key = self._key(request["signature"], path)
        self.number = self.model.get_signature_index(self.key)
        for index, dims in request["resize"]:
            self._resize(index, dims)
        # Buffers are in the order of these lists; the details of tensors have none of their own.
        names = self.model.get_signature_list()[self.key]
        details = self.model.get_input_tensor_details(self.key)
        self.inputs = [{**details[name], "key": name} for name in names["inputs"]]
        details = self.model.get_output_tensor_details(self.key)
        self.outputs = [{**details[name], "key": name} for name in names["outputs"]]
        self.sources = self.model.create_input_buffers(self.number)
        self.results = self.model.create_output_buffers(self.number)
        self.seconds = time.perf_counter() - start

    def _key(self, wanted: str | None, path: str) -> str:
        if wanted is None and len(self.signatures) > 1:
            wanted = _main_signature(path)
        if wanted is None and self.signatures:
            return str(self.model.get_signature_by_index(0)["key"])
        if wanted not in self.signatures:
            known = ", ".join(map(repr, self.signatures)) or "none"
            raise ValueError(f"no signature {wanted!r}; the model has {known}")
        return str(wanted)

    def _resize(self, index: int, dims: list[int]) -> None:
        try:
            self.model.resize_input_tensor(index, dims, self.number)
        except (RuntimeError, TypeError, ValueError) as error:
            # LiteRT before 2.3 gives nothing but a code; a number too large is a TypeError.
            why = "a number is too large" if isinstance(error, TypeError) else str(error)
            raise ValueError(f"input {index} cannot have the shape {dims}: {why}") from error

    def described(self) -> dict[str, Any]:
        return {
            "load_seconds": self.seconds,
            "fully_accelerated": self.model.is_fully_accelerated(),
            "inputs": self.inputs,
            "outputs": self.outputs,
            "signature": self.key,
            "signatures": self.signatures,
            "runtime": f"ai-edge-litert {metadata.version('ai-edge-litert')}",
        }

    def run(
        self, arrays: list[Any], request: dict[str, Any], answers: BinaryIO
    ) -> tuple[list[float], list[Any]]:
        seconds: list[float] = []
        results: list[Any] = []
        for number in range(request["repeats"]):
            _limit(request)
            start = time.perf_counter()
            for buffer, array in zip(self.sources, arrays, strict=True):
                # As bytes: the wrapper knows few element types (no int16, no int64).
                buffer.write(array.reshape(-1).view(np.uint8))
            self.model.run_by_index(self.number, self.sources, self.results)
            # The call above may only have queued the work: reading back waits for it.
            results = [
                _taken(buffer, each)
                for buffer, each in zip(self.results, self.outputs, strict=True)
            ]
            seconds.append(time.perf_counter() - start)
            answers.write(json.dumps({"at": number}).encode() + b"\n")
            answers.flush()
        return seconds, results


def _main_signature(path: str) -> str | None:
    """The key of the main subgraph's first signature: the file may have another one's before it."""
    from ai_edge_litert import schema_py_generated as schema

    with open(path, "rb") as file:  # noqa: PTH123  # no import for it
        model = schema.Model.GetRootAs(file.read())
    for number in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(number)
        if signature.SubgraphIndex() == 0:
            return (signature.SignatureKey() or b"").decode("utf-8", "replace")
    return None


def _peak_bytes() -> int:
    try:
        with open("/proc/self/status", encoding="utf-8") as file:  # noqa: PTH123  # no import for it
            return next(int(line.split()[1]) << 10 for line in file if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        # On Linux this would be the parent's peak too, where that is higher.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak << 10


def _taken(buffer: Any, details: dict[str, Any]) -> Any:
    kind, shape = np.dtype(details["dtype"]), details["shape"]
    content = buffer.read(kind.itemsize * int(np.prod(shape)), np.uint8)
    return content.view(kind).reshape(shape)


def _read(stream: BinaryIO, dtype: str, shape: list[int]) -> Any:
    kind = np.dtype(dtype)
    content = stream.read(kind.itemsize * int(np.prod(shape)))
    return np.frombuffer(content, kind).reshape(shape)


def _write(stream: BinaryIO, answer: dict[str, Any], arrays: list[Any]) -> None:
    answer["arrays"] = [[str(array.dtype), list(array.shape)] for array in arrays]
    stream.write(json.dumps(answer).encode() + b"\n")
    for array in arrays:
        stream.write(np.ascontiguousarray(array).tobytes())
    stream.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
