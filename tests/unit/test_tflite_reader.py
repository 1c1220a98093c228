"""Reading `.tflite`: what a sound file gives, and what is said of one that is not."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_quantize.errors import ModelFileError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import (
    Activation,
    Conv2DOptions,
    Padding,
    ReshapeOptions,
    SchemaOptions,
)
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.source import MAX_FILE_BYTES
from edge_quantize.ingest.tflite import read_tflite


def small_graph() -> Graph:
    b = GraphBuilder("small")
    x = b.input("x", (1, 6, 6, 2), scale=0.5, zero_point=-3)
    w = b.weights("w", np.arange(-36, 36).reshape(4, 3, 3, 2), [0.1, 0.2, 0.3, 0.4])
    bias = b.bias("b", [1, -2, 3, -4], x, w)
    y = b.conv_2d(x, w, bias, 0.25, 7, stride=(2, 1), activation=Activation.RELU6)
    z = b.reshape(y, (1, 72))
    return b.build([z], labels=["cat", "dog"])


Edit = Callable[[Any], None]


def edited(edit: Edit, graph: Graph | None = None) -> bytes:
    """The small model with something changed in LiteRT's own object form."""
    model = schema.ModelT.InitFromPackedBuf(write_tflite(graph or small_graph()))
    edit(model)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def problems_of(data: bytes) -> str:
    with pytest.raises(ModelFileError) as caught:
        read_tflite(data)
    assert "\n" not in str(caught.value)
    return "\n".join((str(caught.value), *caught.value.problems))


def test_operators_come_typed_and_in_order() -> None:
    graph = read_tflite(write_tflite(small_graph()))
    conv, reshape = graph.operators
    assert conv.op == "CONV_2D"
    assert conv.options == Conv2DOptions(Padding.SAME, 2, 1, 1, 1, Activation.RELU6)
    assert reshape.options == ReshapeOptions((1, 72))
    assert graph.labels == ("cat", "dog")


def test_constants_are_read_only_and_of_their_type() -> None:
    graph = read_tflite(write_tflite(small_graph()))
    weights = next(t for t in graph.tensors if t.name == "w")
    assert weights.data is not None
    assert weights.data.dtype == np.int8
    assert weights.data.shape == (4, 3, 3, 2)
    assert not weights.data.flags.writeable
    assert weights.data.ravel().tolist() == list(range(-36, 36))


def test_scales_are_the_file_s_float32_values() -> None:
    graph = read_tflite(write_tflite(small_graph()))
    weights = next(t for t in graph.tensors if t.name == "w")
    assert weights.quantization is not None
    assert weights.quantization.scales == tuple(float(np.float32(s)) for s in (0.1, 0.2, 0.3, 0.4))


@pytest.mark.parametrize(
    ("name", "operators", "constant_bytes"),
    [("ad", 10, 270880), ("kws", 13, 24376), ("ic", 16, 78752), ("vww", 31, 219072)],
)
def test_reads_the_reference_models(
    mlperf_tiny: Callable[[str], Path], name: str, operators: int, constant_bytes: int
) -> None:
    graph = read_tflite(mlperf_tiny(name))
    assert graph.name == f"{name}_int8"
    assert len(graph.operators) == operators
    assert graph.constant_bytes == constant_bytes


def test_int4_is_unpacked_with_its_sign() -> None:
    b = GraphBuilder("int4")
    x = b.input("x", (1, 5))
    w = b.tensor("w", (1, 5), DType.INT4, None, np.array([-8, 7, -1, 0, 3]))
    y = b.operator("FULLY_CONNECTED", (x, w), shape=(1, 1), options=None)
    model = b.build([y])
    data = edited(_give_fully_connected_options, model)
    weights = next(t for t in read_tflite(data).tensors if t.name == "w")
    assert weights.data is not None
    assert weights.data.tolist() == [[-8, 7, -1, 0, 3]]


def _give_fully_connected_options(model: Any) -> None:
    operator = model.subgraphs[0].operators[0]
    operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
    operator.builtinOptions = schema.FullyConnectedOptionsT()


def test_buffers_behind_the_flatbuffer_are_found() -> None:
    """As converters write them once the weights outgrow the flatbuffer."""
    placeholder = 0x7FFF_FFFF_0000

    def move_out(model: Any) -> None:
        for buffer in model.buffers:
            if buffer.data is not None and len(buffer.data) == 72:
                buffer.data, buffer.offset, buffer.size = None, placeholder, 72

    data = edited(move_out)
    start = len(data)
    data = data.replace(placeholder.to_bytes(8, "little"), start.to_bytes(8, "little"))
    data += np.arange(-36, 36).astype(np.int8).tobytes()
    weights = next(t for t in read_tflite(data).tensors if t.name == "w")
    assert weights.data is not None
    assert weights.data.ravel().tolist() == list(range(-36, 36))
    assert "reach past the file's end" in problems_of(data[:-1])


def _set(path: str, value: Any) -> Edit:
    """An edit like `subgraphs.0.tensors.1.buffer = value`."""

    def edit(model: Any) -> None:
        *parents, last = path.split(".")
        target = model
        for step in parents:
            target = target[int(step)] if step.isdigit() else getattr(target, step)
        if last.isdigit():
            target[int(last)] = value
        else:
            setattr(target, last, value)

    return edit


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("version", 4, "schema version 4"),
        ("subgraphs", [], "no subgraph"),
        ("subgraphs.0.inputs", [], "the model has no input"),
        ("subgraphs.0.outputs", [99], "output 0 is tensor 99"),
        ("subgraphs.0.operators.0.inputs", [0, 1, 77], "operator 0 CONV_2D: input 2 is tensor 77"),
        ("subgraphs.0.operators.0.inputs", [0, -2, 2], "input 1 is tensor -2"),
        ("subgraphs.0.operators.0.outputs", [-1], "output 0 is tensor -1"),
        ("subgraphs.0.operators.0.outputs", [], "has no output"),
        ("subgraphs.0.operators.0.opcodeIndex", 9, "operator code 9 of 2"),
        ("subgraphs.0.tensors.1.buffer", 42, "tensor 1 'w': buffer 42"),
        ("subgraphs.0.tensors.1.buffer", 0, "reads tensor 1 'w', which nothing writes"),
        ("subgraphs.0.tensors.0.shape", [1, -6, 6, 2], "negative dimension"),
        ("subgraphs.0.tensors.0.shape", [2**20, 2**20], "1099511627776 elements"),
        ("subgraphs.0.tensors.0.shape", [0, 2**20, 2**20], "1099511627776 elements"),
        ("subgraphs.0.tensors.0.shape", [1] * 9, "9 dimensions"),
        ("subgraphs.0.tensors.0.type", 99, "element type 99"),
        ("subgraphs.0.tensors.1.shape", [4, 3, 3, 3], "takes 108 bytes, its buffer has 72"),
        ("subgraphs.0.tensors.1.quantization.scale", [0.1, 0.2], "2 scales but 4 zero points"),
        ("subgraphs.0.tensors.1.quantization.quantizedDimension", 1, "4 scales along axis 1"),
        ("subgraphs.0.tensors.0.quantization.scale", [float("nan")], "not finite"),
        ("subgraphs.0.tensors.0.quantization.scale", [-1.0], "negative"),
        ("subgraphs.0.operators.0.builtinOptions.padding", 7, "Padding is 7"),
        ("subgraphs.0.operators.0.builtinOptions.fusedActivationFunction", 9, "is 9"),
        ("subgraphs.0.operators.0.builtinOptionsType", 5, "has Pool2DOptions where Conv2DOptions"),
        ("subgraphs.0.operators.0.builtinOptionsType", 0, "has NONE where Conv2DOptions"),
        ("operatorCodes.0.builtinCode", 5000, "operator 5000 is not in the schema"),
        ("metadata.0.buffer", 1000, "metadata 0 'labels.txt': buffer 1000"),
    ],
)
def test_names_what_is_malformed(path: str, value: Any, said: str) -> None:
    assert said in problems_of(edited(_set(path, value)))


def test_a_cycle_is_named() -> None:
    b = GraphBuilder("chain")
    x = b.input("x", (1, 4))
    y = b.operator("RELU", (x,))
    z = b.operator("RELU", (y,))
    cycle = _set("subgraphs.0.operators.0.inputs", [z])
    said = problems_of(edited(cycle, b.build([z])))
    assert "operator 0 RELU: reads tensor 2 'relu_1', which operator 1 writes only later" in said


def test_two_writers_of_one_tensor_are_named() -> None:
    b = GraphBuilder("twice")
    x = b.input("x", (1, 4))
    y = b.operator("RELU", (x,))
    z = b.operator("RELU", (y,))
    said = problems_of(edited(_set("subgraphs.0.operators.1.outputs", [y]), b.build([z])))
    assert "operator 1 RELU: writes tensor 1 'relu_0', which operator 0 writes too" in said


def test_all_faults_are_listed_not_the_first() -> None:
    def break_much(model: Any) -> None:
        tensors = model.subgraphs[0].tensors
        tensors[0].type, tensors[1].buffer, tensors[3].shape = 99, 50, [-1]
        model.subgraphs[0].operators[1].opcodeIndex = 8

    with pytest.raises(ModelFileError) as caught:
        read_tflite(edited(break_much))
    assert len(caught.value.problems) == 4
    assert "and 3 more" in str(caught.value)


def test_names_with_line_breaks_stay_on_one_line() -> None:
    data = edited(_set("subgraphs.0.tensors.1.name", b"a\nb\x1b[31m"))
    graph = read_tflite(data)
    assert graph.tensors[1].name == r"a\nb\x1b[31m"


def test_what_cannot_be_held_is_read_as_facts() -> None:
    """Support is judged elsewhere; reading only notes what the file says."""

    def decorate(model: Any) -> None:
        tensors = model.subgraphs[0].tensors
        tensors[0].shapeSignature = [-1, 6, -1, 2]
        tensors[3].isVariable = True
        tensors[1].sparsity = schema.SparsityParametersT()
        model.subgraphs.append(schema.SubGraphT())
        model.subgraphs[1].name = b"while_body"

    graph = read_tflite(edited(decorate))
    assert graph.tensors[0].shape_signature == (-1, 6, -1, 2)
    assert graph.tensors[3].is_variable
    assert graph.tensors[1].encoding == "sparse"
    assert graph.other_subgraphs == ("while_body",)


def test_custom_operators_are_named() -> None:
    def make_custom(model: Any) -> None:
        model.operatorCodes[0].builtinCode = schema.BuiltinOperator.CUSTOM
        model.operatorCodes[0].deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        model.operatorCodes[0].customCode = b"MyOp"

    assert read_tflite(edited(make_custom)).operators[0].op == "CUSTOM:MyOp"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "the file is empty"),
        (b"TFL3", "only 4 bytes"),
        (b"\x1c\0\0\0TFL2" + bytes(64), "instead of 'TFL3'"),
        (b"\x89HDF\r\n\x1a\n" + bytes(64), "Keras HDF5"),
        (b"PK\x03\x04" + bytes(64), "zip archive"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (b"<!DOCTYPE html><html></html>", "web page"),
    ],
)
def test_files_of_another_kind_are_recognised(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=said) as caught:
        read_tflite(path)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"absent\.tflite: no such file"):
        read_tflite(tmp_path / "absent.tflite")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="is a directory"):
        read_tflite(tmp_path)


def test_a_file_without_permission_is_named(tmp_path: Path) -> None:
    path = tmp_path / "secret.tflite"
    path.write_bytes(write_tflite(small_graph()))
    path.chmod(0)
    with as_ordinary_user(), pytest.raises(ModelFileError, match="no permission"):
        read_tflite(path)


@contextlib.contextmanager
def as_ordinary_user() -> Iterator[None]:
    """Root may read every file, so be nobody for a moment."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(ModelFileError, match="not a regular file"):
        read_tflite(path)


def test_a_file_too_large_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "large.tflite"
    with path.open("wb") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    with pytest.raises(ModelFileError, match="too large"):
        read_tflite(path)


def test_a_path_that_cannot_exist_is_refused() -> None:
    with pytest.raises(ModelFileError, match="cannot be read"):
        read_tflite("a\0b.tflite")


def test_options_without_a_class_of_their_own_are_read_field_by_field() -> None:
    models = Path(__file__).resolve().parents[1] / "golden" / "tflm" / "models"
    (transposed,) = read_tflite(models / "transpose_conv_int8_stride3.tflite").operators
    assert isinstance(transposed.options, SchemaOptions)
    assert transposed.options.table == "TransposeConvOptions"
    assert (transposed.options.values["stride_h"], transposed.options.values["stride_w"]) == (3, 3)
    (gather,) = read_tflite(models / "gather_int8.tflite").operators
    assert gather.options == SchemaOptions("GatherOptions", {"axis": 0, "batch_dims": 0})
