"""The wire's C side (`eag_wire.c`, `eag_cbor.c`) against the Python side and against bad lines.

The C is built for this machine, with address and undefined-behaviour sanitizers where the
compiler has them, as a filter on stdin and stdout (`wire_tool.c`).
"""

from __future__ import annotations

import random
import struct
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cbor2
import pytest
from firmware_host import FLAGS, SANITIZE, can_sanitize, host_compiler, on_line, raw
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge_autoglm.device import cobs
from edge_autoglm.device.make_wire_header import main as make_wire_header
from edge_autoglm.device.wire import Decoder, Frame, encode
from edge_autoglm.device.wiredefs import WIRE
from edge_boards.data import data_path

Tool = Callable[[str, bytes], bytes]

_BATCH = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory) -> Tool:
    folder = tmp_path_factory.mktemp("wire")
    runtime = data_path("firmware", "runtime")
    program = folder / "wire_tool"
    sources = [Path(__file__).with_name("wire_tool.c")]
    sources += [runtime / name for name in ("eag_wire.c", "eag_cbor.c")]
    flags = [*FLAGS, *(SANITIZE if can_sanitize(folder) else ())]
    command = [host_compiler(), *flags, f"-I{runtime}", *map(str, sources), "-o", str(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

    def run(mode: str, data: bytes) -> bytes:
        finished = subprocess.run([str(program), mode], input=data, capture_output=True)
        assert finished.returncode == 0, finished.stderr.decode()
        return finished.stdout

    return run


def records(parts: Iterable[bytes]) -> bytes:
    return b"".join(struct.pack("<H", len(part)) + part for part in parts)


def decoded(output: bytes) -> tuple[list[bytes], tuple[int, int, int]]:
    """Header and payload of each frame, and the counters good, bad, missing."""
    frames, at = [], 0
    while (size := struct.unpack_from("<H", output, at)[0]) != 0xFFFF:
        frames.append(output[at + 2 : at + 2 + size])
        at += 2 + size
    good, bad, missing = struct.unpack_from("<3I", output, at + 2)
    return frames, (good, bad, missing)


def test_the_committed_header_is_what_wire_toml_makes() -> None:
    assert make_wire_header(["--check"]) == 0


frame_bodies = st.builds(
    raw,
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, 0xFFFF),
    st.one_of(
        st.binary(max_size=WIRE.max_payload),
        # Long runs without a zero, around the length of a COBS block.
        st.integers(230, WIRE.max_payload).map(lambda n: b"\x01" * n),
        st.lists(st.sampled_from([b"\0", b"\xff", b"\x01" * 253, b"\x01" * 254])).map(
            lambda parts: b"".join(parts)[: WIRE.max_payload]
        ),
    ),
)


@_BATCH
@given(bodies=st.lists(frame_bodies, max_size=40))
def test_both_sides_write_the_same_bytes(tool: Tool, bodies: list[bytes]) -> None:
    assert tool("encode", records(bodies)) == b"".join(map(on_line, bodies))


@_BATCH
@given(bodies=st.lists(frame_bodies, max_size=40))
def test_every_frame_that_is_written_is_read_again(tool: Tool, bodies: list[bytes]) -> None:
    frames, (good, bad, _) = decoded(tool("decode", b"".join(map(on_line, bodies))))
    assert frames == bodies
    assert (good, bad) == (len(bodies), 0)


@_BATCH
@given(garbage=st.binary(max_size=3000), body=frame_bodies)
def test_a_frame_after_any_garbage_is_read(tool: Tool, garbage: bytes, body: bytes) -> None:
    frames, _ = decoded(tool("decode", garbage + on_line(body)))
    assert frames[-1:] == [body]


def test_a_frame_longer_than_any_is_dropped_and_counted(tool: Tool) -> None:
    long = on_line(raw(1, 0, 0, bytes(WIRE.max_payload + 1)))
    endless = b"\xff" * 100_000 + b"\0"
    good = raw(1, 0, 1, b"\xa0")
    frames, (_, bad, _) = decoded(tool("decode", long + endless + on_line(good)))
    assert frames == [good]
    assert bad == 2


def test_a_frame_too_short_for_header_and_crc_is_dropped(tool: Tool) -> None:
    pieces = b"".join(b"\0" + cobs.encode(bytes([7]) * n) + b"\0" for n in range(1, 8))
    frames, (_, bad, _) = decoded(tool("decode", pieces))
    assert frames == []
    assert bad == 7


def test_a_sequence_that_goes_back_is_a_new_host_and_not_a_loss(tool: Tool) -> None:
    bodies = [raw(1, 0, n, b"\xa0") for n in (500, 501, 0, 1, 65535, 0)]
    _, (good, _, missing) = decoded(tool("decode", b"".join(map(on_line, bodies))))
    # From 1 to 65535 is a step back of two; the number then wraps without a gap.
    assert (good, missing) == (6, 0)


def damage(sent: bytes, rate: float, chance: random.Random) -> bytes:
    """A line that flips bits of bytes, drops, doubles and cuts (drops what comes next as well)."""
    out, at = bytearray(), 0
    while at < len(sent):
        gap = min(int(chance.expovariate(rate)), len(sent) - at)
        out += sent[at : at + gap]
        at += gap
        if at >= len(sent):
            break
        kind = chance.randrange(4)
        if kind == 0:
            out.append(sent[at] ^ chance.randrange(1, 256))
        elif kind == 2:
            out += sent[at : at + 1] * 2
        elif kind == 3:
            at += chance.randrange(1, 40)
        at += 1
    return bytes(out)


def test_100000_frames_through_a_line_with_one_bad_byte_in_a_hundred(tool: Tool) -> None:
    chance = random.Random(746)
    bodies = {}
    line = bytearray()
    for index in range(100_000):
        payload = cbor2.dumps(
            {0: index, 3: chance.randbytes(chance.choice((0, 3, 20, 60, 60, 300)))}
        )
        body = raw(3, 0, index % 65536, payload)
        encoded = on_line(body)
        bodies[encoded.strip(b"\0")] = index, body
        line += encoded
    received = damage(bytes(line), 0.01, chance)
    # Undamaged frames after a delimiter: pieces between two zeros that are what was sent.
    intact = [bodies[piece] for piece in received.split(b"\0")[:-1] if piece in bodies]
    frames, (good, bad, missing) = decoded(tool("decode", received))
    assert 20_000 < len(intact) < 90_000  # the line is as bad as it is meant to be
    assert frames == [body for _, body in intact]  # none wrongly, none left out
    assert good == len(intact)
    assert bad > 10_000
    first, last = intact[0][0], intact[-1][0]
    assert missing == last - first + 1 - len(intact)  # every lost one noticed


cbor_values: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        st.integers(-(2**64), 2**64 - 1),
        st.booleans(),
        st.none(),
        st.floats(allow_nan=False),
        st.binary(max_size=40),
        st.text(max_size=20),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=5), st.dictionaries(st.integers(0, 99), inner, max_size=5)
    ),
    max_leaves=12,
)


@_BATCH
@given(values=st.lists(cbor_values.map(cbor2.dumps).filter(lambda b: len(b) < 250), max_size=30))
def test_any_item_is_skipped_whole_with_bytes_behind_it_left(
    tool: Tool, values: list[bytes]
) -> None:
    taken = tool("skip", records(value + b"\x00\xff" for value in values))
    assert list(taken) == [len(value) for value in values]


@_BATCH
@given(values=st.lists(cbor_values.map(cbor2.dumps).filter(lambda b: len(b) < 250), max_size=30))
def test_an_item_that_is_cut_short_is_refused(tool: Tool, values: list[bytes]) -> None:
    cut = [value[:-1] for value in values]
    assert set(tool("skip", records(cut))) <= {255}


@_BATCH
@given(junk=st.lists(st.binary(max_size=200), max_size=100))
def test_skipping_junk_stays_within_it(tool: Tool, junk: list[bytes]) -> None:
    for taken, piece in zip(tool("skip", records(junk)), junk, strict=True):
        assert taken == 255 or taken <= len(piece)


def test_lengths_and_counts_that_no_buffer_holds_are_refused(tool: Tool) -> None:
    junk = [
        bytes([major << 5 | info]) + b"\xff" * (1 << (info - 24)) + b"\0" * 20
        for major in (2, 3, 4, 5)
        for info in (24, 25, 26, 27)
    ]
    assert set(tool("skip", records(junk))) == {255}
    assert set(tool("skip", records([b"\x9f\x01\xff", b"\x5f\x41a\xff", b"\x1c", b"\xff"]))) == {
        255
    }


@_BATCH
@given(numbers=st.lists(st.integers(-(2**64), 2**64 - 1), max_size=50))
def test_numbers_are_written_in_their_shortest_form(tool: Tool, numbers: list[int]) -> None:
    shortest = [cbor2.dumps(number) for number in numbers]
    assert tool("heads", records(shortest)) == b"".join(shortest)


def test_python_reads_what_c_writes(tool: Tool) -> None:
    payload = cbor2.dumps({WIRE.keys["request"]: 7, WIRE.keys["data"]: bytes(300)})
    line = tool("encode", records([raw(WIRE.requests["echo"], 1, 9, payload)]))
    (frame,) = Decoder().feed(line)
    assert frame == Frame(WIRE.requests["echo"], 1, 9, {"request": 7, "data": bytes(300)})
    assert encode(frame) == line
