"""The shipping image in QEMU: what port mps counts, and how it starts and fails."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import pytest
import qemu_boards
from qemu_boards import need_qemu

from edge_autoglm.device.ports import find_port, open_port
from edge_autoglm.device.session import Session
from edge_autoglm.device.transport import SerialTransport
from edge_autoglm.errors import BoardFaultError, HalfImageError, SessionError
from edge_boards import Board, load_board, virtual
from edge_boards.errors import ToolchainError, VirtualBoardError
from edge_boards.toolchain import Image
from edge_boards.virtual import VirtualInfo

need_qemu()

MODEL = r"""
#include "eag_model.h"
EAG_ARENA(REGION) EAG_ALIGNED(16) static uint8_t arena[32];
__attribute__((noinline)) static uint32_t descend(uint32_t depth) {
  volatile uint32_t local[8];
  for (uint32_t i = 0; i < 8; i++) local[i] = depth + i;
  return depth == 1000000 ? 0 : descend(depth + 1) + local[depth & 7];
}
static volatile uint32_t sink;
#define STEP __attribute__((unused, noinline)) static void
/* 3 + 2 n instructions, the return included. */
#define LOOP(name, n) \
  __attribute__((unused, naked)) static void name(void) { \
    __asm__ volatile("movw r0, #" #n "\n nop\n1: subs r0, #1\n bne 1b\n bx lr"); \
  }
LOOP(loop_1, 1)
LOOP(loop_2, 2)
LOOP(loop_3, 3)
LOOP(loop_1000, 1000)
LOOP(loop_50000, 50000)
STEP undefined(void) { __asm__ volatile("udf #1"); }
STEP overflow(void) { sink = descend(0); }
STEP nowhere(void) { sink = *(volatile uint32_t *)HOLE; }
STEP unmodelled(void) { *(volatile uint32_t *)UNMODELLED = 1; }
STEP lockup(void) {
  /* A fault within the fault's handler: the vector table is gone. */
  *(volatile uint32_t *)0xE000ED08 = HOLE;
  __asm__ volatile("dsb\n udf #1");
}
static const eag_step_fn steps[] = {STEPS};
static const uint8_t sha256[32] = {1};
static const uint8_t description[600] = {1, 2, 3, 4, 5, 6, 7, 8};
static const eag_tensor inputs[] = {{arena, 8}};
static const eag_tensor outputs[] = {{arena + 16, 8}};
static const eag_block blocks[] = {{arena, sizeof arena}};
extern const eag_model NAME_model;
const eag_model NAME_model = {
    .name = "NAME", .sha256 = sha256, .description = description,
    .description_size = sizeof description, .steps = steps, .inputs = inputs,
    .outputs = outputs, .arena = blocks, .step_count = sizeof steps / sizeof *steps,
    .input_count = 1, .output_count = 1, .arena_count = 1};
"""
LOOPS = {"loop_1": 5, "loop_2": 7, "loop_3": 9, "loop_1000": 2003, "loop_50000": 100_003}
FAULTS = {"undefined": "undefined instruction", "overflow": "stack", "nowhere": "bus error"}
UNMODELLED = {"mps2-an500": 0x4001_0000, "mps3-an547": 0x5110_0000}  # a GPIO port
HOLE = {"mps2-an500": 0xA800_0000, "mps3-an547": 0x1800_0000}  # where nothing answers


def sources(board: Board) -> dict[str, str]:
    models = {"loops": tuple(LOOPS)}
    models |= {kind: ("loop_1", kind) for kind in (*FAULTS, "unmodelled", "lockup")}
    text = MODEL.replace("UNMODELLED", f"{UNMODELLED[board.name]:#x}")
    text = text.replace("REGION", board.ram.name).replace("HOLE", f"{HOLE[board.name]:#x}")
    return {
        name: text.replace("STEPS", ", ".join(steps)).replace("NAME", name)
        for name, steps in models.items()
    }


@pytest.fixture(scope="module", params=qemu_boards.BOARDS)
def board(request: pytest.FixtureRequest) -> Board:
    return load_board(request.param)


@pytest.fixture(scope="module")
def image(board: Board, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return qemu_boards.build(board, sources(board), tmp_path_factory.mktemp("image"), None)


@pytest.fixture(scope="module")
def info(
    board: Board, image: Image, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[VirtualInfo]:
    with qemu_boards.running(board, image.binary, tmp_path_factory.mktemp("state")) as info:
        yield info


@pytest.fixture
def session(info: VirtualInfo) -> Iterator[Session]:
    virtual.control(info, {"op": "reset"})
    with qemu_boards.talk(info) as session:
        yield session


def test_it_says_that_its_counter_is_one_of_instructions(board: Board, session: Session) -> None:
    assert session.info.board == board.name
    assert session.info.clock_hz == board.clock.hz
    assert session.info.counts_instructions


OTHER_RATE = """#!{python}
import os, sys
os.execvp("qemu-system-arm", [each.replace("shift=7", "{icount}") for each in sys.argv])
"""


@pytest.mark.parametrize("icount", ["shift=0", "shift=6", "shift=8"])
def test_a_counter_that_counts_something_else_is_not_taken_for_one_of_instructions(
    icount: str, board: Board, image: Image, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "qemu"
    program.write_text(OTHER_RATE.format(python=sys.executable, icount=icount))
    program.chmod(0o755)
    monkeypatch.setenv("EDGE_AUTOGLM_QEMU", str(program))
    with (
        qemu_boards.running(board, image.binary, tmp_path / "state") as info,
        qemu_boards.talk(info) as session,
    ):
        assert session.info.board == board.name
        assert not session.info.counts_instructions


def test_a_step_costs_its_instructions_and_not_one_more(session: Session) -> None:
    model = session.model("loops")
    for _ in range(3):
        run = session.profile(model)
        assert session.step_cycles(model) == tuple(LOOPS.values())
        assert run.cycles == sum(LOOPS.values())


class NoisyTransport(SerialTransport):
    """After each frame come delimiters, which are no frames: bytes that arrive while it works."""

    def write(self, data: bytes) -> None:
        super().write(data + b"\0" * 200)


def test_interrupts_are_left_out(info: VirtualInfo) -> None:
    """Bytes and ticks come while steps run, and what their handlers take is not the steps'."""
    with Session(NoisyTransport(info.links["console"])) as session:
        model = session.model("loops")
        for _ in range(15):
            session.profile(model)
            assert session.step_cycles(model) == tuple(LOOPS.values())


def test_counts_are_the_same_from_another_compiler(
    board: Board, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    try:
        image = qemu_boards.build(board, sources(board), tmp_path, "zig")
    except ToolchainError as error:
        pytest.skip(str(error))
    state = tmp_path_factory.mktemp("state")
    with (
        qemu_boards.running(board, image.binary, state) as info,
        qemu_boards.talk(info) as session,
    ):
        model = session.model("loops")
        session.profile(model)
        assert session.step_cycles(model) == tuple(LOOPS.values())


def test_resets_are_counted_and_told_apart(info: VirtualInfo, image: Image, board: Board) -> None:
    state = info.flash.parents[2]
    virtual.load(board.name, image.binary, state_dir=state)
    with qemu_boards.talk(info) as session:
        assert (session.info.boot_count, session.info.reset_cause) == (1, "power on")
        again = session.reset()
        assert (again.boot_count, again.reset_cause) == (2, "software")
    virtual.reset(board.name, state_dir=state)
    with qemu_boards.talk(info) as session:
        assert (session.info.boot_count, session.info.reset_cause) == (3, "pin")
        with pytest.raises(BoardFaultError):
            session.invoke(session.model("undefined"))
        again = session.hello()
        assert (again.boot_count, again.reset_cause) == (4, "fault")


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_is_reported_and_the_board_starts_again(kind: str, session: Session) -> None:
    with pytest.raises(BoardFaultError, match=FAULTS[kind]):
        session.invoke(session.model(kind))
    assert session.hello().reset_cause == "fault"


def test_the_line_changes_its_speed_where_the_divider_can(session: Session) -> None:
    for baud in (230_400, 921_600, 115_200):
        session.set_baud(baud)
        assert session.echo(b"\0\1\2" * 100) == b"\0\1\2" * 100
    with pytest.raises(SessionError, match="baud"):
        session.set_baud(20_000_000)


def test_time_goes_on_at_its_rate(board: Board, session: Session) -> None:
    """Heartbeats are half a second apart on the board's clock, ticks or no ticks."""
    link = session.link
    seen: list[int] = []
    while len(seen) < 4:
        link.receive_events(1.0)
        at = link.heard.uptime_cycles
        if at is not None and (not seen or at != seen[-1]):
            seen.append(at)
    steps = [(b - a) / board.clock.hz for a, b in pairwise(seen)]
    assert all(0.49 < step < 0.6 for step in steps), steps


def test_an_access_to_what_qemu_does_not_model_stops_the_board(
    board: Board, info: VirtualInfo
) -> None:
    state = info.flash.parents[2]
    virtual.reset(board.name, state_dir=state)
    with qemu_boards.talk(info) as session, suppress(SessionError):
        # QEMU goes on for the moment that it takes to read what it notes: an answer may come.
        session.invoke(session.model("unmodelled"))
    stopped = ""
    end = time.monotonic() + 30
    while not stopped and time.monotonic() < end:
        found = virtual.attach(board, state_dir=state)
        stopped = (found.stopped or "") if found else ""
    assert re.fullmatch(r"QEMU does not model this: .*gpio.*unimplemented device write.*", stopped)
    virtual.reset(board.name, state_dir=state)
    with qemu_boards.talk(info) as session:
        assert session.info.boot_count == 1  # it was started anew


def test_half_an_image_says_so(
    board: Board, info: VirtualInfo, image: Image, tmp_path: Path
) -> None:
    state = info.flash.parents[2]
    whole = image.binary.read_bytes()
    half = tmp_path / "half.bin"
    half.write_bytes(whole[: len(whole) // 2])
    virtual.load(board.name, half, state_dir=state)
    with pytest.raises(HalfImageError, match="flash again"), qemu_boards.talk(info):
        pass
    virtual.load(board.name, image.binary, state_dir=state)
    with qemu_boards.talk(info) as session:
        assert session.info.board == board.name


def test_a_lockup_is_said(board: Board, info: VirtualInfo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(info.flash.parents[2]))
    virtual.reset(board.name)
    with Session(open_port(find_port(board, "virtual"))) as session:
        model = session.model("lockup")
        words = r"QEMU ended: Lockup: .* \(PC 0x[0-9a-f]{8}\)"
        with pytest.raises(VirtualBoardError, match=words):
            session.invoke(model)
