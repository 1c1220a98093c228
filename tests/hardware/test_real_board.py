"""A real board with the profile app on it, named by EDGE_AUTOGLM_HARDWARE_PORT (a port, or auto).

edge-autoglm flash MODEL --board stm32f746
EDGE_AUTOGLM_HARDWARE_PORT=auto pytest tests/hardware
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from edge_autoglm.device.ports import find_port, open_port
from edge_autoglm.device.session import Session
from edge_boards.loader import load_board

pytestmark = pytest.mark.hardware


@pytest.fixture
def session() -> Iterator[Session]:
    port = os.environ.get("EDGE_AUTOGLM_HARDWARE_PORT")
    if not port:
        pytest.skip("no board: EDGE_AUTOGLM_HARDWARE_PORT names none")
    board = load_board(os.environ.get("EDGE_AUTOGLM_HARDWARE_BOARD", "stm32f746"))
    with Session(open_port(find_port(board, port))) as opened:
        yield opened


def test_echo_at_both_speeds(session: Session) -> None:
    data = random.Random(1).randbytes(400)
    assert session.echo(data) == data
    session.set_baud(921_600)
    for _ in range(50):
        assert session.echo(data) == data


def test_2000_telemetry_frames_a_second_none_lost(session: Session) -> None:
    session.set_baud(921_600)
    result = session.burst(20_000, 2000, 8)
    assert result.lost == 0
    assert result.rate == pytest.approx(2000, rel=0.02)


def test_an_input_sent_twice_gives_the_same_output(session: Session) -> None:
    model = session.models[0]
    data = random.Random(2).randbytes(model.inputs[0])
    session.write_input(model, 0, data)
    session.invoke(model)
    first = session.read_output(model)
    session.write_input(model, 0, data)
    session.invoke(model)
    assert session.read_output(model) == first


def test_the_same_inference_takes_the_same_time(session: Session) -> None:
    model = session.models[0]
    cycles = [session.profile(model, seed=2).cycles for _ in range(10)]
    assert max(cycles) - min(cycles) <= 0.01 * min(cycles)
    assert len(session.step_cycles(model)) == model.step_count


def test_nothing_was_lost_on_the_way(session: Session) -> None:
    # What the line brought while it was plugged in, or from the last host, is not ours.
    before = session.stats()
    data = random.Random(3).randbytes(400)
    for _ in range(20):
        assert session.echo(data) == data
    after = session.stats()
    assert (after.rx_lost, after.rx_bad, after.rx_missing) == (
        before.rx_lost,
        before.rx_bad,
        before.rx_missing,
    )
    assert after.stack_used < after.stack_size
