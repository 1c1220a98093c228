"""What tracing decides for good: sizes, Python values, and the branches taken on them.

Imports torch; only `from_torch` imports it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from . import torch_module
from .torch_layout import Layout

Ranges = Mapping[tuple[int, int], str]
"""(tensor input, dimension) -> the sizes that a program is valid for, in words."""


def program_ranges(program: Any) -> Ranges:
    """The dimensions that are a range in the program."""
    inputs = set(program.graph_signature.user_inputs)
    placeholders = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in inputs]
    values = [n.meta["val"] for n in placeholders if hasattr(n.meta.get("val"), "shape")]
    found = {}
    for i, value in enumerate(values):
        for at, size in enumerate(value.shape):
            symbol = getattr(getattr(size, "node", None), "expr", None)
            limits = program.range_constraints.get(symbol)
            if limits is not None:
                upper = str(limits.upper)
                found[i, at] = (
                    f"{limits.lower} and more" if "oo" in upper else f"{limits.lower} to {upper}"
                )
    return found


def traced_ranges(module: Any, call: torch_module.Call) -> Ranges:
    """The same of a module, traced once with its sizes left open.

    Branches on sizes then show as limits. A module that cannot be traced so has no range to tell.
    """
    flat = torch_module.FlatModule(module, call, frozenset(), frozenset())
    tensors = tuple(call.leaves[i] for i in call.tensors)
    automatic = tuple(dict.fromkeys(range(t.ndim), torch.export.Dim.AUTO) for t in tensors)
    try:
        program = torch.export.export(flat, tensors, dynamic_shapes=(automatic,))
    except Exception:  # the module may well be static; the conversion itself tells what is wrong
        return {}
    return program_ranges(program)


def specialised(call: torch_module.Call, ranges: Ranges) -> list[str]:
    notes = [
        f"argument '{name}' = {leaf!r}: fixed, the branch that it takes too"
        for name, leaf in zip(call.names, call.leaves, strict=True)
        if not hasattr(leaf, "shape")
    ]
    for i, place in enumerate(call.tensors):
        shape = tuple(call.leaves[place].shape)
        for at, size in enumerate(shape):
            if (i, at) in ranges:
                notes.append(
                    f"input '{call.names[place]}', dimension {at}: fixed at {size} (what was "
                    f"traced holds for {ranges[i, at]})"
                )
    return notes


def switched_off(module: Any) -> list[str]:
    """Layers that do something else in training."""
    kinds = (torch.nn.modules.dropout._DropoutNd, torch.nn.modules.batchnorm._NormBase)
    return sorted(
        {type(m).__name__ for m in module.modules() if m.training and isinstance(m, kinds)}
    )


def laid_out(
    names: Sequence[str], tensors: Sequence[Any], results: Sequence[Any], last: Layout
) -> list[str]:
    notes = []
    for kind, values, chosen in (("input", tensors, last[0]), ("output", results, last[1])):
        for i in sorted(chosen):
            shape = list(values[i].shape)
            moved = [shape[at] for at in torch_module.channels_last(len(shape))]
            name = f" '{names[i]}'" if kind == "input" else f" {i}"
            notes.append(f"{kind}{name}: channels last, {shape} became {moved}")
    return notes
