"""Operators that only move elements."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge_quantize.graph.model import Graph
from edge_quantize.graph.options import (
    Activation,
    ConcatenationOptions,
    ReshapeOptions,
    SqueezeOptions,
)

from .one_op import T, one_op, schema

_ANY = ("f32", "i8", "u8", "i16", "i32", "i64", "bool", "f16", "u32")
_RANKS: dict[int, tuple[int, ...]] = {
    1: (8,), 2: (4, 8), 3: (2, 4, 8), 4: (1, 4, 6, 8), 5: (1, 2, 4, 6, 8), 6: (1, 1, 2, 4, 6, 8)
}  # fmt: skip


def cases() -> Iterator[tuple[str, Graph]]:
    yield from _shaped()
    yield from _padded()
    yield from _sliced()
    yield from _joined()
    yield from _resized()


def _shaped() -> Iterator[tuple[str, Graph]]:
    for dtype in _ANY:
        x, y = T((1, 4, 6, 8), dtype), T((1, 24, 8), dtype)
        graph = one_op("RESHAPE", [x, T((3,), "i32", y.shape)], [y], ReshapeOptions(y.shape))
        yield f"RESHAPE {dtype}", graph
    for a, b in ((1, 2), (2, 1), (4, 5), (5, 4), (4, 6), (6, 4), (5, 5)):
        first = _RANKS[a]
        size = 1
        for n in first:
            size *= n
        second = (1,) * (b - 1) + (size,)
        graph = one_op("RESHAPE", [T(first), T((b,), "i32", second)], [T(second)],
                       ReshapeOptions(second))  # fmt: skip
        yield f"RESHAPE f32 rank{a} to rank{b}", graph
    x = T((1, 4, 6, 8))
    yield "RESHAPE f32 by option", one_op("RESHAPE", [x], [T((1, 192))], ReshapeOptions((1, 192)))
    graph = one_op("RESHAPE", [x, T((2,), "i32")], [T((1, 192))], ReshapeOptions())
    yield "RESHAPE f32 runtime shape", graph
    yield "SQUEEZE f32", one_op("SQUEEZE", [x], [T((4, 6, 8))], SqueezeOptions((0,)))
    graph = one_op("EXPAND_DIMS", [T((4, 6, 8)), T((), "i32", 0)], [x])
    yield "EXPAND_DIMS f32", graph
    for dtype in _ANY:
        graph = one_op("TRANSPOSE", [T((1, 4, 6, 8), dtype), T((4,), "i32", [0, 3, 1, 2])],
                       [T((1, 8, 4, 6), dtype)])  # fmt: skip
        yield f"TRANSPOSE {dtype}", graph
    for rank, shape in _RANKS.items():
        order = list(reversed(range(rank)))
        graph = one_op("TRANSPOSE", [T(shape), T((rank,), "i32", order)],
                       [T(tuple(reversed(shape)))])  # fmt: skip
        yield f"TRANSPOSE f32 rank{rank}", graph
    graph = one_op("TRANSPOSE", [T((4, 8)), T((2,), "i32")], [T((8, 4))])
    yield "TRANSPOSE f32 runtime order", graph
    yield "SHAPE f32", one_op("SHAPE", [x], [T((4,), "i32")], schema("ShapeOptions", out_type=2))
    yield "RANK f32", one_op("RANK", [x], [T((), "i32")])
    for op, table in (
        ("SPACE_TO_DEPTH", "SpaceToDepthOptions"),
        ("DEPTH_TO_SPACE", "DepthToSpaceOptions"),
    ):
        small, large = (1, 2, 2, 16), (1, 4, 4, 4)
        a, b = (large, small) if op == "SPACE_TO_DEPTH" else (small, large)
        for dtype in ("f32", "i8", "i16", "i32"):
            graph = one_op(op, [T(a, dtype)], [T(b, dtype)], schema(table, block_size=2))
            yield f"{op} {dtype}", graph
        yield f"{op} f32 block1", one_op(op, [T(a)], [T(a)], schema(table, block_size=1))
    for dtype in ("f32", "i8"):
        graph = one_op("SPACE_TO_BATCH_ND",
                       [T((1, 4, 4, 8), dtype), T((2,), "i32", [2, 2]), T((2, 2), "i32", [0] * 4)],
                       [T((4, 2, 2, 8), dtype)])  # fmt: skip
        yield f"SPACE_TO_BATCH_ND {dtype}", graph
        graph = one_op("BATCH_TO_SPACE_ND",
                       [T((4, 2, 2, 8), dtype), T((2,), "i32", [2, 2]), T((2, 2), "i32", [0] * 4)],
                       [T((1, 4, 4, 8), dtype)])  # fmt: skip
        yield f"BATCH_TO_SPACE_ND {dtype}", graph
    for dtype in ("f32", "i8", "i32", "bool", "i64"):
        graph = one_op("TILE", [T((1, 4, 6, 8), dtype), T((4,), "i32", [1, 2, 1, 1])],
                       [T((1, 8, 6, 8), dtype)])  # fmt: skip
        yield f"TILE {dtype}", graph
        graph = one_op("REVERSE_V2", [T((1, 4, 6, 8), dtype), T((1,), "i32", [1])],
                       [T((1, 4, 6, 8), dtype)])  # fmt: skip
        yield f"REVERSE_V2 {dtype}", graph
    for rank, shape in _RANKS.items():
        graph = one_op("TILE", [T(shape), T((rank,), "i32", [1] * rank)], [T(shape)])
        yield f"TILE f32 rank{rank}", graph
        graph = one_op("REVERSE_V2", [T(shape), T((1,), "i32", [rank - 1])], [T(shape)])
        yield f"REVERSE_V2 f32 rank{rank}", graph
    graph = one_op("TILE", [T((4, 8)), T((2,), "i32")], [T((4, 16))])
    yield "TILE f32 runtime repeats", graph
    for start in ("const", "runtime"):
        for dtype in ("f32", "i8", "i32"):
            index = T((4,), "i32", [0] * 4 if start == "const" else None)
            graph = one_op("DYNAMIC_UPDATE_SLICE",
                           [T((1, 4, 6, 8), dtype), T((1, 2, 6, 8), dtype), index],
                           [T((1, 4, 6, 8), dtype)])  # fmt: skip
            yield f"DYNAMIC_UPDATE_SLICE {dtype} start {start}", graph
    yield "BITCAST f32 to i32", one_op("BITCAST", [x], [T(x.shape, "i32")])
    yield (
        "BITCAST i32 to i8",
        one_op("BITCAST", [T(x.shape, "i32")], [T((*x.shape, 4), "i8", quantized=False)]),
    )


def _padded() -> Iterator[tuple[str, Graph]]:
    def pad(op: str, x: T, value: T | None = None, constant: bool = True, **mode: Any) -> Graph:
        rank = len(x.shape)
        sides = T((rank, 2), "i32", [[0, 0]] * (rank - 1) + [[1, 1]] if constant else None)
        y = T((*x.shape[:-1], x.shape[-1] + 2), x.dtype)
        options = schema("MirrorPadOptions", **mode) if op == "MIRROR_PAD" else None
        return one_op(
            op, [x, sides] + ([value] if value else []), [y], options, 2 if x.dtype == "i8" else 1
        )

    for rank, shape in _RANKS.items():
        yield f"PAD f32 rank{rank}", pad("PAD", T(shape))
        yield f"PADV2 f32 rank{rank}", pad("PADV2", T(shape), T((), "f32", 1.5))
        yield f"MIRROR_PAD f32 rank{rank}", pad("MIRROR_PAD", T(shape), mode=0)
    for dtype in _ANY[1:]:
        x = T((1, 4, 6, 8), dtype)
        yield f"PAD {dtype}", pad("PAD", x)
        yield f"PADV2 {dtype}", pad("PADV2", x, T((1,), dtype, True))
        yield f"MIRROR_PAD {dtype}", pad("MIRROR_PAD", x, mode=0)
    x = T((1, 4, 6, 8))
    yield "PAD f32 runtime paddings", pad("PAD", x, constant=False)
    yield "PADV2 f32 runtime value", pad("PADV2", x, T(()))
    yield "MIRROR_PAD f32 symmetric", pad("MIRROR_PAD", x, mode=1)


def _sliced() -> Iterator[tuple[str, Graph]]:
    for rank, shape in _RANKS.items():
        half = (*shape[:-1], 4)
        begin = T((rank,), "i32", [0] * rank)
        graph = one_op("SLICE", [T(shape), begin, T((rank,), "i32", half)], [T(half)])
        yield f"SLICE f32 rank{rank}", graph
        ones = T((rank,), "i32", [1] * rank)
        graph = one_op("STRIDED_SLICE", [T(shape), begin, T((rank,), "i32", half), ones], [T(half)],
                       schema("StridedSliceOptions"))  # fmt: skip
        yield f"STRIDED_SLICE f32 rank{rank}", graph
    shape = (1, 4, 6, 8)
    for dtype in _ANY[1:]:
        begin, size = T((4,), "i32", [0] * 4), T((4,), "i32", [1, 2, -1, 8])
        x, y = T(shape, dtype), T((1, 2, 6, 8), dtype)
        yield f"SLICE {dtype}", one_op("SLICE", [x, begin, size], [y], version=2)
        end, step = T((4,), "i32", y.shape), T((4,), "i32", [1] * 4)
        graph = one_op(
            "STRIDED_SLICE", [x, begin, end, step], [y], schema("StridedSliceOptions"), 2
        )
        yield f"STRIDED_SLICE {dtype}", graph
    x = T(shape)
    graph = one_op("SLICE", [x, T((4,), "i32"), T((4,), "i32", [1, 2, 6, 8])], [T((1, 2, 6, 8))])
    yield "SLICE f32 runtime begin", graph
    graph = one_op("SLICE", [x, T((4,), "i64", [0] * 4), T((4,), "i64", [1, 2, 6, 8])],
                   [T((1, 2, 6, 8))])  # fmt: skip
    yield "SLICE f32 begin i64", graph

    def strided(name: str, out: tuple[int, ...], begin: list[int], end: list[int],
                step: list[int], **masks: int) -> tuple[str, Graph]:  # fmt: skip
        parts = [T((len(v),), "i32", v) for v in (begin, end, step)]
        graph = one_op(
            "STRIDED_SLICE", [x, *parts], [T(out)], schema("StridedSliceOptions", **masks)
        )
        return f"STRIDED_SLICE f32 {name}", graph

    b, e, s = [0, 0, 0, 0], [1, 4, 6, 8], [1, 1, 1, 1]
    yield strided("step2", (1, 2, 6, 8), b, e, [1, 2, 1, 1])
    yield strided("step-1", (1, 4, 6, 8), [0, 3, 0, 0], [1, -5, 6, 8], [1, -1, 1, 1])
    yield strided("masks", (1, 4, 6, 8), b, [0, 0, 0, 0], s, begin_mask=15, end_mask=15)
    yield strided("shrink_axis", (1, 6, 8), b, [1, 1, 6, 8], s, shrink_axis_mask=2)
    yield strided("shrink_axis last", (1, 4, 6), b, [1, 4, 6, 1], s, shrink_axis_mask=8)
    yield strided("new_axis", (1, 1, 4, 6, 8), [0, *b], [1, *e], [1, *s], new_axis_mask=1)
    yield strided("ellipsis", (1, 4, 6, 4), [0, 0], [0, 4], [1, 1], ellipsis_mask=1)
    yield strided("fewer", (1, 2, 6, 8), [0, 0], [1, 2], [1, 1])
    yield strided("three", (1, 2, 6, 8), [0, 0, 0], [1, 2, 6], [1, 1, 1])
    graph = one_op("STRIDED_SLICE", [x, T((4,), "i32"), T((4,), "i32", e), T((4,), "i32", s)],
                   [T(shape)], schema("StridedSliceOptions"))  # fmt: skip
    yield "STRIDED_SLICE f32 runtime begin", graph


def _joined() -> Iterator[tuple[str, Graph]]:
    for rank, shape in _RANKS.items():
        for axis in range(rank):
            both = tuple(2 * n if i == axis else n for i, n in enumerate(shape))
            graph = one_op("CONCATENATION", [T(shape), T(shape)], [T(both)],
                           ConcatenationOptions(axis))  # fmt: skip
            yield f"CONCATENATION f32 rank{rank} axis{axis}", graph
            if shape[axis] % 2 == 0:
                half = T(tuple(n // 2 if i == axis else n for i, n in enumerate(shape)))
                graph = one_op("SPLIT", [T((), "i32", axis), T(shape)], [half, half],
                               schema("SplitOptions", num_splits=2))  # fmt: skip
                yield f"SPLIT f32 rank{rank} axis{axis}", graph
                graph = one_op("SPLIT_V", [T(shape), T((2,), "i32", [half.shape[axis]] * 2),
                                           T((), "i32", axis)], [half, half],
                               schema("SplitVOptions", num_splits=2))  # fmt: skip
                yield f"SPLIT_V f32 rank{rank} axis{axis}", graph
            rest = tuple(n for i, n in enumerate(shape) if i != axis)
            if shape[axis] <= 4:
                graph = one_op("UNPACK", [T(shape)], [T(rest)] * shape[axis],
                               schema("UnpackOptions", num=shape[axis], axis=axis))  # fmt: skip
                yield f"UNPACK f32 rank{rank} axis{axis} into {shape[axis]}", graph
            stacked = (*shape[:axis], 2, *shape[axis:])
            graph = one_op("PACK", [T(shape), T(shape)], [T(stacked)],
                           schema("PackOptions", values_count=2, axis=axis))  # fmt: skip
            yield f"PACK f32 rank{rank} axis{axis}", graph
    shape = (1, 4, 6, 8)
    for dtype in _ANY[1:]:
        x, y = T(shape, dtype), T((1, 8, 6, 8), dtype)
        yield (
            f"CONCATENATION {dtype}",
            one_op("CONCATENATION", [x, x], [y], ConcatenationOptions(1), 2),
        )
        half = T((1, 2, 6, 8), dtype)
        graph = one_op(
            "SPLIT", [T((), "i32", 1), x], [half, half], schema("SplitOptions", num_splits=2)
        )
        yield f"SPLIT {dtype}", graph
        graph = one_op("SPLIT_V", [x, T((2,), "i32", [2, 2]), T((), "i32", 1)], [half, half],
                       schema("SplitVOptions", num_splits=2))  # fmt: skip
        yield f"SPLIT_V {dtype}", graph
        three = T((4, 6, 8), dtype)
        graph = one_op("PACK", [three, three], [T((2, 4, 6, 8), dtype)],
                       schema("PackOptions", values_count=2, axis=0))  # fmt: skip
        yield f"PACK {dtype}", graph
        graph = one_op("UNPACK", [T((2, 4, 6), dtype)], [T((4, 6), dtype)] * 2,
                       schema("UnpackOptions", num=2, axis=0))  # fmt: skip
        yield f"UNPACK {dtype}", graph
    x = T(shape)
    y = T((1, 8, 6, 8))
    for act in Activation:
        graph = one_op("CONCATENATION", [x, x], [y], ConcatenationOptions(1, act))
        yield f"CONCATENATION f32 fused {act.name.lower()}", graph
    constant = T(shape, "f32", True)
    graph = one_op("CONCATENATION", [x, constant], [y], ConcatenationOptions(1))
    yield "CONCATENATION f32 with const", graph
    yield "CONCATENATION f32 one", one_op("CONCATENATION", [x], [x], ConcatenationOptions(1))
    graph = one_op(
        "CONCATENATION", [x, T((1, 2, 6, 8))], [T((1, 6, 6, 8))], ConcatenationOptions(1)
    )
    yield "CONCATENATION f32 unequal", graph
    yield (
        "PACK f32 one",
        one_op("PACK", [T((4, 6, 8))], [x], schema("PackOptions", values_count=1, axis=0)),
    )
    yield "PACK f32 with const", one_op(
        "PACK", [T((4, 6, 8)), T((4, 6, 8), "f32", True)], [T((2, 4, 6, 8))],
        schema("PackOptions", values_count=2, axis=0),
    )  # fmt: skip
    yield (
        "UNPACK f32 one",
        one_op("UNPACK", [x], [T((4, 6, 8))], schema("UnpackOptions", num=1, axis=0)),
    )


def _resized() -> Iterator[tuple[str, Graph]]:
    for op, table in (
        ("RESIZE_BILINEAR", "ResizeBilinearOptions"),
        ("RESIZE_NEAREST_NEIGHBOR", "ResizeNearestNeighborOptions"),
    ):
        size = T((2,), "i32", [8, 12])
        for dtype in ("f32", "i8", "u8", "i16", "i32"):
            graph = one_op(op, [T((1, 4, 6, 8), dtype), size], [T((1, 8, 12, 8), dtype)],
                           schema(table), 2)  # fmt: skip
            yield f"{op} {dtype}", graph
        for align in (False, True):
            for half in (False, True):
                options = schema(table, align_corners=align, half_pixel_centers=half)
                graph = one_op(op, [T((1, 4, 6, 8)), size], [T((1, 8, 12, 8))], options, 3)
                yield f"{op} f32 align{int(align)} half{int(half)}", graph
        graph = one_op(op, [T((1, 4, 6, 8)), T((2,), "i32")], [T((1, 8, 12, 8))], schema(table))
        yield f"{op} f32 runtime size", graph
