"""Operators that go element by element."""

from __future__ import annotations

from collections.abc import Iterator

from edge_quantize.graph.model import Graph
from edge_quantize.graph.options import Activation, ElementwiseOptions, Options, SoftmaxOptions

from .one_op import T, one_op, schema

UNARY = (
    "ABS", "CEIL", "COS", "ELU", "EXP", "FLOOR", "GELU", "HARD_SWISH", "LOG", "LOGISTIC", "NEG",
    "RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "LEAKY_RELU", "ROUND", "RSQRT", "SIGN", "SIN",
    "SQRT", "SQUARE", "TANH", "LOG_SOFTMAX", "L2_NORMALIZATION", "ZEROS_LIKE", "SOFTMAX",
    "LOCAL_RESPONSE_NORMALIZATION", "LOGICAL_NOT",
)  # fmt: skip
BINARY = (
    "ADD", "SUB", "MUL", "DIV", "MAXIMUM", "MINIMUM", "POW", "SQUARED_DIFFERENCE", "FLOOR_DIV",
    "FLOOR_MOD", "ATAN2", "EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL",
    "LOGICAL_AND", "LOGICAL_OR", "BITWISE_XOR", "RIGHT_SHIFT",
)  # fmt: skip
COMPARING = frozenset({"EQUAL", "NOT_EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"})
_TABLES = {
    "SUB": ElementwiseOptions(),
    "ADD": ElementwiseOptions(),
    "MUL": ElementwiseOptions(),
    "DIV": schema("DivOptions", fused_activation_function=0),
    "LEAKY_RELU": schema("LeakyReluOptions", alpha=0.1),
    "GELU": schema("GeluOptions", approximate=False),
    "SOFTMAX": SoftmaxOptions(),
}
_ACTIVATIONS = {"relu": 1, "relu_n1_to_1": 2, "relu6": 3, "tanh": 4, "sign_bit": 5}
_RANKS: dict[int, tuple[int, ...]] = {
    0: (), 1: (8,), 2: (1, 8), 3: (1, 4, 8), 4: (1, 4, 4, 8), 5: (1, 2, 4, 4, 8),
    6: (1, 1, 2, 4, 4, 8),
}  # fmt: skip
_VERSIONS = {"i8": 2, "u8": 1, "i16": 3}


def cases() -> Iterator[tuple[str, Graph]]:
    yield from _unary()
    yield from _binary()
    yield from _softmax()
    yield from _converted()


def _unary() -> Iterator[tuple[str, Graph]]:
    for op in UNARY:
        natural = "bool" if op == "LOGICAL_NOT" else "f32"
        for rank, shape in _RANKS.items():
            x = T(shape, natural)
            yield f"{op} {natural} rank{rank}", one_op(op, [x], [x], _TABLES.get(op))
        for dtype in ("i8", "u8", "i16", "i32", "i64", "bool", "f16"):
            x = T(_RANKS[4], dtype)
            graph = one_op(op, [x], [x], _TABLES.get(op), _VERSIONS.get(dtype, 1))
            yield f"{op} {dtype}", graph
        x = T((2, 4, 4, 8), natural)
        yield f"{op} {natural} batch2", one_op(op, [x], [x], _TABLES.get(op))
    x = T(_RANKS[5], "i8")
    yield "RELU i8 rank5", one_op("RELU", [x], [x], version=2)
    x = T(_RANKS[4])
    for version in (2, 3, 4):
        yield f"RELU f32 version{version}", one_op("RELU", [x], [x], version=version)
        yield f"ABS f32 version{version}", one_op("ABS", [x], [x], version=version)
    yield "GELU f32 approximate", one_op("GELU", [x], [x], schema("GeluOptions", approximate=True))
    yield "ADD_N f32 two", one_op("ADD_N", [x, x], [x])
    yield "ADD_N f32 three", one_op("ADD_N", [x, x, x], [x])


def _forms(dtype: str, out: str) -> Iterator[tuple[str, list[T], T]]:
    """(what is particular, operands, result)"""
    a = T((1, 4, 4, 8), dtype)
    y = T((1, 4, 4, 8), out)

    def c(*shape: int) -> T:
        return T(shape, dtype, True)

    def r(*shape: int) -> T:
        return T(shape, dtype)

    yield "two", [a, r(1, 4, 4, 8)], y
    for shape in [(), (1,), (8,), (4,), (1, 1, 1, 8), (1, 4, 1, 1), (1, 4, 4, 1), (1, 4, 4, 8)]:
        if shape != (4,):
            yield f"const{list(shape)}", [a, c(*shape)], y
    yield "const[1,1,8]", [a, c(1, 1, 8)], y
    yield "const[4,8]", [a, c(4, 8)], y
    yield "const[4,4,8]", [a, c(4, 4, 8)], y
    yield "const[2,4,4,8]", [a, c(2, 4, 4, 8)], T((2, 4, 4, 8), out)
    yield "first const[]", [c(), a], y
    yield "first const[8]", [c(8), a], y
    yield "first const[1,4,4,8]", [c(1, 4, 4, 8), a], y
    yield "runtime[8]", [a, r(8)], y
    yield "runtime[1]", [a, r(1)], y
    yield "runtime[]", [a, r()], y
    yield "runtime[1,1,1,8]", [a, r(1, 1, 1, 8)], y
    yield "runtime[1,4,1,1]", [a, r(1, 4, 1, 1)], y
    yield "runtime[4,8]", [a, r(4, 8)], y
    yield "runtime[1,8]", [a, r(1, 8)], y
    yield "runtime[4,4,8]", [a, r(4, 4, 8)], y
    yield "runtime[1,1]", [a, r(1, 1)], y
    yield "runtime crossed", [r(1, 4, 1, 8), r(1, 1, 4, 8)], y
    for rank in (1, 2, 3, 5, 6):
        shape = _RANKS[rank]
        yield f"two rank{rank}", [T(shape, dtype), T(shape, dtype)], T(shape, out)
        yield f"const[] rank{rank}", [T(shape, dtype), c()], T(shape, out)
        yield f"const[8] rank{rank}", [T(shape, dtype), c(8)], T(shape, out)


def _binary() -> Iterator[tuple[str, Graph]]:
    for op in BINARY:
        dtype = "f32"
        if op.startswith("LOGICAL"):
            dtype = "bool"
        elif op in ("BITWISE_XOR", "RIGHT_SHIFT"):
            dtype = "i32"
        options = _TABLES.get(op)
        out = "bool" if op in COMPARING or dtype == "bool" else dtype
        for form, operands, result in _forms(dtype, out):
            yield f"{op} {dtype} {form}", one_op(op, operands, [result], options)
        x, y = T((1, 4, 4, 8), dtype), T((1, 4, 4, 8), out)
        yield f"{op} {dtype} same tensor", one_op(op, [x, x], [y], options, same=[(1, 0)])
        for other in ("i8", "u8", "i16", "i32", "i64", "bool", "f16", "u32"):
            if other == dtype:
                continue
            x = T((1, 4, 4, 8), other)
            y = T((1, 4, 4, 8), "bool" if out == "bool" else other)
            for form, second in (("two", x), ("const[]", T((), other, True))):
                version = _VERSIONS.get(other, 1)
                yield f"{op} {other} {form}", one_op(op, [x, second], [y], options, version)
        yield from _more(op, options, out)


def _more(op: str, options: Options | None, out: str) -> Iterator[tuple[str, Graph]]:
    for dtype in ("i8", "i16", "i32", "i64", "u32", "bool"):
        for shape in ((8,), (1, 4, 4, 8)):
            x = T((1, 4, 4, 8), dtype)
            y = T((1, 4, 4, 8), "bool" if out == "bool" else dtype)
            graph = one_op(op, [x, T(shape, dtype, True)], [y], options, _VERSIONS.get(dtype, 1))
            asked = dtype == "i32" and op in ("BITWISE_XOR", "RIGHT_SHIFT")
            if not asked and not (dtype == "bool" and op.startswith("LOGICAL")):
                yield f"{op} {dtype} const{list(shape)}", graph
    if op in ("ADD", "SUB", "MUL", "DIV"):
        f = T((1, 4, 4, 8))
        for name, number in _ACTIVATIONS.items():
            fused: Options = ElementwiseOptions(Activation[name.upper()])
            if op == "DIV":
                fused = schema("DivOptions", fused_activation_function=number)
            yield f"{op} f32 fused {name}", one_op(op, [f, f], [f], fused)
    if op in ("ADD", "MUL", "MAXIMUM", "SUB"):
        f = T((1, 4, 4, 8))
        for version in (3, 4, 5, 6, 7, 8):
            yield f"{op} f32 version{version}", one_op(op, [f, f], [f], options, version)


def _softmax() -> Iterator[tuple[str, Graph]]:
    for beta in (0.5, 2.0):
        for dtype in ("f32", "i8"):
            x = T((1, 8), dtype)
            graph = one_op("SOFTMAX", [x], [x], SoftmaxOptions(beta), _VERSIONS.get(dtype, 1))
            yield f"SOFTMAX {dtype} beta{beta}", graph


def _converted() -> Iterator[tuple[str, Graph]]:
    shape = (1, 4, 4, 8)
    types = ("f32", "f16", "i8", "u8", "i16", "i32", "i64", "bool", "u32", "u16")
    for a in types:
        for b in types:
            if a != b:
                graph = one_op("CAST", [T(shape, a, quantized=False)],
                               [T(shape, b, quantized=False)])  # fmt: skip
                yield f"CAST {a} to {b}", graph
    for rank in (0, 1, 2, 3, 5, 6):
        graph = one_op("CAST", [T(_RANKS[rank], "i32")], [T(_RANKS[rank])])
        yield f"CAST i32 to f32 rank{rank}", graph
    for dtype in ("i4", "i8", "u8", "i16", "f16"):
        yield (
            f"DEQUANTIZE {dtype}",
            one_op("DEQUANTIZE", [T(shape, dtype)], [T(shape)], version=3 if dtype == "i16" else 2),
        )
        yield (
            f"DEQUANTIZE {dtype} per channel",
            one_op("DEQUANTIZE", [T(shape, dtype, channels=3)], [T(shape)], version=5),
        )
    for rank in (0, 1, 2, 3, 5):
        graph = one_op("DEQUANTIZE", [T(_RANKS[rank], "i8")], [T(_RANKS[rank])], version=2)
        yield f"DEQUANTIZE i8 rank{rank}", graph
        graph = one_op("QUANTIZE", [T(_RANKS[rank])], [T(_RANKS[rank], "i8")])
        yield f"QUANTIZE f32 to i8 rank{rank}", graph
    for a in ("f32", "i8", "u8", "i16"):
        for b in ("i8", "u8", "i16"):
            graph = one_op(
                "QUANTIZE", [T(shape, a)], [T(shape, b)], version=2 if "i16" in (a, b) else 1
            )
            yield f"QUANTIZE {a} to {b}", graph
    yield (
        "FAKE_QUANT f32",
        one_op(
            "FAKE_QUANT",
            [T(shape)],
            [T(shape)],
            schema("FakeQuantOptions", min=-1.0, max=1.0, num_bits=8),
        ),
    )
    for dtype in ("f32", "i8"):
        slope = {"f32": T((1, 1, 8), "f32", True), "i8": T((1, 1, 8), "i8", True)}[dtype]
        x = T(shape, dtype)
        yield f"PRELU {dtype} alpha[1,1,8]", one_op("PRELU", [x, slope], [x])
    x = T(shape)
    for alpha in ((8,), (1,), (4, 4, 8), (1, 1, 1, 8), (1, 4, 4, 8), ()):
        yield f"PRELU f32 alpha{list(alpha)}", one_op("PRELU", [x, T(alpha, "f32", True)], [x])
    yield "PRELU f32 alpha runtime", one_op("PRELU", [x, T((1, 1, 8))], [x])
    for rank in (2, 3, 5):
        x = T(_RANKS[rank])
        yield f"PRELU f32 rank{rank}", one_op("PRELU", [x, T((8,), "f32", True)], [x])
