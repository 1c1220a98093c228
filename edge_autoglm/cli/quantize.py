"""`edge-autoglm quantize`: a float model in integers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .common import (
    HtmlOption,
    JsonOption,
    SamplesOption,
    ScaleOption,
    any_model,
    check_samples,
    data_notes,
    one_of,
    output,
    progress,
    shown,
    write_json,
)

if TYPE_CHECKING:
    from edge_quantize.data import Samples
    from edge_quantize.graph import Graph
    from edge_quantize.ptq import Recipe

PRECISIONS = ("int8", "int16x8", "int4", "float16", "dynamic")
_DEFAULT_SAMPLES = 160
_HELD_BACK = 0.2
_LEAST_TO_HOLD_BACK = 10


def quantize(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A float model: .tflite, or what convert takes.")
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="D",
            help="Samples to take ranges from: a .npz or .npy file, a folder of WAV or pictures, "
            "or MODULE:FUNCTION. float16 and dynamic need none.",
        ),
    ] = None,
    precision: Annotated[
        str | None,
        typer.Option(
            "--precision",
            metavar="P",
            callback=one_of("--precision", PRECISIONS),
            help=f"Of all layers: {', '.join(PRECISIONS)} (default: int8).",
        ),
    ] = None,
    recipe: Annotated[
        Path | None,
        typer.Option("--recipe", metavar="R", help="A TOML file that says it layer by layer."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The .tflite (default: NAME_PRECISION.tflite)."
        ),
    ] = None,
    float_io: Annotated[
        bool, typer.Option("--float-io", help="Inputs and outputs stay float32.")
    ] = False,
    samples: SamplesOption = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Which samples are held back.")
    ] = 0,
    scale: ScaleOption = None,
    json: JsonOption = None,
    html: HtmlOption = None,
) -> None:
    """Quantize MODEL after training, and show what it lost.

    160 of the samples are used, evenly of all, unless --samples says otherwise. Most give the
    ranges; a fifth is held back, and what was lost is measured on that. The result is run, and not
    written when it is wrong.
    """
    from edge_autoglm.errors import UsageError
    from edge_autoglm.files import check_writable, write_whole
    from edge_autoglm.report.html import write_html
    from edge_autoglm.report.quantization import stages_table
    from edge_autoglm.report.quantized import quantized_json, quantized_report
    from edge_autoglm.report.tables import table, wrapped
    from edge_quantize.graph.writer import write_tflite
    from edge_quantize.ptq import quantize as run
    from edge_quantize.ptq.prepare import float_graph

    if precision is not None and recipe is not None:
        raise UsageError("--precision and --recipe: one of the two; a recipe has [default]")
    wanted = _recipe(precision, recipe, float_io)
    name = Path(model.rpartition(":")[2] or model).name.split(".")[0]
    target = out or Path(f"{name}_{wanted.default.precision.value}.tflite")
    if target.suffix != ".tflite":
        raise UsageError(f"-o {target}: name a .tflite file")
    check_samples(samples)
    if target.exists() and Path(model).exists() and target.samefile(model):
        raise UsageError(f"{target}: is the MODEL itself; name another file with -o")
    check_writable(target)
    source = any_model(model)
    graph = float_graph(source)
    wanted = wanted.named(graph)
    wanted.check(graph)
    found = _samples(data, graph, wanted, samples, scale)
    kept, held = _split(found, seed)
    with progress("quantizing") as advance:
        reduced, remarks = _folded(graph, wanted, advance)
        rounded = source if reduced is graph else reduced
        result = run(rounded, kept, wanted, progress=advance)
        content = write_tflite(result.graph)
        report = quantized_report(graph, result, held, len(content), advance, facts=(
            ("model", model), *((("data", data),) if data else ()),
        ))  # fmt: skip
    write_whole(target, content)
    console = output(json)
    for grid in report.grids:
        console.print(table(grid.title, grid.columns, grid.rows))
    console.print(stages_table(report.title, report.before, report.after))
    for note in (*remarks, *report.notes, f"Written: {shown(target)}"):
        console.print(wrapped(note, "  "), soft_wrap=True)
    write_html(html, report)
    write_json(json, quantized_json(result, report, target))


def _folded(graph: Graph, recipe: Recipe, advance: Any) -> tuple[Graph, tuple[str, ...]]:
    """What follows from the model alone is folded first: batch norms, activations, constants."""
    from edge_quantize.errors import RecipeError
    from edge_quantize.passes import lossless

    found = lossless(graph, lambda done, total, _: advance(done, total, "folding"))
    try:
        recipe.check(found.graph)
    except RecipeError as error:
        return graph, (
            f"Nothing was folded, since the recipe names a layer that would go ({error}).",
        )
    return found.graph, tuple(found.notes)


def _recipe(precision: str | None, path: Path | None, float_io: bool) -> Recipe:
    from dataclasses import replace

    from edge_quantize.ptq import Precision, Recipe
    from edge_quantize.ptq.recipe_file import read_recipe

    if path is None:
        return Recipe.uniform(Precision(precision or "int8"), float_io=float_io)
    found = read_recipe(path)
    return replace(found, float_io=found.float_io or float_io)


def _samples(
    data: str | None, graph: Graph, recipe: Recipe, most: int | None, scale: str | None
) -> Samples | None:
    from edge_quantize.data import load_samples
    from edge_quantize.errors import InputDataError

    if data is not None:
        found = load_samples(data, graph, scale=scale, most=most or _DEFAULT_SAMPLES)
        data_notes(found)
        return found
    layers = [o for o in graph.operators if recipe.scheme(graph, o).precision.integer]
    if layers:
        precision = recipe.scheme(graph, layers[0]).precision.value
        raise InputDataError(
            f"{precision} needs samples to take the ranges of activations from: --data FILE; "
            "without data there are --precision float16 and dynamic"
        )
    return None


def _split(samples: Samples | None, seed: int) -> tuple[Samples | None, Samples | None]:
    """(for ranges, held back); too few to hold any back give the same twice."""
    if samples is None or len(samples) < _LEAST_TO_HOLD_BACK:
        return samples, None
    return samples.split(_HELD_BACK, seed)
