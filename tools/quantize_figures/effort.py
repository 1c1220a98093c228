"""Time and memory of the command on the largest of the models."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from quantize_data import photographs

from .row import Row

SECONDS, GIB = 60.0, 4.0


def rows(folder: Path) -> Iterator[Row]:
    """`edge-autoglm quantize` of vww, as a program of its own."""
    calibration, _ = photographs(96, 1)
    with tempfile.TemporaryDirectory() as work:
        data = Path(work) / "crops.npy"
        np.save(data, calibration.inputs[0])
        model = folder / "mlperf_tiny" / "vww_float.tflite"
        command = [sys.executable, "-m", "edge_autoglm", "quantize", str(model)]
        command += ["--data", str(data), "-o", str(Path(work) / "vww.tflite")]
        begun = time.perf_counter()
        log = Path(work) / "log"
        with log.open("wb") as words:
            pid = os.posix_spawn(
                sys.executable,
                command,
                os.environ,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, words.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, words.fileno(), 2),
                ],
            )
            # Only wait4 tells one program's peak from that of all others before it.
            _, status, used = os.wait4(pid, 0)
        if status:
            raise SystemExit(log.read_text(encoding="utf-8", errors="replace"))
        yield Row("vww: quantize", time.perf_counter() - begun, "s", most=SECONDS)
        yield Row("vww: peak memory", used.ru_maxrss / 2**20, "GiB", most=GIB)
