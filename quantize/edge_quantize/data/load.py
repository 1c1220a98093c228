"""Samples from what a user has: a file of arrays, a folder of recordings or pictures, a function.

All of it is checked against the model's inputs before anything slow starts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import InputDataError
from edge_quantize.graph.model import Graph
from edge_quantize.inputs import load_inputs, read_data
from edge_quantize.user_code import place_of

from .check import LEAST, checked
from .fit import class_labels, fitted, plain_name
from .function import called, given
from .media import DEFAULT_SCALE, SCALES, read_folder, thinned
from .samples import Samples

__all__ = ["DEFAULT_SCALE", "SCALES", "load_samples"]

_LABELS = ("labels", "label", "targets", "y")

Array = npt.NDArray[Any]


def load_samples(
    source: str,
    graph: Graph,
    *,
    scale: str | None = None,
    most: int | None = None,
    least: int = LEAST,
    labelled: bool = False,
) -> Samples:
    """The samples that `source` names, for the inputs of `graph`, checked.

    `source` is one of

    - `FILE.npz`: arrays by the inputs' names, or in their order; class indices or targets in
      `labels`, `label`, `targets`, `y` or `y_*`
    - `FILE.npy`: the only input
    - `FILE.bin`: raw bytes, input after input, float32 or as the model takes them
    - a folder of `.wav` (the model takes raw audio) or of `.png`, `.jpg` and `.jpeg`; its
      subfolders are the classes, in the order of the model's labels, or sorted
    - `MODULE:FUNCTION` or `FILE.py:FUNCTION`, from the working folder: returns an array, (inputs,
      labels), a mapping like a `.npz`, Samples, or an iterable of samples or (sample, label)

    Numbers become float32 for float inputs; for quantized inputs real numbers stay float32, and
    integers of the input's own type are taken to be quantized already. `scale` is what pictures'
    0..255 become, a name of SCALES. At most `most` samples are used, evenly over all (of an
    iterable the first); fewer than `least`, or none with labels where `labelled`, are refused.

    Raises InputDataError (one line: what, where, what to try), MissingExtraError for pictures
    without Pillow.
    """
    if not source:
        raise InputDataError("no data is named")
    path = Path(source)
    function = place_of(source)
    folder = path.is_dir()
    if scale is not None and scale not in SCALES:
        raise InputDataError(f"no scale {scale!r}; one of {', '.join(SCALES)}")
    if scale is not None and not folder:
        raise InputDataError(f"{source}: the scale {scale} is for folders of pictures only")
    if most is not None and most < least:
        raise InputDataError(f"{most} samples are asked for; at least {least} are needed")
    notes: tuple[str, ...] = ()
    labels: Array | None = None
    if folder:
        inputs, labels, notes = read_folder(path, graph, scale, most)
    elif function is not None:
        found = called(function, graph, most)
        if isinstance(found, Samples):
            inputs, labels = found.inputs, found.labels
        elif isinstance(found, Mapping):
            inputs, labels = _named(found, graph, source)
        else:
            inputs, labels = found
    elif path.suffix == ".bin":
        inferences = load_inputs(graph, path)
        inputs = tuple(np.stack(arrays) for arrays in zip(*inferences, strict=True))
    else:
        content = read_data(path, ", no folder of WAV or pictures, and no MODULE:FUNCTION")
        assert not isinstance(content, bytes)  # only of a .bin
        inputs, labels = _named(content, graph, source)
    return _finished(graph, inputs, labels, source, notes, most, least, labelled, scale is not None)


def samples_from(
    data: Any, graph: Graph, *, most: int | None = None, least: int = LEAST, labelled: bool = False
) -> Samples:
    """The samples that a program has at hand, for the inputs of `graph`, checked as `load_samples`
    checks them.

    `data` is Samples, an array, (inputs, labels), a mapping of arrays by the inputs' names with
    `labels`, an iterable of samples or (sample, label), or a function that returns one of these.
    Raises InputDataError, also for whatever a function raises.
    """
    source = getattr(data, "__name__", type(data).__name__) if callable(data) else "data"
    found = given(data, graph, source, most)
    if isinstance(found, Samples):
        source = found.source or source
        inputs, labels, notes = found.inputs, found.labels, found.notes
    else:
        notes = ()
        inputs, labels = _named(found, graph, source) if isinstance(found, Mapping) else found
    return _finished(graph, inputs, labels, source, notes, most, least, labelled)


def _finished(
    graph: Graph,
    inputs: Sequence[Array],
    labels: Array | None,
    source: str,
    notes: tuple[str, ...],
    most: int | None,
    least: int,
    labelled: bool,
    scaled: bool = False,
) -> Samples:
    """Arrays as samples of the graph, thinned and checked. Raises InputDataError."""
    if len(inputs) != len(graph.inputs):
        raise InputDataError(
            f"{source}: {len(inputs)} inputs are given, the model has {len(graph.inputs)}"
        )
    fit = tuple(
        fitted(graph.tensors[index], array, source)
        for index, array in zip(graph.inputs, inputs, strict=True)
    )
    if labels is not None:
        labels = class_labels(labels, graph, source)
    samples = Samples(fit, labels, source, notes)
    if most is not None and len(samples) > most:
        notes += (thinned(source, most, len(samples)),)
        samples = samples.take(np.linspace(0, len(samples) - 1, most).round().astype(np.intp))
    if labelled and labels is None:
        raise InputDataError(
            f"{source}: has no labels, and accuracy is asked for; give them as `labels` in a .npz, "
            "as subfolders named by class, or as the second of what a function returns"
        )
    # What was noted of samples before may be noted of them again.
    more = [note for note in checked(graph, samples, least, scaled) if note not in notes]
    return replace(samples, notes=(*notes, *more))


def _named(
    arrays: Mapping[str, Array], graph: Graph, source: str
) -> tuple[tuple[Array, ...], Array | None]:
    """Inputs in the model's order, and labels where there are any."""
    wanted = [plain_name(graph.tensors[index].name) for index in graph.inputs]
    given = {plain_name(name): array for name, array in arrays.items()}
    marked = [
        name for name in given if name not in wanted and (name in _LABELS or name.startswith("y_"))
    ]
    rest = [name for name in given if name not in marked]
    if len(marked) > 1:
        raise InputDataError(
            f"{source}: has several arrays of labels: {', '.join(marked)}; keep the samples to use "
            "and their labels alone"
        )
    labels = given[marked[0]] if marked else None
    unnamed = [f"arr_{number}" for number in range(len(wanted))]  # as numpy.savez calls them
    for names in (wanted, unnamed):
        if set(names) == set(rest):
            return tuple(given[name] for name in names), labels
    if len(rest) == len(wanted) and not set(rest) & set(wanted):
        return tuple(given[name] for name in rest), labels
    raise InputDataError(
        f"{source}: has {_listed(rest)} beside labels; the model's inputs are {_listed(wanted)}"
        if marked
        else f"{source}: has {_listed(rest)}; the model's inputs are {_listed(wanted)}"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(repr(name) for name in names) or "no arrays"
