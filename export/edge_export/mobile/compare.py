"""A GPU's outputs against the CPU's of the same file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_quantize.graph import DType, Tensor

from .model import OutputDifference

Array = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Tolerance:
    """`relative` is max|gpu-cpu| / max|cpu| for floats; `lsb` is for quantized integers. Other
    integers (indices, flags) have to be equal."""

    relative: float = 1e-3
    lsb: int = 1

    def of(self, tensor: Tensor) -> float:
        if tensor.dtype in (DType.FLOAT32, DType.FLOAT16):
            return self.relative
        return float(self.lsb) if tensor.quantization is not None else 0.0


def difference(
    tensor: Tensor,
    name: str,
    expected: Sequence[Array],
    found: Sequence[Array],
    tolerance: float,
    classes: bool = False,
) -> OutputDifference:
    """One output over all samples. What is not finite on the GPU alone differs by infinity."""
    floating = tensor.dtype in (DType.FLOAT32, DType.FLOAT16)
    most, scale, squares, count, same = 0.0, 0.0, 0.0, 0, 0
    for one, other in zip(expected, found, strict=True):
        cpu = one.astype(np.float64).reshape(-1)
        gpu = other.astype(np.float64).reshape(-1)
        with np.errstate(invalid="ignore"):
            apart = np.abs(gpu - cpu)
        apart = np.where(np.isfinite(apart), apart, np.where(_alike(cpu, gpu), 0.0, math.inf))
        finite = np.abs(cpu[np.isfinite(cpu)])
        most = max(most, float(apart.max(initial=0.0)))
        scale = max(scale, float(finite.max(initial=0.0)))
        squares += float((apart**2).sum())
        count += apart.size
        same += bool(cpu.size) and int(cpu.argmax()) == int(gpu.argmax())
    relative = None
    if floating:
        relative = most / scale if scale > 0 else (math.inf if most > 0 else 0.0)
    judged = most if relative is None else relative
    return OutputDifference(
        name=name,
        max_abs=most,
        rms=math.sqrt(squares / count) if count else 0.0,
        relative=relative,
        tolerance=tolerance,
        agreement=same / len(expected) if classes and len(expected) else None,
        within=judged <= tolerance,
    )


def finite(arrays: Sequence[Array]) -> bool:
    return all(a.dtype.kind not in "fc" or bool(np.isfinite(a).all()) for a in arrays)


def steady(arrays: Sequence[Array], tolerance: float, floating: bool) -> bool:
    """Whether all samples gave the same, within what a comparison can tell."""
    values = [array.astype(np.float64) for array in arrays]
    first = values[0]
    scale = float(np.abs(first).max(initial=0.0)) if floating else 1.0
    apart = max((float(np.abs(a - first).max(initial=0.0)) for a in values[1:]), default=0.0)
    return apart <= tolerance * scale


def _alike(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
    same: npt.NDArray[np.bool_] = (one == other) | (np.isnan(one) & np.isnan(other))
    return same
