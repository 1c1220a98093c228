"""An image that flashing left half-written never starts as if it were whole; it says what it is."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from machine_transport import MachineTransport
from wired_board import TARGETS, Target, WiredBoard

from edge_autoglm.device.session import Session
from edge_autoglm.device.wire import Frame
from edge_autoglm.device.wiredefs import WIRE, Event, Request
from edge_autoglm.errors import HalfImageError
from edge_boards.elf import Elf
from edge_boards.errors import ToolchainError
from edge_boards.loader import load_board
from edge_boards.toolchain import BuildRequest, ModelSources, build_image, find_toolchain
from edge_boards.toolchain.seal import image_crc
from edge_boards.virtual.faults import MachineStop

MODEL = """
#include "eag_model.h"
static const uint8_t ballast[BYTES] = {NUMBERS};
static uint8_t out[4];
static void step(void) { for (int i = 0; i < 4; i++) out[i] = ballast[i * BYTES / 4]; }
static const eag_step_fn steps[] = {step};
static const uint8_t sha256[32] = {1};
static const eag_tensor tensors[] = {{out, 4}};
static const eag_block blocks[] = {{out, 4}};
extern const eag_model NAME_model;
const eag_model NAME_model = {
    .name = "NAME", .sha256 = sha256, .description = ballast, .description_size = 8,
    .steps = steps, .inputs = tensors, .outputs = tensors, .arena = blocks, .step_count = 1,
    .input_count = 1, .output_count = 1, .arena_count = 1};
"""
HALF = {"detail": "half an image", "code": WIRE.errors["half_image"]}


@dataclass(frozen=True)
class Built:
    """An image as bytes, and where its code that must be there ends."""

    image: bytes
    early_end: int


def built(target: Target, compiler: str, folder: Path, name: str, size: int) -> Built:
    board = load_board(target.name)
    try:
        toolchain = find_toolchain(board, prefer=compiler)
    except ToolchainError as error:
        pytest.skip(str(error))
    source = folder / f"{name}.c"
    numbers = ", ".join(str((i * 37 + size) % 251) for i in range(size))
    text = MODEL.replace("NUMBERS", numbers).replace("BYTES", str(size)).replace("NAME", name)
    source.write_text(text, encoding="utf-8")
    model = ModelSources(name, (source,), (), 0)
    made = build_image(BuildRequest(board, "profile", (model,), folder / name), toolchain)
    elf = Elf.load(made.elf)
    image = made.binary.read_bytes()
    assert elf.flat(board.code_address, board.flash.size) == image
    return Built(image, elf.symbol("eag_early_end").value - board.code_address)


class Bench:
    """A board that is flashed again and again, with an old and a new image for it."""

    def __init__(self, target: Target, old: Built, new: Built) -> None:
        self.old, self.new = old, new
        self.sectors = load_board(target.name).flash.sectors
        self.board = WiredBoard(target, new.image)

    def first_words(self, flash: bytes) -> Frame | None:
        """Starts the board with that in its flash; its first frame, or None where none comes."""
        board = self.board
        board.machine.load_flash(flash)
        board.machine.reset(power_on=True)
        board.link.take()
        board.frames.clear()
        board.decoder = type(board.decoder)()
        try:
            for _ in range(20):
                board.run(0.002)
                if board.frames:
                    return board.frames[0]
        except MachineStop:
            pass  # code that is not there brings the core to a halt
        return None

    def says_half(self, flash: bytes) -> bool:
        frame = self.first_words(flash)
        return frame is not None and frame.type == Event.LOG and frame.payload == HALF


@pytest.fixture(
    scope="module",
    params=[(t, "gcc") for t in TARGETS] + [(TARGETS[0], "zig")],
    ids=lambda p: f"{p[0].name}-{p[1]}",
)
def bench(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bench]:
    target, compiler = request.param
    folder = tmp_path_factory.mktemp("half")
    old = built(target, compiler, folder, "old", 50_000)
    new = built(target, compiler, folder, "new", 30_000)
    bench = Bench(target, old, new)
    yield bench
    bench.board.machine.close()


def test_a_whole_image_starts(bench: Bench) -> None:
    for each in (bench.old, bench.new):
        frame = bench.first_words(each.image)
        assert frame is not None
        assert frame.payload == {"detail": "boot"}


def test_the_image_carries_its_length_and_its_crc_where_other_tools_find_them(bench: Bench) -> None:
    image = bench.new.image
    at = image.index(b"EAG1", 0, 1024)
    version, size = struct.unpack_from("<HH", image, at + 4)
    assert (version, size) == (1, 72)
    assert struct.unpack_from("<I", image, at + 16) == (len(image),)
    crc = struct.unpack_from("<I", image, at + 68)[0]
    assert crc == zlib.crc32(image[: at + 68] + image[at + 72 :])


# A CRC's state behind this, ahead of which it was 0xFFFFFFFF, is one that gives 0.
TO_ZERO = 0x6DD9_0A9D


def test_a_crc_of_0_is_checked_as_any_other(bench: Bench) -> None:
    """0 in the image's word says that nobody computed it; the builder never writes that."""
    assert zlib.crc32(struct.pack("<I", TO_ZERO)) == 0
    image = bytearray(bench.new.image)
    place = image.index(b"EAG1", 0, 1024) + 68
    before = zlib.crc32(image[place + 4 : -4], zlib.crc32(image[:place]))
    image[-4:] = struct.pack("<I", before ^ TO_ZERO)
    assert zlib.crc32(image[:place] + image[place + 4 :]) == 0
    assert image_crc(bytes(image), place) == 0xFFFF_FFFF
    image[place : place + 4] = struct.pack("<I", 0xFFFF_FFFF)
    frame = bench.first_words(bytes(image))
    assert frame is not None
    assert frame.payload == {"detail": "boot"}
    image[-1] ^= 1
    assert bench.says_half(bytes(image))


def check(bench: Bench, cut: int, rest: bytes) -> None:
    """Half the new image, then what else the flash holds: never a start as if it were whole."""
    new, early = bench.new.image, bench.new.early_end
    flash = new[:cut] + rest[cut:]
    if flash[: len(new)] == new or flash[: len(bench.old.image)] == bench.old.image:
        return
    frame = bench.first_words(flash)
    if frame is not None:
        assert (frame.type, frame.payload) == (Event.LOG, HALF)
    else:
        assert cut < early, f"cut at {cut} it says nothing, though {early} bytes are enough"


@settings(max_examples=60)
@given(data=st.data())
def test_cut_at_any_byte_over_erased_flash(bench: Bench, data: st.DataObject) -> None:
    size = len(bench.new.image)
    near = st.integers(bench.new.early_end - 32, bench.new.early_end + 32)
    cut = data.draw(st.integers(0, size - 1) | near | st.integers(size - 8, size - 1))
    check(bench, cut, b"\xff" * (1 << 16))


@settings(max_examples=60)
@given(data=st.data())
def test_cut_at_any_byte_over_the_old_image(bench: Bench, data: st.DataObject) -> None:
    size = len(bench.new.image)
    cut = data.draw(st.integers(0, size - 1) | st.integers(size - 8, size - 1))
    check(bench, cut, bench.old.image)


@settings(max_examples=60)
@given(data=st.data())
def test_cut_while_sectors_are_erased_and_written_one_by_one(
    bench: Bench, data: st.DataObject
) -> None:
    size = len(bench.new.image)
    cut = data.draw(st.integers(0, size - 1))
    end = 0
    for length in bench.sectors:
        end += length
        if end > cut:
            break
    check(bench, cut, (b"\xff" * end + bench.old.image[end:])[: 1 << 18])


@settings(max_examples=60)
@given(data=st.data())
def test_a_bit_that_flipped_is_half_an_image_too(bench: Bench, data: st.DataObject) -> None:
    image = bytearray(bench.new.image)
    at = data.draw(st.integers(bench.new.early_end, len(image) - 1))
    image[at] ^= 1 << data.draw(st.integers(0, 7))
    assert bench.says_half(bytes(image))


def test_it_repeats_itself_and_answers_nothing(bench: Bench) -> None:
    half = bench.new.image[: bench.new.early_end]
    assert bench.says_half(half)
    board = bench.board
    board.frames.clear()
    board.link.feed(board.request(Request.HELLO, protocol=[1, 0]))
    board.run(1.6)
    assert [frame.payload for frame in board.frames] in ([HALF] * 2, [HALF] * 3, [HALF] * 4)
    board.machine.load_flash(bench.new.image)
    board.machine.reset()
    board.frames.clear()
    assert board.event(Event.LOG).payload == {"detail": "boot"}


def test_the_tool_says_what_to_do(bench: Bench) -> None:
    half = bench.new.image[: bench.new.early_end]
    transport = MachineTransport(load_board(bench.board.target.name), half)
    with (
        pytest.raises(HalfImageError, match="the flash holds half an image: flash again"),
        Session(transport),
    ):
        pass


def test_an_image_that_no_build_step_followed_up_starts_unchecked(bench: Bench) -> None:
    image = bytearray(bench.new.image)
    at = image.index(b"EAG1", 0, 1024)
    image[at + 68 : at + 72] = bytes(4)
    image[-1] ^= 1
    frame = bench.first_words(bytes(image))
    assert frame is not None
    assert frame.payload == {"detail": "boot"}
