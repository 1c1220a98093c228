"""The Arduino sketch on the real wire: the very sources that an Arduino board is given, run on this
machine behind a pseudo-terminal, with a stub of the Arduino API where the board's core would be."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from arduino_host import build_sketch
from cli_tools import Program
from line_relay import LineRelay

from edge_autoglm.device.session import Session
from edge_autoglm.device.transport import SerialTransport
from edge_autoglm.device.wiredefs import Counted
from edge_autoglm.errors import SessionError
from edge_boards import Board
from edge_boards.loader import load_board
from edge_export import ExportResult, HostModel, export_model
from edge_quantize.graph import Graph
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.inputs import LCG_SEED, lcg_inputs

MODEL = Path(__file__).resolve().parents[2] / "examples" / "digits" / "digits_int8.tflite"
# By board: what its framework defines, as the stub has it.
DEFINES: dict[str, tuple[str, ...]] = {
    "raspberry-pi-pico": (),
    "nucleo-f401re": ("ARDUINO_ARCH_STM32",),
    "esp32": ("ARDUINO_ARCH_ESP32",),
}


@dataclass(frozen=True)
class Sketch:
    board: Board
    exported: ExportResult
    program: Path

    def on_line(self, **environment: str) -> LineRelay:
        """The running sketch; the stub gives bytes the pace of its console."""
        return LineRelay(self.program, env=environment)


@pytest.fixture(scope="module")
def graph() -> Graph:
    return read_tflite(MODEL)


@pytest.fixture(scope="module")
def sketches(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sketch]:
    made = {}
    for name, defines in DEFINES.items():
        folder, board = tmp_path_factory.mktemp(name), load_board(name)
        exported = export_model(graph, board, folder / "model")
        made[name] = Sketch(board, exported, build_sketch(folder, board, exported, defines))
    return made


@pytest.fixture
def pico(sketches: dict[str, Sketch]) -> Iterator[LineRelay]:
    with sketches["raspberry-pi-pico"].on_line() as relay:
        yield relay


def outputs(session: Session, arrays: tuple[np.ndarray, ...]) -> bytes:
    model = session.model()
    for index, array in enumerate(arrays):
        session.write_input(model, index, array.tobytes())
    session.invoke(model)
    return session.read_output(model)


@pytest.mark.parametrize("name", sorted(DEFINES))
def test_outputs_equal_those_of_the_generated_c(
    name: str, sketches: dict[str, Sketch], graph: Graph
) -> None:
    sketch = sketches[name]
    with (
        HostModel(sketch.exported) as host,
        sketch.on_line() as relay,
        Session(SerialTransport(relay.path)) as session,
    ):
        assert session.info.board == name
        state = LCG_SEED
        for _ in range(5):
            arrays, state = lcg_inputs(graph, state)
            assert outputs(session, arrays) == host.run(arrays)[0].tobytes()


def test_a_core_without_a_cycle_counter_counts_microseconds(pico: LineRelay) -> None:
    with Session(SerialTransport(pico.path)) as session:
        assert session.info.counter is Counted.MICROSECONDS
        assert session.info.clock_hz == 1_000_000
        model = session.model()
        begun = time.monotonic()
        run = session.profile(model, seed=2)
        steps = session.step_cycles(model)
        assert sum(steps) == run.cycles < (time.monotonic() - begun) * 1e6


def test_what_the_framework_does_not_tell_is_not_told(pico: LineRelay) -> None:
    with Session(SerialTransport(pico.path)) as session:
        info = session.info
        assert (info.uid, info.boot_count, info.reset_cause) == (b"", None, "unknown")
        assert session.invoke(session.model(), seed=2).stack_used is None
        stats = session.stats()
    assert (stats.stack_used, stats.stack_size, stats.rx_lost) == (None, None, None)
    assert (stats.supply_mv, stats.die_celsius) == (None, None)
    assert stats.arena_used is not None
    assert stats.arena_used[0] > 0  # this the runtime knows by itself


def test_the_profile_has_times_and_no_cycles(pico: LineRelay, tmp_path: Path) -> None:
    program = Program(tmp_path)
    on_board = ["--board", "raspberry-pi-pico", "--port", pico.path]
    done = program.done("profile", *on_board, "-n", 3, "--json", "p.json")
    shown = [line.split() for line in done.stdout.splitlines() if line.strip()]
    title, kinds, head = shown[:3]
    assert title == ["digits_int8", "on", "raspberry-pi-pico"]
    assert kinds == ["ms", "measured"]
    assert head == ["#", "layer", "kernel", "MACs", "ms", "%"]
    assert "the board counts microseconds, no cycles" in " ".join(done.stdout.split())
    assert "stack not known" in done.stdout
    profile = json.loads((tmp_path / "p.json").read_text(encoding="utf-8"))
    assert profile["counter"] == "microseconds"
    assert profile["totals"]["cycles"] is profile["totals"]["instructions"] is None
    assert profile["totals"]["latency_ms"]["kind"] == "measured"
    assert sum(layer["share"] for layer in profile["layers"]) == pytest.approx(1.0, abs=0.2)
    # Exit code 0: the board computes what the C computes on this machine.
    assert "board: " in program.done("verify", MODEL, *on_board).stdout


def test_a_cores_own_cycle_counter_is_used_where_it_runs(sketches: dict[str, Sketch]) -> None:
    with (
        sketches["esp32"].on_line() as relay,
        Session(SerialTransport(relay.path)) as session,
    ):
        assert session.info.counter is Counted.CYCLES
        assert session.info.clock_hz == sketches["esp32"].board.clock.hz == 240_000_000
        run = session.profile(session.model(), seed=2)
        assert run.cycles > 0


@pytest.mark.parametrize(
    ("hz", "counter", "said"),
    [
        (160_000_000, Counted.CYCLES, "clock not the board file's: by micros()"),
        (1, Counted.MICROSECONDS, "boot"),  # a counter that stands still
    ],
)
def test_the_cycle_counter_is_tried_against_micros(
    hz: int, counter: Counted, said: str, sketches: dict[str, Sketch]
) -> None:
    with (
        sketches["esp32"].on_line(STUB_HZ=str(hz)) as relay,
        Session(SerialTransport(relay.path)) as session,
    ):
        assert session.info.counter is counter
        expected = hz if counter is Counted.CYCLES else 1_000_000
        assert session.info.clock_hz == pytest.approx(expected, rel=0.005)
        assert said in [line.detail for line in session.logs()]


def test_a_uart_with_a_buffer_of_64_bytes_carries_the_largest_requests(
    sketches: dict[str, Sketch], graph: Graph
) -> None:
    sketch = sketches["nucleo-f401re"]
    with (
        HostModel(sketch.exported) as host,
        sketch.on_line() as relay,
        Session(SerialTransport(relay.path), chunk=480) as session,
    ):
        assert session.info.window == 1
        for size in (1, 63, 64, 65, 480):
            data = bytes(i % 256 for i in range(size))
            assert session.echo(data) == data
        arrays, _ = lcg_inputs(graph, LCG_SEED)
        assert outputs(session, arrays) == host.run(arrays)[0].tobytes()


def test_the_clock_goes_on_where_micros_begins_anew(sketches: dict[str, Sketch]) -> None:
    """32 bits of microseconds last 71 minutes."""
    soon = str(2**32 - 400_000)
    with (
        sketches["raspberry-pi-pico"].on_line(STUB_MICROS=soon) as relay,
        Session(SerialTransport(relay.path)) as session,
    ):
        uptimes = [session.stats().uptime_cycles]
        assert uptimes[0] < 2**32
        end = time.monotonic() + 60
        while uptimes[-1] < 2**32 and time.monotonic() < end:
            time.sleep(0.1)
            session.profile(session.model(), seed=2)
            uptimes.append(session.stats().uptime_cycles)
    assert uptimes[-1] > 2**32
    assert uptimes == sorted(uptimes)
    assert uptimes[-1] - uptimes[0] < 60_000_000


def test_the_timing_pin_is_high_while_an_inference_runs(
    sketches: dict[str, Sketch], tmp_path: Path
) -> None:
    pins = tmp_path / "pins"
    with (
        sketches["nucleo-f401re"].on_line(STUB_PIN=str(pins)) as relay,
        Session(SerialTransport(relay.path)) as session,
    ):
        session.invoke(session.model(), seed=2)
    assert pins.read_text(encoding="utf-8").splitlines() == ["10 1", "10 0"]  # PA10


def test_a_uarts_speed_is_changed_as_far_as_its_buffer_lasts(sketches: dict[str, Sketch]) -> None:
    with (
        sketches["nucleo-f401re"].on_line() as relay,
        Session(SerialTransport(relay.path)) as session,
    ):
        session.set_baud(230_400)
        assert session.echo(b"faster") == b"faster"
        with pytest.raises(SessionError, match="baud was refused: out of range"):
            session.set_baud(921_600)


def test_a_reset_is_seen_though_no_starts_are_counted(sketches: dict[str, Sketch]) -> None:
    with (
        sketches["esp32"].on_line() as relay,
        Session(SerialTransport(relay.path)) as session,
    ):
        # Long enough up that a clock which went on through the reset would show.
        for run in range(40):
            session.invoke(session.model(), seed=run)
        time.sleep(0.5)
        assert session.stats().runs == 40
        assert session.reset().boot_count is None
        assert session.stats().runs == 0
