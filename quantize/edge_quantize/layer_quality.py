"""Layer by layer: a model's activations against those of the reference."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from .data.samples import Samples
from .errors import InputDataError
from .graph.model import Graph, Operator
from .run import Floats, Progress, activations

# Metadata of a graph: layers whose channels were scaled by factors that the layers behind them take
# back. A line each, with a digest of the factors before the name: against a graph where the layer
# is scaled otherwise, or not, its values say nothing.
SCALED_LAYERS = "edge_autoglm.scaled_layers"
HURTS_DB = 20.0  # noise of a tenth of the signal's RMS


@dataclass(frozen=True)
class LayerQuality:
    """A layer's activations in the candidate against those in the reference, over all samples.

    `sqnr_db` is of all the noise that has gathered up to here, infinite without any. What a layer
    adds by itself cannot be read from it, since layers amplify noise too: `sensitivity` runs that.
    """

    name: str  # as the reference calls it
    op: str
    candidate: str  # as the candidate calls it
    sqnr_db: float
    rmse: float
    max_abs: float
    cosine: float
    hurts: bool  # the first whose `sqnr_db` is under HURTS_DB
    # Of the reference's layers before it, those that have no partner here: pruned, folded, scaled.
    skipped: int = 0


@dataclass
class _Sums:
    """Of one tensor in both graphs, over samples and elements."""

    signal: float = 0.0
    noise: float = 0.0
    power: float = 0.0  # the candidate's
    product: float = 0.0
    most: float = 0.0
    elements: int = 0

    def add(self, expected: Floats, actual: Floats) -> None:
        one, other = expected.astype(np.float64).ravel(), actual.astype(np.float64).ravel()
        difference = one - other
        self.signal += float(one @ one)
        self.noise += float(difference @ difference)
        self.power += float(other @ other)
        self.product += float(one @ other)
        self.most = max(self.most, float(np.abs(difference).max(initial=0.0)))
        self.elements += one.size


def decibels(signal: float, noise: float) -> float:
    """`10 log10(signal / noise)` of two powers; infinite without noise."""
    if noise <= 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def cosine(product: float, one: float, other: float) -> float:
    """The cosine of the angle of two vectors, from their product and their squared lengths."""
    if one == 0 or other == 0:
        return 1.0 if one == other else 0.0
    return product / math.sqrt(one) / math.sqrt(other)


def layers_of(graph: Graph) -> tuple[Operator, ...]:
    """The operators that are layers to compare, see `is_layer`."""
    return tuple(operator for operator in graph.operators if is_layer(graph, operator))


def is_layer(graph: Graph, operator: Operator) -> bool:
    """Whether it computes something of the inputs: DEQUANTIZE of a constant only stores weights
    in another format."""
    if not operator.outputs:
        return False
    return operator.op != "DEQUANTIZE" or not graph.tensors[operator.inputs[0]].is_constant


def matched_layers(reference: Graph, candidate: Graph) -> tuple[tuple[Operator, Operator], ...]:
    """(reference's, candidate's) layers with the same name and shape, in the reference's order.

    A name may have gained the `_int8` that converters add to a model's own outputs. Layers whose
    results are scaled otherwise in one of the two (SCALED_LAYERS) are left out.
    """
    named = {_plain(candidate.layer_name(o)): o for o in layers_of(candidate)}
    scaled = set(scaled_apart(reference, candidate))
    pairs = []
    for operator in layers_of(reference):
        other = named.get(_plain(reference.layer_name(operator)))
        if other is None or reference.layer_name(operator) in scaled:
            continue
        if reference.results(operator)[0].shape == candidate.results(other)[0].shape:
            pairs.append((operator, other))
    return tuple(pairs)


def layer_sqnr(
    reference: Graph, candidate: Graph, samples: Samples, progress: Progress | None = None
) -> tuple[LayerQuality, ...]:
    """The candidate's layers against the reference's of the same name, in the reference's order.

    Layers without a partner, or with one of another shape (fewer channels), are left out. Raises
    InputDataError where the models have different numbers of inputs.
    """
    if len(reference.inputs) != len(candidate.inputs):
        raise InputDataError(
            f"{candidate.name} has {len(candidate.inputs)} inputs, {reference.name} has "
            f"{len(reference.inputs)}"
        )
    pairs = matched_layers(reference, candidate)
    tensors = {one.outputs[0]: other.outputs[0] for one, other in pairs}
    tensors |= dict(zip(reference.inputs, candidate.inputs, strict=True))
    sums = {index: _Sums() for index in tensors}
    mine, theirs = activations(reference, samples), activations(candidate, samples)
    for number, (expected, actual) in enumerate(zip(mine, theirs, strict=True)):
        for index, other in tensors.items():
            sums[index].add(expected[index], actual[other])
        if progress is not None:
            progress(number + 1, len(samples))
    place = {operator.index: number for number, operator in enumerate(layers_of(reference))}
    found: list[LayerQuality] = []
    for one, two in pairs:
        got = sums[one.outputs[0]]
        sqnr = decibels(got.signal, got.noise)
        # SOFTMAX stretches noise as it does the signal: what it shows was there before it.
        low = sqnr < HURTS_DB and one.op != "SOFTMAX"
        found.append(
            LayerQuality(
                reference.layer_name(one),
                one.op,
                candidate.layer_name(two),
                sqnr,
                math.sqrt(got.noise / got.elements),
                got.most,
                cosine(got.product, got.signal, got.power),
                hurts=low and not any(layer.hurts for layer in found),
                skipped=place[one.index] - len(found),
            )
        )
    return tuple(found)


def first_that_hurts(layers: tuple[LayerQuality, ...]) -> LayerQuality | None:
    """The first layer whose SQNR is under HURTS_DB; None where none is."""
    return next((layer for layer in layers if layer.hurts), None)


def scaled_apart(reference: Graph, candidate: Graph) -> tuple[str, ...]:
    """The reference's layers that equalization scaled in one of the two graphs, or differently."""
    one, other = _scaled(reference), _scaled(candidate)
    apart = {_plain(n) for n in one.keys() | other.keys() if one.get(n) != other.get(n)}
    names = (reference.layer_name(o) for o in reference.operators if o.outputs)
    return tuple(name for name in names if _plain(name) in apart)


def _scaled(graph: Graph) -> dict[str, str]:
    """The digest of the factors by layer."""
    text = graph.metadata.get(SCALED_LAYERS, b"").decode(errors="replace")
    lines = (line.partition(" ") for line in text.splitlines())
    return {name: digest for digest, _, name in lines}


def _plain(name: str) -> str:
    return name.removesuffix("_int8")
