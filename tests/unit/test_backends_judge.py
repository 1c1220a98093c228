"""How far outputs are apart, and in which unit."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge_autoglm.backends.judge import difference

FLOATS = hnp.arrays(np.float32, (1, 5), elements=st.floats(-100, 100, width=32))
INTS = hnp.arrays(np.int8, (1, 5))


@given(FLOATS)
def test_equal_floats_are_not_apart(array: np.ndarray) -> None:
    found = difference([(array,)], [(array.copy(),)])
    assert found.largest == 0
    assert found.relative
    assert found.good


@given(INTS, INTS)
def test_integers_are_apart_by_lsb(a: np.ndarray, b: np.ndarray) -> None:
    found = difference([(a,)], [(b,)])
    assert found.largest == np.abs(a.astype(int) - b.astype(int)).max()
    assert not found.relative
    assert found.good == (found.largest <= 1)


def test_floats_are_apart_by_the_largest_of_all_inputs() -> None:
    wanted = [(np.array([1.0, -8.0], np.float32),), (np.array([0.5, 0.0], np.float32),)]
    found = [(np.array([1.0, -8.0], np.float32),), (np.array([0.504, 0.0], np.float32),)]
    assert difference(wanted, found).largest == pytest.approx(0.004 / 8, rel=1e-3)
    assert difference(wanted, found).good
    assert not difference(wanted, found, floating=1e-4).good


def test_the_worst_output_counts_by_its_own_tolerance() -> None:
    wanted = [(np.zeros(2, np.int8), np.ones(2, np.float32))]
    off = [(np.ones(2, np.int8), np.full(2, 1.5, np.float32))]  # 1 LSB is allowed, half is not
    found = difference(wanted, off)
    assert found.relative
    assert found.largest == pytest.approx(0.5)
    assert not found.good


@pytest.mark.parametrize(
    "bad",
    [np.array([math.nan, 1], np.float32), np.zeros((2, 1), np.float32), np.zeros(2, np.int8)],
    ids=["not a number", "another shape", "another type"],
)
def test_what_cannot_be_compared_is_never_good(bad: np.ndarray) -> None:
    assert not difference([(np.ones(2, np.float32),)], [(bad,)]).good


def test_anything_against_zeros_is_far() -> None:
    zeros, ones = np.zeros(2, np.float32), np.full(2, 1e-9, np.float32)
    assert math.isinf(difference([(zeros,)], [(ones,)]).largest)


def test_wide_integers_are_right_or_wrong() -> None:
    """An index is no quantized value: the next class is another class."""
    wanted, off = [(np.array([3], np.int64),)], [(np.array([4], np.int64),)]
    assert difference(wanted, wanted).good
    assert not difference(wanted, off).good


def test_infinities_in_the_same_places_are_no_difference() -> None:
    wanted = [(np.array([-math.inf, 2.0], np.float32),)]
    assert difference(wanted, [(wanted[0][0].copy(),)]).largest == 0
    off = [(np.array([-math.inf, 2.5], np.float32),)]
    assert difference(wanted, off).largest == pytest.approx(0.25)
    assert not difference(wanted, [(np.array([1.0, 2.0], np.float32),)]).good
