"""The figures that quantization has to reach, on real models and real inputs.

Ranges come from other recordings and photographs than what is measured on.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from edge_quantize.check import check_supported
from edge_quantize.data import Samples
from edge_quantize.graph.model import Graph
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.ptq import Precision, Recipe, Scheme, quantize
from edge_quantize.ptq.prepare import float_graph
from edge_quantize.quality import evaluate, logits
from edge_quantize.run import Floats, outputs

Find = Callable[[str], Path]
TOOLS = Path(__file__).resolve().parents[2] / "tools"


@cache
def bench_data() -> ModuleType:
    """The inputs of `make bench-quantize`."""
    spec = importlib.util.spec_from_file_location("quantize_data", TOOLS / "quantize_data.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ad(shared_data: Path) -> tuple[Graph, Samples, Samples, Floats]:
    graph = float_graph(read_tflite(shared_data / "mlperf_tiny" / "ad_float.tflite"))
    seen, measured = bench_data().machine_sound(shared_data)
    return graph, seen, measured, outputs(graph, measured)[0]


def rmse(one: Floats, other: Floats) -> float:
    return float(np.sqrt(((one - other) ** 2).mean()))


def scores(values: Floats, data: Samples) -> Floats:
    """The anomaly score of each window."""
    found: Floats = ((values - data.inputs[0]) ** 2).mean(axis=1)
    return found


def test_ad_in_int8(ad: tuple[Graph, Samples, Samples, Floats]) -> None:
    graph, seen, measured, wanted = ad
    made = quantize(graph, seen).graph
    assert not check_supported(made)
    (given,) = outputs(made, measured)
    assert rmse(given, wanted) <= 0.20
    assert rmse(scores(given, measured), scores(wanted, measured)) <= 0.12


def test_ad_in_int8_with_one_scale_a_tensor(ad: tuple[Graph, Samples, Samples, Floats]) -> None:
    graph, seen, measured, wanted = ad
    made = quantize(graph, seen, Recipe(default=Scheme(per_channel=False))).graph
    assert rmse(outputs(made, measured)[0], wanted) <= 0.30


def test_the_reference_int8_model_of_ad_is_where_it_is_said_to_be(
    ad: tuple[Graph, Samples, Samples, Floats], mlperf_tiny: Find
) -> None:
    _, _, measured, wanted = ad
    (given,) = outputs(read_tflite(mlperf_tiny("ad")), measured)
    assert rmse(given, wanted) == pytest.approx(0.78, abs=0.01)
    assert rmse(scores(given, measured), scores(wanted, measured)) == pytest.approx(0.64, abs=0.01)


def test_ad_with_its_most_sensitive_layers_in_16x8(
    ad: tuple[Graph, Samples, Samples, Floats],
) -> None:
    """The layers are chosen on the calibration windows; weights are rounded plainly in all, so that
    they are the same."""
    graph, seen, measured, wanted = ad
    plain = Recipe(adaptive_rounding=False)
    names = [graph.layer_name(operator) for operator in graph.operators]
    (reference,) = outputs(graph, seen)

    def made(layers: list[str]) -> Graph:
        recipe = plain.with_layers(dict.fromkeys(layers, Precision.INT16X8))
        return quantize(graph, seen, recipe, verify=False).graph

    alone = {name: rmse(outputs(made([name]), seen)[0], reference) for name in names}
    best = sorted(names, key=lambda name: alone[name])[: len(names) // 2]
    uniform = rmse(outputs(made([]), measured)[0], wanted)
    mixed = rmse(outputs(made(best), measured)[0], wanted)
    assert mixed <= 0.85 * uniform


SETS: dict[str, Callable[[Path], tuple[Samples, Samples]]] = {
    "kws": lambda folder: bench_data().speech(folder),
    "ic": lambda _: bench_data().photographs(32, 255),
    "vww": lambda _: bench_data().photographs(96, 1),
}


@pytest.mark.parametrize("name", SETS)
def test_no_worse_than_the_reference_int8_model(
    name: str, shared_data: Path, mlperf_tiny: Find
) -> None:
    seen, measured = SETS[name](shared_data)
    graph = float_graph(read_tflite(mlperf_tiny(f"{name}_float.tflite")))
    wanted = outputs(logits(graph), measured)

    def sqnr(candidate: Graph) -> float:
        return evaluate(logits(candidate), measured, wanted).sqnr_db

    eight = quantize(graph, seen).graph
    assert not check_supported(eight)
    found = sqnr(eight)
    assert found >= sqnr(read_tflite(mlperf_tiny(name)))
    sixteen = quantize(graph, seen, Recipe.uniform(Precision.INT16X8)).graph
    assert sqnr(sixteen) > found


def test_ad_in_16x8(ad: tuple[Graph, Samples, Samples, Floats]) -> None:
    graph, seen, measured, wanted = ad
    eight, sixteen = (
        quantize(graph, seen, Recipe.uniform(p)).graph for p in (Precision.INT8, Precision.INT16X8)
    )
    errors = [rmse(outputs(g, measured)[0], wanted) for g in (eight, sixteen)]
    assert errors[1] < errors[0]
