"""Shares and counts as people write them."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_autoglm.errors import UsageError
from edge_autoglm.quantities import parse_count, parse_part, parse_share


@pytest.mark.parametrize(
    ("text", "value"), [("0.5%", 0.005), ("0.005", 0.005), (" 50 % ", 0.5), ("0", 0), ("100%", 1)]
)
def test_a_share_is_a_percentage_or_a_fraction(text: str, value: float) -> None:
    assert parse_share(text, "--max-drop") == pytest.approx(value)


@pytest.mark.parametrize(
    "text", ["", "%", "half", "-1%", "nan", "inf", "1e-3", "5k", "101%", "0,5%"]
)
def test_what_is_no_share_is_refused_by_the_option_s_name(text: str) -> None:
    with pytest.raises(UsageError, match=f"--max-drop: {re.escape(repr(text))} is no share"):
        parse_share(text, "--max-drop")


def test_a_share_may_be_more_than_all_where_that_means_something() -> None:
    assert parse_share("150%", "--max-slower", most=math.inf) == 1.5


@pytest.mark.parametrize("text", ["0", "1", "100%", "0%", "25 percent"])
def test_a_part_leaves_and_takes_something(text: str) -> None:
    with pytest.raises(UsageError, match="not between 0 and 1"):
        parse_part(text, "--sparsity")


@pytest.mark.parametrize(
    ("text", "value"),
    [("9M", 9_000_000), ("7.5m", 7_500_000), ("400k", 400_000), ("7,489,664", 7_489_664)],
)
def test_counts_have_thousands_as_units(text: str, value: int) -> None:
    assert parse_count(text, "--target-macs") == value


@pytest.mark.parametrize("text", ["0", "-3", "9MB", "9 million", "7,48", "0.2", "k"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--target-macs"):
        parse_count(text, "--target-macs")


@given(st.integers(1, 10**12))
def test_a_count_with_separators_is_itself(count: int) -> None:
    assert parse_count(f"{count:,}", "n") == parse_count(f"{count:_}", "n") == count
    assert parse_count(str(count), "n") == count
