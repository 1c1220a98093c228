"""Operators whose result has a size known only while running: what decides it is computed."""

from __future__ import annotations

from collections.abc import Iterator

from edge_quantize.graph.model import Graph

from .one_op import T, one_op, schema


def _numbers(count: int) -> T:
    return T((count,), "i32")


def cases() -> Iterator[tuple[str, Graph]]:
    x, number = T((1, 4, 6, 8)), T((), "i32")
    begin, minus = T((4,), "i32", [0] * 4), T((4,), "i32", [-1] * 4)
    yield "SLICE f32 runtime size", one_op("SLICE", [x, begin, _numbers(4)], [x])
    yield "SLICE f32 runtime begin and size", one_op("SLICE", [x, _numbers(4), _numbers(4)], [x])
    yield "SLICE f32 runtime begin, the rest", one_op("SLICE", [x, _numbers(4), minus], [x])
    half = T((1, 2, 6, 8))
    two = schema("SplitOptions", num_splits=2)
    yield "SPLIT f32 runtime axis", one_op("SPLIT", [number, x], [half, half], two)
    two = schema("SplitVOptions", num_splits=2)
    parts = [x, _numbers(2), T((), "i32", 1)]
    yield "SPLIT_V f32 runtime sizes", one_op("SPLIT_V", parts, [half, half], two)
    graph = one_op("EXPAND_DIMS", [x, number], [T((1, 1, 4, 6, 8))])
    yield "EXPAND_DIMS f32 runtime axis", graph
    graph = one_op("FILL", [_numbers(2), T((), "f32", 1)], [T((4, 8))])
    yield "FILL f32 runtime shape", graph
    parts = [T((3,), "i32"), number, T((), "f32", 1), T((), "f32", 0)]
    graph = one_op("ONE_HOT", parts, [T((3, 5))], schema("OneHotOptions", axis=-1))
    yield "ONE_HOT i32 runtime depth", graph
    found = [T((1, 3)), T((1, 3), "i32")]
    yield "TOPK_V2 f32 runtime k", one_op("TOPK_V2", [T((1, 8)), number], found)
    parts = [T((1, 4, 4, 8)), _numbers(2), T((2, 2), "i32", [0] * 4)]
    graph = one_op("SPACE_TO_BATCH_ND", parts, [T((4, 2, 2, 8))])
    yield "SPACE_TO_BATCH_ND f32 runtime block", graph
    parts = [T((3, 1), "i32"), T((3, 8)), _numbers(2)]
    yield "SCATTER_ND f32 runtime shape", one_op("SCATTER_ND", parts, [T((4, 8))])
    parts = [_numbers(4), T((6, 3, 3, 4), "f32", True), T((1, 4, 4, 4))]
    options = schema("TransposeConvOptions", padding=0, stride_w=2, stride_h=2)
    graph = one_op("TRANSPOSE_CONV", parts, [T((1, 8, 8, 6))], options)
    yield "TRANSPOSE_CONV f32 runtime shape", graph
    graph = one_op("RFFT2D", [T((1, 8, 8)), _numbers(2)], [T((1, 8, 5), "c64")])
    yield "RFFT2D f32 runtime length", graph
    graph = one_op("RANDOM_UNIFORM", [_numbers(2)], [T((4, 8))], schema("RandomOptions"))
    yield "RANDOM_UNIFORM f32 runtime shape", graph
    parts = [T((4, 8)), _numbers(4), T((), "i32", 2)]
    graph = one_op("UNSORTED_SEGMENT_SUM", parts, [T((2, 8))])
    yield "UNSORTED_SEGMENT_SUM f32 runtime ids", graph
    parts = [x, T((4, 2), "i32")]
    graph = one_op("MIRROR_PAD", parts, [T((1, 4, 6, 10))], schema("MirrorPadOptions", mode=0))
    yield "MIRROR_PAD f32 runtime paddings", graph
    yield "REVERSE_V2 f32 runtime axis", one_op("REVERSE_V2", [x, _numbers(1)], [x])
    parts = [T((1, 8)), number]
    yield "CUMSUM f32 runtime axis", one_op("CUMSUM", parts, [T((1, 8))], schema("CumsumOptions"))
    parts = [T((6, 4)), T((6,)), number, T((), "f32", 0.5), T((), "f32", 0.1)]
    graph = one_op("NON_MAX_SUPPRESSION_V4", parts, [T((3,), "i32"), T((), "i32")])
    yield "NON_MAX_SUPPRESSION_V4 f32 runtime most", graph
