"""No file, however broken, gets more out of the reader, and of the passes behind it, than one of
this package's errors.

Every example is read under a limit of time and of memory allocated.
"""

from __future__ import annotations

import contextlib
import struct
import time
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lossless_models import random_graph

from edge_quantize.check import check_supported, require_supported
from edge_quantize.errors import ModelFileError, QuantizeError, UnsupportedModelError
from edge_quantize.graph.analysis import analyse
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.channels import channel_groups, remove_channels
from edge_quantize.graph.model import Graph
from edge_quantize.graph.options import NoOptions, Padding
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.passes import constants, lossless, pipeline

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
SECONDS = 5.0
# What a file of this kind may make the reader allocate, besides a multiple of its own size.
BASE_BYTES = 16 << 20

EXAMPLES = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def read_everything(data: bytes) -> None:
    """All that `inspect` does with a file; only the two kinds of bad model may come out."""
    said = ""
    try:
        graph = read_tflite(data)
        check_supported(graph)
        analyse(graph)
        require_supported(graph)
        write_tflite(graph)
    except (ModelFileError, UnsupportedModelError) as error:
        said = str(error)
    assert "\n" not in said


def read_within_bounds(data: bytes) -> None:
    start = time.process_time()  # what a busy machine does beside it is not the reader's
    tracemalloc.start()
    try:
        read_everything(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < BASE_BYTES + 32 * len(data)
    assert time.process_time() - start < SECONDS


@cache
def model_of_many_ops() -> bytes:
    b = GraphBuilder("seed")
    x = b.input("x", (1, 8, 8, 2), scale=0.5, zero_point=-3)
    weights = np.arange(72).reshape(4, 3, 3, 2) % 251 - 100
    w = b.weights("w", weights, [0.1, 0.2, 0.3, 0.4])
    y = b.conv_2d(x, w, b.bias("b", [1, 2, 3, 4], x, w), 0.25, 7)
    d = b.weights("d", np.ones((1, 3, 3, 4), np.int8), [0.1] * 4, axis=3)
    y = b.depthwise_conv_2d(y, d, None, 0.25, 7, stride=(2, 2), padding=Padding.VALID)
    y = b.elementwise("ADD", y, y, 0.5, 0)
    y = b.pool("MAX_POOL_2D", y, (2, 2), (1, 1))
    y = b.pad(y, [(0, 0), (1, 1), (0, 0), (0, 0)])
    y = b.concatenation([y, y], 3)
    y = b.mean(y, [1, 2], 0.5, 0, keep_dims=False)
    y = b.reshape(y, (1, 8))
    f = b.weights("f", np.ones((3, 8), np.int8), [0.1])
    y = b.softmax(b.fully_connected(y, f, None, 0.5, 0))
    return write_tflite(b.build([b.dequantize(y)], labels=["a", "b", "c"]))


def test_the_seed_model_is_sound() -> None:
    require_supported(read_tflite(model_of_many_ops()))


@EXAMPLES
@given(st.binary(max_size=4096))
def test_random_bytes(data: bytes) -> None:
    read_within_bounds(data)


@EXAMPLES
@given(st.binary(max_size=2048), st.integers(0, 64))
def test_random_bytes_behind_a_right_start(data: bytes, root: int) -> None:
    read_within_bounds(struct.pack("<I4s", root, b"TFL3") + data)


@EXAMPLES
@given(st.data())
def test_truncation_anywhere(data: st.DataObject) -> None:
    model = model_of_many_ops()
    read_within_bounds(model[: data.draw(st.integers(0, len(model) - 1))])


def test_truncation_at_every_byte_of_the_tables() -> None:
    model = model_of_many_ops()
    for length in range(0, len(model), 7):
        read_everything(model[:length])


@EXAMPLES
@given(
    st.lists(
        st.tuples(st.integers(0, 2**32), st.integers(0, 255)),
        min_size=1,
        max_size=8,
    )
)
def test_flipped_bytes(flips: list[tuple[int, int]]) -> None:
    model = bytearray(model_of_many_ops())
    for place, value in flips:
        model[place % len(model)] = value
    read_within_bounds(bytes(model))


@pytest.mark.parametrize("value", [1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_extreme_words_everywhere(value: int) -> None:
    """Where an offset, a length, an index or a dimension stands, among others."""
    model = model_of_many_ops()
    for place in range(0, len(model) - 3, 4):
        read_everything(model[:place] + struct.pack("<I", value) + model[place + 4 :])


@EXAMPLES
@given(st.integers(0, 2**32), st.integers(0, 2**32 - 1))
def test_any_word_anywhere(place: int, value: int) -> None:
    model = bytearray(model_of_many_ops())
    place = place % (len(model) - 3)
    model[place : place + 4] = struct.pack("<I", value)
    read_within_bounds(bytes(model))


@settings(parent=EXAMPLES, max_examples=150)
@given(
    name=st.sampled_from(["ad", "kws", "ic", "vww"]),
    place=st.floats(0, 1, exclude_max=True),
    value=st.integers(0, 2**32 - 1),
    cut=st.booleans(),
)
def test_real_models_damaged(
    mlperf_tiny: Callable[[str], Path], name: str, place: float, value: int, cut: bool
) -> None:
    model = bytearray(_file(mlperf_tiny(name)))
    start = int(place * (len(model) - 4))
    if cut:
        del model[start:]
    else:
        model[start : start + 4] = struct.pack("<I", value)
    read_within_bounds(bytes(model))


@cache
def _file(path: Path) -> bytes:
    return path.read_bytes()


@EXAMPLES
@given(
    path=st.sampled_from(sorted((GOLDEN / "tflm" / "models").iterdir())),
    place=st.integers(0, 2**16),
    value=st.integers(0, 2**32 - 1),
)
def test_any_operator_damaged(path: Path, place: int, value: int) -> None:
    """Every option table of the schema that is there, written back where it can be."""
    model = bytearray(_file(path))
    place %= len(model) - 3
    model[place : place + 4] = struct.pack("<I", value)
    with contextlib.suppress(ModelFileError, UnsupportedModelError):
        write_tflite(read_tflite(bytes(model)))


@pytest.fixture
def no_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lossless passes without the comparison behind them, which is native code."""
    monkeypatch.setattr(pipeline, "_compared", lambda *_: "")
    monkeypatch.setattr(constants, "_evaluated", lambda *_: None)


@pytest.mark.usefixtures("no_runtime")
@EXAMPLES
@given(st.integers(0, 30), st.data())
def test_passes_leave_a_contradictory_model_alone_or_come_to_an_end(
    seed: int, data: st.DataObject
) -> None:
    graph = damaged(random_graph(seed), data)
    with contextlib.suppress(QuantizeError):
        lossless(graph)
        for group in channel_groups(graph):
            remove_channels(graph, {group: np.arange(group.channels) == 0})


def damaged(graph: Graph, data: st.DataObject) -> Graph:
    """The graph with up to three shapes, operands or options that do not go with the rest, each of
    which a file may well say."""
    tensors, operators = list(graph.tensors), list(graph.operators)
    for _ in range(data.draw(st.integers(1, 3))):
        number = data.draw(st.integers(0, len(operators) - 1))
        operator = operators[number]
        what = data.draw(st.sampled_from(["shape", "rank", "operand", "options"]))
        result = tensors[operator.outputs[0]]
        if what == "shape" and result.shape:
            axis = data.draw(st.integers(0, len(result.shape) - 1))
            size = data.draw(st.sampled_from([0, 1, 2, 3, 255, 2**31 - 1]))
            shape = (*result.shape[:axis], size, *result.shape[axis + 1 :])
            tensors[result.index] = replace(result, shape=shape)
        elif what == "rank":
            tensors[result.index] = replace(result, shape=result.shape[1:])
        elif what == "operand":
            inputs = data.draw(st.sampled_from([operator.inputs[:-1], (-1, *operator.inputs[1:])]))
            operators[number] = replace(operator, inputs=inputs)
        else:
            operators[number] = replace(operator, options=NoOptions())
    return replace(graph, tensors=tuple(tensors), operators=tuple(operators))


@pytest.mark.parametrize(
    ("shape", "said"),
    [((1, 4, 4, 9), "result of [1, 4, 4, 9]"), ((1, 2**20, 2**6, 8), "[1, 4, 4, 8]")],
)
def test_a_shape_that_contradicts_its_operands_stops_the_passes(
    shape: tuple[int, ...], said: str
) -> None:
    b = GraphBuilder("lies")
    x = b.input("x", (1, 4, 4, 8), 0.05, 0)
    y = b.pool("MAX_POOL_2D", x, (2, 2), (1, 1), padding=Padding.SAME)
    graph = b.build([b.mean(y, (1, 2), 0.05, 0, keep_dims=True)])
    lied = replace(graph.tensors[y], shape=shape)
    tensors = tuple(lied if t.index == y else t for t in graph.tensors)
    result = lossless(replace(graph, tensors=tensors))
    assert result.graph.tensors[y] is lied
    assert said in result.notes[0]


def crafted(build: Callable[[flatbuffers.Builder], int]) -> bytes:
    builder = flatbuffers.Builder(1024)
    builder.Finish(build(builder), b"TFL3")
    return bytes(builder.Output())


def _vector_of_one(builder: flatbuffers.Builder, table: int, count: int) -> int:
    """A vector whose every entry is the same table."""
    builder.StartVector(4, count, 4)
    for _ in range(count):
        builder.PrependUOffsetTRelative(table)
    return int(builder.EndVector())


def _one_subgraph(builder: flatbuffers.Builder, tensors: int) -> int:
    schema.SubGraphStart(builder)
    schema.SubGraphAddTensors(builder, tensors)
    subgraphs = _vector_of_one(builder, schema.SubGraphEnd(builder), 1)
    schema.BufferStart(builder)
    buffers = _vector_of_one(builder, schema.BufferEnd(builder), 1)
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, subgraphs)
    schema.ModelAddBuffers(builder, buffers)
    return int(schema.ModelEnd(builder))


def _aliased_scales(builder: flatbuffers.Builder) -> int:
    """20,000 tensors that share one vector of 20,000 scales: 400 million numbers in 180 KB."""
    scales = builder.CreateNumpyVector(np.ones(20000, np.float32))
    schema.QuantizationParametersStart(builder)
    schema.QuantizationParametersAddScale(builder, scales)
    quantization = schema.QuantizationParametersEnd(builder)
    schema.TensorStart(builder)
    schema.TensorAddQuantization(builder, quantization)
    return _one_subgraph(builder, _vector_of_one(builder, schema.TensorEnd(builder), 20000))


def _aliased_names(builder: flatbuffers.Builder) -> int:
    name = builder.CreateString("n" * 4000)
    schema.TensorStart(builder)
    schema.TensorAddName(builder, name)
    return _one_subgraph(builder, _vector_of_one(builder, schema.TensorEnd(builder), 50000))


def _aliased_tensors(builder: flatbuffers.Builder) -> int:
    schema.TensorStart(builder)
    return _one_subgraph(builder, _vector_of_one(builder, schema.TensorEnd(builder), 200000))


def _aliased_metadata(builder: flatbuffers.Builder) -> int:
    """A thousand entries that each hold the same 100 KB."""
    content = builder.CreateNumpyVector(np.zeros(100_000, np.uint8))
    schema.BufferStart(builder)
    schema.BufferAddData(builder, content)
    buffers = _vector_of_one(builder, schema.BufferEnd(builder), 1)
    schema.MetadataStart(builder)
    metadata = _vector_of_one(builder, schema.MetadataEnd(builder), 1000)
    schema.SubGraphStart(builder)
    subgraphs = _vector_of_one(builder, schema.SubGraphEnd(builder), 1)
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, subgraphs)
    schema.ModelAddBuffers(builder, buffers)
    schema.ModelAddMetadata(builder, metadata)
    return int(schema.ModelEnd(builder))


def _aliased_signatures(builder: flatbuffers.Builder) -> int:
    """Not read here, but the runtimes' Python wrappers would copy 100 million entries."""
    schema.TensorMapStart(builder)
    entries = _vector_of_one(builder, schema.TensorMapEnd(builder), 10_000)
    schema.SignatureDefStart(builder)
    schema.SignatureDefAddInputs(builder, entries)
    signatures = _vector_of_one(builder, schema.SignatureDefEnd(builder), 10_000)
    schema.SubGraphStart(builder)
    subgraphs = _vector_of_one(builder, schema.SubGraphEnd(builder), 1)
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddSubgraphs(builder, subgraphs)
    schema.ModelAddSignatureDefs(builder, signatures)
    return int(schema.ModelEnd(builder))


def _aliased_options(builder: flatbuffers.Builder) -> int:
    """10,000 operators that share one table with a vector of 10,000 numbers."""
    numbers = builder.CreateNumpyVector(np.zeros(10_000, np.int64))
    schema.StablehloPadOptionsStart(builder)
    schema.StablehloPadOptionsAddEdgePaddingLow(builder, numbers)
    options = schema.StablehloPadOptionsEnd(builder)
    schema.OperatorStart(builder)
    schema.OperatorAddBuiltinOptions2Type(builder, schema.BuiltinOptions2.StablehloPadOptions)
    schema.OperatorAddBuiltinOptions2(builder, options)
    operators = _vector_of_one(builder, schema.OperatorEnd(builder), 10_000)
    schema.OperatorCodeStart(builder)
    schema.OperatorCodeAddBuiltinCode(builder, schema.BuiltinOperator.STABLEHLO_PAD)
    codes = _vector_of_one(builder, schema.OperatorCodeEnd(builder), 1)
    schema.SubGraphStart(builder)
    schema.SubGraphAddOperators(builder, operators)
    subgraphs = _vector_of_one(builder, schema.SubGraphEnd(builder), 1)
    schema.ModelStart(builder)
    schema.ModelAddVersion(builder, 3)
    schema.ModelAddOperatorCodes(builder, codes)
    schema.ModelAddSubgraphs(builder, subgraphs)
    return int(schema.ModelEnd(builder))


@pytest.mark.parametrize(
    "build",
    [
        _aliased_scales,
        _aliased_names,
        _aliased_tensors,
        _aliased_metadata,
        _aliased_signatures,
        _aliased_options,
    ],
)
def test_a_small_file_cannot_expand(build: Callable[[flatbuffers.Builder], int]) -> None:
    data = crafted(build)
    read_within_bounds(data)
    with pytest.raises(ModelFileError, match="than the file"):
        read_tflite(data)


def test_a_vector_that_claims_four_billion_entries_is_refused() -> None:
    data = bytearray(crafted(_aliased_tensors))
    count = struct.pack("<I", 200000)
    place = data.index(count)
    data[place : place + 4] = b"\xff" * 4
    read_within_bounds(bytes(data))
    with pytest.raises(ModelFileError, match="4294967295 entries"):
        read_tflite(bytes(data))
