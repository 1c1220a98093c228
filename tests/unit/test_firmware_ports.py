"""The shipping image on the virtual boards: what only a real port can show."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from wired_board import TARGETS, Target, WiredBoard

from edge_autoglm.device.wire import Decoder
from edge_autoglm.device.wiredefs import WIRE, Event, Request
from edge_boards.elf import Elf
from edge_boards.errors import ToolchainError
from edge_boards.loader import load_board
from edge_boards.toolchain import BuildRequest, Image, ModelSources, build_image, find_toolchain

MODEL = """
#include "eag_model.h"
EAG_ARENA(REGION) EAG_ALIGNED(16) static uint8_t arena[32];
static volatile uint32_t sink;
__attribute__((noinline)) static uint32_t descend(uint32_t depth) {
  volatile uint32_t local[8];
  for (uint32_t i = 0; i < 8; i++) local[i] = depth + i;
  return depth == 1000000 ? 0 : descend(depth + 1) + local[depth & 7];
}
void tricks_copy(void) { for (int i = 0; i < 8; i++) arena[16 + i] = arena[i]; }
void tricks_wait(void) { for (uint32_t i = 0; i < 6000000; i++) sink = i; }
void tricks_again(void) { (*(void (*const *)(void))0x08000004)(); }
void tricks_undefined(void) { __asm__ volatile("udf #1"); }
void tricks_overflow(void) { sink = descend(0); }
void tricks_nowhere(void) { sink = *(volatile uint32_t *)0x18000000; }
void tricks_jump(void) { ((void (*)(void))0xF0000001)(); }
void tricks_misaligned(void) {
  __asm__ volatile("ldr r0, =0x20000202\\n ldrd r0, r1, [r0]\\n .ltorg" ::: "r0", "r1", "memory");
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


HOLE = 0x1800_0000
"""Where none of the chips has anything."""
FAULTS = ("undefined", "overflow", "nowhere", "jump", "misaligned")
QUICK, AGAIN = 1 + len(FAULTS), 2 + len(FAULTS)


def model_source(name: str, region: str, steps: tuple[str, ...]) -> str:
    called = ", ".join(f"tricks_{step}" for step in steps)
    text = MODEL.replace("STEPS", called).replace("NAME", name).replace("REGION", region)
    # Every function is there once only, whatever the model: the others stay unused.
    return text.replace("void tricks_", "__attribute__((unused, noinline)) static void tricks_")


def built(target: Target, folder: Path, compiler: str | None) -> Image:
    """The profile app with model 0 of three steps, one model for each way to fault, one that
    takes next to no time, and one that jumps to the reset handler."""
    board = load_board(target.name)
    region = board.ram.name
    try:
        toolchain = find_toolchain(board, prefer=compiler)
    except ToolchainError as error:
        pytest.skip(str(error))
    models = []
    names = [("tricks", ("copy", "wait", "copy"))]
    names += [(f"fault_{kind}", ("copy", kind)) for kind in FAULTS]
    names += [("quick", ("copy",)), ("again", ("again",))]
    for name, steps in names:
        source = folder / f"{name}.c"
        source.write_text(model_source(name, region, steps), encoding="utf-8")
        models.append(ModelSources(name, (source,), (), 0, ((region, 32),)))
    request = BuildRequest(board, "profile", tuple(models), folder / "out", optimize="-O1")
    return build_image(request, toolchain)


@pytest.fixture(scope="module", params=TARGETS, ids=lambda target: target.name)
def target(request: pytest.FixtureRequest) -> Target:
    return request.param


@pytest.fixture(scope="module")
def image(target: Target, tmp_path_factory: pytest.TempPathFactory) -> Image:
    return built(target, tmp_path_factory.mktemp("image"), None)


@pytest.fixture
def board(target: Target, image: Image) -> Iterator[WiredBoard]:
    running = WiredBoard(target, image.binary.read_bytes())
    yield running
    running.machine.close()


def test_a_core_without_an_mpu_starts_without_the_guard(target: Target, tmp_path: Path) -> None:
    """Whose registers it does not have: the virtual one stops where they are set."""
    pytest.importorskip("unicorn")
    from edge_boards.virtual.machine import Machine

    known = load_board(target.name)
    board = replace(known, core=replace(known.core, mpu_regions=0))
    made = build_image(BuildRequest(board, "profile", (), tmp_path), find_toolchain(board))
    machine = Machine(board)
    try:
        machine.load_flash(made.binary.read_bytes())
        machine.reset(power_on=True)
        machine.run(board.clock.hz // 50)
        frames = Decoder().feed(machine.links["console"].take())
    finally:
        machine.close()
    assert frames[0].payload == {"detail": "boot"}


def test_it_boots_to_the_clock_of_its_board_and_says_so(board: WiredBoard) -> None:
    assert board.event(Event.LOG).payload == {"detail": "boot"}
    hello = board.ask(Request.HELLO, protocol=[1, 0]).payload
    assert hello["clock_hz"] == board.machine.rcc.hclk == board.hz
    assert hello["board"] == board.target.name
    assert hello["reset_cause"] == WIRE.reset_cause["power_on"]
    assert hello["boot_count"] == 1
    # No FPU for doubles.
    lacking = WIRE.capabilities["fpu_double"]
    assert hello["capabilities"] == sum(WIRE.capabilities.values()) - lacking
    assert len(hello["uid"]) == 12


def test_hello_carries_the_build_id(board: WiredBoard, image: Image) -> None:
    assert board.ask(Request.HELLO, protocol=[1, 0]).payload["build_id"] == image.build_id


def test_resets_are_counted_and_told_apart(board: WiredBoard) -> None:
    board.ask(Request.RESET)
    board.event(Event.LOG)
    hello = board.ask(Request.HELLO, protocol=[1, 0]).payload
    assert (hello["boot_count"], hello["reset_cause"]) == (2, WIRE.reset_cause["software"])
    board.machine.reset()
    board.event(Event.LOG)
    hello = board.ask(Request.HELLO, protocol=[1, 0]).payload
    assert (hello["boot_count"], hello["reset_cause"]) == (3, WIRE.reset_cause["pin"])


def test_it_starts_from_a_chip_that_another_program_has_set_up(board: WiredBoard) -> None:
    # PLL, over-drive, caches, MPU, SysTick and USART are on; this one's own start is no reset.
    board.event(Event.LOG)
    board.run(0.2)
    board.link.feed(board.request(Request.INVOKE, model=AGAIN))
    board.event(Event.LOG)
    hello = board.ask(Request.HELLO, protocol=[1, 0]).payload
    assert hello["clock_hz"] == board.machine.rcc.hclk == board.hz
    assert (hello["boot_count"], hello["reset_cause"]) == (2, WIRE.reset_cause["unknown"])
    assert hello["uptime_cycles"] < 0.1 * board.hz  # it begins anew
    assert board.ask(Request.INVOKE, model=QUICK).payload["cycles"] > 0
    assert board.event(Event.HEARTBEAT)


@pytest.mark.parametrize(
    ("kind", "cfsr_bit"),
    [("undefined", 16), ("overflow", 1), ("nowhere", 9), ("jump", 0), ("misaligned", 24)],
)
def test_a_fault_is_reported_with_its_place_and_the_board_starts_again(
    board: WiredBoard, image: Image, kind: str, cfsr_bit: int
) -> None:
    model = 1 + FAULTS.index(kind)
    board.link.feed(board.request(Request.INVOKE, model=model))
    fault = board.event(Event.FAULT).payload
    assert fault["cfsr"] >> cfsr_bit & 1, f"CFSR {fault['cfsr']:#x}"
    assert fault["hfsr"] == 1 << 30  # escalated
    assert (fault["model"], fault["step"]) == (model, 1)
    if kind == "overflow":
        # The exception frame would not fit above the guard either: no PC, but the address.
        assert fault["pc"] == 0
        assert 0x2000_0000 <= fault["mmfar"] < 0x2000_0020
    elif kind == "jump":
        assert fault["pc"] & ~1 == 0xF0000000
    else:
        symbols = Elf.load(image.elf).symbols
        (function,) = [s for s in symbols if s.name == f"tricks_{kind}" and s.size]
        assert 0 <= fault["pc"] - (function.value & ~1) < function.size
    if kind == "nowhere":
        assert fault["bfar"] == HOLE
    board.event(Event.LOG)
    hello = board.ask(Request.HELLO, protocol=[1, 0]).payload
    assert (hello["boot_count"], hello["reset_cause"]) == (2, WIRE.reset_cause["fault"])
    assert board.ask(Request.INVOKE, model=0).payload["cycles"] > 0


def test_a_window_of_the_largest_requests_is_kept_while_an_inference_runs(
    board: WiredBoard,
) -> None:
    window = board.ask(Request.HELLO, protocol=[1, 0]).payload["window"]
    board.ask(Request.BAUD, baud=921_600)
    board.run(0.01)
    board.link.feed(board.request(Request.INVOKE, model=0))
    board.run(0.001)
    requests = [
        board.request(Request.ECHO, data=bytes([n % 250 + 1]) * 480) for n in range(window - 1)
    ]
    board.link.feed(b"".join(requests))
    board.run(0.038)
    assert board.machine.lines.backlog(board.link) == 0  # all of it has come,
    assert not [f for f in board.frames if f.is_response]  # and the inference still runs
    board.wait_for(lambda f: f.type == Request.INVOKE)
    for number in range(window - 1):
        answer = board.wait_for(lambda f: f.type == Request.ECHO)
        assert answer.payload["data"] == bytes([number + 1]) * 480
    stats = board.ask(Request.STATS).payload
    assert (stats["rx_lost"], stats["rx_bad"], stats["rx_missing"]) == (0, 0, 0)


def test_time_goes_on_past_the_counters_width_and_through_sleep(board: WiredBoard) -> None:
    board.run(5.4e9 / board.hz)  # CYCCNT wraps once, SysTick 321 times
    beats = [f.payload["uptime_cycles"] for f in board.frames if f.type == Event.HEARTBEAT]
    assert beats == sorted(beats)
    assert beats[-1] > 2**32
    assert abs(beats[-1] - board.machine.cycles) < 0.7 * board.hz
    apart = [later - earlier for earlier, later in pairwise(beats)]
    # Half a second, and at most the tick that ends a sleep later.
    assert all(0.5 * board.hz <= gap < 0.5 * board.hz + 2**24 + 1e6 for gap in apart)


def test_2000_frames_a_second_at_921600_baud_and_none_lost(board: WiredBoard) -> None:
    board.ask(Request.BAUD, baud=921_600)
    board.run(0.01)
    board.ask(Request.BURST, count=500, rate=2000)
    frames = [board.event(Event.TELEMETRY).payload for _ in range(500)]
    assert [frame["sequence"] for frame in frames] == list(range(500))
    lasted = frames[-1]["uptime_cycles"] - frames[0]["uptime_cycles"]
    assert lasted == pytest.approx(499 * board.hz / 2000, rel=0.01)
    assert board.decoder.counters.lost == board.decoder.counters.malformed == 0


def divider(board: WiredBoard) -> int:
    return int(board.machine.bus.read(board.target.brr, 4))


def test_a_speed_that_the_divider_cannot_hold_is_refused(board: WiredBoard) -> None:
    for baud in (board.target.too_slow, 20_000_000):
        answer = board.ask(Request.BAUD, baud=baud)
        assert answer.is_error
        assert answer.payload["detail"] == "baud"
    assert not board.ask(Request.BAUD, baud=9600).is_error


def test_a_speed_at_which_nobody_speaks_is_given_up_after_two_seconds(board: WiredBoard) -> None:
    before = divider(board)
    board.ask(Request.BAUD, baud=1_000_000)
    board.run(1.0)
    assert divider(board) == board.target.divider
    board.run(1.5)
    assert divider(board) == before


def test_a_speed_that_serves_is_kept_until_only_noise_comes(board: WiredBoard) -> None:
    before = divider(board)
    board.ask(Request.BAUD, baud=1_000_000)
    board.run(0.1)
    board.ask(Request.STATS)
    board.run(10.0)
    assert divider(board) == board.target.divider  # a silent host is no reason
    for _ in range(30):
        board.link.feed(b"\x00\x13garbage\x00")
        board.run(0.1)
    assert divider(board) == before


def test_a_free_run_outlives_the_way_back_to_the_first_speed(board: WiredBoard) -> None:
    before = divider(board)
    board.ask(Request.BAUD, baud=9600)
    board.run(0.1)
    # Back to back, so that the line is never idle, least of all when its speed changes.
    board.ask(Request.FREE_RUN, model=QUICK, on=1)
    board.link.feed(b"\x00\x13garbage\x00" * 12)
    board.run(2.1)
    assert divider(board) == before
    board.frames.clear()
    assert board.event(Event.RECORD).payload["sequence"] > 0


def test_noise_now_and_then_changes_no_speed(board: WiredBoard) -> None:
    board.ask(Request.BAUD, baud=1_000_000)
    board.run(0.1)
    board.ask(Request.STATS)
    for _ in range(12):
        board.link.feed(b"\x00\x13garbage\x00")
        board.run(1.0)
    assert divider(board) == board.target.divider


def test_the_timing_pin_is_high_while_an_inference_runs(board: WiredBoard) -> None:
    pin = load_board(board.target.name).timing_pin or ""
    letter, number = pin[1], int(pin[2:])
    edges: list[tuple[bool, int]] = []

    def watch(port: str, levels: int, cycles: int) -> None:
        high = bool(levels >> number & 1)
        if port == f"GPIO{letter}" and (not edges or edges[-1][0] != high):
            edges.append((high, cycles))

    board.machine.on_pins = watch
    cycles = board.ask(Request.INVOKE, model=0).payload["cycles"]
    high = [at for level, at in edges if level]
    low = [at for level, at in edges if not level and at > high[0]]
    assert (len(high), len(low)) == (1, 1)
    assert low[0] - high[0] == pytest.approx(cycles, rel=0.01)


def test_the_sensors_read_what_the_factory_calibrated(board: WiredBoard) -> None:
    stats = board.ask(Request.STATS).payload
    assert 3200 <= stats["supply_mv"] <= 3400
    assert 0 < stats["die_decicelsius"] < 600


def test_the_stack_watermark_grows_with_what_ran(board: WiredBoard) -> None:
    before = board.ask(Request.STATS).payload
    board.ask(Request.PROFILE, model=0)
    after = board.ask(Request.STATS).payload
    assert 0 < before["stack_used"] <= after["stack_used"] < 1024
    assert after["stack_size"] == 4096


def test_an_image_that_zig_compiled_boots_runs_and_reports_its_faults(
    target: Target, tmp_path: Path
) -> None:
    board = WiredBoard(target, built(target, tmp_path, "zig").binary.read_bytes())
    assert board.ask(Request.HELLO, protocol=[1, 0]).payload["clock_hz"] == board.hz
    board.ask(Request.WRITE, model=0, tensor=0, offset=0, data=b"12345678")
    assert board.ask(Request.PROFILE, model=0).payload["result"] == b"12345678"
    board.link.feed(board.request(Request.INVOKE, model=1 + FAULTS.index("undefined")))
    assert board.event(Event.FAULT).payload["step"] == 1
    board.event(Event.LOG)
    reset_cause = board.ask(Request.HELLO, protocol=[1, 0]).payload["reset_cause"]
    assert reset_cause == WIRE.reset_cause["fault"]
    board.machine.close()
