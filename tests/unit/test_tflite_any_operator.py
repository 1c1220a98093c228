"""Any builtin operator of the schema is read whole, and written back as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from float_models import lstm
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_quantize.errors import ModelFileError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph, Operator, Tensor
from edge_quantize.graph.option_tables import TABLES, Field, table_fields
from edge_quantize.graph.options import (
    ElementwiseOptions,
    FullyConnectedOptions,
    Options,
    SchemaOptions,
    Value,
)
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.ingest.tflite_options import TYPED_TABLES

MODELS = sorted((Path(__file__).resolve().parents[1] / "golden" / "tflm" / "models").iterdir())
# LiteRT's portable kernels take none of these (its XNNPACK delegate does some).
NOT_IN_LITERT = {
    "add_n_int8",
    "broadcast_to_float32",
    "broadcast_to_int8",
    "ceil",
    "cumsum_int8",
    "depthwise_int16_bias32",
    "elu_float32",
    "elu_int8",
    "l2_norm_int8",
    "round",
    "svdf_int8",
    "zeros_like_int8",
}
# LiteRT reads its int32 biases as int64, past their end: what it finds there is chance.
CHANCE = {"conv_int16_bias32"}


def litert_outputs(content: bytes) -> list[npt.NDArray[np.generic]]:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    random = np.random.default_rng(1)
    for given_ in interpreter.get_input_details():
        # Small numbers, which serve as indices and as booleans too.
        values = random.integers(0, 2, given_["shape"])
        if given_["dtype"] == np.float32:
            values = values + random.random(given_["shape"])
        interpreter.set_tensor(given_["index"], values.astype(given_["dtype"]))
    interpreter.invoke()
    return [interpreter.get_tensor(made["index"]) for made in interpreter.get_output_details()]


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_every_operator_computes_the_same_from_the_rewritten_file(path: Path) -> None:
    original = path.read_bytes()
    graph = read_tflite(original)
    written = write_tflite(graph)
    again = read_tflite(written)
    assert again.operators == graph.operators
    assert write_tflite(again) == written
    if path.stem in NOT_IN_LITERT | CHANCE:
        return
    for expected, got in zip(litert_outputs(original), litert_outputs(written), strict=True):
        np.testing.assert_array_equal(got, expected)


def one_operator(op: str, options: Options, intermediates: tuple[int, ...] = ()) -> Graph:
    tensors = (Tensor(0, "x", (1, 4), DType.FLOAT32), Tensor(1, "y", (1, 4), DType.FLOAT32))
    operator = Operator(0, op, (0,), (1,), options, intermediates=intermediates)
    return Graph("one", tensors, (operator,), (0,), (1,))


def values_of(field: Field, sample: Value) -> st.SearchStrategy[Value]:
    """What the schema allows in `field`, where a default value tells the field's type."""
    numbers: st.SearchStrategy[Value] = st.integers(0, 100)
    if isinstance(sample, bool):
        numbers = st.booleans()
    elif isinstance(sample, float):
        numbers = st.floats(-8, 8, width=32)
    if field.element is not None:
        return st.lists(st.integers(0, 1), max_size=5).map(tuple)
    return numbers


# Their numbers must make sense together, or they have classes of their own.
GENERIC = sorted(TABLES - TYPED_TABLES)


@settings(max_examples=300)
@given(data=st.data(), table=st.sampled_from(GENERIC))
def test_any_values_of_any_option_table_survive(data: st.DataObject, table: str) -> None:
    # A table with nothing in it reads as the schema's defaults, whose types are the fields'.
    (operator,) = read_tflite(write_tflite(one_operator("ABS", SchemaOptions(table)))).operators
    assert isinstance(operator.options, SchemaOptions)
    defaults = operator.options.values
    values: dict[str, Value] = {}
    for field in table_fields(table):
        if field.key in defaults or field.element is not None:
            values[field.key] = data.draw(values_of(field, defaults.get(field.key, ())))
        else:  # a string: none is its default
            values[field.key] = data.draw(st.binary(max_size=8).filter(lambda b: 0 not in b))
    options = SchemaOptions(table, values)
    (back,) = read_tflite(write_tflite(one_operator("ABS", options))).operators
    assert back.options == options


def test_real_numbers_in_a_vector_stay_real_numbers() -> None:
    options = SchemaOptions("BucketizeOptions", {"boundaries": (-1.5, 0.0, 2.25)})
    (back,) = read_tflite(write_tflite(one_operator("BUCKETIZE", options))).operators
    assert back.options == options


def test_whole_numbers_are_real_ones_in_a_vector_of_those() -> None:
    options = SchemaOptions("BucketizeOptions", {"boundaries": (1, 2)})
    (back,) = read_tflite(write_tflite(one_operator("BUCKETIZE", options))).operators
    assert back.options == options


def test_numbers_past_31_bits_stay_what_they_are() -> None:
    options = SchemaOptions("StablehloSliceOptions", {"start_indices": (2**40, -(2**40))})
    (back,) = read_tflite(write_tflite(one_operator("STABLEHLO_SLICE", options))).operators
    assert isinstance(back.options, SchemaOptions)
    assert back.options.values["start_indices"] == (2**40, -(2**40))


@pytest.mark.parametrize(
    ("op", "options"),
    [
        ("ADD", ElementwiseOptions(pot_scale_int16=False)),
        ("SUB", ElementwiseOptions(pot_scale_int16=False)),
        (
            "FULLY_CONNECTED",
            FullyConnectedOptions(asymmetric_quantize_inputs=True, quantized_bias_type="INT32"),
        ),
    ],
)
def test_rare_options_of_typed_operators_survive(op: str, options: Options) -> None:
    (back,) = read_tflite(write_tflite(one_operator(op, options))).operators
    assert back.options == options


def test_a_typed_table_on_an_operator_of_another_name_survives() -> None:
    options = SchemaOptions("AddOptions", {"fused_activation_function": 1, "pot_scale_int16": True})
    (back,) = read_tflite(write_tflite(one_operator("DIV", options))).operators
    assert back.options == options


def test_half_precision_weights_survive() -> None:
    b = GraphBuilder("fp16")
    x = b.input("x", (1, 3), dtype=DType.FLOAT32)
    half = b.tensor(
        "w16", (2, 3), DType.FLOAT16, None, np.arange(6, dtype=np.float16).reshape(2, 3)
    )
    weights = b.dequantize(half)
    y = b.operator(
        "FULLY_CONNECTED", (x, weights, -1), FullyConnectedOptions(), dtype=DType.FLOAT32
    )
    written = write_tflite(b.build([y]))
    np.testing.assert_array_equal(read_tflite(written).tensors[half].data, [[0, 1, 2], [3, 4, 5]])
    assert litert_outputs(written)[0].shape == (1, 2)


def test_an_lstm_keeps_its_intermediates_and_runs() -> None:
    graph = lstm()
    written = write_tflite(graph)
    again = read_tflite(written)
    assert again.operators == graph.operators
    assert len(again.operators[0].intermediates) == 5
    (outputs,) = litert_outputs(written)
    assert np.any(outputs != 0)
    np.testing.assert_array_equal(litert_outputs(write_tflite(again))[0], outputs)


def test_an_intermediate_that_does_not_exist_is_named() -> None:
    with pytest.raises(ModelFileError, match="operator 0 ABS: intermediate 0 is tensor 9"):
        read_tflite(write_tflite(one_operator("ABS", SchemaOptions("AbsOptions"), (9,))))
