"""Samples from a function of the user's own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from edge_quantize.errors import InputDataError
from edge_quantize.graph.model import Graph
from edge_quantize.inputs import MOST_DATA_BYTES
from edge_quantize.user_code import Place, running

from .fit import inner_shape
from .samples import Samples

Array = npt.NDArray[Any]
Found = tuple[tuple[Array, ...], Array | None]


def called(place: Place, graph: Graph, most: int | None) -> Samples | dict[str, Array] | Found:
    """What the function returns: Samples or a mapping as they are, anything else as (inputs,
    labels). An iterable is read to its end, or to `most` samples.

    Raises InputDataError with the function's name and, where it raised, the line of its file.
    """
    # Until the last sample: a function may import what it needs when it is called.
    with running(place) as function:
        return _taken(function() if callable(function) else function, graph, place.text, most)


def given(
    data: Any, graph: Graph, source: str, most: int | None
) -> Samples | dict[str, Array] | Found:
    """What a program gives: a function is called, the rest is as `called` has it. A list of lists
    of numbers is an array, and [inputs, labels] a pair.

    Raises InputDataError, also for whatever the function, an iterable or numpy raises.
    """
    try:
        return _taken(_plain(data() if callable(data) else data), graph, source, most)
    except InputDataError:
        raise
    except Exception as error:
        said = (str(error).strip() or "no reason given").splitlines()[0]
        raise InputDataError(f"{source}: {type(error).__name__}: {said}") from error


def _taken(
    found: Any, graph: Graph, source: str, most: int | None
) -> Samples | dict[str, Array] | Found:
    if isinstance(found, Samples):
        return found
    if isinstance(found, Mapping):
        return {str(key): np.asarray(value) for key, value in found.items()}
    return _split(found, graph, source, most)


def _plain(data: Any) -> Any:
    """Lists that stand for arrays as arrays."""
    pair = isinstance(data, list) and len(data) == 2 and not isinstance(data[0], tuple)
    if pair and np.ndim(data[1]) < np.ndim(data[0]):
        data = tuple(data)  # (inputs, labels)
    if isinstance(data, tuple):
        return tuple(part if _several(part) else np.asarray(part) for part in data)
    if isinstance(data, list) and not any(
        isinstance(item, tuple | Mapping) or _several(item) for item in data
    ):
        return np.asarray(data)
    return data


def _split(found: Any, graph: Graph, source: str, most: int | None) -> Found:
    inputs = len(graph.inputs)
    if found is None:
        raise InputDataError(f"{source}: gives nothing; an array, or (inputs, labels)")
    if _array_like(found):
        return _inputs((found,), graph, source), None
    if isinstance(found, tuple) and all(_array_like(part) or _several(part) for part in found):
        if len(found) == 2 and _several(found[0]) and len(found[0]) == inputs:  # ([x], y)
            return _inputs(found[0], graph, source), np.asarray(found[1])
        if len(found) == inputs + 1:  # (x, y), or (x1, x2, y)
            return _inputs(found[:-1], graph, source), np.asarray(found[-1])
        if len(found) == inputs:
            return _inputs(found, graph, source), None
    if isinstance(found, Iterable) and not isinstance(found, str | bytes):
        return _gathered(found, graph, source, most)
    raise InputDataError(
        f"{source}: gives {type(found).__name__}; an array, (inputs, labels), a mapping of "
        "arrays, or an iterable of samples"
    )


def _array_like(value: Any) -> bool:
    """Arrays of any library: numpy's, TensorFlow's, PyTorch's."""
    return hasattr(value, "__array__") and hasattr(value, "shape")


def _several(value: Any) -> bool:
    return isinstance(value, tuple | list) and bool(value) and all(map(_array_like, value))


def _inputs(parts: Iterable[Any], graph: Graph, source: str) -> tuple[Array, ...]:
    arrays = tuple(np.asarray(part) for part in parts)
    if len(arrays) != len(graph.inputs):
        raise InputDataError(
            f"{source}: gives {len(arrays)} inputs; the model has {len(graph.inputs)}"
        )
    return arrays


def _gathered(items: Iterable[Any], graph: Graph, source: str, most: int | None) -> Found:
    """Samples one by one or in batches, each with or without its labels."""
    inputs = len(graph.inputs)
    columns: list[list[Array]] = [[] for _ in range(inputs)]
    labels: list[Array] = []
    total = count = 0
    for item in items:
        if isinstance(item, Mapping):
            raise InputDataError(f"{source}: yields mappings; arrays or (sample, label)")
        parts = list(item) if isinstance(item, tuple | list) else [item]
        label = None
        if len(parts) == 2 and isinstance(parts[0], tuple | list) and inputs > 1:
            parts, label = list(parts[0]), parts[1]
        elif len(parts) == inputs + 1:
            label = parts.pop()
        if len(parts) != inputs:
            raise InputDataError(
                f"{source}: yields {len(parts)} values a sample; {inputs} inputs, or those and a "
                "label, are needed"
            )
        arrays = [np.asarray(part) for part in parts]
        shape = inner_shape(graph.tensors[graph.inputs[0]])
        batch = arrays[0].ndim == len(shape) + 1
        if not batch:
            arrays = [array[np.newaxis] for array in arrays]
        for column, array in zip(columns, arrays, strict=True):
            column.append(array)
            total += array.nbytes
        if label is not None:
            labels.append(np.asarray(label) if batch else np.asarray(label)[np.newaxis])
        count += len(arrays[0])
        if most is not None and count >= most:
            break
        if total > MOST_DATA_BYTES:
            raise InputDataError(
                f"{source}: yields more than {MOST_DATA_BYTES >> 30} GiB; say how many samples to "
                "use, if it has no end"
            )
    if not count:
        raise InputDataError(f"{source}: yields no samples")
    if labels and sum(map(len, labels)) != count:
        raise InputDataError(f"{source}: {sum(map(len, labels))} labels for {count} samples")
    shapes = sorted({array.shape[1:] for array in columns[0]})
    if len(shapes) > 1:
        raise InputDataError(
            f"{source}: samples differ in shape: {list(shapes[0])} and {list(shapes[1])}"
        )
    return tuple(map(np.concatenate, columns)), np.concatenate(labels) if labels else None
