"""`edge-autoglm prune`: a model with fewer channels, or with weights that compress."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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

METHODS = ("channels", "weights", "clusters")
IMPORTANCES = ("activation", "taylor", "magnitude")


def prune(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A float model: .tflite, or what convert takes.")
    ],
    out: Annotated[
        Path,
        typer.Option("-o", "--output", metavar="FILE", help="m.tflite, or m.keras."),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            metavar="D",
            help="Samples, labelled for --finetune: a .npz or .npy file, a folder of WAV or "
            "pictures, or MODULE:FUNCTION. --importance magnitude --no-repair needs none.",
        ),
    ] = None,
    sparsity: Annotated[
        str | None,
        typer.Option(
            "--sparsity",
            metavar="S",
            help="The share that goes, 0.5 or 50%: of all channels that can go, or of the weights.",
        ),
    ] = None,
    target_macs: Annotated[
        str | None,
        typer.Option("--target-macs", metavar="N", help="Instead: at most N MACs are left (9M)."),
    ] = None,
    method: Annotated[
        str,
        typer.Option(
            "--method",
            metavar="M",
            callback=one_of("--method", METHODS),
            help="channels: faster and smaller. weights, clusters: smaller only where the model "
            "is stored compressed.",
        ),
    ] = "channels",
    importance: Annotated[
        str,
        typer.Option(
            "--importance",
            metavar="I",
            callback=one_of("--importance", IMPORTANCES),
            help="How channels are weighed: activation (default), taylor (gradients) or magnitude "
            "(no data).",
        ),
    ] = "activation",
    repair: Annotated[
        bool,
        typer.Option(
            "--repair/--no-repair", help="Fit the layers behind removed channels to the data."
        ),
    ] = True,
    align: Annotated[
        int,
        typer.Option(
            "--align", metavar="N", min=1, help="Layers keep a multiple of N channels (DSP: 4)."
        ),
    ] = 4,
    everywhere: Annotated[
        bool,
        typer.Option("--global", help="weights: the smallest of all layers, not of each."),
    ] = False,
    pattern: Annotated[
        str | None,
        typer.Option("--pattern", metavar="N:M", help="weights: N of each M in a row stay."),
    ] = None,
    clusters: Annotated[
        int | None,
        typer.Option(
            "--clusters", metavar="K", help="clusters: values that a layer shares, 2 to 256."
        ),
    ] = None,
    finetune: Annotated[
        int | None,
        typer.Option("--finetune", metavar="EPOCHS", help="Train a Keras model on, so long."),
    ] = None,
    distill: Annotated[
        float,
        typer.Option(
            "--distill",
            metavar="SHARE",
            help="The part of the loss that is the distance to the original model's answers "
            "(0.5 is a good one).",
        ),
    ] = 0.0,
    temperature: Annotated[
        float, typer.Option("--temperature", metavar="T", help="Softens those answers.")
    ] = 4.0,
    loss: Annotated[
        str,
        typer.Option(
            "--loss", metavar="L", help="auto (cross-entropy, or mse for targets), or Keras' name."
        ),
    ] = "auto",
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", metavar="R", help="Its highest; it falls to 0.")
    ] = 1e-3,
    batch: Annotated[
        int, typer.Option("--batch", metavar="N", min=1, help="Samples a training step.")
    ] = 32,
    seed: Annotated[
        int,
        typer.Option("--seed", metavar="N", min=0, help="Of training, and of what is held back."),
    ] = 0,
    samples: SamplesOption = None,
    scale: ScaleOption = None,
    json: JsonOption = None,
    html: HtmlOption = None,
) -> None:
    """Prune MODEL: channels, single weights, or shared values.

    A fifth of the samples is held back, and what was lost is measured on that, on 512 at most;
    channels are weighed on 256 at most. --samples uses fewer of all.
    """
    from dataclasses import replace

    from edge_autoglm.errors import UsageError
    from edge_autoglm.files import check_writable, write_whole
    from edge_autoglm.pruning import Request, capped
    from edge_autoglm.pruning import prune as run
    from edge_autoglm.report.html import write_html
    from edge_autoglm.report.pruned import pruned_json, pruned_report
    from edge_autoglm.report.quantization import stages_table
    from edge_autoglm.report.tables import table, wrapped
    from edge_quantize.prune.training import FineTuning

    tuning = None
    if finetune is not None:
        tuning = FineTuning(finetune, loss, learning_rate, batch, distill, temperature, seed)
    elif distill:
        raise UsageError("--distill: is part of fine-tuning; add --finetune EPOCHS")
    what = _what(method, sparsity, target_macs, importance, repair, align, everywhere, pattern,
                 clusters)  # fmt: skip
    request = Request(
        model, out, what, (clusters or 0) if method == "clusters" else 0, tuning, seed
    )
    check_samples(samples)
    if data is None and (tuning is not None or getattr(what, "needs_data", False)):
        raise UsageError(
            "--data: is needed" + (" for fine-tuning, with labels" if tuning else
            f" for {importance} importance" + (" and repair" if repair else "")
            + "; --importance magnitude --no-repair needs none")
        )  # fmt: skip
    if out.exists() and Path(model).exists() and out.samefile(model):
        raise UsageError(f"{out}: is the MODEL itself; name another file with -o")
    check_writable(out)

    def load(graph: Graph) -> Samples | None:
        from edge_quantize.data import load_samples

        if data is None:
            return None
        found = load_samples(data, graph, scale=scale, most=samples, labelled=tuning is not None)
        data_notes(replace(found, notes=(*found.notes, *capped(found, what, seed))))
        return found

    with _stages() as stage:
        outcome = run(request, any_model, load, stage)
    write_whole(out, outcome.content)
    facts = (("model", model), *((("data", data),) if data else ()))
    report = pruned_report(request, outcome, facts)
    console = output(json)
    for grid in report.grids:
        console.print(table(grid.title, grid.columns, grid.rows))
    console.print(stages_table(report.title, report.before, report.after))
    for note in (*report.notes, f"Written: {shown(out)}"):
        console.print(wrapped(note, "  "), soft_wrap=True)
    write_html(html, report)
    write_json(json, pruned_json(request, outcome, report))


def _what(
    method: str,
    sparsity: str | None,
    target_macs: str | None,
    importance: str,
    repair: bool,
    align: int,
    everywhere: bool,
    pattern: str | None,
    clusters: int | None,
) -> Any:
    """What the options ask for. Raises UsageError where they do not go together."""
    from edge_autoglm.errors import UsageError
    from edge_autoglm.quantities import parse_count, parse_part
    from edge_quantize.prune import Structured, Unstructured

    misplaced = {
        "--target-macs": (target_macs is not None, ("channels",)),
        "--pattern": (pattern is not None, ("weights",)),
        "--global": (everywhere, ("weights",)),
        "--clusters": (clusters is not None, ("clusters",)),
    }
    for option, (given, methods) in misplaced.items():
        if given and method not in methods:
            raise UsageError(f"{option}: belongs to --method {methods[0]}")
    share = None if sparsity is None else parse_part(sparsity, "--sparsity")
    if method == "channels":
        if (share is None) == (target_macs is None):
            both = share is not None
            raise UsageError(
                "--sparsity and --target-macs: " + ("one of the two" if both else "which of them?")
            )
        macs = None if target_macs is None else parse_count(target_macs, "--target-macs")
        return Structured(share, macs, importance, repair, align)
    if method == "weights":
        if (share is None) == (pattern is None):
            both = share is not None
            raise UsageError(
                "--sparsity and --pattern: " + ("one of the two" if both else "which of them?")
            )
        return Unstructured(share, everywhere, _pattern(pattern))
    if clusters is None:
        raise UsageError("--method clusters: how many values may a layer share? --clusters 32, say")
    if not 2 <= clusters <= 256:
        raise UsageError(f"--clusters: {clusters}; a layer may share 2 to 256 values")
    return None if share is None else Unstructured(share)


def _pattern(text: str | None) -> tuple[int, int] | None:
    from edge_autoglm.errors import UsageError

    if text is None:
        return None
    keep, _, of = text.partition(":")
    if not (keep.isdigit() and of.isdigit() and 0 < int(keep) < int(of)):
        raise UsageError(f"--pattern: {text!r} is none; 2:4 lets two of each four weights stay")
    return int(keep), int(of)


@contextmanager
def _stages() -> Iterator[Any]:
    """A progress bar for one stage after another; yields `stage(what)`, which gives its advance."""
    with progress("pruning") as advance:

        def stage(what: str) -> Any:
            advance(0, None, what)
            return lambda done, total: advance(done, total, what)

        yield stage
