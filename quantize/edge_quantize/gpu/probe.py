"""A tiny model run on a driver: which adapter is really taken, and whether it computes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from edge_quantize.errors import GpuRunError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType
from edge_quantize.graph.options import Activation, Conv2DOptions, Padding
from edge_quantize.graph.writer import write_tflite

from .driver import Driver
from .loaded import LoadedModel, LoadOptions

_SECONDS = 30.0


@dataclass(frozen=True)
class Probe:
    """A run that came out right: the adapter by its own name, and the seconds from start to
    result."""

    adapter: str
    api: str
    software: bool
    runtime: str
    seconds: float


@cache
def tiny_model() -> tuple[bytes, np.ndarray, np.ndarray]:
    """A float convolution with ReLU as a `.tflite`, its input (1, 4, 4, 2), and what must come out
    (1, 4, 4, 3)."""
    random = np.random.default_rng(5)
    weights = random.integers(-8, 8, (3, 1, 1, 2)).astype(np.float32)
    bias = random.integers(-8, 8, 3).astype(np.float32)
    x = random.integers(-8, 8, (1, 4, 4, 2)).astype(np.float32)
    builder = GraphBuilder("probe")
    source = builder.input("x", x.shape, dtype=DType.FLOAT32)
    result = builder.operator(
        "CONV_2D",
        [source, builder.constant("w", weights), builder.constant("b", bias)],
        Conv2DOptions(Padding.SAME, 1, 1, activation=Activation.RELU),
        dtype=DType.FLOAT32,
    )
    # Small integers: exact in any floating point.
    expected = np.maximum(x @ weights.reshape(3, 2).T + bias, 0)
    return write_tflite(builder.build([result])), x, expected


def probe(driver: Driver, seconds: float = _SECONDS) -> Probe:
    """Runs the tiny model on `driver`, GPU alone.

    Raises GpuUnavailableError (no adapter), GpuCompileError, or GpuRunError when it hangs, crashes,
    or computes something else.
    """
    model, x, expected = tiny_model()
    options: LoadOptions = {"load_limit": seconds, "run_limit": seconds}
    with LoadedModel(model, ("gpu",), driver, options) as session:
        run = session.run([x])
        log = session.log
        if session.doubts:
            raise GpuRunError(f"a tiny model did not run on it: {session.doubts[0]}", session.text)
        if not np.array_equal(run.outputs[0], expected):
            worst = float(np.abs(run.outputs[0] - expected).max())
            raise GpuRunError(f"it computes a tiny model wrongly, by {worst:g}", session.text)
        took = session.load_seconds + run.seconds[0]
        return Probe(str(log.adapter), log.api or "", log.software, session.runtime, took)
