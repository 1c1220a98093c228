"""Runs a `.tflite` file with LiteRT's CompiledModel, in a process of its own:

    python worker.py MODEL

Requests come on stdin and answers go to stdout, each a frame: one line of JSON, then the bytes of
the arrays that it lists ("arrays": [[dtype, shape], ...]). Everything a library prints goes to
stderr, which is the log. Imports nothing of this package.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from typing import Any, BinaryIO

import numpy as np


def main(path: str) -> None:
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    loaded = None
    while line := sys.stdin.buffer.readline():
        request = json.loads(line)
        results: list[Any] = []
        arrays = [_read(sys.stdin.buffer, *each) for each in request["arrays"]]
        try:
            if request["do"] == "load":
                loaded = _Loaded(path, request)
                answer = loaded.described()
            else:
                assert loaded is not None
                seconds, results = loaded.run(arrays, request["repeats"])
                answer = {"seconds": seconds}
        except Exception as error:
            answer = {"error": " ".join(str(error).split())}
        answer["peak_bytes"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        _write(answers, answer, results)


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
        key = self.model.get_signature_by_index(0)["key"]
        self.inputs = list(self.model.get_input_tensor_details(key).values())
        self.outputs = list(self.model.get_output_tensor_details(key).values())
        self.sources = self.model.create_input_buffers(0)
        self.results = self.model.create_output_buffers(0)
        self.seconds = time.perf_counter() - start

    def described(self) -> dict[str, Any]:
        return {
            "load_seconds": self.seconds,
            "fully_accelerated": self.model.is_fully_accelerated(),
            "inputs": self.inputs,
            "outputs": self.outputs,
        }

    def run(self, arrays: list[Any], repeats: int) -> tuple[list[float], list[Any]]:
        seconds: list[float] = []
        results: list[Any] = []
        for _ in range(repeats):
            start = time.perf_counter()
            for buffer, array in zip(self.sources, arrays, strict=True):
                buffer.write(array)
            self.model.run_by_index(0, self.sources, self.results)
            # The call above may only have queued the work: reading back waits for it.
            results = [
                buffer.read(int(np.prod(each["shape"])), np.dtype(each["dtype"])).reshape(
                    each["shape"]
                )
                for buffer, each in zip(self.results, self.outputs, strict=True)
            ]
            seconds.append(time.perf_counter() - start)
        return seconds, results


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
