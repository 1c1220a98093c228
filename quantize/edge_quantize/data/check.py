"""What makes samples useless for calibration (an error), or worth a second look (a note)."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import InputDataError
from edge_quantize.graph.model import Graph, Tensor

from .fit import inner_shape, plain_name
from .samples import Array, Samples

LEAST = 2  # a range taken from one sample is that sample's
FEW = 32  # under it ranges, and all the more shares, say little
_OUTSIDE = 0.01  # share of values that a quantized input cuts off
_UNUSED = 0.05  # share of a quantized input's range that the data spans
_BYTE = 255


def checked(
    graph: Graph, samples: Samples, least: int = LEAST, scaled: bool = False
) -> tuple[str, ...]:
    """Notes, a line each; `scaled` says that somebody chose the scale.

    Raises InputDataError: too few, or all the same.
    """
    where = samples.source or "samples"
    count = len(samples)
    if count < least:
        held = "1 sample" if count == 1 else f"{count} samples"
        raise InputDataError(f"{where}: {held}; at least {least} are needed, some hundred are good")
    notes = []
    different = len(set(_digests(samples)))
    if count > 1 and different == 1:
        raise InputDataError(f"{where}: all {count} samples are the same; ranges need real data")
    if count < FEW:
        notes.append(f"{where}: only {count} samples; {FEW} or more give steadier ranges")
    if different < count:
        notes.append(f"{where}: {count - different} of {count} samples are copies of others")
    for index, array in zip(graph.inputs, samples.inputs, strict=True):
        tensor = graph.tensors[index]
        called = f"{where}: input '{plain_name(tensor.name)}'"
        notes += _oddities(tensor, array, called, scaled)
    labels = samples.labels
    if labels is not None and labels.ndim == 1 and count > 1 and len(np.unique(labels)) == 1:
        notes.append(f"{where}: all labels are the same, {labels[0]}")
    return tuple(notes)


def range_notes(graph: Graph, samples: Samples) -> tuple[str, ...]:
    """How real numbers lie in what the quantized inputs of another graph hold; for samples that
    were loaded for its float twin."""
    where = samples.source or "samples"
    found = []
    for index, array in zip(graph.inputs, samples.inputs, strict=True):
        tensor = graph.tensors[index]
        if tensor.quantization is not None and array.dtype.kind == "f":
            note = _against_range(tensor, array, float(array.min()), float(array.max()))
            found += [f"{where}: {graph.name}: input '{tensor.name}': {note}"] if note else []
    return tuple(found)


def _digests(samples: Samples) -> list[bytes]:
    found = []
    for row in samples.rows():
        digest = hashlib.sha256()
        for array in row:
            digest.update(np.ascontiguousarray(array).tobytes())
        found.append(digest.digest())
    return found


def _oddities(tensor: Tensor, array: Array, where: str, scaled: bool) -> list[str]:
    low, high = float(array.min()), float(array.max())
    if low == high:
        raise InputDataError(f"{where}: every value is {low:g}; ranges need real data")
    found = []
    features = [n for n in inner_shape(tensor) if n != 1]
    if len(features) == 1 and len(array) > 1:
        columns = array.reshape(len(array), -1)
        still = np.flatnonzero((columns == columns[0]).all(axis=0))
        if len(still):
            which = ", ".join(map(str, still[:5])) + (", ..." if len(still) > 5 else "")
            found.append(f"{len(still)} of {columns.shape[1]} values never change: {which}")
    if tensor.quantization is None:
        if not scaled and low >= 0 and 128 <= high <= _BYTE and _whole(array):
            found.append(
                f"whole numbers {low:g}..{high:g}, like raw pictures; right only if the model was "
                "trained on such, and not on 0..1"
            )
    elif array.dtype.kind == "f" and not tensor.quantization.per_channel:
        found.append(_against_range(tensor, array, low, high))
    return [f"{where}: {note}" for note in found if note]


def _whole(array: Array) -> bool:
    values: npt.NDArray[np.bool_] = array == np.rint(array)
    return bool(values.all())


def _against_range(tensor: Tensor, array: Array, low: float, high: float) -> str:
    """How real numbers lie in the range that a quantized input can hold."""
    quantization = tensor.quantization
    assert quantization is not None
    limits = np.iinfo(tensor.dtype.numpy.name)
    least, most = (
        (edge - quantization.zero_point) * quantization.scale for edge in (limits.min, limits.max)
    )
    step = quantization.scale
    values = array.astype(np.float32)
    outside = float(((values < least - step) | (values > most + step)).mean())
    if outside > _OUTSIDE:
        return (
            f"{outside:.0%} of the values ({low:.3g}..{high:.3g}) are outside of what the input "
            f"holds, {least:.3g}..{most:.3g}: scaled otherwise in training?"
        )
    if (high - low) < _UNUSED * (most - least):
        return (
            f"the values {low:.3g}..{high:.3g} use {(high - low) / (most - least):.1%} of what the "
            f"input holds, {least:.3g}..{most:.3g}: scaled otherwise in training?"
        )
    return ""
