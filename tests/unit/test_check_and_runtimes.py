"""What the check passes, `tflite_micro` runs: it aborts the process on models that it does not.

Also the reason why the check's bounds are what they are.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from edge_quantize.check import check_supported
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph, Quantization
from edge_quantize.graph.options import Activation, Padding
from edge_quantize.graph.shapes import ShapeError
from edge_quantize.inputs import lcg_inputs
from edge_quantize.reference import TflmReference, tflm_available

pytestmark = pytest.mark.skipif(not tflm_available(), reason="no tflite_micro wheel here")

SCALES = st.floats(-9, 6).map(lambda exponent: 10.0**exponent) | st.floats(0.001, 1)
ZERO_POINTS = st.integers(-128, 127)
SMALL = st.integers(1, 5)
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
ACTIVATIONS = st.sampled_from(
    [Activation.NONE, Activation.RELU, Activation.RELU6, Activation.RELU_N1_TO_1]
)
CONVOLUTIONS = ["CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"]
OTHERS = [
    "AVERAGE_POOL_2D", "MAX_POOL_2D", "ADD", "MUL", "MEAN", "PAD", "RESHAPE", "SOFTMAX",
    "CONCATENATION", "RELU", "RELU6", "QUANTIZE", "DEQUANTIZE",
]  # fmt: skip


def weighted(draw: st.DrawFn, b: GraphBuilder, x: int, shape: tuple[int, ...], op: str) -> int:
    channels = draw(SMALL)
    taps = (draw(SMALL), draw(SMALL))
    multiplier = draw(st.integers(1, 3))
    if op == "CONV_2D":
        size: tuple[int, ...] = (channels, *taps, shape[3])
    elif op == "DEPTHWISE_CONV_2D":
        channels = shape[3] * multiplier
        size = (1, *taps, channels)
    else:
        size = (channels, shape[3])
    scales = draw(st.lists(SCALES, min_size=channels, max_size=channels) | st.lists(
        SCALES, min_size=1, max_size=1
    ))  # fmt: skip
    values = np.random.RandomState(channels).randint(-128, 128, size)
    w = b.weights("w", values, scales, axis=3 if op == "DEPTHWISE_CONV_2D" else 0)
    bias = b.bias("b", [draw(st.integers(-(2**31), 2**31 - 1))] * channels, x, w)
    chosen = draw(st.sampled_from([bias, None]))
    scale, zero_point, activation = draw(SCALES), draw(ZERO_POINTS), draw(ACTIVATIONS)
    if op == "FULLY_CONNECTED":
        keep = draw(st.booleans())
        return b.fully_connected(
            x, w, chosen, scale, zero_point, activation=activation, keep_num_dims=keep
        )
    stride, dilation, padding = draw(PAIRS), draw(PAIRS), draw(st.sampled_from(Padding))
    if op == "CONV_2D":
        return b.conv_2d(
            x, w, chosen, scale, zero_point,
            stride=stride, padding=padding, dilation=dilation, activation=activation,
        )  # fmt: skip
    return b.depthwise_conv_2d(
        x, w, chosen, scale, zero_point, depth_multiplier=multiplier,
        stride=stride, padding=padding, dilation=dilation, activation=activation,
    )  # fmt: skip


def other(draw: st.DrawFn, b: GraphBuilder, x: int, shape: tuple[int, ...], op: str) -> int:
    scale, zero_point = draw(SCALES), draw(ZERO_POINTS)
    if op.endswith("POOL_2D"):
        padding, activation = draw(st.sampled_from(Padding)), draw(ACTIVATIONS)
        return b.pool(op, x, draw(PAIRS), draw(PAIRS), padding=padding, activation=activation)
    if op in ("ADD", "MUL"):
        narrow = tuple(draw(st.sampled_from([1, n])) for n in shape)[draw(st.integers(0, 3)) :]
        if draw(st.booleans()):
            y = b.input("y", narrow, draw(SCALES), draw(ZERO_POINTS))
        else:
            quantization = Quantization((float(np.float32(draw(SCALES))),), (draw(ZERO_POINTS),))
            y = b.tensor("y", narrow, DType.INT8, quantization, np.full(narrow, 77))
        operands = draw(st.permutations([x, y]))
        return b.elementwise(op, *operands, scale, zero_point, activation=draw(ACTIVATIONS))
    if op == "MEAN":
        axes = draw(st.lists(st.integers(-4, 3), min_size=1, max_size=3))
        return b.mean(x, axes, scale, zero_point, keep_dims=draw(st.booleans()))
    if op == "PAD":
        amounts = st.integers(0, 2)
        return b.pad(x, [(draw(amounts), draw(amounts)) for _ in shape])
    if op == "RESHAPE":
        return b.reshape(x, (-1,))
    if op == "SOFTMAX":
        return b.softmax(x, beta=draw(SCALES))
    if op == "CONCATENATION":
        return b.concatenation([x] * draw(st.integers(1, 10)), draw(st.integers(-4, 3)))
    if op == "QUANTIZE":
        # There and back through another width, as models that end in uint8 or int16 do.
        dtype = draw(st.sampled_from([DType.INT8, DType.UINT8, DType.INT16]))
        limits = np.iinfo(dtype.value)
        other_zero = draw(st.integers(int(limits.min), int(limits.max)))
        return b.quantize(b.quantize(x, draw(SCALES), other_zero, dtype), scale, zero_point)
    if op == "DEQUANTIZE":
        return b.dequantize(x)
    return b.operator(op, (x,), scale=scale if op == "RELU" else None, zero_point=zero_point)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """One operator with any numbers that its fields may hold."""
    b = GraphBuilder("one")
    shape = (1, draw(SMALL), draw(SMALL), draw(SMALL))
    x = b.input("x", shape, draw(SCALES), draw(ZERO_POINTS))
    op = draw(st.sampled_from(CONVOLUTIONS + OTHERS))
    make = weighted if op in CONVOLUTIONS else other
    try:
        return b.build([make(draw, b, x, shape, op)])
    except ShapeError:
        assume(False)
        raise


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(graphs())
def test_whatever_is_supported_runs(graph: Graph) -> None:
    assume(not check_supported(graph))
    (output,) = TflmReference(graph).run(lcg_inputs(graph)[0])
    assert output.shape == graph.tensors[graph.outputs[0]].shape


ABORTS = """
import sys
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.writer import write_tflite
from edge_quantize.check import check_supported
from tflite_micro.python.tflite_micro import runtime
b = GraphBuilder("abort")
x, y = b.input("x", (1, 4), 1000.0), b.input("y", (1, 4), 1.0)
graph = b.build([b.elementwise("ADD", x, y, 1e-3, 0)])
assert check_supported(graph)
runtime.Interpreter.from_bytes(write_tflite(graph), arena_size=65536)
"""


def test_the_interpreter_really_aborts_on_what_is_refused() -> None:
    """If this ever fails, tflite_micro learned to refuse, and the bound may be its own."""
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {sys.path!r}\n{ABORTS}"],
        capture_output=True,
        check=False,
        timeout=600,
    )
    assert result.returncode < 0, result.stderr.decode()[-500:]
