"""No file, however broken, gets more out of the variants than one of this package's errors."""

from __future__ import annotations

import contextlib
import copy
import struct
import time
from functools import cache
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from float_graphs import FloatNet
from half_models import changed, packed, tables
from hypothesis import given, settings
from hypothesis import strategies as st
from ptq_models import cnn, samples

from edge_quantize.errors import ModelFileError, UnsupportedModelError
from edge_quantize.graph.writer import write_tflite
from edge_quantize.half import float16_weights, float_variant
from edge_quantize.ptq.quantize import quantize


@cache
def two_subgraphs() -> bytes:
    net = FloatNet("net", 0)
    x = net.conv(net.input(4, 4, 3), 16, "conv", size=3)
    graph = net.build(net.softmax(net.dense(net.flatten(x), 5, "dense")))

    def twice(model: Any) -> None:
        model.subgraphs.append(copy.deepcopy(model.subgraphs[0]))

    return changed(graph, twice)


@cache
def integers() -> bytes:
    graph = cnn()
    return write_tflite(quantize(graph, samples(graph, 4)).graph)


def tried(content: bytes) -> None:
    start = time.process_time()
    for make in (float16_weights, float_variant):
        with contextlib.suppress(ModelFileError, UnsupportedModelError):
            make(content)
    assert time.process_time() - start < 5


@settings(max_examples=150)
@given(st.sampled_from([two_subgraphs, integers]), st.integers(0, 2**32), st.integers(0, 2**32 - 1))
def test_any_word_anywhere(seed: Any, place: int, value: int) -> None:
    model = bytearray(seed())
    place %= len(model) - 3
    model[place : place + 4] = struct.pack("<I", value)
    tried(bytes(model))


@pytest.mark.parametrize("value", [1, 0x7FFFFFFF, 0xFFFFFFFF])
def test_extreme_words_all_over_the_tables(value: int) -> None:
    model = two_subgraphs()
    for place in range(0, len(model) - 3, 60):
        tried(model[:place] + struct.pack("<I", value) + model[place + 4 :])


def test_truncation_anywhere() -> None:
    model = two_subgraphs()
    for length in range(0, len(model), 97):
        tried(model[:length])


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        (lambda s: setattr(s.tensors[0], "buffer", 99), "a tensor without a buffer"),
        (lambda s: setattr(s.operators[0], "opcodeIndex", 99), "an operator without a code"),
        (lambda s: setattr(s.operators[0], "inputs", [0, 1, 99]), "tensor does not exist"),
        (lambda s: setattr(s, "outputs", [99]), "an input or output does not exist"),
    ],
)
def test_a_further_subgraph_that_does_not_hang_together_is_refused(damage: Any, why: str) -> None:
    model = tables(two_subgraphs())
    damage(model.subgraphs[1])
    with pytest.raises(ModelFileError, match=why):
        float16_weights(packed(model))


def test_a_small_file_that_names_one_vector_many_times_is_refused() -> None:
    """Ten thousand tensors of the second subgraph with one shape of ten thousand numbers."""
    builder_model = tables(two_subgraphs())
    builder_model.subgraphs[1].operators = []
    many = copy.deepcopy(builder_model.subgraphs[1].tensors[0])
    many.shape = np.ones(3, np.int32)
    builder_model.subgraphs[1].tensors += [many] * 3000
    content = bytearray(packed(builder_model))
    # All shapes of three ones become one long vector: its length is overwritten in place.
    pattern = struct.pack("<IIII", 3, 1, 1, 1)
    place = content.find(pattern)
    while place >= 0:
        longest = (len(content) - place) // 4 - 1
        content[place : place + 4] = struct.pack("<I", longest)
        place = content.find(pattern, place + 4)
    start = time.process_time()
    with pytest.raises(ModelFileError):
        float16_weights(bytes(content))
    assert time.process_time() - start < 5
    assert schema.Model.GetRootAs(bytes(content)).SubgraphsLength() == 2
