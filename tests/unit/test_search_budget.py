"""Budgets: what users write, and what breaks them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_autoglm.errors import UsageError
from edge_autoglm.quantities import parse_share
from edge_autoglm.search.budget import (
    Budget,
    Excess,
    parse_bytes,
    parse_milliseconds,
    worst,
)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("64k", 65_536), ("64K", 65_536), ("64 KiB", 65_536), ("90kB", 90_000), ("1M", 1_048_576),
        ("1.5k", 1_536), ("65536", 65_536), ("65_536 B", 65_536), ("2MB", 2_000_000),
    ],
)  # fmt: skip
def test_sizes_are_powers_of_two_unless_they_say_b(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@given(st.integers(1, 1 << 20))
def test_a_number_of_k_is_so_many_kibibytes(count: int) -> None:
    assert parse_bytes(f"{count}k") == parse_bytes(f"{count}KiB") == parse_bytes(f"{1024 * count}")


@pytest.mark.parametrize("text", ["", "k", "64q", "-1k", "6 4k", "0", "64ms", "1e9", "٣k", "1,5k"])
def test_nonsense_is_refused_with_the_option_and_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="--max-ram"):
        Budget.parse(ram=text)


@pytest.mark.parametrize(("text", "ms"), [("20ms", 20), ("1.5 s", 1500), ("800us", 0.8)])
def test_times_have_units(text: str, ms: float) -> None:
    assert parse_milliseconds(text) == pytest.approx(ms)


@pytest.mark.parametrize("text", ["20", "0ms", "20k", "fast"])
def test_a_time_without_a_unit_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="latency"):
        parse_milliseconds(text)


@pytest.mark.parametrize(("text", "part"), [("0.5%", 0.005), ("0.005", 0.005), ("0", 0.0)])
def test_a_drop_is_in_points_or_a_fraction(text: str, part: float) -> None:
    assert parse_share(text, "--max-drop") == pytest.approx(part)


@pytest.mark.parametrize("text", ["101%", "2", "1", "-1%", "1 point", "0,5%"])
def test_a_drop_of_more_than_everything_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="drop"):
        parse_share(text, "--max-drop")


def test_numbers_are_bytes_and_milliseconds() -> None:
    budget = Budget.parse(ram=50_000, latency=1.5)
    assert (budget.ram, budget.latency_ms) == (50_000, 1.5)


def test_an_excess_says_resource_bytes_and_layer() -> None:
    excess = Excess("RAM", 11_563, 4_096, "layer conv2d: 2,048 B")
    assert "RAM: 11,563 B needed, the budget has 4,096 B (7,467 B too many)" in str(excess)
    assert "layer conv2d" in str(excess)


def test_the_worst_is_the_farthest_beyond() -> None:
    near, far = Excess("flash", 101, 100), Excess("RAM", 15, 10)
    assert worst([near, far]) is far
    assert worst([]) is None
