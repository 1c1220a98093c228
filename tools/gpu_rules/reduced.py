"""Reductions, selections and what picks elements."""

from __future__ import annotations

from collections.abc import Iterator

from edge_quantize.graph.model import Graph
from edge_quantize.graph.options import ReducerOptions

from .one_op import T, one_op, schema

_SHAPES = {2: (2, 8), 3: (2, 4, 8), 4: (1, 4, 6, 8), 5: (1, 2, 4, 6, 8)}
_REDUCTIONS = ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL")


def cases() -> Iterator[tuple[str, Graph]]:
    yield from _reductions()
    yield from _selected()
    yield from _found()
    yield from _gathered()


def _left(shape: tuple[int, ...], axes: list[int], keep: bool) -> tuple[int, ...]:
    gone = {a % len(shape) for a in axes}
    return tuple(1 if i in gone else n for i, n in enumerate(shape) if keep or i not in gone)


def _reductions() -> Iterator[tuple[str, Graph]]:
    for op in _REDUCTIONS:
        dtype = "bool" if op in ("REDUCE_ANY", "REDUCE_ALL") else "f32"
        for rank, shape in _SHAPES.items():
            wanted = ([1], [-1], [0], [1, 2], [*range(1, rank)], [*range(rank)])
            for axes in [w for i, w in enumerate(wanted) if max(w) < rank and w not in wanted[:i]]:
                for keep in (False, True):
                    graph = one_op(
                        op,
                        [T(shape, dtype), T((len(axes),), "i32", axes)],
                        [T(_left(shape, axes, keep), dtype)],
                        ReducerOptions(keep),
                    )
                    yield f"{op} {dtype} rank{rank} axes{axes}{' keep' if keep else ''}", graph
        for other in ("f32", "i8", "u8", "i16", "i32", "i64", "bool"):
            if other == dtype:
                continue
            graph = one_op(op, [T(_SHAPES[4], other), T((2,), "i32", [1, 2])],
                           [T((1, 1, 1, 8), other)], ReducerOptions(True), 2)  # fmt: skip
            yield f"{op} {other} rank4 axes[1, 2] keep", graph
        graph = one_op(op, [T(_SHAPES[4], dtype), T((), "i32", 1)], [T((1, 6, 8), dtype)],
                       ReducerOptions(False))  # fmt: skip
        yield f"{op} {dtype} scalar axis", graph
        graph = one_op(op, [T(_SHAPES[4], dtype), T((1,), "i32")], [T((1, 1, 6, 8), dtype)],
                       ReducerOptions(True))  # fmt: skip
        yield f"{op} {dtype} runtime axis", graph


def _selected() -> Iterator[tuple[str, Graph]]:
    shape = (1, 4, 4, 8)
    for op in ("SELECT", "SELECT_V2"):
        for dtype in ("f32", "i8", "i16", "i32", "bool"):
            x = T(shape, dtype)
            yield f"{op} {dtype}", one_op(op, [T(shape, "bool"), x, x], [x])
        x = T(shape)
        c = T(shape, "bool")
        yield f"{op} f32 const[] then", one_op(op, [c, T((), "f32", True), x], [x])
        yield f"{op} f32 const[] else", one_op(op, [c, x, T((), "f32", True)], [x])
        yield (
            f"{op} f32 const[1] both",
            one_op(op, [c, T((1,), "f32", True), T((1,), "f32", True)], [x]),
        )
        yield f"{op} f32 const same", one_op(op, [c, x, T(shape, "f32", True)], [x])
        yield f"{op} f32 const[8]", one_op(op, [c, x, T((8,), "f32", True)], [x])
        yield f"{op} f32 condition[1,4,4,1]", one_op(op, [T((1, 4, 4, 1), "bool"), x, x], [x])
        yield f"{op} f32 condition const", one_op(op, [T(shape, "bool", True), x, x], [x])
        two = T((4, 8))
        yield f"{op} f32 rank2", one_op(op, [T((4, 8), "bool"), two, two], [two])
        five = T((1, 2, 4, 4, 8))
        yield f"{op} f32 rank5", one_op(op, [T(five.shape, "bool"), five, five], [five])


def _found() -> Iterator[tuple[str, Graph]]:
    for op in ("ARG_MAX", "ARG_MIN"):
        table = "ArgMaxOptions" if op == "ARG_MAX" else "ArgMinOptions"
        for dtype in ("f32", "i8", "u8", "i32", "bool"):
            for out, number in (("i32", 2), ("i64", 4)):
                graph = one_op(op, [T((1, 4, 4, 8), dtype), T((), "i32", 3)], [T((1, 4, 4), out)],
                               schema(table, output_type=number))  # fmt: skip
                yield f"{op} {dtype} to {out}", graph
        for shape, axis in (((1, 8), 1), ((1, 4, 8), -1), ((1, 4, 4, 8), 1), ((1, 2, 4, 4, 8), 4)):
            rest = _left(shape, [axis], False)
            graph = one_op(op, [T(shape), T((), "i32", axis)], [T(rest, "i32")],
                           schema(table, output_type=2))  # fmt: skip
            yield f"{op} f32 rank{len(shape)} axis{axis}", graph
        graph = one_op(op, [T((1, 8)), T((1,), "i64", 1)], [T((1,), "i32")],
                       schema(table, output_type=2))  # fmt: skip
        yield f"{op} f32 axis i64", graph
        graph = one_op(op, [T((1, 8)), T((), "i32")], [T((1,), "i32")],
                       schema(table, output_type=2))  # fmt: skip
        yield f"{op} f32 axis runtime", graph
    for dtype in ("f32", "i8", "i32"):
        graph = one_op("TOPK_V2", [T((1, 8), dtype), T((), "i32", 3)],
                       [T((1, 3), dtype), T((1, 3), "i32")], schema("TopKV2Options"))  # fmt: skip
        yield f"TOPK_V2 {dtype}", graph
    yield (
        "TOPK_V2 f32 rank4",
        one_op(
            "TOPK_V2", [T((1, 4, 4, 8)), T((), "i32", 3)], [T((1, 4, 4, 3)), T((1, 4, 4, 3), "i32")]
        ),
    )
    for axis in (-1, 0):
        graph = one_op(
            "ONE_HOT",
            [T((8,), "i32"), T((), "i32", 5), T((), "f32", 1), T((), "f32", 0)],
            [T((8, 5) if axis else (5, 8))],
            schema("OneHotOptions", axis=axis),
        )
        yield f"ONE_HOT i32 axis{axis}", graph
    for shape in ((1,), (1, 1), (1, 4), (1, 1, 1), (1, 1, 1, 1)):
        parts = [T(shape, "i32"), T((), "i32", 5), T((), "f32", 1), T((), "f32", 0)]
        graph = one_op("ONE_HOT", parts, [T((*shape, 5))], schema("OneHotOptions", axis=-1))
        yield f"ONE_HOT i32 shape{list(shape)}", graph
    graph = one_op("ONE_HOT", [T((1,), "i32"), T((), "i32", 5), T((), "i32", 1), T((), "i32", 0)],
                   [T((1, 5), "i32")], schema("OneHotOptions", axis=-1))  # fmt: skip
    yield "ONE_HOT i32 integers", graph
    for dtype in ("f32", "i32", "i64"):
        for rank, shape in {1: (8,), **_SHAPES}.items():
            graph = one_op("CUMSUM", [T(shape, dtype), T((), "i32", rank - 1)], [T(shape, dtype)],
                           schema("CumsumOptions"))  # fmt: skip
            yield f"CUMSUM {dtype} rank{rank}", graph
    graph = one_op("CUMSUM", [T((1, 8)), T((), "i32", 1)], [T((1, 8))],
                   schema("CumsumOptions", exclusive=True, reverse=True))  # fmt: skip
    yield "CUMSUM f32 exclusive reverse", graph


def _gathered() -> Iterator[tuple[str, Graph]]:
    def gather(x: T, indices: T, out: T, axis: int = 0, batch: int = 0) -> Graph:
        return one_op(
            "GATHER", [x, indices], [out], schema("GatherOptions", axis=axis, batch_dims=batch)
        )

    for dtype in ("f32", "i8", "u8", "i16", "i32", "i64", "bool"):
        graph = gather(T((1, 4, 4, 8), dtype), T((3,), "i32", [0, 2, 1]), T((1, 3, 4, 8), dtype), 1)
        yield f"GATHER {dtype} const", graph
    for axis in (0, 1, 2, 3):
        shape = tuple(3 if i == axis else n for i, n in enumerate((4, 4, 4, 8)))
        yield f"GATHER f32 axis{axis}", gather(T((4, 4, 4, 8)), T((3,), "i32"), T(shape), axis)
    yield "GATHER f32 runtime i64", gather(T((4, 8)), T((3,), "i64"), T((3, 8)))
    yield "GATHER f32 indices[]", gather(T((4, 8)), T((), "i32"), T((8,)))
    yield "GATHER f32 indices[1,3]", gather(T((4, 8)), T((1, 3), "i32"), T((1, 3, 8)))
    yield "GATHER f32 rank1", gather(T((8,)), T((3,), "i32"), T((3,)))
    yield "GATHER f32 rank5", gather(T((1, 2, 4, 4, 8)), T((3,), "i32"), T((1, 3, 4, 4, 8)), 1)
    yield "GATHER f32 table", gather(T((9, 8), "f32", True), T((3,), "i32"), T((3, 8)))
    for dtype in ("f32", "i8", "i4"):
        weights = T((9, 8), dtype, True, channels=None if dtype == "f32" else 0)
        for out in dict.fromkeys(("f32", dtype)):
            if out != "i4":
                graph = one_op("EMBEDDING_LOOKUP", [T((3,), "i32"), weights], [T((3, 8), out)],
                               version=3)  # fmt: skip
                yield f"EMBEDDING_LOOKUP {dtype} to {out}", graph
    yield (
        "EMBEDDING_LOOKUP f32 table runtime",
        one_op("EMBEDDING_LOOKUP", [T((3,), "i32"), T((9, 8))], [T((3, 8))]),
    )
