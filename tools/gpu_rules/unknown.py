"""Operators that no row of the rules names, in one plain form each."""

from __future__ import annotations

from collections.abc import Iterator

from edge_quantize.graph.model import Graph

from .one_op import T, one_op, schema


def cases() -> Iterator[tuple[str, Graph]]:
    x = T((1, 4, 4, 8))
    yield "REVERSE_SEQUENCE f32", one_op(
        "REVERSE_SEQUENCE", [x, T((1,), "i32", [3])], [x],
        schema("ReverseSequenceOptions", seq_dim=1, batch_dim=0),
    )  # fmt: skip
    yield (
        "RFFT2D f32",
        one_op("RFFT2D", [T((1, 8, 8)), T((2,), "i32", [8, 8])], [T((1, 8, 5), "c64")]),
    )
    yield "GATHER_ND f32", one_op("GATHER_ND", [T((4, 8)), T((3, 1), "i32")], [T((3, 8))])
    yield (
        "SCATTER_ND f32",
        one_op("SCATTER_ND", [T((3, 1), "i32"), T((3, 8)), T((2,), "i32", [4, 8])], [T((4, 8))]),
    )
    yield (
        "BROADCAST_TO f32",
        one_op("BROADCAST_TO", [T((1, 8)), T((2,), "i32", [4, 8])], [T((4, 8))]),
    )
    yield "FILL f32", one_op("FILL", [T((2,), "i32", [4, 8]), T(())], [T((4, 8))])
    yield "CONV_3D f32", one_op(
        "CONV_3D", [T((1, 4, 4, 4, 2)), T((3, 3, 3, 2, 2), "f32", True)], [T((1, 4, 4, 4, 2))],
        schema("Conv3DOptions", padding=0, stride_d=1, stride_w=1, stride_h=1,
               dilation_d_factor=1, dilation_w_factor=1, dilation_h_factor=1),
    )  # fmt: skip
    yield (
        "SEGMENT_SUM f32",
        one_op("SEGMENT_SUM", [T((4, 8)), T((4,), "i32", [0, 0, 1, 1])], [T((2, 8))]),
    )
    yield "MATRIX_DIAG f32", one_op("MATRIX_DIAG", [T((1, 8))], [T((1, 8, 8))])
    yield "WHERE bool", one_op("WHERE", [T((1, 8), "bool")], [T((8, 2), "i64", signature=(-1, 2))])
    yield "SVDF f32", one_op(
        "SVDF",
        [T((1, 8)), T((4, 8), "f32", True), T((4, 3), "f32", True), T((4,), "f32", True),
         T((1, 12), variable=True)],
        [T((1, 4))], schema("SVDFOptions", rank=1),
    )  # fmt: skip
    yield (
        "BROADCAST_ARGS i32",
        one_op("BROADCAST_ARGS", [T((2,), "i32"), T((2,), "i32")], [T((2,), "i32")]),
    )
    yield "RANGE f32", one_op("RANGE", [T(()), T(()), T(())], [T((4,), signature=(-1,))])
    yield "UNIQUE f32", one_op("UNIQUE", [T((8,))], [T((8,), signature=(-1,)), T((8,), "i32")])
