"""The host references: who may say "bit-exact", and what they refuse."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from edge_quantize.errors import ReferenceRuntimeError, UnsupportedModelError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.model import DType, Graph
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.inputs import lcg_inputs
from edge_quantize.reference import (
    LiteRtReference,
    Reference,
    TflmReference,
    best_reference,
    tflm_available,
    verdict,
)

needs_tflm = pytest.mark.skipif(not tflm_available(), reason="no tflite_micro wheel here")
Maker = Callable[..., Reference]
RUNTIMES = [pytest.param(TflmReference, marks=needs_tflm), LiteRtReference]


def doubling_graph() -> Graph:
    b = GraphBuilder("doubling")
    x = b.input("x", (1, 4), 1.0)
    y = b.operator("RELU", (x,), scale=0.5, zero_point=0)
    return b.build([b.elementwise("ADD", y, y, 1.0, 0)])


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_run_computes_what_the_operators_say(runtime: Maker) -> None:
    (output,) = runtime(doubling_graph()).run([np.array([[-3, 0, 5, 9]], np.int8)])
    assert output.tolist() == [[0, 0, 10, 18]]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_outputs_of_one_run_outlive_the_next(runtime: Maker) -> None:
    reference = runtime(doubling_graph())
    (first,) = reference.run([np.array([[1, 1, 1, 1]], np.int8)])
    reference.run([np.array([[9, 9, 9, 9]], np.int8)])
    assert first.tolist() == [[2, 2, 2, 2]]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_intermediate_tensors_are_kept_when_asked(runtime: Maker) -> None:
    reference = runtime(doubling_graph(), preserve=True)
    reference.run([np.array([[-3, 0, 5, 9]], np.int8)])
    kept = reference.tensors()
    assert {index: array.tolist() for index, array in kept.items()} == {
        1: [[0, 0, 10, 18]],
        2: [[0, 0, 10, 18]],
    }


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_intermediate_tensors_that_were_not_kept_are_refused(runtime: Maker) -> None:
    reference = runtime(doubling_graph())
    reference.run([np.zeros((1, 4), np.int8)])
    with pytest.raises(ReferenceRuntimeError, match="preserve=True"):
        reference.tensors()
    with pytest.raises(ReferenceRuntimeError, match="no inference has run"):
        runtime(doubling_graph(), preserve=True).tensors()


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([], "inputs: 0 given, the model has 1"),
        ([np.zeros((1, 3), np.int8)], r"int8\[1, 3\] given, the model takes int8\[1, 4\]"),
        ([np.zeros((1, 4), np.float32)], "float32"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(
    runtime: Maker, inputs: list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]], said: str
) -> None:
    with pytest.raises(ReferenceRuntimeError, match=said):
        runtime(doubling_graph()).run(inputs)


@needs_tflm
@pytest.mark.parametrize("name", ["ad", "kws", "ic", "vww"])
def test_keeping_tensors_changes_no_output(mlperf_tiny: Callable[[str], Path], name: str) -> None:
    model = mlperf_tiny(name).read_bytes()
    graph = read_tflite(model)
    plain, keeping = TflmReference(model), TflmReference(model, preserve=True)
    state = 2
    for _ in range(3):
        inputs, state = lcg_inputs(graph, state)
        (a,), (b,) = plain.run(inputs), keeping.run(inputs)
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(keeping.tensors()[graph.outputs[0]], b)


@needs_tflm
@pytest.mark.parametrize(("name", "most"), [("ad", 2), ("kws", 0), ("ic", 0), ("vww", 0)])
def test_litert_is_close_to_tflite_micro(
    mlperf_tiny: Callable[[str], Path], name: str, most: int
) -> None:
    model = mlperf_tiny(name).read_bytes()
    inputs, _ = lcg_inputs(read_tflite(model))
    (a,), (b,) = TflmReference(model).run(inputs), LiteRtReference(model).run(inputs)
    assert int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max()) <= most


@needs_tflm
def test_a_real_keyword_is_recognised(
    mlperf_tiny: Callable[[str], Path], shared_data: Path
) -> None:
    sample = np.load(shared_data / "mlperf_tiny" / "kws_samples.npy")
    (scores,) = TflmReference(mlperf_tiny("kws").read_bytes()).run([sample])
    assert int(scores.argmax()) == 5


@needs_tflm
def test_models_that_could_abort_the_process_are_never_given_to_tflite_micro() -> None:
    b = GraphBuilder("abort")
    x, y = b.input("x", (1, 4), 1000.0), b.input("y", (1, 4), 1.0)
    graph = b.build([b.elementwise("ADD", x, y, 1e-3, 0)])
    with pytest.raises(UnsupportedModelError, match="too small for operands"):
        TflmReference(graph)


def test_litert_runs_operators_whose_options_are_only_listed_here() -> None:
    b = GraphBuilder("leaky")
    x = b.input("x", (1, 2), dtype=DType.FLOAT32)
    y = b.operator("LEAKY_RELU", (x,), shape=(1, 2), dtype=DType.FLOAT32)
    model = schema.ModelT.InitFromPackedBuf(write_tflite(b.build([y])))
    operator = model.subgraphs[0].operators[0]
    operator.builtinOptionsType = schema.BuiltinOptions.LeakyReluOptions
    operator.builtinOptions = schema.LeakyReluOptionsT()
    operator.builtinOptions.alpha = 0.5
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    reference = LiteRtReference(bytes(builder.Output()))
    (output,) = reference.run([np.array([[-4, 3]], np.float32)])
    assert output.tolist() == [[-2, 3]]


def test_a_model_that_litert_lacks_is_refused_in_words() -> None:
    b = GraphBuilder("odd")
    x = b.input("x", (1, 4), dtype=DType.UINT64)
    graph = b.build([b.operator("RELU", (x,), shape=(1, 4), dtype=DType.UINT64)])
    with pytest.raises(ReferenceRuntimeError, match="odd: LiteRT"):
        LiteRtReference(graph).run([np.zeros((1, 4), np.uint64)])


@needs_tflm
def test_the_bit_exact_reference_is_preferred() -> None:
    reference = best_reference(doubling_graph())
    assert (reference.name, reference.bit_exact) == ("tflite_micro", True)


def test_without_the_wheel_litert_takes_over_and_claims_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in [m for m in sys.modules if m.startswith("tflite_micro")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "tflite_micro", None)
    reference = best_reference(doubling_graph())
    assert (reference.name, reference.bit_exact) == ("LiteRT", False)
    assert verdict(reference, 0) == "within 0 LSB of LiteRT"
    with pytest.raises(ReferenceRuntimeError, match=r"pip install 'edge-autoglm\[reference\]'"):
        TflmReference(doubling_graph())


@needs_tflm
def test_only_equality_with_tflite_micro_is_bit_exactness() -> None:
    exact, close = TflmReference(doubling_graph()), LiteRtReference(doubling_graph())
    assert verdict(exact, 0) == "bit-exact to tflite_micro"
    assert verdict(exact, 2) == "within 2 LSB of tflite_micro"
    assert verdict(close, 1) == "within 1 LSB of LiteRT"
