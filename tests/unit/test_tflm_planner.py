"""TFLM's greedy planner, by its properties; that it is TFLM's is `test_tflm_arena`'s to show."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from edge_export.tflm.planner import NO_OFFSET, Buffer, height, plan


@st.composite
def buffers(draw: st.DrawFn, fixed: bool = False) -> list[Buffer]:
    made = []
    for _ in range(draw(st.integers(0, 24))):
        first = draw(st.integers(-1, 12))
        size = 16 * draw(st.integers(0, 8))
        offset = 16 * draw(st.integers(0, 20)) if fixed and draw(st.booleans()) else NO_OFFSET
        made.append(Buffer(size, first, first + draw(st.integers(0, 6)), offset))
    return made


def overlap(a: Buffer, at: int, b: Buffer, bt: int) -> bool:
    return a.alive_with(b) and at < bt + b.size and bt < at + a.size


@given(buffers())
def test_buffers_that_live_together_lie_apart(wanted: list[Buffer]) -> None:
    offsets = plan(wanted)
    for (a, at), (b, bt) in combinations(zip(wanted, offsets, strict=True), 2):
        assert not overlap(a, at, b, bt)


@given(buffers(fixed=True))
def test_fixed_offsets_are_kept_and_the_others_go_around_them(wanted: list[Buffer]) -> None:
    offsets = plan(wanted)
    for buffer, offset in zip(wanted, offsets, strict=True):
        assert buffer.offset in (NO_OFFSET, offset)
    for (a, at), (b, bt) in combinations(zip(wanted, offsets, strict=True), 2):
        if a.offset == NO_OFFSET or b.offset == NO_OFFSET:
            assert not overlap(a, at, b, bt)


@given(buffers())
def test_the_height_is_between_the_most_that_lives_at_once_and_the_sum(
    wanted: list[Buffer],
) -> None:
    most = max(
        (sum(b.size for b in wanted if b.first <= scope <= b.last) for scope in range(-1, 20)),
        default=0,
    )
    assert most <= height(wanted, plan(wanted)) <= sum(b.size for b in wanted)


@given(buffers())
def test_the_largest_lies_at_the_start(wanted: list[Buffer]) -> None:
    if wanted:
        largest = max(range(len(wanted)), key=lambda i: (wanted[i].size, i))
        assert plan(wanted)[largest] == 0


def test_of_equals_the_last_added_comes_first() -> None:
    assert plan([Buffer(16, 0, 1), Buffer(16, 0, 1), Buffer(16, 0, 1)]) == (32, 16, 0)


def test_a_gap_is_filled_before_anything_is_stacked() -> None:
    big, after, small = Buffer(64, 0, 1), Buffer(48, 1, 2), Buffer(32, 2, 2)
    assert plan([big, after, small]) == (0, 64, 0)


def test_nothing_needs_nothing() -> None:
    assert plan([]) == ()
    assert height([], []) == 0
