"""Post-training quantization, whole: calibrate, plan, write."""

from __future__ import annotations

from dataclasses import dataclass

from edge_quantize.data.samples import Samples
from edge_quantize.graph.model import Graph

from .calibrate import Calibration, Progress, calibrate
from .emit import emit
from .plan import make_plan
from .prepare import float_graph, rounded_weights
from .recipe import Precision, Recipe
from .refine import refine


@dataclass(frozen=True, eq=False)
class Quantized:
    """`layers` has (name, operator, precision) of every operator of the float model; `notes` are
    remarks for the user, a line each."""

    graph: Graph
    layers: tuple[tuple[str, str, Precision], ...]
    notes: tuple[str, ...] = ()


def quantize(
    graph: Graph,
    samples: Samples | None,
    recipe: Recipe | None = None,
    *,
    progress: Progress | None = None,
    calibration: Calibration | None = None,
) -> Quantized:
    """`graph` in the precisions of `recipe`, its ranges from `samples`, or from the `calibration`
    that `calibrate` gave for the same graph, for whoever quantizes one model many times.

    Raises RecipeError for a rule that matches no layer, UnsupportedModelError for a model that
    cannot be quantized or a layer without an integer form, InputDataError for samples that are
    missing or give no numbers.
    """
    recipe = recipe or Recipe()
    notes = []
    rounded = rounded_weights(graph)
    if rounded:
        notes.append(f"{len(rounded)} constants were rounded before, {rounded[0]} first")
    floating = float_graph(graph)
    recipe.check(floating)
    if calibration is None and samples is not None:
        calibration = calibrate(floating, samples, progress)
    plan = make_plan(floating, recipe, calibration)
    emission = emit(floating, plan)
    made = emission.graph
    if samples is not None and (recipe.correct_bias or recipe.adaptive_rounding):
        made = refine(floating, emission, samples, recipe, progress)
    layers = tuple((layer.name, layer.operator.op, layer.scheme.precision) for layer in plan.layers)
    return Quantized(made, layers, tuple(notes))
