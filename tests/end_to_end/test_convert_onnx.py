"""ONNX files as float graphs, in the environment of their own, compared with ONNX Runtime."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cli_tools import Program

from edge_quantize.errors import QuantizeError, UnsupportedModelError
from edge_quantize.graph.model import Graph
from edge_quantize.ingest.onnx_environment import find_environment
from edge_quantize.ingest.ways import convert_model, read_any

ENVIRONMENT = find_environment()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        ENVIRONMENT is None, reason="no environment for ONNX (edge-autoglm convert --prepare onnx)"
    ),
]

# Runs inside the environment, which has the package `onnx`.
MAKE = """
import json, sys
import numpy as np, onnx
from onnx import TensorProto, helper, numpy_helper
path, kind = sys.argv[1:]
random = np.random.default_rng(0)
def weights(name, *shape):
    return numpy_helper.from_array(random.normal(size=shape).astype(np.float32) * 0.3, name)
def value(name, *shape):
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, list(shape))
node, opsets = helper.make_node, [helper.make_opsetid("", 17)]
if kind in ("rgb", "gray", "open"):
    channels, side = (1 if kind == "gray" else 3), ("side" if kind == "open" else 16)
    nodes = [
        node("Conv", ["image", "w1", "b1"], ["c"], pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        node("Relu", ["c"], ["r"]),
        node("MaxPool", ["r"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["p"], ["f"]),
        node("Gemm", ["f", "w2", "b2"], ["g"], transB=1),
        node("Softmax", ["g"], ["scores"], axis=-1),
    ]
    constants = [weights("w1", 8, channels, 3, 3), weights("b1", 8), weights("w2", 5, 512)]
    constants.append(weights("b2", 5))
    inputs = [value("image", "batch", channels, side, side)]
    outputs = [value("scores", "batch", 5)]
elif kind == "square":
    # Every dimension of the image is alike: its shape does not tell its layout.
    nodes = [node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1], kernel_shape=[3, 3])]
    constants, inputs = [weights("w", 4, 4, 3, 3)], [value("x", 1, 4, 4, 4)]
    outputs = [value("y", 1, 4, 4, 4)]
elif kind == "two":
    nodes = [node("Sub", ["b", "a"], ["difference"]), node("Mul", ["b", "a"], ["product"])]
    constants, inputs = [], [value("a", 1, 6), value("b", 1, 6)]
    outputs = [value("product", 1, 6), value("difference", 1, 6)]
else:
    opsets.append(helper.make_opsetid("mine", 1))
    nodes = [node("Sparkle", ["x"], ["y"], domain="mine")]
    constants, inputs, outputs = [], [value("x", 1, 4)], [value("y", 1, 4)]
graph = helper.make_graph(nodes, kind, inputs, outputs, constants)
model = helper.make_model(graph, opset_imports=opsets, producer_name="a test")
model.ir_version = 8
onnx.save(model, path)
"""


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("onnx")

    def make(kind: str) -> Path:
        assert ENVIRONMENT is not None
        path = folder / f"{kind}.onnx"
        if not path.exists():
            subprocess.run(
                [ENVIRONMENT.python, "-I", "-c", MAKE, path, kind], check=True, capture_output=True
            )
        return path

    return make


def ops(graph: Graph) -> list[str]:
    return [operator.op for operator in graph.operators]


@pytest.mark.parametrize(("kind", "channels"), [("rgb", 3), ("gray", 1)])
def test_an_image_classifier_computes_as_in_onnx_runtime(
    kind: str, channels: int, onnx_file: Callable[[str], Path]
) -> None:
    """Three channels are what onnx2tf would fetch photographs for."""
    conversion = convert_model(onnx_file(kind))
    graph = conversion.graph
    assert conversion.kind == "ONNX file (opset 17, by a test)"
    assert conversion.comparison.max_relative < 1e-5
    assert [graph.tensors[i].shape for i in graph.inputs] == [(1, 16, 16, channels)]
    assert [graph.tensors[i].name for i in (*graph.inputs, *graph.outputs)] == ["image", "scores"]
    assert "TRANSPOSE" not in ops(graph)
    assert "batch: open in the source, fixed at 1" in conversion.notes


def test_where_shapes_do_not_tell_the_layout_the_outputs_do(
    onnx_file: Callable[[str], Path],
) -> None:
    conversion = convert_model(onnx_file("square"))
    assert conversion.comparison.max_relative < 1e-5
    assert any("channels last" in note for note in conversion.notes)


def test_inputs_and_outputs_keep_their_order(onnx_file: Callable[[str], Path]) -> None:
    graph = read_any(onnx_file("two"))
    names = [graph.tensors[i].name for i in (*graph.inputs, *graph.outputs)]
    assert names == ["a", "b", "product", "difference"]


def test_a_size_left_open_needs_an_example(onnx_file: Callable[[str], Path]) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        read_any(onnx_file("open"))
    assert len(caught.value.problems) == 2
    assert "'image': dimension 2 of [?, 3, ?, ?] is open" in caught.value.problems[0]
    example: Any = np.zeros((1, 3, 16, 16), np.float32)
    assert ops(read_any(onnx_file("open"), example_input=example))[0] == "CONV_2D"


def test_a_custom_operator_is_named(onnx_file: Callable[[str], Path]) -> None:
    with pytest.raises(UnsupportedModelError, match="custom operator 'Sparkle'"):
        read_any(onnx_file("custom"))


@pytest.mark.parametrize("content", [b"hello", b"\x08\x08\x12"])
def test_what_is_no_onnx_model_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(QuantizeError, match="not a whole ONNX model") as caught:
        read_any(path)
    assert "\n" not in str(caught.value)


def test_the_command_says_what_it_did(onnx_file: Callable[[str], Path], tmp_path: Path) -> None:
    done = Program(tmp_path).done("convert", onnx_file("gray"), "--json", "-")
    said = json.loads(done.stdout)
    assert said["framework"].startswith("onnx2tf 1.29")
    assert said["comparison"]["against"].startswith("ONNX Runtime")
    assert [path.name for path in tmp_path.iterdir()] == ["gray.tflite"]
