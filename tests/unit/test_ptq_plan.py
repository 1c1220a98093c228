"""Types and scales where layers meet: shared, given, converted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ptq_models import CASES, FloatBuilder, cnn, lost, samples

from edge_quantize.check import check_supported
from edge_quantize.data import Samples
from edge_quantize.errors import InputDataError, UnsupportedModelError
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.options import (
    Activation,
    ConcatenationOptions,
    Conv2DOptions,
    ElementwiseOptions,
    FullyConnectedOptions,
    Padding,
    Pool2DOptions,
    SoftmaxOptions,
)
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ptq import Observer, Precision, Recipe, Scheme, quantize
from edge_quantize.reference import LiteRtReference, TflmReference, tflm_available
from edge_quantize.run import quantized, real

PLAIN = Recipe(adaptive_rounding=False)


def made(graph: Graph, recipe: Recipe = PLAIN, count: int = 24) -> Graph:
    return quantize(graph, samples(graph, count), recipe).graph


def ops(graph: Graph) -> list[str]:
    return [operator.op for operator in graph.operators]


def test_a_concatenation_and_its_operands_share_a_scale() -> None:
    b = FloatBuilder("joined")
    x = b.source()
    parts = [b.conv(x, 4), b.conv(x, 4, size=1)]
    graph = b.build([b.add("CONCATENATION", parts, ConcatenationOptions(3))])
    after = made(graph)
    assert "QUANTIZE" not in ops(after)
    assert len({after.tensors[i].quantization for i in after.operators[-1].inputs}) == 1


def test_an_operand_that_others_read_keeps_its_finer_scale() -> None:
    b = FloatBuilder("joined")
    x = b.source()
    small = b.conv(x, 4)
    large = b.add("MUL", (b.conv(x, 4), b.constant("ten", np.float32([10]))), ElementwiseOptions())
    joined = b.add("CONCATENATION", (small, large), ConcatenationOptions(3))
    graph = b.build([joined, b.conv(small, 4)])
    after = made(graph)
    assert ops(after).count("QUANTIZE") == 1
    joins = next(o for o in after.operators if o.op == "CONCATENATION")
    scales = [t.quantization.scale for t in after.operands(joins)]  # type: ignore[union-attr]
    assert len(set(scales)) == 1
    named = {t.name: t for t in after.tensors}
    assert named[graph.tensors[small].name].quantization.scale < scales[0] / 2  # type: ignore[union-attr]


def test_scales_that_are_given_and_differ_get_a_quantize() -> None:
    b = FloatBuilder("given")
    x = b.source()
    parts = [b.add("LOGISTIC", (x,), shape=(1, 4, 4, 8)), b.add("TANH", (x,), shape=(1, 4, 4, 8))]
    graph = b.build([b.add("CONCATENATION", parts, ConcatenationOptions(3))])
    after = made(graph)
    assert ops(after).count("QUANTIZE") == 1
    assert lost(graph, after, samples(graph)) > 30


@pytest.mark.parametrize(("float_io", "dtype"), [(False, DType.INT8), (True, DType.FLOAT32)])
def test_ends_are_integers_unless_asked_otherwise(float_io: bool, dtype: DType) -> None:
    graph = cnn()
    after = made(graph, Recipe(float_io=float_io, adaptive_rounding=False))
    assert after.tensors[after.inputs[0]].dtype is dtype
    assert after.tensors[after.outputs[0]].dtype is dtype
    assert after.tensors[after.inputs[0]].name == "image"
    assert len({t.name for t in after.tensors if not t.is_constant}) == sum(
        not t.is_constant for t in after.tensors
    )


def test_softmax_has_the_scale_that_kernels_ask_for() -> None:
    graph = cnn()
    for precision, given_ in (
        (Precision.INT8, (1 / 256, -128)),
        (Precision.INT16X8, (1 / 32768, 0)),
    ):
        after = made(graph, Recipe.uniform(precision, adaptive_rounding=False))
        quantization = after.tensors[after.outputs[0]].quantization
        assert quantization is not None
        assert (quantization.scale, quantization.zero_point) == given_


def test_biases_are_int32_and_int64_beside_int16_activations() -> None:
    graph = cnn()
    for precision, dtype in ((Precision.INT8, DType.INT32), (Precision.INT16X8, DType.INT64)):
        after = made(graph, Recipe.uniform(precision, adaptive_rounding=False))
        convolution = after.operators[0]
        source, weights, bias = after.operands(convolution)
        assert bias is not None
        assert bias.dtype is dtype
        assert source is not None
        assert weights is not None
        wanted = np.asarray(weights.quantization.scales) * source.quantization.scale  # type: ignore[union-attr]
        assert np.allclose(bias.quantization.scales, wanted, rtol=1e-6)  # type: ignore[union-attr]


def test_one_layer_in_sixteen_bits_gets_quantize_around_it() -> None:
    graph = cnn()
    name = graph.layer_name(graph.operators[1])
    after = made(graph, PLAIN.with_layers({name: Precision.INT16X8}))
    at = next(o.index for o in after.operators if o.op == "DEPTHWISE_CONV_2D")
    assert ops(after)[at - 1 : at + 2] == ["QUANTIZE", "DEPTHWISE_CONV_2D", "QUANTIZE"]
    assert lost(graph, after, samples(graph)) > 25


def test_one_float_layer_gets_dequantize_and_quantize() -> None:
    graph = cnn()
    name = graph.layer_name(graph.operators[2])
    after = made(graph, PLAIN.with_layers({name: Precision.FLOAT32}))
    assert ops(after)[2:5] == ["DEQUANTIZE", "CONV_2D", "QUANTIZE"]
    assert after.operands(after.operators[3])[1].dtype is DType.FLOAT32  # type: ignore[union-attr]


def test_a_converted_tensor_is_converted_once() -> None:
    b = FloatBuilder("twice")
    x = b.conv(b.source(), 4)
    one, two = b.conv(x, 4), b.conv(x, 4)
    graph = b.build([b.add("ADD", (one, two), ElementwiseOptions())])
    wide = {graph.layer_name(graph.operators[i]): Precision.INT16X8 for i in (1, 2, 3)}
    assert ops(made(graph, PLAIN.with_layers(wide))).count("QUANTIZE") == 1


def test_a_dead_channel_and_a_constant_input_have_scales_too() -> None:
    b = FloatBuilder("dead")
    x = b.source((1, 4, 4, 2))
    w = np.random.default_rng(0).normal(size=(3, 1, 1, 2)).astype(np.float32)
    w[1] = 0
    options = Conv2DOptions(Padding.SAME, 1, 1, 1, 1, Activation.RELU)
    bias = b.constant("b", np.float32([0.1, -1, 0.2]))
    graph = b.build([b.add("CONV_2D", (x, b.constant("w", w), bias), options)])
    after = made(graph)
    assert not check_supported(after)
    assert all(s > 0 for t in after.tensors if t.quantization for s in t.quantization.scales)


def test_a_large_bias_on_small_weights_fits_its_int32() -> None:
    b = FloatBuilder("large bias")
    w = b.constant("w", np.full((2, 4), 1e-9, np.float32))
    bias = b.constant("b", np.float32([100, -50]))
    x = b.source((1, 4))
    graph = b.build([b.add("FULLY_CONNECTED", (x, w, bias), FullyConnectedOptions())])
    after = made(graph)
    assert lost(graph, after, samples(graph)) > 40


def test_samples_with_nan_name_the_layer() -> None:
    graph = cnn()
    data = samples(graph)
    data.inputs[0][3, 0, 0, 0] = np.nan
    with pytest.raises(InputDataError, match="sample 3 gives NaN or infinity in 'image'"):
        quantize(graph, data, PLAIN)


def test_no_samples_are_refused_where_ranges_are_needed() -> None:
    graph = cnn()
    with pytest.raises(InputDataError, match="gets integer activations"):
        quantize(graph, None, PLAIN)
    with pytest.raises(InputDataError, match="none to calibrate with"):
        quantize(graph, Samples((np.zeros((0, 8, 8, 1), np.float32),)), PLAIN)


def test_a_quantized_model_is_refused_by_name() -> None:
    after = made(cnn())
    with pytest.raises(UnsupportedModelError, match=r"quantized already \(int8\): .*CONV_2D"):
        quantize(after, samples(cnn()), PLAIN)


def test_the_same_in_gives_the_same_bytes() -> None:
    graph = cnn()
    first, second = (quantize(graph, samples(graph), Recipe()).graph for _ in range(2))
    assert write_tflite(first) == write_tflite(second)


STEPS = ("conv", "depthwise", "pool", "max", "relu", "add", "join", "mul", "pad")


def drawn(draw: st.DrawFn) -> Graph:
    """A chain of steps on an image, some of which read an earlier result too."""
    b = FloatBuilder("drawn", draw(st.integers(0, 1000)))
    here = b.source((1, 6, 6, 4))
    earlier: list[int] = []
    for step in draw(st.lists(st.sampled_from(STEPS), min_size=1, max_size=5)):
        shape = b._tensors[here].shape
        others = [i for i in earlier if b._tensors[i].shape == shape]
        other = others[-1] if others else here
        earlier.append(here)
        activation = draw(st.sampled_from([Activation.NONE, Activation.RELU, Activation.RELU6]))
        if step == "conv":
            here = b.conv(here, draw(st.sampled_from([4, 6])), activation=activation)
        elif step == "depthwise":
            here = b.depthwise(here, activation)
        elif step == "pool":
            here = b.add("AVERAGE_POOL_2D", (here,), Pool2DOptions(Padding.SAME, 1, 1, 2, 2))
        elif step == "max":
            here = b.add("MAX_POOL_2D", (here,), Pool2DOptions(Padding.SAME, 1, 1, 2, 2))
        elif step == "relu":
            here = b.add("RELU", (here,))
        elif step in ("add", "mul"):
            here = b.add(step.upper(), (here, other), ElementwiseOptions(activation))
        elif step == "join" and shape[3] <= 8:
            here = b.add("CONCATENATION", (here, other), ConcatenationOptions(3))
        elif step == "pad" and shape[1] <= 8:
            pads = b.ints(f"pads{len(b._tensors)}", ((0, 0), (1, 0), (0, 1), (0, 0)))
            here = b.add("PAD", (here, pads))
    return b.build([here])


float_graphs = st.composite(lambda draw: drawn(draw))()
PRECISIONS = [Precision.INT8, Precision.INT16X8, Precision.INT4, Precision.FLOAT32]


@given(float_graphs, st.data())
@settings(max_examples=30)
def test_random_graphs_in_random_precisions(graph: Graph, data: st.DataObject) -> None:
    """Close to the float model, and the same in both runtimes."""
    if not graph.operators:
        return
    default = data.draw(st.sampled_from([Precision.INT8, Precision.INT16X8]))
    layers = {
        graph.layer_name(o): data.draw(st.sampled_from(PRECISIONS))
        for o in graph.operators
        if data.draw(st.booleans())
    }
    scheme = Scheme(default, activations=Observer.MINMAX)
    recipe = Recipe(default=scheme, adaptive_rounding=False).with_layers(layers)
    given_ = samples(graph, 8)
    after = quantize(graph, given_, recipe).graph
    least = 8 if Precision.INT4 in layers.values() else 22
    assert lost(graph, after, given_) > least
    if not check_supported(after) and tflm_available():
        (row, *_) = given_.rows()
        fed = (quantized(row[0], after.tensors[after.inputs[0]]),)
        tensor = after.tensors[after.outputs[0]]
        one, two = (r(after).run(fed)[0] for r in (TflmReference, LiteRtReference))
        step = tensor.quantization.scale if tensor.quantization else 1e-4
        difference = np.abs(real(one, tensor.quantization) - real(two, tensor.quantization))
        assert difference.max() <= 2.01 * step


def test_all_operators_keep_their_names() -> None:
    for case in CASES:
        b = FloatBuilder("named")
        graph = b.build(list(case.make(b, b.source())))
        result = quantize(graph, samples(graph, 4), PLAIN, verify=False)
        names = {t.name for t in result.graph.tensors}
        assert {name for name, _, _ in result.layers} <= names


def test_softmax_of_a_wide_input_is_supported() -> None:
    b = FloatBuilder("wide")
    graph = b.build([b.add("SOFTMAX", (b.source((1, 10)),), SoftmaxOptions(1.0))])
    after = quantize(graph, samples(graph, 16, spread=40.0), PLAIN).graph
    assert not check_supported(after)
