"""The smaller lossless passes: what each of them folds, and what it leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from edge_quantize.errors import LosslessError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import (
    Activation,
    Conv2DOptions,
    CustomOptions,
    DepthwiseConv2DOptions,
    ElementwiseOptions,
    FullyConnectedOptions,
    NoOptions,
    Padding,
    Pool2DOptions,
    ReshapeOptions,
    SchemaOptions,
)
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.passes import PassResult, lossless, pipeline
from edge_quantize.passes.constants import evaluate_constants
from edge_quantize.passes.dead_code import remove_dead_operators, remove_unread_tensors
from edge_quantize.passes.result import Settings
from edge_quantize.passes.settled_shapes import settle_shapes
from edge_quantize.passes.verify import check_same

RNG = np.random.default_rng()


@pytest.fixture(autouse=True)
def _same_numbers_in_every_test() -> None:
    RNG.bit_generator.state = np.random.default_rng(5).bit_generator.state


_DENSE = (("w", (2, 5)), ("b", (2,)))


def ops(result: PassResult | Graph) -> list[str]:
    graph = result.graph if isinstance(result, PassResult) else result
    return [operator.op for operator in graph.operators]


def conv(b: GraphBuilder, x: int, depth: int, out: int, size: int = 1, **how: object) -> int:
    data = RNG.integers(-90, 90, (out, size, size, depth)).astype(np.int8)
    w = b.weights("w", data, RNG.uniform(0.002, 0.006, out).tolist())
    bias = b.bias("b", RNG.integers(-500, 500, out), x, w)
    return b.conv_2d(x, w, bias, 0.05, -4, **how)  # type: ignore[arg-type]


def image(b: GraphBuilder, depth: int = 3, size: int = 6) -> int:
    return b.input("x", (1, size, size, depth), 0.03, 1)


# Dead code


def test_operators_that_no_output_depends_on_go_with_their_constants() -> None:
    b = GraphBuilder("dead")
    x = image(b)
    lost = conv(b, conv(b, x, 3, 4), 4, 5)
    b.operator("RELU", (lost,), scale=0.05, zero_point=-4)
    b.constant("nobody's", np.zeros(100, np.int8))
    result = lossless(b.build([conv(b, x, 3, 2)]))
    assert ops(result) == ["CONV_2D"]
    assert len(result.graph.tensors) == 4
    assert [c.pass_name for c in result.changes].count("dead-operators") == 3


def test_an_input_that_nothing_reads_stays_part_of_the_interface() -> None:
    b = GraphBuilder("interface")
    x = image(b)
    b.input("unread", (1, 4), 1.0, 0)
    b.constant("nobody's", np.zeros(100, np.int8))
    assert len(lossless(b.build([conv(b, x, 3, 2)])).graph.inputs) == 2


def test_what_an_lstm_computes_inside_is_renumbered_with_all_else() -> None:
    b = GraphBuilder("lstm")
    x = image(b)
    conv(b, x, 3, 4)  # nobody reads this one
    inside = b.tensor("inside", (1,), DType.INT16)
    options = SchemaOptions("UnidirectionalSequenceLSTMOptions", {})
    y = b.operator(
        "UNIDIRECTIONAL_SEQUENCE_LSTM", (x,), options, shape=(1, 6), intermediates=(inside, -1)
    )
    smaller, changes = remove_dead_operators(b.build([y]), Settings())
    assert len(changes) == 1
    named, absent = smaller.operators[0].intermediates
    assert (smaller.tensors[named].name, absent) == ("inside", -1)
    assert remove_unread_tensors(smaller, Settings())[0] is smaller


def test_equal_constants_are_shared() -> None:
    b = GraphBuilder("equal")
    x = image(b)
    data = RNG.integers(-90, 90, (3, 3, 3, 3)).astype(np.int8)
    for _ in range(3):
        w = b.weights("w", data, [0.01])
        x = b.conv_2d(x, w, b.bias("b", [1, 2, 3], x, w), 0.03, 1)
    result = lossless(b.build([x]))
    weights = [operator.inputs[1:] for operator in result.graph.operators]
    assert weights[0] == weights[1] == weights[2]
    assert result.after.constant_bytes == 81 + 12


def test_constants_of_other_scales_are_not_shared() -> None:
    b = GraphBuilder("other")
    x = image(b)
    data = RNG.integers(-90, 90, (3, 3, 3, 3)).astype(np.int8)
    for scale in (0.01, 0.02):
        w = b.weights("w", data, [scale])
        x = b.conv_2d(x, w, b.bias("b", [1, 2, 3], x, w), 0.03, 1)
    graph = b.build([x])
    assert lossless(graph).graph is graph


# Identities and chains


def test_operators_that_hand_on_what_they_get_go() -> None:
    b = GraphBuilder("identities")
    x = image(b)
    y = conv(b, x, 3, 4)
    y = b.quantize(y, 0.05, -4)
    y = b.reshape(y, (1, 6, 6, 4))
    y = b.pad(y, [(0, 0)] * 4)
    y = b.operator("MAX_POOL_2D", (y,), Pool2DOptions(Padding.VALID, 1, 1, 1, 1))
    y = b.concatenation([y], 3)
    y = b.operator("TRANSPOSE", (y, b.constant("order", np.arange(4, dtype=np.int32))))
    result = lossless(b.build([conv(b, y, 4, 2)]))
    assert ops(result) == ["CONV_2D", "CONV_2D"]


def test_a_relu_whose_input_never_falls_below_zero_goes() -> None:
    b = GraphBuilder("twice")
    x = image(b)
    y = conv(b, x, 3, 4, activation=Activation.RELU)
    y = b.pool("MAX_POOL_2D", y, (2, 2), (2, 2))
    pooled = b.operator("RELU", (y,))
    y = b.elementwise("MUL", pooled, pooled, 0.1, 0)
    assert ops(lossless(b.build([y]))) == ["CONV_2D", "MAX_POOL_2D", "MUL"]


@pytest.mark.parametrize(
    ("op", "value", "scale", "goes"),
    [("ADD", 0, 0.05, True), ("ADD", 1, 0.05, False), ("MUL", 10, 0.1, True)],
)
def test_a_neutral_constant_goes_when_no_int8_value_is_changed(
    op: str, value: int, scale: float, goes: bool
) -> None:
    b = GraphBuilder("neutral")
    x = image(b)
    y = b.pool("MAX_POOL_2D", x, (2, 2), (2, 2))
    quantization = b._tensors[b.weights("q", np.zeros(1, np.int8), [scale])].quantization
    c = b.constant("c", np.array([value], np.int8), quantization)
    y = b.elementwise(op, y, c, 0.03, 1)
    z = b.pool("MAX_POOL_2D", y, (2, 2), (1, 1))
    assert (op not in ops(lossless(b.build([z])))) == goes


def test_two_reshapes_become_one_and_two_transposes_none() -> None:
    b = GraphBuilder("chains")
    x = image(b)
    y = b.reshape(b.reshape(conv(b, x, 3, 4), (1, 36, 4)), (1, 12, 12, 1))
    turn = np.array([0, 2, 3, 1], np.int32)
    back = np.argsort(turn).astype(np.int32)
    y = b.operator("TRANSPOSE", (y, b.constant("t", turn)))
    y = b.operator("TRANSPOSE", (y, b.constant("u", back)))
    assert ops(lossless(b.build([conv(b, y, 1, 2)]))) == ["CONV_2D", "RESHAPE", "CONV_2D"]


def test_a_transpose_of_dimensions_of_size_1_is_a_reshape() -> None:
    b = GraphBuilder("unit")
    x = b.input("x", (1, 6, 1, 3), 0.03, 1)
    y = b.operator("TRANSPOSE", (x, b.constant("t", np.array([0, 2, 1, 3], np.int32))))
    assert ops(lossless(b.build([conv(b, y, 3, 2)]))) == ["RESHAPE", "CONV_2D"]


@pytest.mark.parametrize(
    ("order", "left"), [([0, -1, 1], ["TRANSPOSE"]), ([-3, 1, -1], ["FULLY_CONNECTED"])]
)
def test_negative_axes_of_a_transpose_count_from_the_end(order: list[int], left: list[str]) -> None:
    b = GraphBuilder("negative")
    x = b.input("x", (1, 4, 5), dtype=DType.FLOAT32)
    turn = b.constant("t", np.array(order, np.int32))
    y = b.operator("TRANSPOSE", (x, turn), dtype=DType.FLOAT32)
    if left != ["TRANSPOSE"]:
        w, bias = (b.constant(n, RNG.normal(size=s).astype(np.float32)) for n, s in _DENSE)
        y = b.operator(
            "FULLY_CONNECTED", (y, w, bias), FullyConnectedOptions(), dtype=DType.FLOAT32
        )
    graph = b.build([y])
    assert ops(lossless(graph)) == left


def test_a_transpose_survives_the_file() -> None:
    b = GraphBuilder("file")
    x = b.input("x", (1, 6, 4, 3), 0.03, 1)
    y = b.operator("TRANSPOSE", (x, b.constant("t", np.array([0, 2, 1, 3], np.int32))))
    graph = read_tflite(write_tflite(b.build([conv(b, y, 3, 2)])))
    assert (graph.operators[0].op, graph.operators[0].options) == ("TRANSPOSE", NoOptions())


def test_quantizing_what_was_dequantized_is_undone() -> None:
    b = GraphBuilder("there and back")
    x = image(b)
    y = b.quantize(b.dequantize(conv(b, x, 3, 4)), 0.05, -4)
    assert ops(lossless(b.build([conv(b, y, 4, 2)]))) == ["CONV_2D", "CONV_2D"]
    b = GraphBuilder("elsewhere")
    x = image(b)
    y = b.quantize(b.dequantize(conv(b, x, 3, 4)), 0.06, -4)
    graph = b.build([conv(b, y, 4, 2)])
    assert lossless(graph).graph is graph


def test_an_identity_between_input_and_output_stays() -> None:
    b = GraphBuilder("all")
    graph = b.build([b.reshape(image(b), (1, 6, 6, 3))])
    assert lossless(graph).graph is graph


def test_an_identity_before_the_output_leaves_the_outputs_name() -> None:
    b = GraphBuilder("name")
    x = image(b)
    y = b.reshape(conv(b, x, 3, 4), (1, 6, 6, 4))
    graph = b.build([y])
    smaller = lossless(graph).graph
    assert ops(smaller) == ["CONV_2D"]
    assert smaller.tensors[smaller.outputs[0]].name == graph.tensors[y].name


# Activations


@pytest.mark.parametrize("op", ["RELU", "RELU6"])
def test_an_activation_of_one_quantization_is_fused(op: str) -> None:
    b = GraphBuilder("fused")
    x = image(b)
    result = lossless(b.build([b.operator(op, (conv(b, x, 3, 4),))]))
    assert ops(result) == ["CONV_2D"]
    options = result.graph.operators[0].options
    assert isinstance(options, Conv2DOptions)
    assert options.activation is Activation[op]


def test_an_activation_that_rescales_is_not_fused_for_it_rounds_twice() -> None:
    b = GraphBuilder("rescaled")
    x = image(b)
    graph = b.build([b.operator("RELU", (conv(b, x, 3, 4),), scale=0.02, zero_point=-128)])
    assert lossless(graph).graph is graph


def test_an_activation_is_not_fused_into_what_others_read_too() -> None:
    b = GraphBuilder("read twice")
    x = image(b)
    y = conv(b, x, 3, 4)
    graph = b.build([b.operator("RELU", (y,)), b.pool("MAX_POOL_2D", y, (2, 2), (2, 2))])
    assert lossless(graph).graph is graph


# Padding


def padded(size: int, around: tuple[int, int], stride: int, op: str = "CONV_2D") -> Graph:
    b = GraphBuilder("padded")
    x = image(b, size=size)
    y = b.pad(x, [(0, 0), around, around, (0, 0)])
    if op == "CONV_2D":
        return b.build([conv(b, y, 3, 4, 3, stride=(stride, stride), padding=Padding.VALID)])
    w = b.weights("w", RNG.integers(-90, 90, (1, 3, 3, 3)).astype(np.int8), [0.004], axis=3)
    options = DepthwiseConv2DOptions(Padding.VALID, stride, stride, 1)
    return b.build([b.operator(op, (y, w), options, scale=0.05, zero_point=3)])


@pytest.mark.parametrize(
    ("size", "around", "stride", "folded"),
    [
        pytest.param(6, (1, 1), 1, True, id="all around"),
        pytest.param(6, (0, 1), 2, True, id="stride 2, behind: as SAME does"),
        pytest.param(6, (1, 1), 2, False, id="stride 2, all around: no SAME"),
        pytest.param(7, (1, 1), 2, True, id="stride 2 on an odd size"),
        pytest.param(7, (1, 2), 2, True, id="a last pad that no window reaches"),
        pytest.param(6, (2, 2), 1, False, id="too wide"),
        pytest.param(6, (0, 2), 1, False, id="shifted"),
    ],
)
@pytest.mark.parametrize("op", ["CONV_2D", "DEPTHWISE_CONV_2D"])
def test_a_pad_is_folded_where_same_padding_says_it(
    size: int, around: tuple[int, int], stride: int, folded: bool, op: str
) -> None:
    graph = padded(size, around, stride, op)
    result = lossless(graph)
    assert ops(result) == ([op] if folded else ["PAD", op])


def test_a_pad_with_another_value_than_zero_stays() -> None:
    b = GraphBuilder("value")
    x = image(b)
    around = b.constant("p", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    value = b.constant("v", np.array([-7], np.int8), b._tensors[x].quantization)
    y = b.operator("PADV2", (x, around, value))
    graph = b.build([conv(b, y, 3, 4, 3, padding=Padding.VALID)])
    assert lossless(graph).graph is graph


@pytest.mark.parametrize(("value", "folded"), [(-128, True), (1, False)])
def test_a_maximum_ignores_padding_with_the_lowest_value_alone(value: int, folded: bool) -> None:
    b = GraphBuilder("lowest")
    x = image(b)
    around = b.constant("p", np.array([[0, 0], [1, 1], [1, 1], [0, 0]], np.int32))
    low = b.constant("v", np.array([value], np.int8), b._tensors[x].quantization)
    y = b.operator("PADV2", (x, around, low))
    result = lossless(b.build([b.pool("MAX_POOL_2D", y, (3, 3), (1, 1))]))
    assert (ops(result) == ["MAX_POOL_2D"]) == folded


# Constants


def test_a_branch_multiplied_by_zero_becomes_a_constant() -> None:
    b = GraphBuilder("zero")
    x = image(b)
    lost = conv(b, conv(b, x, 3, 4, 3), 4, 4)
    zero = b.constant("zero", np.ones(1, np.int8), b._tensors[x].quantization)  # its zero point
    nothing = b.elementwise("MUL", lost, zero, 0.05, 9)
    kept = conv(b, x, 3, 4)
    result = lossless(b.build([b.elementwise("ADD", kept, nothing, 0.09, -1)]))
    assert ops(result) == ["CONV_2D", "ADD"]


def test_operators_on_constants_are_computed_beforehand() -> None:
    b = GraphBuilder("constants")
    x = image(b)
    quantization = b._tensors[x].quantization
    first, second = (
        b.constant("c", RNG.integers(-90, 90, (1, 1, 1, 3)).astype(np.int8), quantization)
        for _ in range(2)
    )
    total = b.elementwise("ADD", first, second, 0.06, 0)
    result = lossless(b.build([b.elementwise("ADD", x, total, 0.1, 0)]))
    assert ops(result) == ["ADD"]


def test_weights_that_are_stored_small_stay_so() -> None:
    b = GraphBuilder("half")
    x = b.input("x", (1, 6), dtype=DType.FLOAT32)
    half = b.constant("w", RNG.normal(size=(4, 6)).astype(np.float16))
    w = b.operator("DEQUANTIZE", (half,), dtype=DType.FLOAT32)
    bias = b.constant("b", RNG.normal(size=4).astype(np.float32))
    y = b.operator("FULLY_CONNECTED", (x, w, bias), FullyConnectedOptions(), dtype=DType.FLOAT32)
    graph = b.build([y])
    assert lossless(graph).graph is graph


def test_random_numbers_are_no_constants() -> None:
    b = GraphBuilder("random")
    x = b.input("x", (1, 4), dtype=DType.FLOAT32)
    shape = b.constant("s", np.array([1, 4], np.int32))
    seeds = SchemaOptions("RandomOptions", {"seed": 0, "seed2": 0})
    noise = b.operator("RANDOM_UNIFORM", (shape,), seeds, shape=(1, 4), dtype=DType.FLOAT32)
    y = b.operator("ADD", (x, noise), ElementwiseOptions(), dtype=DType.FLOAT32)
    graph = b.build([y])
    assert evaluate_constants(graph, Settings())[0] is graph
    result = lossless(graph)
    assert result.graph is graph
    assert "random numbers" in result.notes[0]


def shape_options() -> SchemaOptions:
    return SchemaOptions("ShapeOptions", {"out_type": 2})  # int32


def test_a_shape_computed_from_fixed_shapes_is_settled() -> None:
    b = GraphBuilder("keras reshape")
    x = image(b)
    whole = b.operator("SHAPE", (x,), shape_options(), shape=(4,), dtype=DType.INT32)
    ends = [b.constant("end", np.array([n], np.int32)) for n in (0, 1, 1)]
    batch = b.operator(
        "STRIDED_SLICE",
        (whole, *ends),
        SchemaOptions("StridedSliceOptions", {"shrink_axis_mask": 1}),
        shape=(),
        dtype=DType.INT32,
    )
    rest = b.constant("rest", np.array(108, np.int32))
    stacked = SchemaOptions("PackOptions", {"values_count": 2, "axis": 0})
    shape = b.operator("PACK", (batch, rest), stacked, shape=(2,), dtype=DType.INT32)
    y = b.operator("RESHAPE", (x, shape), ReshapeOptions(), shape=(1, 108))
    w = b.weights("w", RNG.integers(-90, 90, (4, 108)).astype(np.int8), [0.01])
    graph = b.build([b.fully_connected(y, w, None, 0.1, 0)])
    plain = [replace(t, quantization=None) if t.dtype is DType.INT32 else t for t in graph.tensors]
    result = lossless(replace(graph, tensors=tuple(plain)))
    assert ops(result) == ["RESHAPE", "FULLY_CONNECTED"]
    assert "bit-identical" in result.checked


def test_a_shape_may_be_computed_in_thousands_of_steps() -> None:
    b = GraphBuilder("deep")
    x = b.input("x", (1, 6), dtype=DType.FLOAT32)
    shape = b.operator("SHAPE", (x,), shape_options(), shape=(2,), dtype=DType.INT32)
    nothing = b.constant("zero", np.array([0, 0], np.int32))
    for _ in range(3000):
        shape = b.operator("ADD", (shape, nothing), ElementwiseOptions(), dtype=DType.INT32)
    y = b.operator("RESHAPE", (x, shape), ReshapeOptions(), shape=(1, 6), dtype=DType.FLOAT32)
    settled, changes = settle_shapes(b.build([y]), Settings())
    assert len(changes) == 1
    assert settled.operands(settled.operators[-1])[1].is_constant  # type: ignore[union-attr]


# Batch norm


def float_norm(op: str, constant_first: bool, before: bool, padding: Padding) -> Graph:
    b = GraphBuilder("norm")
    x = b.input("x", (1, 6, 6, 4), dtype=DType.FLOAT32)
    c = b.constant("c", RNG.normal(size=4).astype(np.float32))

    def norm(y: int) -> int:
        inputs = (c, y) if constant_first else (y, c)
        return b.operator(op, inputs, ElementwiseOptions(), dtype=DType.FLOAT32)

    def layer(y: int) -> int:
        w = b.constant("w", RNG.normal(size=(4, 3, 3, 4)).astype(np.float32))
        bias = b.constant("b", RNG.normal(size=4).astype(np.float32))
        return b.operator(
            "CONV_2D", (y, w, bias), Conv2DOptions(padding, 1, 1), dtype=DType.FLOAT32
        )

    return b.build([layer(norm(x)) if before else norm(layer(x))])


@pytest.mark.parametrize("constant_first", [False, True])
@pytest.mark.parametrize("op", ["MUL", "ADD", "SUB"])
@pytest.mark.parametrize(
    ("before", "padding"), [(False, Padding.SAME), (True, Padding.VALID), (True, Padding.SAME)]
)
def test_a_constant_for_each_channel_is_folded_into_the_layer_beside_it(
    op: str, constant_first: bool, before: bool, padding: Padding
) -> None:
    result = lossless(float_norm(op, constant_first, before, padding))
    # Around a shifted input lies padding that is not shifted.
    folded = not (before and padding is Padding.SAME and op != "MUL")
    assert (ops(result) == ["CONV_2D"]) == folded


def normalized(padding: Padding) -> Graph:
    """(x - c) * c * c + c by four operators, in front of two layers that read it."""
    b = GraphBuilder("normalized")
    x = b.input("x", (1, 6, 6, 4), dtype=DType.FLOAT32)
    for op in ("SUB", "MUL", "MUL", "ADD"):
        c = b.constant("c", RNG.uniform(0.5, 1.5, 4).astype(np.float32))
        x = b.operator(op, (x, c), ElementwiseOptions(), dtype=DType.FLOAT32)
    ends = []
    for size in (3, 1):
        w = b.constant("w", RNG.normal(size=(4, size, size, 4)).astype(np.float32))
        bias = b.constant("b", RNG.normal(size=4).astype(np.float32))
        options = Conv2DOptions(padding, 1, 1)
        ends.append(b.operator("CONV_2D", (x, w, bias), options, dtype=DType.FLOAT32))
    return b.build(ends)


def test_a_chain_of_constants_goes_into_all_the_layers_behind_it() -> None:
    assert ops(lossless(normalized(Padding.VALID))) == ["CONV_2D", "CONV_2D"]


def test_of_a_chain_before_padding_one_addition_stays() -> None:
    assert ops(lossless(normalized(Padding.SAME))) == ["ADD", "CONV_2D", "CONV_2D"]


def test_a_chain_that_ends_the_model_is_a_mul_and_an_add() -> None:
    graph = normalized(Padding.SAME)
    graph = replace(graph, outputs=graph.operators[3].outputs)
    assert ops(lossless(graph)) == ["MUL", "ADD"]


@pytest.mark.parametrize("per_channel", [False, True])
def test_a_flattened_row_in_another_order_is_read_by_turned_weights(per_channel: bool) -> None:
    b = GraphBuilder("channels first")
    x = b.input("x", (1, 3, 5, 4), 0.03, 1)
    y = b.operator("TRANSPOSE", (x, b.constant("t", np.array([0, 3, 1, 2], np.int32))))
    y = b.reshape(y, (1, 60))
    scales = RNG.uniform(0.002, 0.006, 7 if per_channel else 1).tolist()
    w = b.weights("w", RNG.integers(-90, 90, (7, 60)).astype(np.int8), scales)
    graph = b.build([b.fully_connected(y, w, b.bias("b", np.arange(7), y, w), 0.1, 0)])
    assert ops(lossless(graph)) == ["RESHAPE", "FULLY_CONNECTED"]


def test_a_constant_for_each_pixel_is_not_folded() -> None:
    b = GraphBuilder("pixels")
    x = b.input("x", (1, 6, 6, 4), dtype=DType.FLOAT32)
    w = b.constant("w", RNG.normal(size=(4, 3, 3, 4)).astype(np.float32))
    bias = b.constant("b", RNG.normal(size=4).astype(np.float32))
    y = b.operator("CONV_2D", (x, w, bias), Conv2DOptions(Padding.SAME, 1, 1), dtype=DType.FLOAT32)
    c = b.constant("c", RNG.normal(size=(1, 6, 6, 4)).astype(np.float32))
    graph = b.build([b.operator("ADD", (y, c), ElementwiseOptions(), dtype=DType.FLOAT32)])
    assert lossless(graph).graph is graph


def test_int8_multiplications_are_not_folded_for_they_round() -> None:
    b = GraphBuilder("int8 norm")
    x = image(b)
    c = b.constant("c", np.array([3, 9, 5, 7], np.int8), b._tensors[x].quantization)
    graph = b.build([b.elementwise("MUL", conv(b, x, 3, 4), c, 0.01, 0)])
    assert lossless(graph).graph is graph


def test_what_rounds_is_left_out_where_a_model_amplifies_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def strict(before: Graph, after: Graph, *_: object) -> str:
        if len(before.operators) - len(after.operators) > 1:
            raise LosslessError("output moved")
        return check_same(before, after)

    monkeypatch.setattr(pipeline, "check_same", strict)
    graph = float_norm("MUL", False, False, Padding.SAME)
    identity = replace(graph.tensors[graph.outputs[0]], index=len(graph.tensors), name="again")
    relu = replace(graph.operators[0], index=2, op="RELU", options=NoOptions(), version=1)
    relu = replace(relu, inputs=graph.outputs, outputs=(identity.index,))
    graph = replace(
        graph,
        tensors=(*graph.tensors, identity),
        operators=(*graph.operators, relu),
        outputs=(identity.index,),
    )
    result = lossless(graph)
    assert ops(result) == ["CONV_2D", "MUL"]
    assert result.notes == ("left out: batch-norm, affine-chains (output moved)",)


def test_a_model_that_cannot_be_written_stays_as_it_is() -> None:
    b = GraphBuilder("custom")
    x = image(b)
    y = conv(b, x, 3, 4)
    odd = b.operator("CUSTOM:mine", (y,), CustomOptions(), shape=(1, 6, 6, 4))
    conv(b, x, 3, 4)  # nobody reads this one
    graph = b.build([odd])
    result = lossless(graph)
    assert result.graph is graph
    assert "CUSTOM:mine: not an operator of the schema" in result.notes[0]
