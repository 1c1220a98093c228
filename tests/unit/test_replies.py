"""What boards say, turned into values: descriptions, versions, faults."""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_autoglm.device import replies
from edge_autoglm.device.faults import fault_message, fault_words
from edge_autoglm.device.wiredefs import Counted
from edge_autoglm.errors import SessionError

DESCRIPTION: dict[str, Any] = {
    "v": 1,
    "layers": [["conv", "CONV_2D", 100], ["flat", "RESHAPE", 0]],
    "steps": [[0, "eag_conv", 100]],
    "inputs": [
        {"name": "x", "shape": [1, 4], "dtype": "float32", "scale": None, "zero_point": None}
    ],
    "outputs": [{"name": "y", "shape": [1, 2], "dtype": "int8", "scale": 0.5, "zero_point": -3}],
    "labels": [],
    "blocks": ["dtcm"],
    "results": [[0, 0, 16, 4], [-1, 0, 0, 4]],
    "input_preserved": False,
    "weights": 40,
    "of_a_newer_version": True,
}


def packed(**changes: Any) -> bytes:
    return zlib.compress(json.dumps({**DESCRIPTION, **changes}).encode())


class TestDescription:
    def test_it_is_read_and_keys_not_known_are_skipped(self) -> None:
        read = replies.parse_description("board", "model", packed())
        assert [layer.op for layer in read.layers] == ["CONV_2D", "RESHAPE"]
        assert read.results[1].step == -1
        assert (read.outputs[0].scale, read.outputs[0].zero_point) == (0.5, -3)

    def test_a_tensor_that_is_not_quantized_has_scale_0(self) -> None:
        read = replies.parse_description("board", "model", packed())
        assert (read.inputs[0].scale, read.inputs[0].zero_point) == (0, 0)

    def test_another_version_names_both(self) -> None:
        with pytest.raises(SessionError, match="has version 2, this program reads 1"):
            replies.parse_description("board", "model", packed(v=2))

    def test_one_cut_short_is_said_to_be(self) -> None:
        with pytest.raises(SessionError, match="cut short"):
            replies.parse_description("board", "model", packed()[:-8])

    def test_one_that_unpacks_to_gigabytes_is_refused(self) -> None:
        bomb = zlib.compress(bytes(50_000_000), 9)
        with pytest.raises(SessionError, match="description of model"):
            replies.parse_description("board", "model", bomb)

    @given(st.binary(max_size=200))
    def test_garbage_is_one_clear_error(self, garbage: bytes) -> None:
        for data in (garbage, zlib.compress(garbage)):
            with pytest.raises(SessionError, match="board: the description of model"):
                replies.parse_description("board", "model", data)

    @given(
        st.sampled_from(sorted(DESCRIPTION.keys() - {"v", "labels", "of_a_newer_version"})),
        st.one_of(st.none(), st.text(max_size=3), st.lists(st.integers(), max_size=3)),
    )
    def test_a_value_of_another_shape_never_escapes_as_a_bug(self, key: str, value: Any) -> None:
        with suppress(SessionError):
            replies.parse_description("board", "model", packed(**{key: value}))


class TestAnswers:
    def test_a_key_that_is_missing_blames_the_firmware(self) -> None:
        with pytest.raises(SessionError, match="answer to invoke has no cycles that is an integer"):
            replies.run("board", "invoke", {"request": 1})

    def test_a_boolean_is_no_integer(self) -> None:
        with pytest.raises(SessionError, match="no cycles"):
            replies.run("board", "invoke", {"cycles": True})

    def test_another_major_version_names_both(self) -> None:
        with pytest.raises(SessionError, match=r"speaks protocol 3\.1, this program 1\.0"):
            replies.check_protocol("board", {"protocol": [3, 1]})

    def test_a_counter_of_another_kind_is_not_taken_for_cycles(self) -> None:
        with pytest.raises(SessionError, match=r"does not know \(counter 9\)"):
            replies.counted("board", {"counter": 9})
        assert replies.counted("board", {}) is Counted.CYCLES

    def test_a_newer_minor_version_is_taken(self) -> None:
        assert replies.check_protocol("board", {"protocol": [1, 9]}) == (1, 9)


class TestFaults:
    def test_a_stack_overflow_names_the_guards_address(self) -> None:
        words = fault_words({"cfsr": 0x82, "hfsr": 0, "mmfar": 0x2000_0010})
        assert "the MPU forbids" in words
        assert "at address 0x20000010" in words

    def test_an_address_that_is_not_valid_is_not_said(self) -> None:
        assert "address 0x" not in fault_words({"cfsr": 0x02, "hfsr": 0, "mmfar": 5})

    def test_an_undefined_instruction_says_where(self) -> None:
        fault = {"cfsr": 1 << 16, "hfsr": 0, "pc": 0x0800_0202, "lr": 0x0800_0101}
        message = fault_message("stm32f746", fault, "layer conv (CONV_2D, step 0)")
        assert "in layer conv (CONV_2D, step 0): undefined instruction" in message
        assert "PC 0x08000202, LR 0x08000101" in message

    def test_no_bit_set(self) -> None:
        assert fault_words({"cfsr": 0, "hfsr": 0}) == "no cause recorded"
