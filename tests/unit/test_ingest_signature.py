"""A signature's names tell the order of inputs and outputs, wherever a converter put them."""

from __future__ import annotations

import itertools

import pytest

from edge_quantize.errors import ConversionError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.signature import in_order
from edge_quantize.ingest.tflite import read_tflite

NAMES = ("input_0", "input_1", "input_2")


def three(order: tuple[str, ...]) -> Graph:
    b = GraphBuilder("three")
    inputs = [b.input(name, (1, i + 1), dtype=DType.FLOAT32) for i, name in enumerate(order)]
    outputs = [
        b.operator("RELU", (i,), dtype=DType.FLOAT32, name=f"output_{order[at][-1]}")
        for at, i in enumerate(inputs)
    ]
    return b.build(outputs)


@pytest.mark.parametrize("order", list(itertools.permutations(NAMES)))
def test_any_order_is_put_right(order: tuple[str, ...]) -> None:
    content = write_tflite(three(order))
    results = [name.replace("input", "output") for name in NAMES]
    graph = in_order(read_tflite(content), content, NAMES, results)
    assert tuple(graph.tensors[i].name for i in graph.inputs) == NAMES
    assert [graph.tensors[i].name for i in graph.outputs] == results


def test_an_input_that_the_converter_left_out_is_said() -> None:
    content = write_tflite(three(NAMES))
    results = [name.replace("input", "output") for name in NAMES]
    with pytest.raises(ConversionError, match=r"kept 3 of 4 inputs .*is one of them unused"):
        in_order(read_tflite(content), content, (*NAMES, "input_3"), results)
