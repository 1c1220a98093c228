"""Questions that kernel rows ask of a layer; each answers why not, or None.

They only look: nothing here raises on a malformed layer.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from edge_quantize.graph import DType, Tensor

from .row import LayerView

Check = Callable[[LayerView], str | None]


def first_reason(*reasons: str | None) -> str | None:
    """The first reason that is one."""
    return next((reason for reason in reasons if reason is not None), None)


def operand_count(layer: LayerView, least: int, most: int | None = None) -> str | None:
    """Whether `least`..`most` operands are there, none of the first `least` left out, and one
    result, none of them empty."""
    most = least if most is None else most
    inputs = layer.inputs
    if not least <= len(inputs) <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        return f"{len(inputs)} inputs, not {wanted}"
    for position in range(least):
        if inputs[position] is None:
            return f"input {position} is left out"
    if len(layer.outputs) != 1:
        return f"{len(layer.outputs)} outputs, not 1"
    for tensor in (*inputs, layer.output):
        if tensor is not None and tensor.elements < 1:
            return f"'{tensor.name}' of shape {list(tensor.shape)} is empty"
    return None


def has_dtype(tensor: Tensor, what: str, *dtypes: DType) -> str | None:
    if tensor.dtype in dtypes:
        return None
    wanted = " or ".join(dtype.value for dtype in dtypes)
    return f"{what} '{tensor.name}' is {tensor.dtype.value}, not {wanted}"


def per_tensor(tensor: Tensor, what: str) -> str | None:
    """Whether one positive, finite scale and one zero point in range describe the tensor."""
    quantization = tensor.quantization
    if quantization is None or not quantization.scales:
        return f"{what} '{tensor.name}' has no quantization parameters"
    if quantization.per_channel or len(quantization.zero_points) != 1:
        return f"{what} '{tensor.name}' is quantized per channel"
    if not (0.0 < quantization.scale < float("inf")):
        return f"{what} '{tensor.name}' has scale {quantization.scale}"
    kind = tensor.dtype.numpy
    if np.issubdtype(kind, np.integer):
        info = np.iinfo(kind.name)
        if not info.min <= quantization.zero_point <= info.max:
            return f"{what} '{tensor.name}' has zero point {quantization.zero_point}"
    return None


def quantized(tensor: Tensor, what: str, *dtypes: DType) -> str | None:
    """`has_dtype` and `per_tensor`; int8 when no dtype is named."""
    return has_dtype(tensor, what, *(dtypes or (DType.INT8,))) or per_tensor(tensor, what)


def same_quantization(a: Tensor, b: Tensor, what: str) -> str | None:
    """Whether two per-tensor quantized tensors mean the same by the same number."""
    qa, qb = a.quantization, b.quantization
    assert qa is not None
    assert qb is not None
    if (qa.scale, qa.zero_point) == (qb.scale, qb.zero_point):
        return None
    return (
        f"{what} differ in quantization ('{a.name}': scale {qa.scale:g}, zero point "
        f"{qa.zero_point}; '{b.name}': scale {qb.scale:g}, zero point {qb.zero_point})"
    )


def activation_tensor(tensor: Tensor, what: str) -> str | None:
    """Whether the tensor is computed at run time."""
    return f"{what} '{tensor.name}' is a constant" if tensor.is_constant else None


def constant_integers(tensor: Tensor, what: str) -> str | None:
    """Whether the tensor is a constant of int32 or int64."""
    if tensor.data is None:
        return f"{what} '{tensor.name}' is not a constant"
    return has_dtype(tensor, what, DType.INT32, DType.INT64)


def integers(tensor: Tensor) -> npt.NDArray[np.int64]:
    """The content of a tensor that passed `constant_integers`."""
    assert tensor.data is not None
    return tensor.data.astype(np.int64)


def scale_and_zero_point(tensor: Tensor) -> tuple[float, int]:
    """Of a tensor that passed `per_tensor`."""
    assert tensor.quantization is not None
    return tensor.quantization.scale, tensor.quantization.zero_point
