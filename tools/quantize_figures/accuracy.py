"""Errors of quantized models against the float ones, beside the reference int8 models'."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from quantize_data import machine_sound, photographs, pseudo_random, speech

from edge_quantize.data import Samples
from edge_quantize.graph import Graph
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.ptq import Precision, Recipe, quantize
from edge_quantize.ptq.prepare import float_graph
from edge_quantize.quality import compare_outputs, logits
from edge_quantize.run import outputs, real

from .row import Row

Floats = npt.NDArray[np.float32]
AD_RMSE, AD_RMSE_PER_TENSOR, AD_SCORE = 0.20, 0.30, 0.12
MIXED_GAIN = 0.15
WEIGHTED = {"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"}


def model(folder: Path, name: str) -> Graph:
    """A model of the folder. Of the float ones kws holds some weights as int8, for kernels that
    round activations as they run: those weights are taken as the numbers they stand for."""
    graph = read_tflite(folder / "mlperf_tiny" / f"{name}.tflite")
    return float_graph(graph) if name.endswith("_float") else graph


def rmse(first: Floats, second: Floats) -> float:
    return float(np.sqrt(np.mean((first.astype(np.float64) - second) ** 2)))


def scores(windows: Floats, answers: Floats) -> npt.NDArray[np.float64]:
    """The anomaly score of each window: the mean squared error of input against output."""
    return np.asarray(((windows.astype(np.float64) - answers) ** 2).mean(axis=1))


def per_tensor(recipe: Recipe) -> Recipe:
    return replace(recipe, default=replace(recipe.default, per_channel=False))


def ad(folder: Path) -> Iterator[Row]:
    """RMSE of output and score over windows 98-195, calibrated on windows 0-97."""
    graph = model(folder, "ad_float")
    calibration, measured = machine_sound(folder)
    (windows,) = measured.inputs
    (wanted,) = outputs(graph, measured)
    (given,) = outputs(model(folder, "ad_int8"), measured)
    yield Row("reference int8: RMSE of output", rmse(given, wanted))
    yield Row(
        "reference int8: RMSE of score", rmse(scores(windows, given), scores(windows, wanted))
    )
    recipe = Recipe.uniform(Precision.INT8)
    for title, asked, target in (
        ("int8", recipe, AD_RMSE),
        ("int8, weights per tensor", per_tensor(recipe), AD_RMSE_PER_TENSOR),
    ):
        (got,) = outputs(quantize(graph, calibration, asked).graph, measured)
        yield Row(f"{title}: RMSE of output", rmse(got, wanted), most=target)
        if title == "int8":
            error = rmse(scores(windows, got), scores(windows, wanted))
            yield Row(f"{title}: RMSE of score", error, most=AD_SCORE)


def _parts(folder: Path) -> dict[str, tuple[Samples, Samples]]:
    return {"kws": speech(folder), "ic": photographs(32, 255), "vww": photographs(96, 1)}


def sqnr(reference: Graph, candidate: Graph, samples: Samples) -> float:
    """At the outputs, in dB."""
    quality = compare_outputs(outputs(reference, samples), outputs(candidate, samples))
    return quality.sqnr_db


def logits_rows(folder: Path) -> Iterator[Row]:
    """SQNR before SOFTMAX against the reference int8 model's on the same samples."""
    for name, (calibration, measured) in _parts(folder).items():
        graph = model(folder, f"{name}_float")
        cut, reference = logits(graph), logits(model(folder, f"{name}_int8"))
        ours = logits(quantize(graph, calibration, Recipe.uniform(Precision.INT8)).graph)
        theirs = sqnr(cut, reference, measured)
        yield Row(f"{name}: reference int8", theirs, "dB")
        yield Row(f"{name}: int8", sqnr(cut, ours, measured), "dB", least=theirs)
        low, high = (float(f(calibration.inputs[0])) for f in (np.min, np.max))
        noise = pseudo_random(calibration.inputs[0].shape[1:], low, high)
        yield Row(f"{name}: reference int8, noise", sqnr(cut, reference, noise), "dB")
        yield Row(f"{name}: int8, noise", sqnr(cut, ours, noise), "dB")


def with_rounded_weights(graph: Graph, recipe: Recipe, samples: Samples) -> Graph:
    """The float graph with the weights that `recipe` leaves, as floats: their rounding alone."""
    small = quantize(graph, samples, recipe).graph
    found = {
        small.layer_name(o): small.tensors[o.inputs[1]] for o in small.operators if o.op in WEIGHTED
    }
    tensors = list(graph.tensors)
    for operator in graph.operators:
        if operator.op in WEIGHTED:
            weights = found[graph.layer_name(operator)]
            assert weights.data is not None
            index = operator.inputs[1]
            tensors[index] = replace(tensors[index], data=real(weights.data, weights.quantization))
    return replace(graph, tensors=tuple(tensors))


def int16x8(folder: Path) -> Iterator[Row]:
    """SQNR of 16x8 above int8's on each model; and what the weights' rounding alone costs."""
    parts = {"ad": machine_sound(folder), **_parts(folder)}
    plain = Recipe.uniform(Precision.INT16X8, adaptive_rounding=False, correct_bias=False)
    for name, (calibration, measured) in parts.items():
        graph = model(folder, f"{name}_float")
        cut = logits(graph)
        small = logits(quantize(graph, calibration, Recipe.uniform(Precision.INT8)).graph)
        large = logits(quantize(graph, calibration, Recipe.uniform(Precision.INT16X8)).graph)
        rounded = logits(with_rounded_weights(graph, plain, calibration))
        floor = sqnr(cut, small, measured)
        yield Row(f"{name}: int8", floor, "dB")
        yield Row(f"{name}: int16x8", sqnr(cut, large, measured), "dB", least=floor)
        yield Row(f"{name}: float, weights to nearest", sqnr(cut, rounded, measured), "dB")


def mixed(folder: Path) -> Iterator[Row]:
    """ad with half of its layers in 16x8 against int8 alone: the layers that bring most, each tried
    alone on the calibration windows.

    The target is for the same weights: plainly rounded ones, since what is fitted to outputs is
    fitted anew for each recipe.
    """
    graph = model(folder, "ad_float")
    calibration, measured = machine_sound(folder)
    (wanted,) = outputs(graph, measured)
    (seen,) = outputs(graph, calibration)
    names = [graph.layer_name(operator) for operator in graph.operators]
    plain = Recipe.uniform(Precision.INT8, adaptive_rounding=False)

    def error(recipe: Recipe, wide: list[str], samples: Samples, reference: Floats) -> float:
        asked = recipe.with_layers(dict.fromkeys(wide, Precision.INT16X8))
        made = quantize(graph, calibration, asked, verify=False).graph
        return rmse(outputs(made, samples)[0], reference)

    alone = {name: error(plain, [name], calibration, seen) for name in names}
    best = sorted(names, key=lambda name: alone[name])[: len(names) // 2]
    for title, recipe in (("plain", plain), ("fitted", Recipe.uniform(Precision.INT8))):
        narrow, wide = (error(recipe, layers, measured, wanted) for layers in ([], best))
        yield Row(f"{title} weights: int8, RMSE", narrow)
        yield Row(f"{title} weights: {len(best)} of {len(names)} layers int16x8, RMSE", wide)
        least = 100 * MIXED_GAIN if recipe is plain else None
        yield Row(f"{title} weights: gain of mixing", 100 * (1 - wide / narrow), "%", least=least)
