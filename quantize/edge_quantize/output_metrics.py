"""The figures that validation tools print of each output, with their usual short names."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .layer_quality import cosine, decibels
from .quality import answers
from .run import Floats


@dataclass(frozen=True)
class OutputMetrics:
    """One output against its reference; the error is candidate less reference.

    `acc` is the share of rows with the same largest element (None where an output is no vector of
    classes), `l2r` the error's length over the reference's, `nse` the Nash-Sutcliffe efficiency
    `1 - sum(error^2) / sum((reference - its mean)^2)` (J. E. Nash, J. V. Sutcliffe, Journal of
    Hydrology 10 (1970) 282-290; None for a constant reference), `cos` the cosine of the two.
    """

    name: str
    acc: float | None
    rmse: float
    mae: float
    l2r: float
    mean: float
    std: float
    nse: float | None
    cos: float
    sqnr_db: float


def output_metrics(
    name: str, reference: Floats, candidate: Floats, classes: bool = False
) -> OutputMetrics:
    """Both `[n, ...]`, float32, of one shape."""
    one: npt.NDArray[np.float64] = reference.astype(np.float64)
    other: npt.NDArray[np.float64] = candidate.astype(np.float64)
    error = other - one
    noise, signal = float((error**2).sum()), float((one**2).sum())
    spread = float(((one - one.mean()) ** 2).sum())
    same = float((answers(reference) == answers(candidate)).mean()) if classes else None
    return OutputMetrics(
        name=name,
        acc=same,
        rmse=math.sqrt(noise / error.size),
        mae=float(np.abs(error).mean()),
        l2r=math.sqrt(noise / signal) if signal > 0 else (math.inf if noise > 0 else 0.0),
        mean=float(error.mean()),
        std=float(error.std()),
        nse=1 - noise / spread if spread > 0 else None,
        cos=cosine(float((one * other).sum()), signal, float((other**2).sum())),
        sqnr_db=decibels(signal, noise),
    )
