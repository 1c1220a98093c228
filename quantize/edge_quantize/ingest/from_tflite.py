"""A float `.tflite` file, which needs no framework."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import ConversionError
from edge_quantize.graph.model import Graph

from . import litert_worker
from .conversion import Arrays, Conversion, Request, compared_pairs, random_inputs
from .float_graph import float_graph
from .tflite import read_tflite

_TIMEOUT_S = 600


def read_tflite_file(path: Path, request: Request) -> Conversion:
    """The file as it is; what was read of it is compared with the whole of it in LiteRT.

    Raises ModelFileError, UnsupportedModelError, ConversionError (LiteRT refuses the file),
    UnsoundResultError.
    """
    graph, notes = float_graph(read_tflite(path))
    request.say("comparing")
    rows = random_inputs(graph)
    litert = f"LiteRT {version('ai-edge-litert')}"
    pairs = zip(rows, _outputs(path, graph, rows), strict=True)
    return Conversion(
        graph=graph,
        kind=".tflite file",
        framework=litert,
        notes=notes,
        comparison=compared_pairs(graph, pairs, f"the file in {litert}"),
    )


def _outputs(path: Path, graph: Graph, rows: list[Arrays]) -> list[Arrays]:
    """What the file itself gives in LiteRT, sample by sample."""
    with tempfile.TemporaryDirectory(prefix="edge-autoglm-") as name:
        folder = Path(name)
        arrays: dict[str, npt.NDArray[Any]] = {
            f"{n}_{i}": array for n, row in enumerate(rows) for i, array in enumerate(row)
        }
        np.savez(folder / "inputs.npz", **arrays)  # type: ignore[arg-type]
        # -P: the worker's folder has modules with names that others use too.
        worker = [sys.executable, "-P", litert_worker.__file__, str(path), name, str(len(rows))]
        try:
            answer = subprocess.run(
                worker, capture_output=True, text=True, errors="replace", timeout=_TIMEOUT_S,
                check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired as error:
            raise ConversionError(
                f"{path}: LiteRT did not end within {_TIMEOUT_S} s for {len(rows)} inferences"
            ) from error
        if answer.returncode:
            said = [line.strip() for line in answer.stderr.splitlines() if line.strip()]
            reason = said[-1] if said and answer.returncode > 0 else "it crashed"
            raise ConversionError(f"{path}: LiteRT cannot run it: {reason}", answer.stderr)
        with np.load(folder / "outputs.npz", allow_pickle=False) as outputs:
            return [
                tuple(outputs[f"{n}_{i}"] for i in range(len(graph.outputs)))
                for n in range(len(rows))
            ]
