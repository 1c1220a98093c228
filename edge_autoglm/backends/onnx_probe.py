"""A model of one operator, to see whether an execution provider comes up.

ONNX files are protobuf messages; field numbers are those of onnx.proto, the encoding is that of
"Protocol Buffers: Encoding".
"""

from __future__ import annotations

_IR_VERSION, _OPSET, _FLOAT = 8, 13, 1


def probe_model() -> bytes:
    """An `.onnx` file: y = Relu(x) of one float32."""
    node = _text(1, "x") + _text(2, "y") + _text(4, "Relu")
    graph = _message(1, node) + _text(2, "probe")
    graph += _message(11, _port("x")) + _message(12, _port("y"))
    opset = _text(1, "") + _number(2, _OPSET)
    return _number(1, _IR_VERSION) + _message(7, graph) + _message(8, opset)


def _port(name: str) -> bytes:
    shape = _message(1, _number(1, 1))
    kind = _number(1, _FLOAT) + _message(2, shape)
    return _text(1, name) + _message(2, _message(1, kind))


def _number(field: int, value: int) -> bytes:
    return bytes((field << 3, value))  # below 128 a varint is the number itself


def _text(field: int, text: str) -> bytes:
    return _message(field, text.encode())


def _message(field: int, content: bytes) -> bytes:
    return bytes((field << 3 | 2, len(content))) + content
