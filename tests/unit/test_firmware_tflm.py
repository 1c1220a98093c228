"""What the runtime does for a model that an engine runs, and the text that the engine writes
without the C library's help."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from firmware_host import (
    SANITIZE,
    Firmware,
    Toy,
    build_host_firmware,
    can_sanitize,
)
from hypothesis import given
from hypothesis import strategies as st

from edge_autoglm.device.wire import Frame
from edge_autoglm.device.wiredefs import WIRE, Event, Flag, Request
from edge_boards.data import data_path
from edge_boards.toolchain import find_host_compiler

WORDS = "the arena of 64 B is too small, 4096 B needed"


@dataclass(frozen=True)
class Engine(Toy):
    """The toy, run by an engine: it reports its results, and fails once it has computed for an
    input 0 that begins with 0xEE.

    `ready` is EAG_ENGINE_... at the start.
    """

    ready: int = 0

    def source(self) -> str:
        text = super().source().replace(".arena_count = 1}", ".arena_count = 1, .engine = &engine}")
        own = f"""
static uint8_t condition = {self.ready};
static void start(void) {{ for (int i = 48; i < 64; i++) arena[i] = 7; }}
static uint8_t state(const char **words) {{
  if (arena[0] == 0xEE && arena[32] == (uint8_t)(0xEF + arena[16])) condition = EAG_ENGINE_FAILED;
  *words = condition == EAG_ENGINE_FAILED ? "node 3 failed" : "{WORDS}";
  return condition;
}}
static uint32_t used(void) {{ return 40; }}
static eag_tensor results[] = {{{{arena + 32, 16}}, {{0, 16}}}};
static const eag_engine engine = {{start, state, used, results, 2}};
"""
        return text.replace("extern const eag_model", own + "extern const eag_model", 1)


READY = Engine()
SMALL = Engine(name="small", ready=1)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine")
    flags = SANITIZE if can_sanitize(folder) else ()
    return build_host_firmware(folder, (READY, SMALL), flags=flags)


@pytest.fixture
def board(program: Path) -> Iterator[Firmware]:
    with Firmware(program) as running:
        yield running


def error_of(frame: Frame) -> tuple[str, str]:
    assert frame.flags == Flag.RESPONSE | Flag.ERROR, frame
    name = next(n for n, code in WIRE.errors.items() if code == frame.payload["code"])
    return name, frame.payload["detail"]


def test_an_engine_starts_after_its_arena_was_painted(board: Firmware) -> None:
    data = board.ask(Request.PEEK, model=0, block=0, offset=40).payload["data"]
    assert data == b"\xa5" * 8 + b"\7" * 16


def test_what_is_wrong_is_logged_at_the_start_and_answers_what_would_run(board: Firmware) -> None:
    lines = [board.wait_for(lambda f: f.type == Event.LOG).payload["detail"] for _ in range(2)]
    assert lines == ["boot", WORDS]
    for kind, keys in (
        (Request.INVOKE, {}),
        (Request.PROFILE, {"seed": 2}),
        (Request.STEP, {"step": 0}),
        (Request.FREE_RUN, {"on": 1}),
        (Request.WRITE, {"tensor": 0, "offset": 0, "data": b"x"}),
        (Request.READ, {"tensor": 0, "offset": 0}),
    ):
        assert error_of(board.ask(kind, model=1, **keys)) == ("arena_too_small", WORDS)
    # The other model runs, and of this one everything else is told.
    assert board.ask(Request.INVOKE, model=0).flags == Flag.RESPONSE
    assert board.ask(Request.DESCRIBE, model=1, offset=0).flags == Flag.RESPONSE
    assert board.ask(Request.STATS, model=1).payload["arena_used"] == [40]


def test_blocks_after_the_arenas_are_what_steps_have_written(board: Firmware) -> None:
    board.ask(Request.WRITE, model=0, tensor=0, offset=0, data=bytes(16))
    board.ask(Request.WRITE, model=0, tensor=1, offset=0, data=bytes(4))
    board.ask(Request.INVOKE, model=0)
    answer = board.ask(Request.PEEK, model=0, block=1, offset=0).payload
    assert (answer["data"], answer["total"]) == (b"\1" * 16, 16)
    # One that has not run yet, and one that there is not.
    for block in (2, 3, 2**32 - 1):
        found = error_of(board.ask(Request.PEEK, model=0, block=block, offset=0))
        assert found == ("out_of_range", "block")


def test_an_inference_that_fails_is_answered_with_the_engines_words(board: Firmware) -> None:
    board.ask(Request.WRITE, model=0, tensor=0, offset=0, data=b"\xee" * 16)
    assert error_of(board.ask(Request.INVOKE, model=0)) == ("engine_failed", "node 3 failed")
    assert error_of(board.ask(Request.READ, model=0, tensor=0, offset=0))[0] == "engine_failed"


def test_a_free_run_that_fails_ends_with_a_line_in_the_log(board: Firmware) -> None:
    board.wait_for(lambda f: f.type == Event.LOG and f.payload["detail"] == WORDS)
    board.ask(Request.WRITE, model=0, tensor=0, offset=0, data=b"\xee" * 16)
    assert board.ask(Request.FREE_RUN, model=0, on=1).payload["state"] == 1
    board.wait_for(lambda f: f.type == Event.LOG and f.payload["detail"] == "node 3 failed")
    assert not [event for event in board.events if event.type == Event.RECORD]


Formatter = Callable[..., str]
WRAPPER = """
#include "eag_text.h"
int say(char *out, uint32_t size, const char *format, ...);
int say(char *out, uint32_t size, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  int length = eag_text_format(out, size, format, arguments);
  va_end(arguments);
  return length;
}
"""


@pytest.fixture(scope="module")
def say(tmp_path_factory: pytest.TempPathFactory) -> Formatter:
    """eag_text_format of this machine: `say(format, argument..., size=...)`."""
    folder = tmp_path_factory.mktemp("text")
    (folder / "wrapper.c").write_text(WRAPPER, encoding="ascii")
    tflm = data_path("firmware", "tflm")
    sources = [folder / "wrapper.c", tflm / "eag_text.c"]
    library = find_host_compiler().shared_library(sources, folder / "text.so", [tflm])
    function = ctypes.CDLL(str(library)).say

    def text(format_: str, *arguments: object, size: int = 64) -> str:
        out = ctypes.create_string_buffer(b"\xff" * 80, 80)
        length = function(out, ctypes.c_uint32(size), format_.encode(), *arguments)
        assert length == len(out.value) < size
        assert out.raw[size:] == b"\xff" * (80 - size)  # nothing behind the buffer
        return out.value.decode()

    return text


@given(number=st.integers(-(2**31), 2**31 - 1))
def test_numbers_are_written_as_printf_does(say: Formatter, number: int) -> None:
    unsigned = number % 2**32
    assert say("%d|%i", ctypes.c_int32(number), ctypes.c_int32(number)) == f"{number}|{number}"
    assert say("%u", ctypes.c_uint32(unsigned)) == str(unsigned)
    assert say("0x%x", ctypes.c_uint32(unsigned)) == f"0x{unsigned:x}"


@given(text=st.text(st.characters(min_codepoint=1, max_codepoint=126), max_size=100))
def test_text_is_cut_where_the_buffer_ends(say: Formatter, text: str) -> None:
    assert say("%s", ctypes.c_char_p(text.encode()), size=40) == text[:39]
    plain = text.replace("%", "")
    assert say(plain, size=40) == plain[:39]


@pytest.mark.parametrize(
    ("format_", "arguments", "expected"),
    [
        ("100%%", (), "100%"),
        ("%c%c", (ctypes.c_int(65), ctypes.c_int(66)), "AB"),
        ("%s", (ctypes.c_char_p(None),), "(null)"),
        ("%08lu of %-5zu!", (ctypes.c_uint32(3), ctypes.c_uint32(4)), "3 of 4!"),
        ("%f then %d", (ctypes.c_double(1.5), ctypes.c_int(7)), "? then 7"),
        ("%lld then %d", (ctypes.c_int64(1), ctypes.c_int(7)), "? then 7"),
        ("%q", (), "q"),
        ("end%", (), "end"),
    ],
)
def test_what_is_not_written_is_skipped_over(
    say: Formatter, format_: str, arguments: tuple[object, ...], expected: str
) -> None:
    assert say(format_, *arguments) == expected
