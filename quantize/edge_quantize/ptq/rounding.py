"""Weights rounded so that the layer's output changes least, not each weight by itself.

With H = E[x x^T] of a layer's inputs, an output channel whose weights change by d has the squared
error d H d^T. Rounding to nearest minimises |d|; here d H d^T is brought down:

1. `compensated`: column by column, each column's rounding error is spread over the columns that
   are not rounded yet (optimal brain compression; Frantar et al. 2022, arXiv:2208.11580 eq. 3, in
   the Cholesky form of GPTQ, arXiv:2210.17323, section 3.3).
2. `descend`: coordinate descent from there: each weight in turn moves to the integer that is best
   while the others stand still (Zhang et al. 2024, arXiv:2403.07134). The error never rises.

Both work on all output channels at once. H is `[K, K]`, one for all channels, or `[channels, K, K]`
for depthwise convolutions, whose channels see different inputs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_MOST_SWEEPS = 20


@dataclass(frozen=True, eq=False)
class Factor:
    """What `compensated` needs of a damped H `[K, K]`: the order in which columns are rounded, the
    one with the most of H first, and U with U^T U the inverse of H in that order."""

    order: npt.NDArray[np.intp]
    upper: Array


def factors(hessian: Array) -> tuple[Factor, ...]:
    """One for H `[K, K]`, one a channel for `[channels, K, K]`. H must be positive definite
    (`damped`). It is most of the work, and the same for any weights."""
    if hessian.ndim == 3:
        return tuple(each for matrix in hessian for each in factors(matrix))
    order = np.argsort(-np.diag(hessian), kind="stable")
    inverse = np.linalg.inv(hessian[np.ix_(order, order)])
    return (Factor(order, np.linalg.cholesky(inverse).T),)


def output_error(difference: Array, hessian: Array) -> Array:
    """d H d^T of each row of `difference` `[channels, K]`."""
    error: Array = np.einsum("ok,ok->o", difference, _times(difference, hessian))
    return error


def damped(hessian: Array, share: float) -> Array:
    """H with `share` of its mean diagonal added on the diagonal: few samples see few directions,
    and weights must not run away along the others."""
    size = hessian.shape[-1]
    mean = np.trace(hessian, axis1=-2, axis2=-1) / size
    amount = np.maximum(share * mean, 1e-12)
    result: Array = hessian + np.multiply.outer(amount, np.eye(size))
    return result


def shifted(weights: Array, hessian: Array, cross: Array, added: Array) -> Array:
    """Weights that give, from the inputs that the layer really gets, the outputs that the float
    layer gives from its own: least squares with the ridge `added` = damped H - H pulling towards
    `weights`. `cross` is E[x_float x^T]."""
    wanted = _times(weights, cross) + _times(weights, added)
    whole = hessian + added
    if whole.ndim == 2:
        return np.asarray(np.linalg.solve(whole, wanted.T).T, np.float64)
    return np.asarray(np.linalg.solve(whole, wanted[..., None])[..., 0], np.float64)


def compensated(weights: Array, scales: Array, found: tuple[Factor, ...], most: int) -> Integers:
    """Integers in -most..most of `weights` `[channels, K]` with a scale each; `found` are the
    `factors` of their H."""
    if len(found) > 1:
        rows = [
            compensated(weights[i : i + 1], scales[i : i + 1], (each,), most)
            for i, each in enumerate(found)
        ]
        return np.concatenate(rows)
    order, upper = found[0].order, found[0].upper
    left = weights[:, order].copy()
    integers = np.empty(left.shape, np.int64)
    for column in range(left.shape[1]):
        steps = np.clip(np.rint(left[:, column] / scales), -most, most)
        integers[:, column] = steps
        error = (left[:, column] - steps * scales) / upper[column, column]
        left[:, column + 1 :] -= np.outer(error, upper[column, column + 1 :])
    restored = np.empty_like(integers)
    restored[:, order] = integers
    return restored


def descend(
    integers: Integers, weights: Array, scales: Array, hessian: Array, most: int
) -> Integers:
    """`integers` moved one weight at a time while that lowers d H d^T, at most 20 times over."""
    current = integers.astype(np.float64)
    gradient = _times(current * scales[:, None] - weights, hessian)
    diagonal = np.einsum("...kk->...k", hessian)
    for _ in range(_MOST_SWEEPS):
        moved = False
        for column in range(current.shape[1]):
            bend = diagonal[..., column]
            wanted = current[:, column] - gradient[:, column] / (bend * scales)
            target = np.clip(np.rint(wanted), -most, most)
            step = target - current[:, column]
            if not step.any():
                continue
            moved = True
            current[:, column] = target
            row = hessian[..., column, :]
            gradient += (step * scales)[:, None] * row
        if not moved:
            break
    return current.astype(np.int64)


def _times(rows: Array, matrix: Array) -> Array:
    if matrix.ndim == 2:
        return rows @ matrix
    product: Array = np.einsum("ok,okj->oj", rows, matrix)
    return product
