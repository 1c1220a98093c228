"""Weights and biases as integers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from edge_quantize.graph.model import DType, Quantization

from .observers import limits
from .recipe import Observer

Floats = npt.NDArray[np.floating]
_CLIPS = np.linspace(1.0, 0.3, 71)  # of the largest weight, tried for the least error
_MOST_BIAS = 2.0**30  # an int32 accumulator also has to hold the products
_TINY = 1e-12


def weight_scales(
    weights: Floats,
    axis: int,
    dtype: DType,
    per_channel: bool,
    observer: Observer,
    percentile: float = 100.0,
) -> npt.NDArray[np.float64]:
    """Symmetric scales of `weights`, one for each slice of `axis` or one in all; float32 values.

    MSE takes for each scale the clip of the range that has the least squared error.
    """
    rows = _rows(np.asarray(weights, np.float64), axis)
    if not per_channel:
        rows = rows.reshape(1, -1)
    _, most = limits(dtype)
    most = 127 if dtype is DType.INT8 else most
    magnitudes = np.abs(rows)
    largest = magnitudes.max(axis=1)
    if observer is Observer.PERCENTILE:
        largest = np.percentile(magnitudes, percentile, axis=1)
    # A channel of zeros takes the scale of its neighbours, so that its bias is as fine as theirs.
    largest = np.where(largest > _TINY, largest, max(float(largest.max()), 1.0))
    scales = largest / most
    if observer is Observer.MSE:
        best = np.full(len(rows), np.inf)
        for factor in _CLIPS:
            tried = largest * factor / most
            steps = np.clip(np.rint(rows / tried[:, None]), -most, most)
            error = ((steps * tried[:, None] - rows) ** 2).sum(axis=1)
            better = error < best
            best, scales = np.where(better, error, best), np.where(better, tried, scales)
    return scales.astype(np.float32).astype(np.float64)


def quantize_weights(
    weights: Floats, scales: npt.NDArray[np.float64], axis: int, dtype: DType
) -> npt.NDArray[np.int8]:
    """Weights to the nearest step of their scales, in -127..127 or -7..7."""
    _, most = limits(dtype)
    shaped = along(scales, axis, weights.ndim)
    steps: npt.NDArray[np.int8] = np.clip(np.rint(weights / shaped), -most, most).astype(np.int8)
    return steps


def along(scales: npt.NDArray[np.float64], axis: int, rank: int) -> npt.NDArray[np.float64]:
    """Scales shaped to go with an array of `rank` dimensions."""
    shape = [1] * rank
    shape[axis] = -1
    return scales.reshape(shape if len(scales) > 1 else [1] * rank)


def weight_quantization(scales: npt.NDArray[np.float64], axis: int) -> Quantization:
    count = len(scales)
    return Quantization(tuple(float(s) for s in scales), (0,) * count, axis if count > 1 else 0)


def fit_bias(
    scales: npt.NDArray[np.float64], bias: Floats, input_scale: float
) -> npt.NDArray[np.float64]:
    """Scales raised where the bias would not fit an int32 of input scale times weight scale."""
    needed = np.abs(np.asarray(bias, np.float64)) / (_MOST_BIAS * input_scale)
    if len(scales) == 1:
        needed = needed.max(keepdims=True)
    return np.maximum(scales, needed.astype(np.float32).astype(np.float64))


def quantize_bias(
    bias: Floats, input_scale: float, scales: npt.NDArray[np.float64], dtype: DType
) -> tuple[npt.NDArray[np.generic], Quantization]:
    """The bias in steps of input scale times weight scale: int32, or int64 beside int16
    activations."""
    steps = (np.float32(input_scale) * scales.astype(np.float32)).astype(np.float64)
    kind = np.iinfo(dtype.value)
    values = np.clip(np.rint(np.asarray(bias, np.float64) / steps), kind.min, kind.max)
    return values.astype(dtype.numpy), Quantization(
        tuple(float(s) for s in steps), (0,) * len(steps), 0
    )


def _rows(weights: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    return np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)
