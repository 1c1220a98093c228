"""Conversations with the real firmware, running as a process of this machine behind a pty."""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from firmware_host import Toy, build_host_firmware
from line_relay import LineRelay
from session_models import VWW_INPUT, build_model_firmware

from edge_autoglm.cli.monitor import _note_of_waiting as note_of_waiting
from edge_autoglm.device.link import Link
from edge_autoglm.device.messages import LogLine, Record
from edge_autoglm.device.patience import Patience
from edge_autoglm.device.session import Session
from edge_autoglm.device.transport import SerialTransport
from edge_autoglm.device.wire import Frame, encode
from edge_autoglm.device.wiredefs import Event, Flag, Request
from edge_autoglm.errors import (
    BoardFaultError,
    BoardSilentError,
    SessionError,
    TransportError,
)

QUICK = Patience(silence=1.0)


@pytest.fixture(scope="module")
def firmware(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_model_firmware(tmp_path_factory.mktemp("firmware"))


@pytest.fixture
def line(firmware: Path) -> Iterator[LineRelay]:
    with LineRelay(firmware) as relay:
        yield relay


@pytest.fixture
def session(line: LineRelay) -> Iterator[Session]:
    with Session(SerialTransport(line.path)) as opened:
        yield opened


def on_line(
    firmware: Path, baud: int, noise: float, work: Callable[[Session], None], seed: int = 5
) -> tuple[float, Session]:
    """Seconds that `work` takes on a line of that speed and damage, and the session."""
    with (
        LineRelay(firmware, baud=baud, noise=noise, seed=seed) as relay,
        Session(SerialTransport(relay.path)) as session,
    ):
        begun = time.monotonic()
        work(session)
        return time.monotonic() - begun, session


class TestHello:
    def test_it_tells_who_is_there(self, session: Session) -> None:
        info = session.info
        assert (info.board, info.build_id) == ("host", bytes(range(1, 9)))
        assert (info.boot_count, info.reset_cause) == (1, "power on")
        (model,) = info.models
        assert (model.name, model.inputs, model.outputs) == ("sum", (VWW_INPUT,), (16,))
        assert model.sha256 == b"sum" + bytes(29)

    def test_the_description_names_layers_and_steps(self, session: Session) -> None:
        description = session.describe(session.model())
        assert [layer.name for layer in description.layers] == ["first", "second"]
        assert [step.macs for step in description.steps] == [1000, 500]
        assert description.inputs[0].zero_point == -3

    def test_more_models_than_fit_one_answer(self, tmp_path: Path) -> None:
        toys = tuple(Toy(name=f"toy_{letter}") for letter in "abcdefgh")
        program = build_host_firmware(tmp_path, models=toys)
        with LineRelay(program) as relay, Session(SerialTransport(relay.path)) as session:
            assert [model.name for model in session.models] == [toy.name for toy in toys]
            with pytest.raises(SessionError, match="choose a model; the image has toy_a, toy_b"):
                session.model()
            with pytest.raises(SessionError, match="no model toy_x"):
                session.model("toy_x")
            assert session.model("toy_h").index == 7

    def test_another_major_version_is_refused_and_both_are_named(self) -> None:
        # A board of the future, answering HELLO by hand.
        with LineRelay([sys.executable, "-c", "import time; time.sleep(60)"]) as relay:
            session = Session(SerialTransport(relay.path), patience=QUICK)
            number = session.link._number + 1
            payload = {"request": number, "protocol": [2, 5]}
            relay.inject(encode(Frame(Request.HELLO, Flag.RESPONSE, 0, payload)))
            with pytest.raises(SessionError, match=r"speaks protocol 2\.5, this program 1\.0"):
                session.hello()
            session.transport.close()


class TestInference:
    def test_input_invoke_output(self, session: Session) -> None:
        model = session.model()
        data = random.Random(1).randbytes(VWW_INPUT)
        session.write_input(model, 0, data)
        run = session.invoke(model)
        output = session.read_output(model)
        total = sum(data) % 256
        assert output == bytes([total, 1, *((total + i) % 256 for i in range(2, 16))])
        assert run.result == output
        assert session.peek(model, 0, 0, VWW_INPUT) == data

    def test_seeded_inputs_are_made_on_the_board(self, session: Session) -> None:
        model = session.model()
        state, made = 2, bytearray()
        for _ in range(VWW_INPUT):
            state = (state * 1664525 + 1013904223) % 2**32
            made.append(state >> 24)
        assert session.invoke(model, seed=2).seed == state
        assert session.peek(model, 0, 0, VWW_INPUT) == bytes(made)

    def test_a_profile_has_the_cycles_of_each_step(self, session: Session) -> None:
        model = session.model()
        run = session.profile(model, seed=2)
        cycles = session.step_cycles(model)
        assert len(cycles) == model.step_count
        assert sum(cycles) == run.cycles > 0

    def test_steps_one_by_one_make_an_inference(self, session: Session) -> None:
        model = session.model()
        session.write_input(model, 0, bytes([1]) * VWW_INPUT)
        session.step(model, 0)
        assert session.peek(model, 0, VWW_INPUT, 1) == bytes([VWW_INPUT % 256])
        session.step(model, 1)
        assert session.read_output(model)[2] == (VWW_INPUT + 2) % 256

    def test_a_step_out_of_order_is_refused_in_words(self, session: Session) -> None:
        with pytest.raises(SessionError, match="step was refused: not ready"):
            session.step(session.model(), 1)

    def test_a_wrong_input_size_is_said_before_anything_is_sent(self, session: Session) -> None:
        sent = session.link.counters.sent
        with pytest.raises(SessionError, match="given 5 bytes; the model's inputs take 27648"):
            session.write_input(session.models[0], 0, bytes(5))
        assert session.link.counters.sent == sent

    def test_stats(self, session: Session) -> None:
        model = session.model()
        session.invoke(model)
        stats = session.stats(model)
        assert stats.runs == 1
        assert stats.rx_bad == 0
        assert stats.arena_used is not None
        assert stats.supply_mv is None


class TestRetries:
    def test_a_lost_answer_does_not_run_the_inference_twice(self, session: Session) -> None:
        link, model = session.link, session.model()
        receive = link.transport.read
        dropped = []

        def lossy(timeout: float) -> bytes:
            data = receive(timeout)
            if data and len(dropped) < 3:
                dropped.append(data)
                return b""
            return data

        link.transport.read = lossy  # type: ignore[method-assign]
        session.invoke(model)
        link.transport.read = receive  # type: ignore[method-assign]
        assert dropped
        assert link.counters.retries >= 1
        assert session.read_output(model)[1] == 1
        assert session.stats().runs == 1
        assert session.stats().retries >= 1

    def test_inferences_over_a_bad_line_each_run_once(self, firmware: Path) -> None:
        def work(session: Session) -> None:
            model = session.model()
            for _ in range(60):
                session.invoke(model)
            assert session.stats().runs == 60

        _, session = on_line(firmware, 921_600, 0.004, work)
        assert session.link.counters.retries > 0

    def test_a_vww_input_through_a_bad_line_takes_at_most_twice_the_clean_time(
        self, firmware: Path
    ) -> None:
        data = random.Random(3).randbytes(VWW_INPUT)

        def seconds_over(noise: float) -> float:
            seconds = []

            def work(session: Session) -> None:
                begun = time.monotonic()
                session.write_input(session.model(), 0, data)
                seconds.append(time.monotonic() - begun)
                if noise:
                    assert session.peek(session.model(), 0, 0, VWW_INPUT) == data

            _, session = on_line(firmware, 115_200, noise, work)
            assert (session.link.counters.retries > 0) == (noise > 0)
            return seconds[0]

        # 2.4 s are the line's alone. This machine plays it, and may slow a run down when it is
        # busy, never speed it up.
        clean = seconds_over(0.0)
        assert clean > VWW_INPUT * 10 / 115_200
        noisy: list[float] = []
        while len(noisy) < 4 and min(noisy, default=3 * clean) > 2 * clean:
            noisy.append(seconds_over(0.001))
        assert min(noisy) <= 2 * clean, f"clean {clean:.2f} s, noisy {min(noisy):.2f} s"

    def test_waiting_goes_on_while_heartbeats_say_that_the_board_works(
        self, tmp_path: Path
    ) -> None:
        # Between steps the board beats; a step of 1.5 s is longer than the patience of 1 s.
        program = build_host_firmware(tmp_path, models=(Toy(delay_us=1_500_000),))
        with (
            LineRelay(program) as relay,
            Session(SerialTransport(relay.path), patience=Patience(silence=2.5)) as session,
        ):
            model = session.model()
            session.write_input(model, 0, bytes(16))
            session.write_input(model, 1, bytes(4))
            session.invoke(model)
            # Bytes that came meanwhile would disturb what a board measures.
            assert session.link.counters.retries == 0
            assert session.stats().runs == 1


class TestLink:
    def test_echo(self, session: Session) -> None:
        data = bytes(range(256))
        assert session.echo(data) == data

    def test_2000_telemetry_frames_a_second_at_921600_baud_none_lost(self, firmware: Path) -> None:
        def work(session: Session) -> None:
            rates = []
            # This process plays the host and the line; a busy machine may slow both down.
            while len(rates) < 12 and max(rates, default=0) < 1900:
                result = session.burst(2_000, 2000, 8)
                assert (result.received, result.lost) == (2_000, 0)
                rates.append(result.rate)
            assert max(rates) >= 1900
            assert session.link.decoder.counters.lost == 0

        on_line(firmware, 921_600, 0.0, work)

    def test_lost_telemetry_is_counted(self, firmware: Path) -> None:
        def work(session: Session) -> None:
            result = session.burst(500, 1000)
            assert 0 < result.lost < 200
            assert result.received + result.lost == 500

        on_line(firmware, 921_600, 0.004, work)

    def test_the_speed_is_raised_and_restored(self, line: LineRelay) -> None:
        with Session(SerialTransport(line.path)) as session:
            session.set_baud(921_600)
            assert session.transport.baud == 921_600
            assert session.echo(b"fast") == b"fast"
        with Session(SerialTransport(line.path)) as session:
            assert session.echo(b"slow") == b"slow"

    def test_a_speed_that_the_board_refuses(self, session: Session) -> None:
        with pytest.raises(SessionError, match="baud was refused: out of range"):
            session.set_baud(50)
        assert session.transport.baud == 115_200

    def test_reset_restarts_the_firmware(self, session: Session) -> None:
        model = session.model()
        session.invoke(model)
        info = session.reset()
        assert (info.boot_count, info.reset_cause) == (2, "software")
        assert session.stats().runs == 0
        assert LogLine("boot", None) in session.logs()

    def test_two_boards_at_once(self, firmware: Path) -> None:
        with (
            LineRelay(firmware, env={"EAG_HOST_UID": "left"}) as left,
            LineRelay(firmware, env={"EAG_HOST_UID": "right"}) as right,
            Session(SerialTransport(left.path)) as one,
            Session(SerialTransport(right.path)) as two,
        ):
            assert (one.info.uid, two.info.uid) == (b"left", b"right")
            one.write_input(one.model(), 0, bytes([1]) * VWW_INPUT)
            two.write_input(two.model(), 0, bytes([2]) * VWW_INPUT)
            one.invoke(one.model())
            two.invoke(two.model())
            assert one.read_output(one.model())[0] == VWW_INPUT % 256
            assert two.read_output(two.model())[0] == 2 * VWW_INPUT % 256


class TestFreeRun:
    def test_records_come_at_the_period_until_stopped(self, session: Session) -> None:
        model = session.model()
        session.start(model, seed=2, period_cycles=10_000_000)
        records = []
        for each in session.records():
            if isinstance(each, Record):
                records.append(each)
            if len(records) == 20:
                break
        session.stop(model)
        assert [record.sequence for record in records] == list(range(20))
        apart = [b.uptime_cycles - a.uptime_cycles for a, b in pairwise(records)]
        assert sorted(apart)[len(apart) // 2] == pytest.approx(10_000_000, rel=0.2)
        assert len({record.seed for record in records}) == 20
        assert session.stats().state == 0

    def test_an_inference_asked_for_meanwhile_is_refused(self, session: Session) -> None:
        model = session.model()
        session.start(model, period_cycles=50_000_000)
        with pytest.raises(SessionError, match="invoke was refused: busy"):
            session.invoke(model)
        session.stop(model)
        session.invoke(model)


class TestTrouble:
    def test_a_silent_board(self) -> None:
        with LineRelay([sys.executable, "-c", "import time; time.sleep(60)"]) as relay:
            session = Session(SerialTransport(relay.path), patience=QUICK)
            with pytest.raises(BoardSilentError, match=r"does not answer .* press its reset"):
                session.hello(bauds=(115_200,))
            session.transport.close()

    def test_other_firmware_on_the_line(self) -> None:
        chatter = "import time\nwhile 1: print('temperature 21.5', flush=True); time.sleep(.05)"
        with LineRelay([sys.executable, "-c", chatter]) as relay:
            session = Session(SerialTransport(relay.path), patience=QUICK)
            with pytest.raises(SessionError, match="no frame among them: other firmware"):
                session.hello(bauds=(115_200,))
            session.transport.close()

    def test_a_board_that_falls_silent(self, firmware: Path) -> None:
        with LineRelay(firmware) as relay:
            session = Session(SerialTransport(relay.path), patience=QUICK)
            session.hello()
            relay.muted = True
            with pytest.raises(BoardSilentError, match="host: the board fell silent"):
                session.echo(b"are you there")
            session.transport.close()

    def test_a_silent_monitor(self, firmware: Path) -> None:
        with LineRelay(firmware) as relay:
            session = Session(SerialTransport(relay.path), patience=QUICK)
            session.hello()
            relay.muted = True
            with pytest.raises(BoardSilentError):
                list(session.records())
            session.transport.close()

    @pytest.mark.parametrize(("heard", "shown", "said"), [
        (True, False, "waiting for the board to finish an inference"),
        (True, True, ""),
        (False, False, ""),
    ])  # fmt: skip
    def test_a_watch_says_that_it_waits_for_a_board_that_is_heard_and_shows_nothing(
        self, heard: bool, shown: bool, said: str, session: Session,
        monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        monkeypatch.setattr("edge_autoglm.cli.monitor._QUIET_S", 0.2)
        fresh = Session(session.transport)  # one that has heard nothing yet
        with note_of_waiting(session if heard else fresh) as timer:
            if shown:
                timer.cancel()
            timer.join()
        captured = capsys.readouterr()
        assert captured.out == ""
        assert captured.err.startswith(said)
        assert bool(captured.err) == bool(said)

    def test_the_line_is_pulled_in_mid_transfer(self, firmware: Path) -> None:
        relay = LineRelay(firmware, baud=115_200)
        session = Session(SerialTransport(relay.path))
        session.hello()
        pulled = []

        def pull(done: int, _total: int) -> None:
            if done > 2000 and not pulled:
                pulled.append(done)
                relay.hang_up()

        with pytest.raises(TransportError, match="connection was lost"):
            session.write_input(session.model(), 0, bytes(VWW_INPUT), pull)
        session.transport.close()
        relay.close()

    def test_a_fault_is_told_in_words_with_its_layer(self, line: LineRelay) -> None:
        session = Session(SerialTransport(line.path))
        session.hello()
        session.describe(session.model())
        fault = {
            "pc": 0x08001234, "lr": 0x08000F01, "cfsr": 0x8200, "hfsr": 1 << 30,
            "bfar": 0x60000000, "model": 0, "step": 1,
        }  # fmt: skip
        line.inject(encode(Frame(Event.FAULT, 0, 900, fault)))
        with pytest.raises(BoardFaultError) as caught:
            session.echo(b"x")
        message = str(caught.value)
        assert "in layer second (FULLY_CONNECTED, step 1)" in message
        assert "bus error on a data access, at address 0x60000000" in message
        assert "PC 0x08001234" in message
        assert "\n" not in message
        session.transport.close()

    def test_an_answer_beside_a_fault_is_not_taken_for_the_next_request(self) -> None:
        with LineRelay([sys.executable, "-c", "import time; time.sleep(60)"]) as relay:
            link = Link(SerialTransport(relay.path), QUICK)
            number = link._number + 1
            old = {"request": number, "data": b"old"}
            fault = {"pc": 0x08001234, "lr": 0, "cfsr": 0, "hfsr": 0}
            relay.inject(
                encode(Frame(Request.ECHO, Flag.RESPONSE, 0, old))
                + encode(Frame(Event.FAULT, 0, 1, fault))
            )
            with pytest.raises(BoardFaultError):
                link.request(Request.ECHO, data=b"old")
            new = {"request": number + 1, "data": b"new"}
            relay.inject(encode(Frame(Request.ECHO, Flag.RESPONSE, 2, new)))
            assert link.request(Request.ECHO, data=b"new") == new
            link.transport.close()

    def test_a_restart_in_mid_conversation_is_noticed(self, tmp_path: Path) -> None:
        # The second inference ends the process's life as a watchdog would.
        firmware = build_model_firmware(
            tmp_path,
            body='if (arena[27649] == 2) execl("/proc/self/exe", "firmware", (char *)0);',
        )
        with LineRelay(firmware) as relay:
            session = Session(SerialTransport(relay.path))
            session.hello()
            model = session.model()
            session.invoke(model)
            with pytest.raises(SessionError, match="restarted in mid-conversation"):
                session.invoke(model)
            session.transport.close()
