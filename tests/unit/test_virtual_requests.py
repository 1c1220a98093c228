"""The control socket's lines: whatever comes, the answer is one line and says what was wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_boards.errors import VirtualBoardError
from edge_boards.virtual.requests import Operation, answer, number


def _read(request: dict[str, Any]) -> dict[str, Any]:
    return {"size": Path(str(request["path"])).stat().st_size}


def _refuse(request: dict[str, Any]) -> dict[str, Any]:
    raise VirtualBoardError(f"no memory at {number(request, 'address')}")


OPERATIONS: dict[str, Operation] = {
    "echo": lambda request: {"said": request["say"]},
    "read": _read,
    "refuse": _refuse,
}
NO_OPERATION = "a control request is a JSON object whose op is one of echo, read, refuse"


def asked(line: bytes) -> dict[str, Any]:
    reply = answer(OPERATIONS, line)
    assert reply.count(b"\n") == 1
    assert reply.endswith(b"\n")
    result = json.loads(reply)
    assert isinstance(result, dict)
    return result


def test_an_operation_answers() -> None:
    assert asked(b'{"op": "echo", "say": "hello"}') == {"said": "hello"}


@pytest.mark.parametrize("op", ["[]", "{}", "null", "1", '"ECHO"', '""'])
def test_an_op_that_is_none_is_told_those_there_are(op: str) -> None:
    assert asked(b'{"op": %s}' % op.encode()) == {"error": NO_OPERATION}


@pytest.mark.parametrize("line", [b"[]", b"3", b'"echo"', b"{}"])
def test_a_request_that_is_no_object_with_an_op_is_told_so(line: bytes) -> None:
    assert asked(line) == {"error": NO_OPERATION}


@pytest.mark.parametrize("line", [b"", b"{", b"\xff", b"echo", b"[" * 100_000])
def test_a_line_that_is_no_json_is_told_so(line: bytes) -> None:
    assert asked(line) == {"error": "a control request is one line of JSON"}


def test_what_an_operation_refuses_comes_back_in_its_own_words() -> None:
    assert asked(b'{"op": "refuse", "address": 8}') == {"error": "no memory at 8"}
    assert "needs address, a number" in asked(b'{"op": "refuse", "address": []}')["error"]


def test_a_value_that_an_operation_chokes_on_is_not_called_bad_json() -> None:
    error = asked(b'{"op": "read", "path": "a\\u0000b"}')["error"]
    assert error.startswith("the control request read cannot be done: embedded null")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(),
                    lambda each: st.lists(each) | st.dictionaries(st.text(), each)))  # fmt: skip
def test_any_json_is_answered(value: object) -> None:
    assert "error" in asked(json.dumps({"op": value}).encode())
