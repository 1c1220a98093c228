"""How far before its operand a convolution's result must start, against a trace of every access."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from edge_export.kernels.overlap import Windows, overlap_distance


@st.composite
def geometries(draw: st.DrawFn) -> tuple[Windows, int, int]:
    kernel_h, kernel_w = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    in_h, in_w = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    stride_h, stride_w = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    same = draw(st.booleans())
    if same:
        out_h, out_w = -(-in_h // stride_h), -(-in_w // stride_w)
        pad_h = max(0, (out_h - 1) * stride_h + kernel_h - in_h) // 2
        pad_w = max(0, (out_w - 1) * stride_w + kernel_w - in_w) // 2
    else:
        kernel_h, kernel_w = min(kernel_h, in_h), min(kernel_w, in_w)
        out_h, out_w = (in_h - kernel_h) // stride_h + 1, (in_w - kernel_w) // stride_w + 1
        pad_h = pad_w = 0
    in_c, out_c = draw(st.integers(1, 6)), draw(st.integers(1, 6))
    windows = Windows(in_h, in_w, in_c, out_h, out_w, out_c, stride_h, stride_w, pad_h, pad_w)
    return windows, kernel_h, kernel_w


def reads(g: Windows, kernel_h: int, kernel_w: int, pixel: int) -> list[int]:
    """Addresses of the operand that an output pixel's window reads."""
    y, x = divmod(pixel, g.out_w)
    return [
        (row * g.in_w + column) * g.in_c + c
        for row in range(y * g.stride_h - g.pad_h, y * g.stride_h - g.pad_h + kernel_h)
        for column in range(x * g.stride_w - g.pad_w, x * g.stride_w - g.pad_w + kernel_w)
        if 0 <= row < g.in_h and 0 <= column < g.in_w
        for c in range(g.in_c)
    ]


def is_safe(
    g: Windows, kernel_h: int, kernel_w: int, tile: int, gathered: bool, distance: int
) -> bool:
    """Whether no byte is read after the result, `distance` before the operand, wrote over it."""
    written: set[int] = set()
    pixels = g.out_h * g.out_w
    for start in range(0, pixels, tile):
        span = range(start, min(start + tile, pixels))
        fetches = [[a + distance for a in reads(g, kernel_h, kernel_w, p)] for p in span]
        if gathered:
            if any(a in written for fetch in fetches for a in fetch):
                return False
            written.update(p * g.out_c + o for p in span for o in range(g.out_c))
            continue
        for p, fetch in zip(span, fetches, strict=True):
            for o in range(g.out_c):
                if any(a in written for a in fetch):
                    return False
                written.add(p * g.out_c + o)
    return True


@given(geometries(), st.integers(1, 8), st.booleans(), st.integers(0, 40))
@settings(max_examples=150, deadline=None)
def test_nothing_is_overwritten_before_it_was_read(
    geometry: tuple[Windows, int, int], tile: int, gathered: bool, more: int
) -> None:
    windows, kernel_h, kernel_w = geometry
    tile = tile if gathered else 1
    distance = overlap_distance(windows, tile, gathered)
    assert is_safe(windows, kernel_h, kernel_w, tile, gathered, distance + more)


def test_a_gathered_1x1_convolution_that_does_not_grow_works_in_place() -> None:
    same = Windows(25, 5, 64, 25, 5, 64, 1, 1, 0, 0)
    assert overlap_distance(same, 16, gathered=True) == 0
    assert overlap_distance(same) == 64


def test_a_convolution_that_doubles_its_channels_starts_its_operands_size_before_it() -> None:
    grows = Windows(48, 48, 8, 48, 48, 16, 1, 1, 0, 0)
    assert 48 * 48 * 8 - 16 * 16 <= overlap_distance(grows, 16, gathered=True) <= 48 * 48 * 8
