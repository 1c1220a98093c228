"""What the firmware's server answers, asked frame by frame. The server is the very one that ships,
run as a process of this machine with a toy model.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import cbor2
import pytest
from firmware_host import (
    SANITIZE,
    Firmware,
    Toy,
    build_host_firmware,
    can_sanitize,
    on_line,
    raw,
)

from edge_autoglm.device import replies
from edge_autoglm.device.wire import Frame, encode
from edge_autoglm.device.wiredefs import WIRE, Counted, Event, Flag, Request

TOY = Toy()
SLOW = Toy(name="slow", delay_us=1_200_000)


def built(
    tmp_path_factory: pytest.TempPathFactory,
    name: str,
    models: tuple[Toy, ...],
    flags: tuple[str, ...] = (),
) -> Path:
    folder = tmp_path_factory.mktemp(name)
    flags = (*SANITIZE, *flags) if can_sanitize(folder) else flags
    return build_host_firmware(folder, models, flags=flags)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return built(tmp_path_factory, "server", (TOY, SLOW))


@pytest.fixture
def board(program: Path) -> Iterator[Firmware]:
    with Firmware(program) as running:
        yield running


def write_inputs(board: Firmware, first: bytes, second: bytes) -> None:
    board.ask(Request.WRITE, model=0, tensor=0, offset=0, data=first)
    board.ask(Request.WRITE, model=0, tensor=1, offset=0, data=second)


def error_of(frame: Frame) -> str:
    assert frame.flags == Flag.RESPONSE | Flag.ERROR, frame
    return next(n for n, code in WIRE.errors.items() if code == frame.payload["code"])


def generated(state: int, count: int) -> tuple[bytes, int]:
    out = bytearray()
    for _ in range(count):
        state = (state * 1664525 + 1013904223) % 2**32
        out.append(state >> 24)
    return bytes(out), state


def test_boot_is_logged_and_a_heartbeat_follows(board: Firmware) -> None:
    log = board.wait_for(lambda f: f.type == Event.LOG)
    assert (log.sequence, log.payload) == (0, {"detail": "boot"})
    beats = [board.wait_for(lambda f: f.type == Event.HEARTBEAT) for _ in range(2)]
    assert [beat.payload["sequence"] for beat in beats] == [0, 1]
    apart = beats[1].payload["uptime_cycles"] - beats[0].payload["uptime_cycles"]
    assert 0.5e9 <= apart < 0.8e9


def test_hello_names_board_models_and_buffers(board: Firmware) -> None:
    answer = board.ask(Request.HELLO, protocol=[1, 0]).payload
    keys = {key.rstrip("?") for key in WIRE.messages["hello"].answer}
    assert set(answer) == keys - {"counter"}  # left out: cycles
    assert answer["protocol"] == [WIRE.major, WIRE.minor]
    assert (answer["board"], answer["uid"], answer["boot_count"]) == ("host", b"host", 1)
    assert answer["max_payload"] == WIRE.max_payload
    toy = {WIRE.keys["name"]: "toy", WIRE.keys["sha256"]: TOY.sha256}
    toy |= {WIRE.keys["inputs"]: [16, 4], WIRE.keys["outputs"]: [16], WIRE.keys["step_count"]: 3}
    toy |= {WIRE.keys["arena"]: [64], WIRE.keys["total"]: len(TOY.description)}
    assert answer["models"][0] == toy


def test_a_port_that_counts_no_cycles_says_what_it_counts(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    flags = ("-DEAG_PORT_COUNTER=EAG_COUNTER_MICROSECONDS",)
    with Firmware(built(tmp_path_factory, "timed", (TOY,), flags)) as board:
        answer = board.ask(Request.HELLO, protocol=[1, 0]).payload
    assert replies.board_info(answer, "timed").counter is Counted.MICROSECONDS


def test_hello_of_another_major_version_is_answered_with_ours(board: Firmware) -> None:
    assert board.ask(Request.HELLO, protocol=[9, 3]).payload["protocol"][0] == WIRE.major


def test_more_models_than_one_answer_holds_are_listed_from_first(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    toys = tuple(Toy(name=f"model_number_{index}") for index in range(9))
    names: list[str] = []
    with Firmware(built(tmp_path_factory, "many", toys)) as board:
        while len(names) < 9:
            answer = board.ask(Request.HELLO, protocol=[1, 0], first=len(names)).payload
            assert answer["count"] == 9
            assert answer["models"]
            names += [model[WIRE.keys["name"]] for model in answer["models"]]
    assert names == [toy.name for toy in toys]


def test_the_description_comes_in_pieces(board: Firmware) -> None:
    whole = b""
    while len(whole) < len(TOY.description):
        answer = board.ask(Request.DESCRIBE, model=0, offset=len(whole)).payload
        assert answer["offset"] == len(whole)
        assert answer["total"] == len(TOY.description)
        whole += answer["data"]
    assert whole == TOY.description
    at_end = board.ask(Request.DESCRIBE, model=0, offset=len(whole)).payload
    assert at_end["data"] == b""


def test_an_inference_computes_what_was_written(board: Firmware) -> None:
    first, second = bytes(range(100, 116)), bytes([1, 2, 3, 255])
    write_inputs(board, first, second)
    answer = board.ask(Request.INVOKE, model=0).payload
    assert answer["result"] == TOY.run(first, second)
    assert answer["cycles"] > 0
    read = board.ask(Request.READ, model=0, tensor=0, offset=0).payload
    assert (read["data"], read["total"]) == (TOY.run(first, second), 16)
    assert (
        board.ask(Request.READ, model=0, tensor=0, offset=3, length=2).payload["data"]
        == read["data"][3:5]
    )


def test_a_seed_fills_the_inputs_in_order_and_comes_back_advanced(board: Firmware) -> None:
    numbers, state = generated(2, 20)
    answer = board.ask(Request.INVOKE, model=0, seed=2).payload
    assert answer["seed"] == state
    assert answer["result"] == TOY.run(numbers[:16], numbers[16:])
    more, _ = generated(state, 20)
    again = board.ask(Request.INVOKE, model=0, seed=answer["seed"]).payload
    assert again["result"] == TOY.run(more[:16], more[16:])


def test_profile_keeps_the_cycles_of_each_step(board: Firmware) -> None:
    answer = board.ask(Request.PROFILE, model=0).payload
    kept = board.ask(Request.STEPS, model=0, first=0).payload
    assert answer["step_count"] == kept["total"] == len(kept["values"]) == 3
    assert sum(kept["values"]) == answer["cycles"]
    assert (
        board.ask(Request.STEPS, model=0, first=1, count=1).payload["values"] == kept["values"][1:2]
    )


def test_the_same_number_again_is_answered_and_not_run_again(board: Firmware) -> None:
    first = board.ask(Request.INVOKE, request=77, model=0, seed=2)
    for _ in range(3):
        again = board.ask(Request.INVOKE, request=77, model=0, seed=2)
        assert again.payload == first.payload
        assert again.sequence != first.sequence
    stats = board.ask(Request.STATS).payload
    assert (stats["runs"], stats["retries"]) == (1, 3)
    board.ask(Request.INVOKE, request=78, model=0, seed=2)
    assert board.ask(Request.STATS).payload["runs"] == 2


def test_the_same_number_of_another_type_is_another_request(board: Firmware) -> None:
    board.ask(Request.INVOKE, request=5, model=0)
    board.ask(Request.PROFILE, request=5, model=0)
    assert board.ask(Request.STATS).payload["runs"] == 2


def test_hello_forgets_the_answers_kept_for_retries(board: Firmware) -> None:
    board.ask(Request.INVOKE, request=5, model=0)
    board.ask(Request.HELLO, protocol=[1, 0])
    board.ask(Request.INVOKE, request=5, model=0)
    assert board.ask(Request.STATS).payload["runs"] == 2


def test_a_whole_window_of_requests_is_answered_in_order(board: Firmware) -> None:
    window = board.ask(Request.HELLO, protocol=[1, 0]).payload["window"]
    frames = [board.frame(Request.ECHO, {"data": bytes([n]) * 480}) for n in range(window)]
    board.send_raw(b"".join(map(encode, frames)))
    for sent in frames:
        answer = board.wait_for(lambda f: f.type == Request.ECHO)
        assert answer.payload == sent.payload


def test_steps_run_one_by_one_and_only_in_order(board: Firmware) -> None:
    write_inputs(board, bytes(16), b"\1\1\1\1")
    assert error_of(board.ask(Request.STEP, model=0, step=1)) == "not_ready"
    assert board.ask(Request.STEP, request=1, model=0, step=0).payload["step"] == 0
    assert (
        board.ask(Request.PEEK, model=0, block=0, offset=32, length=16).payload["data"]
        == b"\1" * 16
    )
    # A retry is not another step: the next one is still due.
    assert not board.ask(Request.STEP, request=1, model=0, step=0).is_error
    assert error_of(board.ask(Request.STEP, model=0, step=2)) == "not_ready"
    board.ask(Request.STEP, model=0, step=1)
    board.ask(Request.STEP, model=0, step=2)
    assert board.ask(Request.READ, model=0, tensor=0, offset=0).payload["data"] == b"\2" * 16
    assert error_of(board.ask(Request.STEP, model=0, step=3)) == "out_of_range"


def test_a_long_inference_is_heard_of_while_it_lasts(board: Firmware) -> None:
    board.ask(Request.INVOKE, request=99, model=1)
    beats = [
        f.payload for f in board.events if f.type == Event.HEARTBEAT and "request" in f.payload
    ]
    assert beats
    assert all(beat["request"] == 99 for beat in beats)
    assert beats[-1]["step"] == 2


def test_stats_show_the_arena_bytes_that_were_touched(board: Firmware) -> None:
    assert board.ask(Request.STATS, model=0).payload["arena_used"] == [0]
    write_inputs(board, b"\1" * 16, b"\2" * 4)
    assert board.ask(Request.STATS, model=0).payload["arena_used"] == [20]
    board.ask(Request.INVOKE, model=0)
    answer = board.ask(Request.STATS, model=0).payload
    assert answer["arena_used"] == [48]
    wanted = WIRE.messages["stats"].answer
    assert {key for key in wanted if not key.endswith("?")} <= set(answer)


@pytest.mark.parametrize(
    ("kind", "payload", "error"),
    [
        (Request.DESCRIBE, {"model": 2, "offset": 0}, "unknown_model"),
        (Request.INVOKE, {"model": 2**31}, "unknown_model"),
        (Request.DESCRIBE, {"model": 0, "offset": 769}, "out_of_range"),
        (Request.READ, {"model": 0, "tensor": 1, "offset": 0}, "out_of_range"),
        (Request.WRITE, {"model": 0, "tensor": 2, "offset": 0, "data": b"x"}, "out_of_range"),
        (Request.WRITE, {"model": 0, "tensor": 0, "offset": 1, "data": b"x" * 16}, "out_of_range"),
        (
            Request.WRITE,
            {"model": 0, "tensor": 0, "offset": 2**32 - 1, "data": b"xx"},
            "out_of_range",
        ),
        (Request.PEEK, {"model": 0, "block": 1, "offset": 0}, "out_of_range"),
        (Request.STEPS, {"model": 0, "first": 4}, "out_of_range"),
        (Request.BAUD, {"baud": 50}, "out_of_range"),
        (Request.BURST, {"count": 1, "rate": 0}, "out_of_range"),
        (Request.INVOKE, {}, "bad_request"),
        (Request.WRITE, {"model": 0, "tensor": 0, "offset": 0}, "bad_request"),
        (Request.INVOKE, {"model": "toy"}, "bad_request"),
        (Request.INVOKE, {"model": -1}, "bad_request"),
        (Request.INVOKE, {"model": 2**32}, "bad_request"),
        (Request.ECHO, {"data": "text"}, "bad_request"),
        (0x7E, {}, "unknown_type"),
        (0x00, {}, "unknown_type"),
    ],
)
def test_a_wrong_request_is_refused_by_name(
    board: Firmware, kind: int, payload: dict[str, object], error: str
) -> None:
    answer = board.ask(kind, **payload)
    assert error_of(answer) == error
    assert set(answer.payload) == {"request", "code", "detail"}


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\xa1\x00", b"\xa1\x61a\x01", b"\xa0\x00"])
def test_a_payload_that_is_no_map_is_refused_without_a_number(
    board: Firmware, payload: bytes
) -> None:
    board.send_raw(on_line(raw(Request.STATS, 0, 1, payload)))
    answer = board.wait_for(lambda f: f.type == Request.STATS)
    assert error_of(answer) == "bad_request"
    assert "request" not in answer.payload


def test_keys_and_events_of_a_newer_version_are_skipped_and_counted(board: Firmware) -> None:
    newer = {WIRE.keys["request"]: 3, 200: [1, {2: b"x"}], 2**40: "text", WIRE.keys["model"]: 0}
    board.send_raw(on_line(raw(Request.INVOKE, 0, 1, cbor2.dumps(newer))))
    assert not board.wait_for(lambda f: f.type == Request.INVOKE).is_error
    board.send_raw(on_line(raw(0xF0, 0, 2, b"\xa0")))
    stats = board.ask(Request.STATS).payload
    assert (stats["unknown_keys"], stats["unknown_types"]) == (2, 1)


def test_a_free_run_sends_a_record_an_inference_and_keeps_its_period(board: Firmware) -> None:
    board.ask(Request.FREE_RUN, model=0, on=True, seed=2, period_cycles=20_000_000)
    records = [board.wait_for(lambda f: f.type == Event.RECORD).payload for _ in range(5)]
    assert error_of(board.ask(Request.INVOKE, model=0)) == "busy"
    assert board.ask(Request.STATS).payload["state"] == 1
    assert board.ask(Request.FREE_RUN, model=0, on=False).payload["state"] == 0
    assert [record["sequence"] for record in records] == [0, 1, 2, 3, 4]
    state = 2
    for record in records:
        numbers, state = generated(state, 20)
        assert record["result"] == TOY.run(numbers[:16], numbers[16:])
        assert record["seed"] == state
    times = [record["uptime_cycles"] for record in records]
    assert 75e6 < times[4] - times[0] < 3000e6  # 80e6, and what a busy machine adds
    assert not board.ask(Request.INVOKE, model=0).is_error
    board.events.clear()
    time.sleep(0.1)
    board.ask(Request.STATS)
    assert not [f for f in board.events if f.type == Event.RECORD]


def test_a_burst_sends_as_many_frames_as_asked_for(board: Firmware) -> None:
    board.ask(Request.BURST, count=400, rate=2000, length=8)
    frames = [board.wait_for(lambda f: f.type == Event.TELEMETRY).payload for _ in range(400)]
    assert [frame["sequence"] for frame in frames] == list(range(400))
    assert {frame["data"] for frame in frames} == {TOY.description[:8]}
    lasted = frames[-1]["uptime_cycles"] - frames[0]["uptime_cycles"]
    assert lasted >= 399 * 480_000  # never faster than asked for, but for catching up
    assert board.decoder.counters.lost == 0


def test_a_reset_is_answered_and_then_seen_in_the_boot_counter(board: Firmware) -> None:
    assert board.ask(Request.RESET).payload.keys() == {"request"}
    board.wait_for(lambda f: f.type == Event.LOG and f.sequence == 0)
    answer = board.ask(Request.HELLO, protocol=[1, 0]).payload
    assert answer["boot_count"] == 2
    assert answer["reset_cause"] == WIRE.reset_cause["software"]


def test_lost_requests_are_counted_by_their_sequence(board: Firmware) -> None:
    board.ask(Request.STATS)
    for _ in range(3):
        board.frame(Request.STATS, {})  # numbered, and never sent
    assert board.ask(Request.STATS).payload["rx_missing"] == 3


def test_mangled_requests_with_a_right_crc_do_no_harm(board: Firmware) -> None:
    chance = random.Random(5)
    harmless = [r for r in Request if r not in (Request.RESET, Request.BURST, Request.FREE_RUN)]
    for _ in range(40):
        line = bytearray()
        for _ in range(100):
            kind = chance.choice(harmless)
            fields = chance.sample(sorted(WIRE.keys.values()), 8)
            values = [0, 1, 2, 23, 24, 2**32 - 1, 2**32, -1, b"abc", "x", [1], True, None, {1: 2}]
            payload = bytearray(cbor2.dumps({key: chance.choice(values) for key in fields}))
            for _ in range(chance.randrange(3)):
                payload[chance.randrange(len(payload))] = chance.randrange(256)
            line += on_line(raw(kind, 0, 0, bytes(payload)))
        board.send_raw(bytes(line))
        # Read as we go: answers that nobody takes would stop the firmware.
        board.ask(Request.ECHO, data=b"still there")
    assert board.ask(Request.HELLO, protocol=[1, 0]).payload["board"] == "host"
