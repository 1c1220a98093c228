"""95 % intervals hold the truth in about 95 % of cases, and stay where they make sense."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_quantize.intervals import bootstrap, paired_drop, share


@pytest.mark.parametrize(
    ("hits", "count", "low", "high"),
    # The examples of R. G. Newcombe, Statistics in Medicine 17 (1998) 857-872, method 3.
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_a_share_has_the_published_wilson_interval(hits, count, low, high):
    found = share(hits, count)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_a_share_lies_within_its_interval_and_that_within_0_and_1(case):
    hits, count = case
    found = share(hits, count)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.low < found.high  # never certain, not even when all hit


@pytest.mark.parametrize(("hits", "count"), [(0, 0), (3, 2), (-1, 2)])
def test_a_share_of_nothing_is_refused(hits, count):
    with pytest.raises(ValueError):
        share(hits, count)


@pytest.mark.parametrize("p", [0.5, 0.9, 0.98])
def test_wilson_covers_the_truth(p):
    random = np.random.default_rng(1)
    hits = random.binomial(200, p, 2000)
    inside = [(lambda i: i.low <= p <= i.high)(share(int(h), 200)) for h in hits]
    assert 0.93 <= np.mean(inside) <= 0.975


def test_a_paired_drop_has_newcombes_published_interval():
    # An example of the paper: 36 both, 12 only the first, 2 only the second, 0 neither.
    first = np.repeat([True, True, False, False], [36, 12, 2, 0])
    second = np.repeat([True, False, True, False], [36, 12, 2, 0])
    found = paired_drop(first, second)
    assert (found.value, found.low, found.high) == pytest.approx((0.2, 0.0569, 0.3404), abs=1e-4)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=200))
def test_a_paired_drop_turns_round_with_its_sides(pairs):
    one, other = np.array(pairs).T
    down, up = paired_drop(one, other), paired_drop(other, one)
    assert down.low <= down.value <= down.high
    assert (up.low, up.high) == pytest.approx((-down.high, -down.low), abs=1e-12)


def test_a_paired_drop_covers_the_truth_and_is_narrower_than_two_intervals():
    random = np.random.default_rng(2)
    truth, inside, narrower = 0.03, 0, 0
    for _ in range(1000):
        first = random.random(300) < 0.9
        # 4 % of what was right turns wrong, 6 % of what was wrong turns right: 0.9 -> 0.87.
        second = np.where(first, random.random(300) >= 0.04, random.random(300) < 0.06)
        found = paired_drop(first, second)
        inside += found.low <= truth <= found.high
        apart = share(int(first.sum()), 300), share(int(second.sum()), 300)
        narrower += found.high - found.low < sum(i.high - i.low for i in apart)
    assert 930 <= inside <= 980
    assert narrower == 1000


def test_bootstrap_covers_an_rmse_and_repeats_itself():
    random = np.random.default_rng(3)
    inside = 0
    for _ in range(100):
        errors = random.normal(0, 2.0, 80)
        found = bootstrap((errors**2,), np.sqrt)
        inside += found.low <= 2.0 <= found.high
        assert found == bootstrap((errors**2,), np.sqrt)
    assert inside >= 88


def test_of_one_sample_the_bootstrap_knows_nothing():
    found = bootstrap((np.array([4.0]),), np.sqrt)
    assert (found.value, found.low, found.high) == (2.0, 2.0, 2.0)
