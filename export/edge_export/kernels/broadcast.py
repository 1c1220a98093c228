"""How two operands of different shapes are walked to fill one output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edge_export.aot.program import FieldValue

MAX_DIMS = 4  # of `struct eag_broadcast`


@dataclass(frozen=True)
class Broadcast:
    """Output dimensions, outermost first, with each operand's stride in elements along them
    (0 where it is broadcast). Neighbours that both operands walk alike are merged."""

    dims: tuple[int, ...]
    strides: tuple[tuple[int, ...], tuple[int, ...]]

    def fields(self, name: str) -> tuple[tuple[str, FieldValue], ...]:
        """The initialisers of `struct eag_broadcast`, padded to its rank; needs at most
        `MAX_DIMS` dimensions."""
        missing = MAX_DIMS - len(self.dims)
        pad = (0,) * missing
        return (
            (f"{name}.dims", (1,) * missing + self.dims),
            (f"{name}.stride0", pad + self.strides[0]),
            (f"{name}.stride1", pad + self.strides[1]),
        )

    def dense(self, operand: int) -> bool:
        """Whether the operand is read element by element as the output is written."""
        step = 1
        for dim, stride in zip(reversed(self.dims), reversed(self.strides[operand]), strict=True):
            if dim > 1 and stride != step:
                return False
            step *= dim
        return True


def broadcast(a: Sequence[int], b: Sequence[int]) -> Broadcast | None:
    """The walk of two shapes under numpy's rules, or None when they do not fit together."""
    rank = max(len(a), len(b))
    shapes = [(1,) * (rank - len(shape)) + tuple(shape) for shape in (a, b)]
    steps = (1, 1)
    merged: list[tuple[int, tuple[int, int]]] = []  # innermost first
    for x, y in zip(*(reversed(shape) for shape in shapes), strict=True):
        if x != y and 1 not in (x, y):
            return None
        dim = max(x, y)
        strides = (steps[0] if x > 1 else 0, steps[1] if y > 1 else 0)
        steps = (steps[0] * x, steps[1] * y)
        if dim == 1:
            continue
        if merged:
            inner, inner_strides = merged[-1]
            if all(s == inner * t for s, t in zip(strides, inner_strides, strict=True)):
                merged[-1] = (inner * dim, inner_strides)
                continue
        merged.append((dim, strides))
    merged = merged[::-1] or [(1, (0, 0))]
    return Broadcast(
        tuple(dim for dim, _ in merged),
        (tuple(s[0] for _, s in merged), tuple(s[1] for _, s in merged)),
    )
