"""A damaged .onnx file is refused before 2.6 GB of environment are made for it."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_quantize.errors import UnsupportedModelError
from edge_quantize.ingest import from_onnx
from edge_quantize.ingest.conversion import Request
from edge_quantize.ingest.onnx_file import check_onnx_file


def varint(value):
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def field(number, content):
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


OUTPUT = field(12, field(1, b"y"))
GRAPH = field(1, field(4, b"Relu")) + field(2, b"g") + field(11, field(1, b"x")) + OUTPUT
MODEL = field(1, 8) + field(2, b"someone") + field(7, GRAPH) + field(8, field(2, 17))


@pytest.fixture
def no_environment(monkeypatch):
    def made(_):
        raise AssertionError("an environment was asked for")

    monkeypatch.setattr(from_onnx, "prepare_environment", made)


def test_a_whole_model_passes_and_fields_unknown_to_us_are_skipped(tmp_path):
    path = tmp_path / "m.onnx"
    for content in (MODEL, MODEL + field(99, b"new") + varint(98 << 3 | 5) + b"1234"):
        path.write_bytes(content)
        check_onnx_file(path)


@pytest.mark.usefixtures("no_environment")
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"hello", "starts no field|cut off"),
        (random.Random(1).randbytes(100), "not a whole ONNX model"),
        (MODEL[:-1], "cut off"),
        (MODEL[:30], "cut off"),
        (field(1, 8), "no graph"),
        (field(1, 8) + field(7, field(2, b"g")), "no output"),
        (field(1, b"text") + field(7, GRAPH), "byte 0 starts no field"),
        (b"<html><body>404</body></html>", "markup"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"\xff" * 100, "byte 0 is no number"),
    ],
)
def test_what_is_none_is_refused_in_one_line_before_anything_is_made(content, words, tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(UnsupportedModelError, match=words) as caught:
        from_onnx.read_onnx_file(path, Request())
    assert "not a whole ONNX model" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=200))
def test_any_bytes_pass_or_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "any.onnx"
    path.write_bytes(content)
    try:
        check_onnx_file(path)
    except UnsupportedModelError:
        return
    assert content
