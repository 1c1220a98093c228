"""A PyTorch module behind tensors only, with channels last: what the converter is given.

Imports torch; only `from_torch` imports it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree as pytree


@dataclass(frozen=True)
class Call:
    """An example call, flat: its tensors, and the Python values that become constants."""

    leaves: tuple[Any, ...]
    layout: Any  # the structure of (args, kwargs), to put the leaves back into
    names: tuple[str, ...]  # of every leaf

    @property
    def tensors(self) -> tuple[int, ...]:
        """The places of the tensors among the leaves."""
        return tuple(i for i, leaf in enumerate(self.leaves) if torch.is_tensor(leaf))

    def packed(self, tensors: Sequence[Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """(args, kwargs) with `tensors` in place of the example's."""
        leaves = list(self.leaves)
        for place, tensor in zip(self.tensors, tensors, strict=True):
            leaves[place] = tensor
        args, kwargs = pytree.tree_unflatten(leaves, self.layout)
        return tuple(args), dict(kwargs)


def flat_call(args: tuple[Any, ...], kwargs: dict[str, Any], names: Sequence[str]) -> Call:
    """`names` are those of the positional parameters."""
    leaves, layout = pytree.tree_flatten((args, kwargs))
    found = []
    for position, value in enumerate(args):
        name = names[position] if position < len(names) else f"input_{position}"
        found += _leaf_names(name, value)
    for name, value in kwargs.items():
        found += _leaf_names(name, value)
    return Call(tuple(leaves), layout, tuple(found))


def _leaf_names(name: str, value: Any) -> list[str]:
    count = len(pytree.tree_flatten(value)[0])
    return [name] if count == 1 else [f"{name}_{i}" for i in range(count)]


def flat_outputs(result: Any) -> list[Any]:
    """The tensors of a result, in order."""
    return [leaf for leaf in pytree.tree_flatten(result)[0] if torch.is_tensor(leaf)]


def channels_last(rank: int) -> list[int]:
    """The permutation from (N, C, ...) to (N, ..., C)."""
    return [0, *range(2, rank), 1]


def channels_first(rank: int) -> list[int]:
    return [0, rank - 1, *range(1, rank - 1)]


class FlatModule(torch.nn.Module):  # type: ignore[misc]
    """`module` from tensors to a tuple of tensors; the inputs and outputs named in `last_inputs`
    and `last_outputs` have their channels last."""

    def __init__(
        self, module: Any, call: Call, last_inputs: frozenset[int], last_outputs: frozenset[int]
    ) -> None:
        super().__init__()
        self.training = False  # `eval()` would ask the module, and a program refuses
        self.module = module
        self._call = call
        self._last_inputs, self._last_outputs = last_inputs, last_outputs

    def forward(self, *tensors: Any) -> tuple[Any, ...]:
        given = [
            t.permute(channels_first(t.ndim)) if i in self._last_inputs else t
            for i, t in enumerate(tensors)
        ]
        args, kwargs = self._call.packed(given)
        return tuple(
            t.permute(channels_last(t.ndim)) if i in self._last_outputs else t
            for i, t in enumerate(flat_outputs(self.module(*args, **kwargs)))
        )
