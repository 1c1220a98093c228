"""What is not supported is named: operator, tensor, reason, and all of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_quantize.check import SUPPORTED_OPS, check_supported, require_supported
from edge_quantize.errors import UnsupportedModelError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph, Quantization
from edge_quantize.graph.options import Activation, NoOptions, Padding, SoftmaxOptions
from edge_quantize.ingest.tflite import read_tflite


def conv_graph(activation: Activation = Activation.NONE) -> Graph:
    b = GraphBuilder("conv")
    x = b.input("x", (1, 6, 6, 2), scale=0.5, zero_point=-3)
    w = b.weights("w", np.ones((4, 3, 3, 2), np.int8), [0.1, 0.2, 0.3, 0.4])
    bias = b.bias("b", [1, -2, 3, -4], x, w)
    return b.build([b.conv_2d(x, w, bias, 0.25, 7, activation=activation)])


def with_tensor(graph: Graph, name: str, **changes: Any) -> Graph:
    tensors = tuple(
        dataclasses.replace(t, **changes) if t.name == name else t for t in graph.tensors
    )
    return dataclasses.replace(graph, tensors=tensors)


def with_operator(graph: Graph, index: int, **changes: Any) -> Graph:
    operators = list(graph.operators)
    operators[index] = dataclasses.replace(operators[index], **changes)
    return dataclasses.replace(graph, operators=tuple(operators))


def said(graph: Graph) -> str:
    return "\n".join(str(problem) for problem in check_supported(graph))


def scales(*values: float, zero_point: int = 0, axis: int = 0) -> Quantization:
    return Quantization(values, (zero_point,) * len(values), axis)


@pytest.mark.parametrize("name", ["ad", "kws", "ic", "vww"])
def test_the_reference_models_are_supported(mlperf_tiny: Callable[[str], Path], name: str) -> None:
    assert check_supported(read_tflite(mlperf_tiny(name))) == ()


@pytest.mark.parametrize("name", ["ad", "kws", "ic", "vww"])
def test_a_float_model_gets_one_line(mlperf_tiny: Callable[[str], Path], name: str) -> None:
    (problem,) = check_supported(read_tflite(mlperf_tiny(f"{name}_float.tflite")))
    assert "`edge-autoglm quantize MODEL --data D`" in str(problem)


def test_a_sound_convolution_is_supported() -> None:
    assert said(conv_graph()) == ""


@pytest.mark.parametrize(
    ("tensor", "changes", "expected"),
    [
        ("x", {"is_variable": True}, "tensor 'x': variable tensors"),
        ("x", {"shape_signature": (1, -1, 6, 2)}, "tensor 'x': dynamic shape [1, -1, 6, 2]"),
        ("w", {"encoding": "sparse"}, "tensor 'w': sparse is not supported"),
        ("w", {"dtype": DType.INT2}, "tensor 'w': int2 weights are not supported"),
        ("x", {"dtype": DType.UINT8}, "tensor 'x': is uint8; only int8"),
        ("x", {"quantization": None}, "tensor 'x': has no scale and zero point"),
        ("x", {"quantization": scales(0.5, zero_point=128)}, "zero point 128, outside int8"),
        ("x", {"quantization": scales(0.0)}, "tensor 'x': has scale 0.0"),
        ("w", {"quantization": scales(0.1, zero_point=1)}, "zero point other than 0"),
        ("w", {"quantization": scales(0.1, 0, 0.2, 0.3)}, "has scale 0 in channel 1"),
        ("w", {"quantization": scales(0.1, 0.1, axis=3)}, "along axis 3 instead of 0"),
        ("w", {"data": None}, "weights computed while running"),
        ("w", {"shape": (4, 3, 3, 1)}, "grouped convolution"),
        ("b", {"dtype": DType.INT64}, "tensor 'b': is int64; only int32"),
        ("b", {"data": None}, "bias computed while running"),
        ("b", {"shape": (3,)}, "has 3 elements for 4 output channels"),
        ("b", {"quantization": scales(9.0)}, "not those of the input times those of the weights"),
        ("conv_2d_0", {"shape": (1, 6, 6, 5)}, "[1, 6, 6, 5] where the operands give [1, 6, 6, 4]"),
        ("conv_2d_0", {"quantization": scales(1e-30)}, "output multiplier"),
        ("conv_2d_0", {"quantization": scales(1.0, 2.0, axis=3)}, "only weights may be"),
    ],
)
def test_faults_of_a_convolution_s_tensors(
    tensor: str, changes: dict[str, Any], expected: str
) -> None:
    assert expected in said(with_tensor(conv_graph(), tensor, **changes))


def test_the_operator_is_named_with_its_layer() -> None:
    graph = with_tensor(conv_graph(), "b", dtype=DType.INT64)
    assert said(graph).startswith("operator 0 CONV_2D 'conv_2d_0': tensor 'b': is int64")


def test_an_open_batch_that_was_fixed_at_one_is_fine() -> None:
    assert said(with_tensor(conv_graph(), "x", shape_signature=(-1, 6, 6, 2))) == ""


def test_batches_are_refused() -> None:
    b = GraphBuilder("batch")
    x = b.input("x", (2, 4, 4, 1))
    graph = b.build([b.pool("MAX_POOL_2D", x, (2, 2), (2, 2))])
    assert "has batch 2; only batch 1" in said(graph)


def test_a_clamp_that_int32_cannot_hold_is_refused() -> None:
    graph = conv_graph(Activation.RELU6)
    assert said(graph) == ""
    assert "too small for RELU6" in said(with_tensor(graph, "conv_2d_0", quantization=scales(2e-9)))
    b = GraphBuilder("alone")
    graph = b.build([b.operator("RELU6", (b.input("x", (1, 4), 2e-9, 0),))])
    assert "too small for RELU6" in said(graph)


@pytest.mark.parametrize("activation", [Activation.TANH, Activation.SIGN_BIT])
def test_activations_without_a_clamp_are_refused(activation: Activation) -> None:
    assert f"fused activation {activation.value}" in said(conv_graph(activation))


@pytest.mark.parametrize(
    "change",
    [{"stride_h": 0}, {"stride_w": -1}, {"dilation_h": 0}, {"padding": Padding.VALID}],
)
def test_options_that_no_shape_follows_from(change: dict[str, Any]) -> None:
    graph = conv_graph()
    options: Any = dataclasses.replace(graph.operators[0].options, **change)  # type: ignore[type-var]
    assert said(with_operator(graph, 0, options=options)) != ""


@pytest.mark.parametrize("inputs", [(0,), (0, -1, 2), (0, 1, 2, 2)])
def test_missing_and_surplus_operands(inputs: tuple[int, ...]) -> None:
    assert "input" in said(with_operator(conv_graph(), 0, inputs=inputs))


def every_op_graph() -> Graph:
    b = GraphBuilder("every")
    x = b.input("x", (1, 4, 4, 2))
    w = b.weights("w", np.ones((2, 1, 1, 2), np.int8), [0.1, 0.1])
    d = b.weights("d", np.ones((1, 1, 1, 2), np.int8), [0.1, 0.1], axis=3)
    f = b.weights("f", np.ones((2, 2), np.int8), [0.1])
    y = b.conv_2d(x, w, b.bias("b", [1, 2], x, w), 0.1, 0)
    y = b.depthwise_conv_2d(y, d, None, 0.1, 0)
    y = b.pool("AVERAGE_POOL_2D", y, (2, 2), (1, 1))
    y = b.pool("MAX_POOL_2D", y, (2, 2), (1, 1))
    y = b.elementwise("MUL", b.elementwise("ADD", y, y, 0.1, 0), y, 0.1, 0)
    y = b.concatenation([b.pad(y, [(0, 0), (1, 1), (0, 0), (0, 0)])] * 2, 3)
    y = b.operator("RELU6", (b.operator("RELU", (y,)),))
    y = b.fully_connected(
        b.reshape(b.mean(y, [1, 2], 0.1, 0, keep_dims=False), (2, 2)), f, None, 0.1, 0
    )
    return b.build([b.dequantize(b.quantize(b.softmax(y), 0.1, 0))])


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_wiring_makes_the_check_itself_fail(data: st.DataObject) -> None:
    """The reader lets through any operands and results that exist."""
    graph = every_op_graph()
    index = data.draw(st.integers(0, len(graph.operators) - 1))
    tensors = st.integers(0, len(graph.tensors) - 1)
    inputs = data.draw(st.lists(tensors | st.just(-1), max_size=4))
    outputs = data.draw(st.lists(tensors, min_size=1, max_size=3))
    check_supported(with_operator(graph, index, inputs=tuple(inputs), outputs=tuple(outputs)))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_no_tensor_makes_the_check_itself_fail(data: st.DataObject) -> None:
    graph = every_op_graph()
    name = data.draw(st.sampled_from([tensor.name for tensor in graph.tensors]))
    changes: dict[str, Any] = data.draw(
        st.fixed_dictionaries(
            {},
            optional={
                "shape": st.lists(st.integers(0, 5), max_size=5).map(tuple),
                "dtype": st.sampled_from(DType),
                "quantization": st.none()
                | st.builds(scales, st.floats(0, 1e9))
                | st.builds(scales, st.floats(0, 1), st.floats(0, 1), zero_point=st.integers()),
                "data": st.none(),
                "is_variable": st.booleans(),
                "shape_signature": st.lists(st.integers(-1, 5), max_size=4).map(tuple),
                "encoding": st.sampled_from(["", "sparse"]),
            },
        )
    )
    check_supported(with_tensor(graph, name, **changes))


@pytest.mark.parametrize("op", ["GATHER", "TRANSPOSE_CONV", "CUSTOM:Mine"])
def test_operators_out_of_reach_are_named(op: str) -> None:
    graph = with_operator(conv_graph(), 0, op=op, options=NoOptions())
    assert f"operator 0 {op} 'conv_2d_0': " in said(graph)
    assert "supported" in said(graph)


def test_other_subgraphs_are_named() -> None:
    graph = dataclasses.replace(conv_graph(), other_subgraphs=("loop body",))
    assert "another subgraph, 'loop body'" in said(graph)


def test_all_problems_come_together() -> None:
    graph = with_tensor(conv_graph(Activation.TANH), "b", dtype=DType.INT64)
    graph = with_tensor(graph, "x", is_variable=True)
    graph = dataclasses.replace(graph, other_subgraphs=("body",))
    assert len(check_supported(graph)) == 4
    with pytest.raises(UnsupportedModelError) as caught:
        require_supported(graph)
    assert len(caught.value.problems) == 4
    assert "and 1 more" in str(caught.value)


def test_operators_that_keep_quantization_must_keep_it() -> None:
    b = GraphBuilder("pool")
    x = b.input("x", (1, 4, 4, 1), 0.5)
    graph = b.build([b.pool("AVERAGE_POOL_2D", x, (2, 2), (2, 2))])
    assert said(graph) == ""
    broken = with_tensor(graph, "average_pool_2d_0", quantization=scales(0.25))
    assert "must have the scale and zero point of 'x'" in said(broken)


def test_an_addition_that_int8_arithmetic_cannot_scale() -> None:
    b = GraphBuilder("add")
    x, y = b.input("x", (1, 4), 1000.0), b.input("y", (1, 4), 1.0)
    graph = b.build([b.elementwise("ADD", x, y, 1e-3, 0)])
    assert "too small for operands" in said(graph)


@pytest.mark.parametrize(("beta", "ok"), [(1.0, True), (0.0, False), (-1.0, False), (1e-12, False)])
def test_softmax_needs_a_positive_beta(beta: float, ok: bool) -> None:
    b = GraphBuilder("softmax")
    graph = b.build([b.softmax(b.input("x", (1, 10), 0.1))])
    assert (said(with_operator(graph, 0, options=SoftmaxOptions(beta))) == "") is ok


def test_softmax_has_one_output_quantization() -> None:
    b = GraphBuilder("softmax")
    graph = b.build([b.softmax(b.input("x", (1, 10), 0.1))])
    broken = with_tensor(graph, "softmax_0", quantization=scales(1 / 128))
    assert "must have scale 1/256" in said(broken)


def test_axes_paddings_and_shapes_must_be_constant() -> None:
    b = GraphBuilder("computed")
    x, computed = b.input("x", (1, 4, 4, 1)), b.input("axes", (1,), dtype=DType.INT32)
    y = b.operator("MEAN", (x, computed), shape=(1, 4, 1))
    assert "axes 'axes' is computed while running" in said(b.build([y]))


def test_float_may_enter_and_leave_through_quantize_and_dequantize() -> None:
    b = GraphBuilder("ends")
    x = b.input("x", (1, 4), dtype=DType.FLOAT32)
    y = b.operator("RELU", (b.quantize(x, 0.1, 0),))
    assert said(b.build([b.dequantize(y)])) == ""


def test_the_operators_of_the_plan_are_supported() -> None:
    assert {
        "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "ADD", "MUL", "AVERAGE_POOL_2D",
        "MAX_POOL_2D", "MEAN", "PAD", "RESHAPE", "SOFTMAX", "CONCATENATION", "RELU", "RELU6",
        "QUANTIZE", "DEQUANTIZE", "PADV2", "SQUEEZE", "EXPAND_DIMS", "SUB", "LOGISTIC", "TANH",
    } == SUPPORTED_OPS  # fmt: skip


def test_a_float_result_may_carry_any_scale() -> None:
    """Some converters leave one behind; nothing is divided by it."""
    b = GraphBuilder("scaled")
    graph = b.build(
        [b.operator("DEQUANTIZE", (b.input("x", (1, 4)),), dtype=DType.FLOAT32, name="y")]
    )
    assert said(with_tensor(graph, "y", quantization=scales(0.0))) == ""
