"""Post-training quantization, whole: calibrate, plan, write."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from edge_quantize.data.samples import Samples
from edge_quantize.errors import InputDataError
from edge_quantize.graph.model import Graph
from edge_quantize.quality import logits
from edge_quantize.run import outputs

from .calibrate import Calibration, Progress, calibrate
from .emit import emit
from .equalize import equalize, pairs
from .plan import effective, make_plan
from .prepare import float_graph, rounded_weights
from .recipe import Precision, Recipe
from .refine import refine
from .soundness import check_file, check_outputs

_NOISE_SAMPLES = 4
_MOST_TO_CHOOSE = 48  # samples that decide whether equalization stays


@dataclass(frozen=True, eq=False)
class Quantized:
    """`layers` has (name, operator, precision) of every operator of the float model; `floating` is
    that model as it was quantized: equalized, where that helped, so that its layers' values are
    those that the layers of `graph` come near. `notes` are remarks for the user, a line each."""

    graph: Graph
    layers: tuple[tuple[str, str, Precision], ...]
    floating: Graph
    notes: tuple[str, ...] = ()


def quantize(
    graph: Graph,
    samples: Samples | None,
    recipe: Recipe | None = None,
    *,
    progress: Progress | None = None,
    calibration: Calibration | None = None,
    verify: bool = True,
) -> Quantized:
    """`graph` in the precisions of `recipe`, its ranges from `samples`, or from the `calibration`
    that `calibrate` gave for the same graph, for whoever quantizes one model many times.

    `samples` may be None where no layer has integer activations. The result is run before it is
    handed out, unless `verify` is off.

    Raises RecipeError for a rule that matches no layer or none that can have its precision,
    UnsupportedModelError for a model that cannot be quantized or a layer without an integer form,
    InputDataError for samples that are missing or give no numbers, UnsoundResultError for a result
    that is wrong (see `soundness`).
    """
    floating = float_graph(graph)
    recipe = (recipe or Recipe()).named(floating)
    recipe.check(floating)
    notes = [*_rounded(graph), *recipe.notes(floating)]
    integers = _integer_layers(floating, recipe)
    if integers and samples is None and calibration is None:
        raise InputDataError(
            f"layer '{integers[0]}' gets integer activations, whose ranges come from samples: "
            "give some (--data)"
        )
    if calibration is None and samples is not None and integers:
        calibration = calibrate(floating, samples, progress)
    base = floating
    if recipe.equalize and integers and samples is not None and calibration is not None:
        base, calibration, note = _equalized(floating, samples, recipe, calibration, progress)
        notes += note
    plan = make_plan(base, recipe, calibration)
    emission = emit(base, plan, biases=recipe.correct_bias)
    made = emission.graph
    if samples is not None and integers and (recipe.correct_bias or recipe.adaptive_rounding):
        made = refine(base, emission, samples, recipe, progress)
    layers = tuple(
        (layer.name, layer.operator.op, effective(floating, layer)) for layer in plan.layers
    )
    if verify:
        check_file(floating, made, {name: precision for name, _, precision in layers})
        # Layers between equalized pairs are scaled: the equalized model is what they come from.
        check_outputs(base, made, samples or _noise(floating), real=samples is not None)
    return Quantized(made, layers, base, tuple(notes))


def _equalized(
    graph: Graph,
    samples: Samples,
    recipe: Recipe,
    calibration: Calibration,
    progress: Progress | None,
) -> tuple[Graph, Calibration, tuple[str, ...]]:
    """`graph`, or the equalized one where its outputs lose less on the samples, both quantized
    without adaptive rounding; with its calibration, and a note when it was taken.

    Equalization evens out weights; what that does to activations can cost more than it brings.
    """
    other = equalize(graph, samples)
    if other is graph:
        return graph, calibration, ()
    rows = np.linspace(0, len(samples) - 1, min(_MOST_TO_CHOOSE, len(samples))).astype(np.intp)
    few = samples.take(np.unique(rows))
    wanted = outputs(logits(graph), few)
    plain = replace(recipe, adaptive_rounding=False)

    def lost(candidate: Graph, found: Calibration) -> float:
        emission = emit(candidate, make_plan(candidate, plain, found), plain.correct_bias)
        made = emission.graph
        if plain.correct_bias:
            made = refine(candidate, emission, few, plain)
        given = outputs(logits(made), few)
        return sum(float(((a - b) ** 2).sum()) for a, b in zip(wanted, given, strict=True))

    second = calibrate(other, samples, progress)
    if lost(other, second) < lost(graph, calibration):
        return other, second, (f"{len(pairs(graph))} pairs of layers equalized",)
    return graph, calibration, ()


def _integer_layers(graph: Graph, recipe: Recipe) -> list[str]:
    return [
        graph.layer_name(o) for o in graph.operators if recipe.scheme(graph, o).precision.integer
    ]


def _rounded(graph: Graph) -> Iterator[str]:
    """A note on a model that has lost something already."""
    names = rounded_weights(graph)
    if names:
        more = f" and {len(names) - 1} more" if len(names) > 1 else ""
        yield (
            f"constant '{names[0]}'{more} had been rounded before (int8 or float16): what they "
            "stand for is what was quantized"
        )


def _noise(graph: Graph) -> Samples:
    """Something to run a model on that nobody gave samples for."""
    random = np.random.default_rng(0)
    inputs = []
    for index in graph.inputs:
        tensor = graph.tensors[index]
        values = random.standard_normal((_NOISE_SAMPLES, *tensor.shape[1:]))
        if tensor.dtype.numpy.kind != "f":
            values = np.zeros_like(values)
        inputs.append(values.astype(tensor.dtype.numpy))
    return Samples(tuple(inputs), source="noise")
