"""`edge-autoglm optimize` into budgets, as a program of its own: what fits, what cannot, and how
long a search takes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from quantize_data import photographs

from .row import Row

BOARD = "stm32f746"
FLASH, RAM = 90 * 1024, 50 * 1024
SECONDS_TO_REFUSE, SECONDS_TO_SEARCH, TRIALS = 5.0, 600.0, 40
EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"


@dataclass(frozen=True)
class Run:
    """`result` is what `--json` wrote; None where the command failed."""

    seconds: float
    code: int
    words: str
    result: dict[str, Any] | None

    def chosen(self) -> dict[str, Any]:
        if self.result is None:
            raise SystemExit(self.words)
        name = self.result["chosen"]
        found: dict[str, Any] = next(p for p in self.result["points"] if p["point"] == name)
        return found


def optimize(model: Path, data: Path, work: Path, options: Sequence[str]) -> Run:
    answer = work / "answer.json"
    command = [sys.executable, "-m", "edge_autoglm", "optimize", str(model), "--board", BOARD]
    command += ["--data", str(data), "-o", str(work / "fitted"), "--json", str(answer), *options]
    begun = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - begun
    found = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else None
    return Run(seconds, done.returncode, done.stderr.strip(), found)


def mlperf(folder: Path) -> Iterator[Row]:
    """ic into 90 KiB of flash and 50 KiB of RAM; and into 4 KiB of RAM, which nothing can."""
    fit, held = photographs(32, 255)
    model = folder / "mlperf_tiny" / "ic_float.tflite"
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        data = work / "crops.npy"
        np.save(data, np.concatenate([fit.inputs[0], held.inputs[0]]))
        refused = optimize(model, data, work, ["--max-ram", "4k"])
        named = "conv2d" in refused.words and " B " in refused.words
        yield Row("ic, --max-ram 4k: refused (exit code)", refused.code, least=1, kind="exact")
        yield Row("ic, --max-ram 4k: layer and bytes named", float(named), least=1, kind="exact")
        yield Row("ic, --max-ram 4k: seconds", refused.seconds, "s", most=SECONDS_TO_REFUSE)
        asked = ["--max-flash", "90k", "--max-ram", "50k", "--trials", "12"]
        run = optimize(model, data, work, asked)
        chosen = run.chosen()
        measured = chosen["measured"]
        yield Row("ic: flash of the image", measured["flash"], "B", most=FLASH, kind="exact")
        ram = measured["static_ram"] + measured["stack"]
        yield Row("ic: static RAM and stack", ram, "B", most=RAM)
        yield Row("ic: SQNR of the chosen model", chosen["worth"]["sqnr_db"], "dB")
        yield Row("ic: search of 12 points", run.seconds, "s")


def search(_folder: Path) -> Iterator[Row]:
    """40 points of digits, with labels."""
    sys.path.insert(0, str(EXAMPLE))
    import data as digits

    training, _ = digits.load()
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        data = work / "digits.npz"
        np.savez(data, image=training.images, labels=training.labels)
        model = EXAMPLE / "digits_float.tflite"
        run = optimize(model, data, work, ["--trials", str(TRIALS)])
        chosen = run.chosen()
        yield Row(f"digits: search of {TRIALS} points", run.seconds, "s", most=SECONDS_TO_SEARCH)
        yield Row("digits: flash of the chosen image", chosen["measured"]["flash"], "B")
        lost = 100 * chosen["worth"]["error"]["value"]
        yield Row("digits: accuracy lost by the chosen model", lost, "points")
