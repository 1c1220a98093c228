"""Dimensions that a source leaves open, fixed: the batch to 1, others by an example."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge_quantize.errors import InputDataError, UnsupportedModelError


@dataclass(frozen=True)
class OpenInput:
    """An input as its source declares it; None for a dimension that is open."""

    name: str
    shape: tuple[int | None, ...]


def fixed_shapes(
    inputs: Sequence[OpenInput], example: Any
) -> tuple[tuple[tuple[int, ...], ...], tuple[str, ...]]:
    """A shape for each input, and what was fixed.

    `example` is None, one array, a sequence of arrays in the inputs' order, or a mapping by name.
    Raises UnsupportedModelError naming each dimension that stays open, InputDataError when the
    example does not fit.
    """
    shapes, notes, problems = [], list[str](), list[str]()
    for given, shape in zip(inputs, _examples(inputs, example), strict=True):
        fixed = []
        for at, size in enumerate(given.shape):
            if size is not None:
                fixed.append(size)
            elif at == 0:
                fixed.append(1)
                if "batch: open in the source, fixed at 1" not in notes:
                    notes.append("batch: open in the source, fixed at 1")
            elif shape is not None:
                fixed.append(shape[at])
                notes.append(
                    f"input '{given.name}', dimension {at}: open in the source, fixed at the "
                    f"example's {shape[at]}"
                )
            else:
                open_shape = [n if n is not None else "?" for n in given.shape]
                problems.append(
                    f"input '{given.name}': dimension {at} of "
                    f"[{', '.join(map(str, open_shape))}] is open; fix it in the model, or give "
                    "an example input (in Python: example_input=)"
                )
        shapes.append(tuple(fixed))
    if problems:
        raise UnsupportedModelError(problems[0], tuple(problems))
    return tuple(shapes), tuple(notes)


def _examples(inputs: Sequence[OpenInput], example: Any) -> list[tuple[int, ...] | None]:
    if example is None:
        return [None] * len(inputs)
    if isinstance(example, Mapping):
        missing = [given.name for given in inputs if given.name not in example]
        if missing:
            raise InputDataError(f"the example has no input '{missing[0]}'")
        values = [example[given.name] for given in inputs]
    elif isinstance(example, list | tuple):
        values = list(example)
    else:
        values = [example]
    if len(values) != len(inputs):
        raise InputDataError(
            f"the example has {len(values)} inputs, the model {len(inputs)}: "
            + ", ".join(given.name for given in inputs)
        )
    shapes = []
    for given, value in zip(inputs, values, strict=True):
        shape = tuple(np.shape(value))
        if len(shape) != len(given.shape) or any(
            at and size not in (None, shape[at]) for at, size in enumerate(given.shape)
        ):
            raise InputDataError(
                f"the example for '{given.name}' has shape {list(shape)}, the model takes "
                f"{[n if n is not None else '?' for n in given.shape]}"
            )
        shapes.append(shape)
    return list(shapes)
