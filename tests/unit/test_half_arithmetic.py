"""float16 arithmetic against numpy's own scalars, one step after the other."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_quantize.half.arithmetic import Sums, dot, halved, safe_sum, stays_finite

# Ordinary numbers, subnormal ones, and such that a few of them pass 65504.
_HALVES = st.floats(width=16, allow_nan=False, allow_infinity=False)
_KINDS = st.sampled_from([1.0, 2.0**-9, 300.0, 2.0**-20])


def by_steps(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The same sums, each in one float16 scalar."""
    result = np.zeros((left.shape[0], right.shape[1]), np.float16)
    with np.errstate(over="ignore", invalid="ignore"):
        for row in range(left.shape[0]):
            for column in range(right.shape[1]):
                total = np.float16(0)
                for k in range(left.shape[1]):
                    product = np.float32(left[row, k]) * np.float32(right[k, column])
                    total = np.float16(np.float32(total) + product)
                result[row, column] = total
    return result.astype(np.float32)


def test_a_sum_that_rounding_alone_carries_past_65504_becomes_infinite() -> None:
    """The exact sum is 64762; each 17 is rounded up to the 32 that lie between two halves there."""
    terms = np.full((1, 1 + 1882), 17, np.float32)
    terms[0, 0] = 32768
    right = np.ones((terms.shape[1], 1), np.float32)
    assert terms.sum() < 65000
    assert np.isposinf(by_steps(terms, right))
    np.testing.assert_array_equal(dot(terms, right), by_steps(terms, right))
    assert not safe_sum(terms, 1)


@pytest.mark.parametrize("steps", [1, 10, 100, 1000, 10_000])
def test_what_is_called_safe_stays_finite_however_it_is_rounded(steps: int) -> None:
    """The most that rounding can add: each step as much of the sum as half a unit is."""
    most = max(m for m in np.geomspace(1, 65504, 400) if stays_finite(float(m), steps))
    for first in (0.0, most / 2, most * 0.999):
        total, each = first, (most - first) / steps
        for _ in range(steps):
            total = np.float64(total + each)
            total += min(np.spacing(np.float16(min(total, 65504))) / 2, total * 2.0**-11)
        assert total < 65504


@st.composite
def factors(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    rows, depth, columns = (draw(st.integers(1, n)) for n in (5, 12, 5))
    random = np.random.default_rng(draw(st.integers(0, 2**20)))
    made = []
    for shape in ((rows, depth), (depth, columns)):
        spread = draw(_KINDS)
        made.append(halved((spread * random.standard_normal(shape)).astype(np.float32)))
    return made[0], made[1]


@given(factors())
def test_a_dot_product_is_that_of_float16_scalars(pair: tuple[np.ndarray, np.ndarray]) -> None:
    left, right = pair
    np.testing.assert_array_equal(dot(left, right), by_steps(left, right))


@given(st.lists(_HALVES, min_size=1, max_size=20))
def test_a_running_sum_is_that_of_float16_scalars(terms: list[float]) -> None:
    total = np.float16(0)
    with np.errstate(over="ignore", invalid="ignore"):
        for term in terms:
            total = np.float16(total + np.float16(term))
    for safe in (False, True):
        if safe and sum(abs(t) for t in terms) >= 65000:
            continue
        sums = Sums(1, 1, safe)
        for term in terms:
            sums.add(np.array([[term]], np.float32))
        np.testing.assert_array_equal(sums.values[0, 0], np.float32(total))


def test_a_sum_that_passes_65504_is_infinite_and_stays_so() -> None:
    ones = np.ones((1, 4), np.float32)
    terms = np.array([[40000], [40000], [-40000], [-40000]], np.float32)
    assert dot(ones, halved(terms))[0, 0] == np.inf


@pytest.mark.parametrize(
    ("value", "half"),
    [
        *[(65504, 65504), (65519, 65504), (65520, np.inf), (2.0**-25, 0), (2.0**-24, 2.0**-24)],
        *[(1 + 2.0**-11, 1), (1 + 3 * 2.0**-11, 1 + 2.0**-9)],
    ],
)  # fmt: skip
def test_rounding_is_to_nearest_with_ties_to_even(value: float, half: float) -> None:
    assert halved(np.array([value], np.float32))[0] == np.float32(half)


def test_large_products_do_not_depend_on_how_they_are_cut_into_blocks() -> None:
    random = np.random.default_rng(0)
    left = halved(random.standard_normal((3000, 7)).astype(np.float32))
    right = halved(random.standard_normal((7, 40)).astype(np.float32))
    whole = dot(left, right)
    for row in (0, 1234, 2999):
        np.testing.assert_array_equal(whole[row], dot(left[row : row + 1], right)[0])
