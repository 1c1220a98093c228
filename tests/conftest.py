"""Fixtures shared by all tests: where the real models are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

REPOSITORY = Path(__file__).resolve().parents[1]

# No example fails for what the machine does beside it; what must be quick says so itself.
settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real inputs: EDGE_AUTOGLM_DATA, or `../shared/data` beside the checkout."""
    named = os.environ.get("EDGE_AUTOGLM_DATA")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real models: set EDGE_AUTOGLM_DATA to the folder that holds mlperf_tiny")
    return folder


@pytest.fixture(scope="session")
def mlperf_tiny(shared_data: Path) -> Callable[[str], Path]:
    """`mlperf_tiny("vww_int8.tflite")` or `mlperf_tiny("vww")`, its int8 model."""

    def find(name: str) -> Path:
        path = shared_data / "mlperf_tiny" / (name if "." in name else f"{name}_int8.tflite")
        if not path.is_file():
            pytest.skip(f"no {path.name} in the real models' folder")
        return path

    return find
