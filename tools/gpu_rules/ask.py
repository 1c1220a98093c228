"""Asks the backend about many small models: one process compiles them one after the other.

A process of its own for each would take ten times as long. Where one crashes the process, that
model is answered with "crash" and the next process goes on after it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edge_quantize.gpu import find_driver
from edge_quantize.gpu.log import BackendLog, read_log

_WORKER = Path(__file__).with_name("worker.py")


@dataclass(frozen=True)
class Finding:
    """What the backend did with one model. `place`: "gpu", "cpu" (refused, in its own `words`),
    "dynamic" (refused whole), "fails" (taken, then the GPU program cannot be made), "unloadable"
    (no runtime loads it, so nothing is learnt) or "crash". `broken` is what the log says of a
    program of "gpu" that was made and is none (LiteRT calls that a success)."""

    place: str
    words: str = ""
    broken: str = ""


def ask(models: Sequence[bytes]) -> list[Finding]:
    """One finding a model, in order. Raises GpuUnavailableError without a driver."""
    driver = find_driver()
    found: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="gpu-rules-") as name:
        folder = Path(name)
        for number, content in enumerate(models):
            (folder / f"{number}.tflite").write_bytes(content)
        while len(found) < len(models):
            before = len(found)
            process = subprocess.run(
                [sys.executable, str(_WORKER), name, str(before), str(len(models))],
                env=dict(os.environ) | driver.environment(), capture_output=True, text=True,
                check=False,
            )  # fmt: skip
            for line in process.stdout.splitlines():
                answer = json.loads(line)
                log = (folder / f"{answer['number']}.log").read_text("utf-8", "replace")
                found.append(finding(answer["error"], log))
            if process.returncode:
                found.append(Finding("crash", f"exit {process.returncode}"))
    return found


def finding(error: str, text: str) -> Finding:
    """From the error of a GPU-only compile ("" for none) and its log."""
    log = read_log(text)
    if log.dynamic or _said_once(error, text, log):
        return Finding("dynamic")
    if log.refused or log.on_cpu:
        return Finding("cpu", "; ".join(each.reason for each in log.refused))
    if not error:
        broken = next(iter((*log.failures, *log.mismatches)), "")
        return Finding("gpu", broken=broken) if log.graphs_built else Finding("unloadable")
    said = [line for line in text.splitlines() if line.startswith("ERROR: ")]
    words = re.sub(r"^ERROR: (\[[^]]*\] ?)?", "", said[0]) if said else error
    return Finding("fails" if log.graphs_built else "unloadable", words.strip())


def _said_once(error: str, text: str, log: BackendLog) -> bool:
    """TFLite warns of a dynamic tensor once a process: later ones fail without a word."""
    silent = not any(line.startswith("ERROR: ") for line in text.splitlines())
    return "Failed to modify graph with delegate" in error and silent and not log.graphs_built


def adapter() -> str:
    """What computes, as the backend names it."""
    from edge_quantize.gpu import GpuSession
    from edge_quantize.graph.writer import write_tflite

    from .one_op import T, one_op

    with GpuSession(write_tflite(one_op("RELU", [T((1, 8))], [T((1, 8))]))) as session:
        return session.log.adapter or "an adapter without a name"
