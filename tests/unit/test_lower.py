"""Lowering: a graph becomes steps with kernels, buffers and constants, or every reason why not."""

from __future__ import annotations

import numpy as np
import pytest
from aot_models import board, classifier

from edge_export.aot.lower import lower
from edge_export.aot.names import identifier, layer_name, unique
from edge_export.aot.package import compile_model
from edge_export.aot.program import BufferKind, ConstantRef
from edge_export.aot.regions import regions
from edge_export.errors import LoweringError, PlanError
from edge_quantize.graph import DType
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.ingest.tflite import read_tflite

PORTABLE: frozenset[str] = frozenset()


def test_a_reshape_makes_no_step_and_its_buffer_aliases_the_operands() -> None:
    program = lower(classifier(), "tiny", PORTABLE)
    reshape = next(layer for layer in program.layers if layer.op == "RESHAPE")
    assert reshape.index not in {step.layer for step in program.steps}
    aliased = [b for b in program.buffers if b.alias_of is not None]
    assert [b.name for b in aliased] == [reshape.name]
    assert program.buffer(str(aliased[0].alias_of)).size == aliased[0].size


def test_a_result_that_is_copied_out_of_an_input_never_lies_over_it() -> None:
    b = GraphBuilder("view")
    graph = b.build([b.reshape(b.input("x", (1, 4)), (2, 2))])
    compiled = compile_model(graph, board())
    (step,) = compiled.program.steps
    (source,), (result,) = step.operands, step.results
    assert step.kernel == "eag_copy"
    assert abs(compiled.plan.place(source).offset - compiled.plan.place(result).offset) >= 4


def test_every_buffer_a_step_names_exists_and_every_reference_has_its_constant() -> None:
    program = lower(classifier(), "tiny", PORTABLE)
    names = {b.name for b in program.buffers}
    constants = {c.name for c in program.constants}
    assert len(names) == len(program.buffers)
    assert len(constants) == len(program.constants)
    for step in program.steps:
        assert {*step.operands, *step.results} <= names
        for _, value in step.params.fields:
            if isinstance(value, ConstantRef) and value.constant is not None:
                assert value.constant in constants


def test_inputs_and_outputs_are_marked() -> None:
    program = lower(classifier(), "tiny", PORTABLE)
    assert [program.buffer(n).kind for n in program.inputs] == [BufferKind.INPUT]
    assert [program.buffer(n).kind for n in program.outputs] == [BufferKind.OUTPUT]


def test_constant_bytes_of_the_file_are_not_exceeded() -> None:
    graph = classifier()
    program = lower(graph, "tiny", PORTABLE)
    assert 0 < sum(c.source_bytes for c in program.constants) <= graph.constant_bytes
    assert all(c.source_bytes <= c.nbytes for c in program.constants)


def test_a_dsp_core_may_get_other_kernels_than_a_portable_one() -> None:
    portable = {s.kernel for s in lower(classifier(), "tiny", PORTABLE).steps}
    dsp = {s.kernel for s in lower(classifier(), "tiny", frozenset({"dsp"})).steps}
    assert portable != dsp


def test_every_layer_that_no_kernel_takes_is_listed() -> None:
    b = GraphBuilder("bad")
    x = b.input("x", (1, 4, 4, 2), scale=0.1)
    y = b.operator("TANH", (x,), shape=(1, 4, 4, 2), name="net/first/Tanh")
    z = b.operator("COS", (y,), shape=(1, 4, 4, 2), name="net/second/Cos")
    with pytest.raises(LoweringError) as caught:
        lower(b.build([z]), "bad", PORTABLE)
    assert len(caught.value.problems) == 2
    assert "first" in caught.value.problems[0]
    assert "COS" in caught.value.problems[1]
    assert "\n" not in str(caught.value)


def test_a_reason_that_many_kernels_share_is_told_once() -> None:
    b = GraphBuilder("nine")
    x = b.input("x", (1, 4, 4, 2), scale=0.1)
    with pytest.raises(LoweringError) as caught:
        lower(b.build([b.concatenation([x] * 9, 3)]), "nine", PORTABLE)
    (problem,) = caught.value.problems
    assert problem.endswith("9 inputs, not 2 to 8")


def test_a_float_layer_is_refused_with_its_reason() -> None:
    b = GraphBuilder("floats")
    x = b.input("x", (1, 4), dtype=DType.FLOAT32)
    w = b.constant("w", np.zeros((3, 4), np.float32))
    y = b.operator("FULLY_CONNECTED", (x, w, -1), shape=(1, 3), dtype=DType.FLOAT32)
    with pytest.raises(LoweringError, match="float"):
        lower(b.build([y]), "floats", PORTABLE)


def test_an_output_that_nothing_computes_is_refused() -> None:
    b = GraphBuilder("constant")
    b.input("x", (1, 4))
    c = b.constant("answer", np.zeros((1, 4), np.int8))
    with pytest.raises(LoweringError, match="answer is computed by no operator"):
        lower(b.build([c]), "constant", PORTABLE)


def test_a_named_kernel_is_taken_and_a_wrong_one_is_refused_with_the_reason() -> None:
    graph = classifier()
    name = lower(graph, "tiny", PORTABLE).steps[0].kernel
    program = lower(graph, "tiny", frozenset({"dsp"}), {0: name})
    assert program.steps[0].kernel == name
    with pytest.raises(PlanError, match="kernel eag_nothing is refused"):
        lower(graph, "tiny", PORTABLE, {0: "eag_nothing"})
    with pytest.raises(PlanError, match="no layer 99"):
        lower(graph, "tiny", PORTABLE, {99: name})


@pytest.mark.parametrize(
    ("file_name", "name"),
    [
        ("kws_int8.tflite", "kws_int8"),
        ("dir/My Model-v1.2.tflite", "My_Model_v1_2"),
        ("1net.tflite", "model_1net"),
        ("int.tflite", "model_int"),
        ("string.tflite", "model_string"),
        ("test.tflite", "model_test"),  # CMake's own target
        ("..tflite", "model"),
        ("größe.tflite", "gr_e"),
        ("eag_x.tflite", "model_eag_x"),
    ],
)
def test_a_c_identifier_is_made_from_the_file_name(file_name: str, name: str) -> None:
    assert identifier(file_name) == name
    assert identifier(name) == name


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("ad", ["dense", "dense_1", "dense_2"]),
        ("ic", ["conv2d", "conv2d_1", "conv2d_2", "add", "conv2d_3"]),
        ("kws", ["conv2d", "depthwise_conv2d", "conv2d_1", "depthwise_conv2d_1"]),
        ("vww", ["conv2d", "depthwise_conv2d", "conv2d_1", "depthwise_conv2d_1"]),
    ],
)
def test_layers_of_real_models_get_the_names_keras_gave_them(mlperf_tiny, model, expected) -> None:
    graph = read_tflite(mlperf_tiny(model))
    names = unique([layer_name(graph, operator) for operator in graph.operators])
    assert list(names[: len(expected)]) == expected
    assert len(set(names)) == len(names)
    assert names[-1] in ("softmax", "fully_connected")


def test_equal_names_are_told_apart() -> None:
    assert unique(["a", "a", "a_2", "a"]) == ("a", "a_2", "a_2_2", "a_3")


def test_regions_of_the_board_leave_out_what_is_reserved_and_put_dtcm_first() -> None:
    found = regions(board())
    assert found[0].name == "dtcm"
    assert found[0].capacity == 65536 - 16384
    assert [r.name for r in found if not r.writable] == ["flash"]
    itcm = next(r for r in found if r.name == "itcm")
    assert itcm.preference >= 100
