"""What every way in promises of its graph: float, batch 1, every dimension fixed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from aot_models import classifier
from float_models import dense, half_precision

from edge_quantize.errors import InputDataError, UnsoundResultError, UnsupportedModelError
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import CustomOptions
from edge_quantize.ingest.conversion import compared, random_inputs, relative_difference
from edge_quantize.ingest.float_graph import float_graph, renamed
from edge_quantize.ingest.open_shapes import OpenInput, fixed_shapes
from edge_quantize.reference import LiteRtReference


def with_signature(graph: Graph, *signature: int) -> Graph:
    first = replace(graph.tensors[0], shape_signature=signature)
    return replace(graph, tensors=(first, *graph.tensors[1:]))


def test_a_batch_left_open_is_fixed_at_one_and_said() -> None:
    graph, notes = float_graph(with_signature(dense(), -1, 4))
    assert notes == ("batch: open in the source, fixed at 1",)
    assert not any(t.shape_signature for t in graph.tensors)


def test_another_open_dimension_is_refused_by_its_number() -> None:
    with pytest.raises(
        UnsupportedModelError, match=r"input 'x': dimension 1 of \[-1, -1\] is open"
    ):
        float_graph(with_signature(dense(), -1, -1))


def test_a_quantized_model_is_named_as_such_with_its_first_layer() -> None:
    with pytest.raises(
        UnsupportedModelError, match=r"already quantized: 8 of 8 operators compute in int8.*CONV_2D"
    ):
        float_graph(classifier())


def test_weights_that_are_int8_alone_are_named_too() -> None:
    graph = dense()
    packed = replace(
        graph.tensors[1],
        dtype=DType.INT8,
        data=np.ones((3, 4), np.int8),
        quantization=classifier().tensors[1].quantization,
    )
    graph = replace(graph, tensors=(graph.tensors[0], packed, *graph.tensors[2:]))
    with pytest.raises(UnsupportedModelError, match=r"1 of its constants are int8.*'w'"):
        float_graph(graph)


def test_further_subgraphs_and_custom_operators_are_all_listed() -> None:
    graph = dense()
    custom = replace(graph.operators[0], op="CUSTOM:Mine", options=CustomOptions())
    graph = replace(graph, operators=(custom,), other_subgraphs=("body",))
    with pytest.raises(UnsupportedModelError) as caught:
        float_graph(graph)
    assert len(caught.value.problems) == 2
    assert "another subgraph, 'body'" in caught.value.problems[0]
    assert "custom operator 'Mine'" in caught.value.problems[1]


def test_float16_weights_become_float32_ones_without_a_change_of_the_outputs() -> None:
    before = half_precision()
    after, notes = float_graph(before)
    assert [o.op for o in after.operators] == ["FULLY_CONNECTED"]
    assert {t.dtype for t in after.tensors} == {DType.FLOAT32}
    assert notes == ("1 float16 constants: widened to float32, without loss",)
    for row in random_inputs(after):
        np.testing.assert_array_equal(
            LiteRtReference(after).run(row)[0], LiteRtReference(before).run(row)[0]
        )


def test_inputs_and_outputs_get_the_sources_names_where_they_are_free() -> None:
    graph = renamed(dense(), ["image"], ["w"])
    assert graph.tensors[graph.inputs[0]].name == "image"
    assert graph.tensors[graph.outputs[0]].name != "w"  # the weights have it


def test_a_model_that_computes_something_else_is_not_let_through() -> None:
    graph, other = dense(seed=0), LiteRtReference(dense(seed=1))
    with pytest.raises(UnsoundResultError, match="differs from the source by"):
        compared(graph, other.run, "the source")


def test_a_model_that_computes_the_same_is_reported_with_the_difference() -> None:
    graph = dense()

    def slightly_off(row: tuple[np.ndarray, ...]) -> list[np.ndarray]:
        return [array * np.float32(1 + 1e-5) for array in LiteRtReference(graph).run(row)]

    report = compared(graph, slightly_off, "the source")
    assert report.samples == 4
    assert report.max_relative == pytest.approx(1e-5, rel=0.05)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.2], [1.0, 2.0], 0.1),
        ([np.nan, 2.0], [np.nan, 2.0], 0.0),
        ([np.nan, 2.0], [1.0, 2.0], np.inf),
        ([1.0, 2.0], [np.inf, 2.0], np.inf),
        ([np.inf, 2.0], [np.inf, 2.0], 0.0),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.1, 0.0], [0.0, 0.0], np.inf),
    ],
)
def test_relative_difference(ours: list[float], theirs: list[float], expected: float) -> None:
    assert relative_difference(np.array(ours), np.array(theirs)) == pytest.approx(expected)


IMAGE = OpenInput("image", (None, None, 8, 3))
SIZE = OpenInput("size", (None, 2))


def test_only_the_batch_is_fixed_without_an_example() -> None:
    with pytest.raises(
        UnsupportedModelError, match=r"'image': dimension 1 of \[\?, \?, 8, 3\] is open"
    ):
        fixed_shapes([IMAGE, SIZE], None)


@pytest.mark.parametrize(
    "example",
    [
        (np.zeros((4, 6, 8, 3)), np.zeros((4, 2))),
        {"size": np.zeros((1, 2)), "image": np.zeros((1, 6, 8, 3))},
    ],
)
def test_an_example_fixes_the_others(example: object) -> None:
    shapes, notes = fixed_shapes([IMAGE, SIZE], example)
    assert shapes == ((1, 6, 8, 3), (1, 2))
    assert notes == (
        "batch: open in the source, fixed at 1",
        "input 'image', dimension 1: open in the source, fixed at the example's 6",
    )


@pytest.mark.parametrize(
    ("example", "words"),
    [
        (np.zeros((1, 6, 8, 3)), "1 inputs, the model 2: image, size"),
        ({"image": np.zeros((1, 6, 8, 3))}, "no input 'size'"),
        ((np.zeros((1, 6, 9, 3)), np.zeros((1, 2))), r"'image' has shape \[1, 6, 9, 3\]"),
        ((np.zeros((6, 8, 3)), np.zeros((1, 2))), r"'image' has shape \[6, 8, 3\]"),
    ],
)
def test_an_example_that_does_not_fit_is_refused(example: object, words: str) -> None:
    with pytest.raises(InputDataError, match=words):
        fixed_shapes([IMAGE, SIZE], example)
