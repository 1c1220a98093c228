"""The figures of packages for phones: nothing passes by not running."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cli_tools import environment
from gpu_drivers import any_driver
from mobile_models import float_net, strided

from edge_quantize.graph.writer import write_tflite

TOOL = Path(__file__).resolve().parents[2] / "tools" / "bench_mobile.py"


def run(data: Path, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(TOOL), *arguments],
        env=environment(EDGE_AUTOGLM_DATA=str(data), **changes),
        capture_output=True,
        text=True,
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "mlperf_tiny").mkdir()
    return tmp_path


def test_a_model_that_is_not_there_is_wrong_usage(data: Path) -> None:
    done = run(data, "--models", "bert")
    assert done.returncode == 2
    assert "bert" in done.stderr


def test_without_models_or_driver_nothing_is_claimed(data: Path, tmp_path: Path) -> None:
    assert "EDGE_AUTOGLM_DATA" in run(tmp_path / "none").stdout
    assert run(tmp_path / "none", "--require").returncode == 1
    done = run(data, "--require", EDGE_AUTOGLM_GPU="none")
    assert done.returncode == 1
    assert "nothing was measured" in done.stdout


def test_a_missed_target_is_an_exit_code(data: Path) -> None:
    """A model that is wrong in the place of one that is to be right, and the other way round."""
    any_driver()
    options = ["--targets", "android-gpu", "--models", "ad_int8,ic_int8", "--check"]
    (data / "mlperf_tiny" / "ad_int8.tflite").write_bytes(write_tflite(strided()))
    (data / "mlperf_tiny" / "ic_int8.tflite").write_bytes(write_tflite(float_net()))
    done = run(data, *options)
    assert done.returncode == 1
    missed = [line for line in done.stdout.splitlines() if line.startswith("missed:")]
    assert any("ad_int8 (int8): GPU to CPU" in line for line in missed)
    assert any("refused, the layer named" in line for line in missed)
