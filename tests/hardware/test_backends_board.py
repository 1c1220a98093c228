"""A real board as a backend: it is flashed with a small model.

EDGE_AUTOGLM_HARDWARE_PORT=auto pytest tests/hardware/test_backends_board.py
"""

from __future__ import annotations

import os

import numpy as np
import pytest
from aot_models import classifier

from edge_autoglm.backends import find_backend, read_run_model
from edge_autoglm.backends.model import generated
from edge_autoglm.measure.figures import Kind
from edge_quantize.reference import best_reference

pytestmark = pytest.mark.hardware


def test_it_computes_what_the_reference_does_and_tells_its_own_time() -> None:
    port = os.environ.get("EDGE_AUTOGLM_HARDWARE_PORT")
    if not port:
        pytest.skip("no board: EDGE_AUTOGLM_HARDWARE_PORT names none")
    board = os.environ.get("EDGE_AUTOGLM_HARDWARE_BOARD", "stm32f746")
    name = f"board:{board}" if port == "auto" else f"board:{board}@{port}"
    graph = classifier()
    reference = best_reference(graph)
    with find_backend(name).load(read_run_model(graph)) as loaded:
        assert loaded.kind is Kind.MEASURED
        for inputs in generated(graph, 3):
            run = loaded.infer(inputs, repeats=5)
            np.testing.assert_array_equal(run.outputs[0], reference.run(inputs)[0])
            assert run.seconds is not None
            assert max(run.seconds) <= 1.01 * min(run.seconds)
