"""The demo model's training script, run for a few epochs: what it writes has the committed
model's structure, compiles, and has learned."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import aot_models
import pytest

from edge_export.aot.package import compile_model
from edge_quantize.ingest.tflite import read_tflite

pytestmark = pytest.mark.slow
FOLDER = Path(__file__).resolve().parents[2] / "examples" / "digits"


@pytest.mark.timeout(900)
def test_a_short_training_gives_a_model_of_the_same_structure(tmp_path: Path) -> None:
    for module in ("tensorflow", "sklearn"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed (extra: train)")
    made = tmp_path / "quick.tflite"
    done = subprocess.run(
        [sys.executable, str(FOLDER / "train.py"), "--epochs", "30", "--output", str(made)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    graph, committed = read_tflite(made), read_tflite(FOLDER / "digits_int8.tflite")
    assert [o.op for o in graph.operators] == [o.op for o in committed.operators]
    assert [t.shape for t in graph.tensors] == [t.shape for t in committed.tensors]
    assert compile_model(graph, aot_models.board()).plan.arena_bytes > 0
    figures = re.search(r"float ([\d.]+), int8 ([\d.]+)", done.stdout)
    assert figures is not None
    assert float(figures[2]) > 0.95
    assert abs(float(figures[1]) - float(figures[2])) < 0.03
