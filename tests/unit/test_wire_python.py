"""The Python side of the wire: COBS, frames, and a decoder that meets any garbage."""

from __future__ import annotations

import random
import struct
import zlib

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noise import NoisyLine

from edge_autoglm.device import cobs
from edge_autoglm.device.wire import Decoder, Frame, encode, largest_encoded
from edge_autoglm.device.wiredefs import WIRE, Event, Flag, Request


def raw_frame(body: bytes) -> bytes:
    """A frame with a right CRC around any header and payload bytes."""
    return b"\0" + cobs.encode(body + struct.pack("<I", zlib.crc32(body))) + b"\0"


class TestCobs:
    @given(st.binary(max_size=1200))
    def test_decoding_undoes_encoding_and_no_zero_is_left(self, data: bytes) -> None:
        stuffed = cobs.encode(data)
        assert 0 not in stuffed
        assert cobs.decode(stuffed) == data
        assert len(stuffed) <= len(data) + 1 + len(data) // 254

    @pytest.mark.parametrize("size", [0, 1, 253, 254, 255, 507, 508, 509])
    def test_blocks_that_end_at_the_longest_code(self, size: int) -> None:
        for data in (b"\1" * size, b"\1" * size + b"\0", b"\0" + b"\1" * size):
            assert cobs.decode(cobs.encode(data)) == data

    @pytest.mark.parametrize("bad", [b"\x05ab", b"\x02\x00", b"\x00"])
    def test_what_no_encoder_writes_is_refused(self, bad: bytes) -> None:
        with pytest.raises(cobs.CobsError):
            cobs.decode(bad)


class TestFrames:
    def test_a_frame_comes_back_as_it_was(self) -> None:
        frame = Frame(Request.WRITE, 0, 41, {"request": 7, "offset": 128, "data": bytes(range(64))})
        assert Decoder().feed(encode(frame)) == [frame]

    @given(st.binary(max_size=400), st.integers(0, 65535), st.lists(st.integers(1, 9)))
    def test_frames_do_not_depend_on_how_the_bytes_are_cut(
        self, data: bytes, sequence: int, cuts: list[int]
    ) -> None:
        frame = Frame(Request.ECHO, Flag.RESPONSE, sequence, {"request": 1, "data": data})
        line = encode(frame)
        decoder, frames = Decoder(), []
        for cut in cuts:
            frames += decoder.feed(line[:cut])
            line = line[cut:]
        frames += decoder.feed(line)
        assert frames == [frame]

    def test_half_a_frame_needs_more_and_is_not_malformed(self) -> None:
        line = encode(Frame(Request.ECHO, 0, 0, {"request": 1, "data": b"abc"}))
        decoder = Decoder()
        assert decoder.feed(line[:-4]) == []
        assert decoder.pending == len(line) - 5
        assert decoder.counters.malformed == 0
        assert len(decoder.feed(line[-4:])) == 1
        assert decoder.pending == 0

    def test_a_payload_that_does_not_fit_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at most 512"):
            encode(Frame(Request.ECHO, 0, 0, {"data": bytes(WIRE.max_payload)}))

    def test_the_largest_frame_is_as_long_as_said(self) -> None:
        frame = Frame(Request.ECHO, 0, 0, {"data": b"\1" * (WIRE.max_payload - 5)})
        assert len(encode(frame)) - 2 <= largest_encoded(WIRE.max_payload)
        assert Decoder().feed(encode(frame)) == [frame]


class TestDecoderCounts:
    def test_a_damaged_crc(self) -> None:
        line = bytearray(encode(Frame(Request.ECHO, 0, 0, {"request": 1, "data": b"abc"})))
        line[-3] ^= 0x40
        decoder = Decoder()
        assert decoder.feed(bytes(line)) == []
        assert decoder.counters.bad_crc + decoder.counters.bad_cobs == 1

    def test_frames_lost_between_sequence_numbers(self) -> None:
        decoder = Decoder()
        for sequence in (65534, 65535, 0, 3):
            decoder.feed(encode(Frame(Event.TELEMETRY, 0, sequence)))
        assert decoder.counters.lost == 2

    def test_a_sequence_that_begins_anew_is_a_restart_and_no_loss(self) -> None:
        decoder = Decoder()
        for sequence in (500, 501, 0, 1):
            decoder.feed(encode(Frame(Event.TELEMETRY, 0, sequence)))
        assert (decoder.counters.restarts, decoder.counters.lost) == (1, 0)

    def test_bytes_without_end_do_not_fill_the_memory(self) -> None:
        decoder = Decoder()
        for _ in range(1000):
            decoder.feed(b"\xaa" * 4096)
        assert decoder.pending == 0
        frame = Frame(Request.ECHO, 0, 0, {"request": 1})
        assert decoder.feed(encode(frame)) == [frame]
        assert decoder.counters.too_long == 1

    def test_unknown_types_and_keys_are_skipped_and_counted(self) -> None:
        decoder = Decoder()
        (frame,) = decoder.feed(raw_frame(b"\x7e\0\0\0" + cbor2.dumps({0: 5, 999: "new"})))
        assert frame.payload == {"request": 5}
        assert not frame.is_known
        assert (decoder.counters.unknown_types, decoder.counters.unknown_keys) == (1, 1)

    @given(st.binary(max_size=60))
    def test_a_right_crc_around_any_payload_never_breaks_the_decoder(self, payload: bytes) -> None:
        decoder = Decoder()
        frames = decoder.feed(raw_frame(b"\x01\0\0\0" + payload))
        assert len(frames) + decoder.counters.bad_payload == 1

    @pytest.mark.parametrize(
        "payload",
        [b"", b"\x01", cbor2.dumps([1]), cbor2.dumps({"a": 1}), cbor2.dumps({-1: 1}),
         cbor2.dumps({0: 1}) + b"\0", cbor2.dumps({True: 1}), b"\xbb" + b"\xff" * 8],
    )  # fmt: skip
    def test_payloads_that_are_no_map_with_unsigned_keys(self, payload: bytes) -> None:
        decoder = Decoder()
        assert decoder.feed(raw_frame(b"\x01\0\0\0" + payload)) == []
        assert decoder.counters.bad_payload == 1

    @given(st.binary(max_size=2000))
    def test_any_garbage_is_followed_by_a_good_frame(self, garbage: bytes) -> None:
        decoder = Decoder()
        decoder.feed(garbage)
        frame = Frame(Request.ECHO, 0, 9, {"request": 1})
        assert decoder.feed(encode(frame))[-1:] == [frame]


def test_100000_frames_through_a_line_that_damages_one_byte_in_a_hundred() -> None:
    """None accepted wrongly, every undamaged one accepted, every lost one noticed."""
    dice = random.Random(1)
    line = NoisyLine(0.01, seed=2)
    decoder = Decoder()
    sent = 100_000
    intact = taken = wrong = 0
    # The first and last frames are whole, so that losses at the ends can be seen too.
    for number in range(sent):
        frame = Frame(
            Event.TELEMETRY,
            0,
            number % 0x10000,
            {"sequence": number, "data": dice.randbytes(dice.randrange(0, 40))},
        )
        clean = encode(frame)
        arrived, hit = (clean, False) if number in (0, sent - 1) else line.send_marked(clean)
        intact += not hit
        frames = decoder.feed(arrived)
        for each in frames:
            taken += 1
            # A damaged delimiter leaves a frame whole, to come out with the next one's.
            wrong += each.payload.get("sequence") not in (number, number - 1)
        if not hit:
            assert frame in frames, f"frame {number} arrived whole and was not taken"
        wrong += any(
            each.payload["sequence"] == number and each.payload != frame.payload for each in frames
        )
    assert wrong == 0
    assert line.damaged > 20_000
    assert intact <= taken < sent
    assert taken + decoder.counters.lost == sent
