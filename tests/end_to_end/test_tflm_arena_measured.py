"""The modelled arena beside the real one: TFLM's own library, under QEMU."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODELS = ("net_separable", "net_branches", "conv_dilated_same", "mean_image", "softmax_to_int16")


def test_the_tool_finds_the_model_true_of_the_tree_that_is_there() -> None:
    if not os.environ.get("EDGE_AUTOGLM_TFLM"):
        pytest.skip("no TFLM tree: EDGE_AUTOGLM_TFLM names none")
    if shutil.which("qemu-system-arm") is None:
        pytest.skip("no TFLM tree can be run: qemu-system-arm is not installed")
    paths = [str(ROOT / "tests/golden/models" / f"{name}.tflite") for name in MODELS]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(str(ROOT / name) for name in ("quantize", "export", "boards"))
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools/tflm_arena"), *paths],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\n") == 2 + len(MODELS)
