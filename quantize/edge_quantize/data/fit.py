"""Arrays as a model's inputs, and labels as its classes or targets."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import InputDataError
from edge_quantize.graph.model import DType, Graph, Tensor

Array = npt.NDArray[Any]


def plain_name(name: str) -> str:
    """An input's name as its author wrote it: converters say `serving_default_x:0` for `x`."""
    return name.removeprefix("serving_default_").removesuffix(":0")


def inner_shape(tensor: Tensor) -> tuple[int, ...]:
    """The shape of one sample: the tensor's without its batch of 1."""
    return tensor.shape[1:] if tensor.shape[:1] == (1,) else tensor.shape


def fitted(tensor: Tensor, array: Array, source: str) -> Array:
    """`array` as `[n, ...]` of the input `tensor`, in its type or in float32.

    Axes of length 1 may be there or not, a sample may be flat, and a single one may stand for
    itself. Raises InputDataError.
    """
    where = f"{source}: input '{plain_name(tensor.name)}'"
    if array.dtype.kind not in "fiub":
        kind = "Python objects" if array.dtype.kind == "O" else str(array.dtype)
        raise InputDataError(f"{where}: holds {kind}; numbers are needed, all of one shape")
    if array.size == 0:
        raise InputDataError(f"{where}: is empty, shape {list(array.shape)}")
    return _typed(tensor, _shaped(tensor, array, where), where)


def _shaped(tensor: Tensor, array: Array, where: str) -> Array:
    inner = inner_shape(tensor)
    flat = (tensor.elements,)
    if array.ndim and (_same(array.shape[1:], inner) or array.shape[1:] == flat):
        return array.reshape(len(array), *inner)
    if _same(array.shape, inner) or array.shape == flat:
        return array.reshape(1, *inner)
    given = list(array.shape[1:])
    needed = f"{where}: samples have shape {given}, the model takes {list(inner)}"
    if array.ndim == 4 and len(inner) == 3:
        for axes, layout in (((0, 2, 3, 1), "channels first"), ((0, 3, 1, 2), "channels last")):
            if tuple(array.shape[axis] for axis in axes[1:]) == inner:
                raise InputDataError(
                    f"{needed}; the data has {layout}: x.transpose{axes} is what is needed"
                )
    if array.ndim == len(inner):
        whole = ", ".join(map(str, ("n", *inner)))
        raise InputDataError(f"{where}: shape {list(array.shape)}; [{whole}] is needed, n samples")
    raise InputDataError(needed)


def _same(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return [n for n in one if n != 1] == [n for n in other if n != 1]


def _typed(tensor: Tensor, array: Array, where: str) -> Array:
    if array.dtype.kind == "f":
        _finite(array, where)
    if tensor.dtype in (DType.FLOAT32, DType.FLOAT16):
        with np.errstate(over="ignore"):  # said below, and better
            found = array.astype(np.float32)
        _finite(found, where)
        return found
    wanted = tensor.dtype.numpy
    if wanted.kind not in "iu" or tensor.dtype.opaque:
        raise InputDataError(f"{where}: the model takes {tensor.dtype.value}, no data fits that")
    if array.dtype.kind == "f":
        if tensor.quantization is not None:
            return array.astype(np.float32)  # real numbers, quantized when the model is run
        raise InputDataError(f"{where}: is {array.dtype}; the model takes {wanted}, whole numbers")
    limits = np.iinfo(wanted.name)
    low, high = int(array.min()), int(array.max())
    if low < limits.min or high > limits.max:
        raise InputDataError(
            f"{where}: holds values {low}..{high} outside {wanted}; give the numbers the model "
            "takes" + (", or float data" if tensor.quantization is not None else "")
        )
    return array.astype(wanted)


def _finite(array: Array, where: str) -> None:
    good = np.isfinite(array).reshape(len(array), -1).all(axis=1)
    if not good.all():
        bad = np.flatnonzero(~good)
        what = "NaN" if np.isnan(array).any() else "infinity, or more than float32 holds"
        more = f" and {len(bad) - 1} more" if len(bad) > 1 else ""
        raise InputDataError(f"{where}: sample {bad[0]}{more} of {len(array)}: holds {what}")


def class_labels(labels: Array, graph: Graph, source: str) -> Array:
    """Class indices as int64 `[n]` (from indices, names or one-hot rows), or targets as float32.

    Raises InputDataError.
    """
    output = graph.tensors[graph.outputs[0]]
    where = f"{source}: labels"
    if labels.size == 0:
        raise InputDataError(f"{where}: are empty")
    if labels.ndim == 2 and labels.shape[1] == 1 and output.elements != 1:
        labels = labels[:, 0]
    if labels.dtype.kind in "US":
        return _of_names(labels.astype(str), graph, where)
    if labels.dtype.kind not in "fiub":
        raise InputDataError(f"{where}: are {labels.dtype}; class indices or targets are needed")
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        raise InputDataError(f"{where}: hold NaN or infinity")
    whole = labels.dtype.kind in "iub" or bool((labels == np.rint(labels)).all())
    if labels.ndim == 1 and (output.elements > 1 or whole):
        if not whole:
            raise InputDataError(f"{where}: are fractions; class indices are whole numbers")
        return _indices(labels.astype(np.int64), output, where)
    rows = labels.reshape(len(labels), -1)
    if rows.shape[1] != output.elements:
        raise InputDataError(
            f"{where}: have shape {list(labels.shape)}; class indices [n] or targets "
            f"[n, {output.elements}] are needed"
        )
    binary = bool(((rows == 0) | (rows == 1)).all()) and rows.shape[1] > 1
    one_hot = binary and bool((rows.sum(axis=1) == 1).all())
    found: Array = rows.argmax(axis=1).astype(np.int64) if one_hot else labels.astype(np.float32)
    return found


def _indices(labels: Array, output: Tensor, where: str) -> Array:
    classes = 2 if output.elements == 1 else output.elements
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        first = " (do they begin at 1?)" if low == 1 and high == classes else ""
        raise InputDataError(
            f"{where}: are {low}..{high}; the model's classes are 0..{classes - 1}{first}"
        )
    return labels


def _of_names(labels: Array, graph: Graph, where: str) -> Array:
    if not graph.labels:
        raise InputDataError(f"{where}: are names, and the model has none; give class indices")
    unknown = sorted(set(labels.ravel().tolist()) - set(graph.labels))
    if unknown:
        raise InputDataError(
            f"{where}: {unknown[0]!r} is no class of the model; {_few(graph.labels)} are"
        )
    return np.array([graph.labels.index(name) for name in labels.ravel()], np.int64)


def _few(names: tuple[str, ...]) -> str:
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
