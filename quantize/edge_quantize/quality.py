"""What a model's outputs lost against a reference: in decibels, and in class answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from .data.samples import Samples
from .errors import InputDataError, UnsoundResultError
from .graph.model import Graph, Operator
from .intervals import Interval, bootstrap, paired_drop, share
from .layer_quality import (
    HURTS_DB,
    LayerQuality,
    cosine,
    decibels,
    first_that_hurts,
    layer_sqnr,
    matched_layers,
)
from .run import Floats, Progress, outputs

__all__ = [
    "HURTS_DB",
    "Interval",
    "LayerQuality",
    "Quality",
    "classifies",
    "compare_outputs",
    "evaluate",
    "first_that_hurts",
    "guesses",
    "layer_sqnr",
    "logits",
    "matched_layers",
]

_SUMS_TO_ONE = 0.02  # int8 SOFTMAX has steps of 1/256 and saturates at 255/256

Labels = npt.NDArray[np.generic]
Sums = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Quality:
    """A candidate's outputs against the reference's, over all samples and elements of all outputs.

    `sqnr_db` is `10 log10(sum(ref^2) / sum((ref - cand)^2))`, infinite where they are equal; `sqnr`
    is the same with its interval over the samples, None where it is infinite.
    Shares are 0..1, of the first output: `agreement` where it is one of classes, the others where
    class labels were given. `paired_drop` is the reference's accuracy less the candidate's, from
    the same samples. `error` is the RMSE with its interval over the samples. The last three are of
    targets (labels that are no classes): the RMSE of both against them, and how much it rises.
    """

    samples: int
    sqnr_db: float
    rmse: float
    max_abs: float
    cosine: float
    agreement: Interval | None = None
    accuracy: Interval | None = None
    reference_accuracy: Interval | None = None
    paired_drop: Interval | None = None
    error: Interval | None = None
    target_error: Interval | None = None
    reference_target_error: Interval | None = None
    target_rise: Interval | None = None
    sqnr: Interval | None = None


def compare_outputs(
    reference: tuple[Floats, ...],
    candidate: tuple[Floats, ...],
    labels: Labels | None = None,
    *,
    classes: bool | None = None,
) -> Quality:
    """Outputs in real numbers, `[n, ...]` each, of the same samples.

    `labels`: integers `[n]` are classes, anything else targets of the first output's shape.
    `classes` says whether the first output is one of classes; by default it is where labels are, or
    where every row of the reference is a distribution (not negative, sum 1). Raises InputDataError
    where shapes or labels do not fit, UnsoundResultError where an output is not finite.
    """
    _check_outputs(reference, candidate)
    signal = noise = product = power = 0.0
    most, elements, count = 0.0, 0, len(reference[0])
    a_sample, a_signal = np.zeros(count), np.zeros(count)
    for expected, actual in zip(reference, candidate, strict=True):
        one, other = expected.astype(np.float64), actual.astype(np.float64)
        square = (one - other) ** 2
        signal, power = signal + float((one**2).sum()), power + float((other**2).sum())
        noise, product = noise + float(square.sum()), product + float((one * other).sum())
        most = max(most, float(np.abs(one - other).max(initial=0.0)))
        elements += one.size
        a_sample += square.reshape(count, -1).sum(axis=1)
        a_signal += (one**2).reshape(count, -1).sum(axis=1)
    found = Quality(
        count,
        decibels(signal, noise),
        math.sqrt(noise / elements),
        most,
        cosine(product, signal, power),
        error=bootstrap((a_sample * count / elements,), np.sqrt),
        sqnr=_ratio(a_signal, a_sample),
    )
    if labels is not None and not _class_labels(labels, count):
        return _against_targets(found, reference[0], candidate[0], labels)
    if classes is None:
        classes = labels is not None or _distributions(reference[0])
    if not classes:
        return found
    first, second = answers(reference[0]), answers(candidate[0])
    agreed = share(int((first == second).sum()), count)
    if labels is None:
        return replace(found, agreement=agreed)
    _check_classes(labels, reference[0])
    right, still = first == labels, second == labels
    return replace(
        found,
        agreement=agreed,
        accuracy=share(int(still.sum()), count),
        reference_accuracy=share(int(right.sum()), count),
        paired_drop=paired_drop(right, still),
    )


def evaluate(
    graph: Graph,
    samples: Samples,
    reference: Graph | tuple[Floats, ...],
    progress: Progress | None = None,
) -> Quality:
    """`graph` run over the samples against `reference`: a graph that is run too, or its outputs.

    Both give outputs as they are: pass `logits(graph)` and `logits(reference)` for the SQNR before
    a SOFTMAX, which hides errors where it saturates. Class answers are the same before and after.
    `progress` counts the samples of both runs.
    """
    runs = 2 if isinstance(reference, Graph) else 1

    def counted(before: int) -> Progress | None:
        if progress is None:
            return None
        return lambda done, total: progress(before * total + done, runs * total)

    classes = None
    if isinstance(reference, Graph):
        # A cut before SOFTMAX leaves no trace in the numbers, but one in the graph.
        classes = classifies(reference) or None
        expected = outputs(reference, samples, counted(0))
    else:
        classes = classifies(graph) or None
        expected = reference
    return compare_outputs(
        expected, outputs(graph, samples, counted(runs - 1)), samples.labels, classes=classes
    )


def guesses(quality: Quality, classes: int) -> str:
    """Why the reference seems not to fit the labels: its accuracy may be that of guessing. Empty
    where it does not, or where there are no labels."""
    found = quality.reference_accuracy
    if found is None or found.low > 1 / classes:
        return ""
    return (
        f"the reference itself answers {found.value:.1%} right, of {classes} classes; is the data "
        "scaled as in training, and are the labels in the model's order?"
    )


_LOGITS = "edge_autoglm.logits"  # metadata of a graph whose SOFTMAX was cut off


def classifies(graph: Graph) -> bool:
    """Whether the first output is one of classes: it has labels, or SOFTMAX makes it (or did)."""
    if graph.labels or _LOGITS in graph.metadata:
        return True
    return _softmax(graph, graph.outputs[0]) is not None


def logits(graph: Graph) -> Graph:
    """The graph cut before each SOFTMAX that makes an output, so that SQNR is taken at the logits;
    the graph itself where none does."""
    cut = [_softmax(graph, index) for index in graph.outputs]
    if not any(cut):
        return graph
    ends = tuple(
        operator.inputs[0] if operator is not None else index
        for operator, index in zip(cut, graph.outputs, strict=True)
    )
    needed, kept = set(ends), []
    for operator in reversed(graph.operators):
        if needed & set(operator.outputs):
            kept.append(operator)
            needed |= {i for i in operator.inputs if i >= 0}
    operators = tuple(
        replace(operator, index=number) for number, operator in enumerate(reversed(kept))
    )
    return replace(
        graph,
        operators=operators,
        outputs=ends,
        sha256="",
        metadata={**graph.metadata, _LOGITS: b"1"},
    )


def answers(values: Floats) -> npt.NDArray[np.intp]:
    """The class of each row of `[n, classes]`; of one element, whether it is over a half."""
    rows = values.reshape(len(values), -1)
    if rows.shape[1] == 1:
        return (rows[:, 0] > 0.5).astype(np.intp)
    found: npt.NDArray[np.intp] = rows.argmax(axis=1)
    return found


def _ratio(signal: Sums, noise: Sums) -> Interval | None:
    """SQNR with its interval, from squares by sample; None where too few samples have noise for
    one, or none."""
    if not signal.any() or not noise.any():
        return None
    with np.errstate(divide="ignore", invalid="ignore"):  # resamples without noise
        found = bootstrap((signal, noise), lambda a, b: 10 * np.log10(a / b))
    return found if math.isfinite(found.low) and math.isfinite(found.high) else None


def _check_outputs(reference: tuple[Floats, ...], candidate: tuple[Floats, ...]) -> None:
    shapes = [array.shape for array in reference], [array.shape for array in candidate]
    if shapes[0] != shapes[1]:
        raise InputDataError(
            f"outputs differ in shape and cannot be compared: {shapes[0]} and {shapes[1]}"
        )
    if not reference or not all(array.size for array in reference):
        raise InputDataError("there are no outputs to compare")
    for whose, arrays in (("reference", reference), ("model", candidate)):
        if not all(np.isfinite(array).all() for array in arrays):
            raise UnsoundResultError(f"the {whose}'s output holds NaN or infinity")


def _class_labels(labels: Labels, count: int) -> bool:
    if len(labels) != count:
        raise InputDataError(f"{len(labels)} labels for {count} samples")
    return labels.ndim == 1 and labels.dtype.kind in "iub"


def _check_classes(labels: Labels, output: Floats) -> None:
    elements = output[0].size
    classes = 2 if elements == 1 else elements
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise InputDataError(f"labels {low}..{high}; the model's classes are 0..{classes - 1}")


def _distributions(values: Floats) -> bool:
    rows = values.reshape(len(values), -1)
    near = np.abs(rows.sum(axis=1) - 1) <= _SUMS_TO_ONE
    return rows.shape[1] > 1 and bool((rows >= 0).all() and near.all())


def _against_targets(found: Quality, one: Floats, other: Floats, labels: Labels) -> Quality:
    if labels.size != one.size:
        raise InputDataError(
            f"targets of shape {list(labels.shape[1:])} for an output of {list(one.shape[1:])}"
        )
    targets = labels.astype(np.float64).reshape(len(one), -1)

    def squares(values: Floats) -> Sums:
        error: Sums = ((values.reshape(targets.shape).astype(np.float64) - targets) ** 2).mean(1)
        return error

    before, after = squares(one), squares(other)
    return replace(
        found,
        target_error=bootstrap((after,), np.sqrt),
        reference_target_error=bootstrap((before,), np.sqrt),
        target_rise=bootstrap((before, after), lambda a, b: np.sqrt(b) - np.sqrt(a)),
    )


def _softmax(graph: Graph, index: int) -> Operator | None:
    """The SOFTMAX that makes tensor `index`, a change of type in between or not."""
    made = {i: o for o in graph.operators for i in o.outputs}
    operator = made.get(index)
    while operator is not None and operator.op in ("DEQUANTIZE", "QUANTIZE", "CAST"):
        operator = made.get(operator.inputs[0])
    return operator if operator is not None and operator.op == "SOFTMAX" else None
