"""Compiles `N.tflite` of a folder, GPU alone, for N from FIRST up to LAST:

    python worker.py FOLDER FIRST LAST

A line of JSON for each on stdout; what the libraries print goes to `N.log`.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from ai_edge_litert.compiled_model import CompiledModel
from ai_edge_litert.hardware_accelerator import HardwareAccelerator


def main(folder: Path, first: int, last: int) -> None:
    answers = os.fdopen(os.dup(1), "w")
    for number in range(first, last):
        with (folder / f"{number}.log").open("wb") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
        error = ""
        try:
            CompiledModel.from_file(
                str(folder / f"{number}.tflite"), hardware_accel=HardwareAccelerator.GPU
            )
        except Exception as failure:
            error = " ".join(str(failure).split())
        answers.write(json.dumps({"number": number, "error": error}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
