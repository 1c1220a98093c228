"""The TFLM firmware on the virtual board, linked with a stand-in for the library: how it cuts an
inference into steps, and what it says when the library cannot go on. `test_tflm_virtual.py` runs
the real one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

from machine_transport import MachineTransport
from tflm_fakes import NEEDED, OPS, SIZE, fake_headers, fake_library, model

from edge_autoglm import pipeline
from edge_autoglm.device.session import Session
from edge_autoglm.errors import ModelUnreadyError
from edge_boards.loader import load_board
from edge_export import TflmExport
from edge_export.tflm import package
from edge_export.tflm.arena import ArenaError

BOARD = load_board("stm32f746")
INPUT = bytes(range(SIZE))
ARENA = 1024


@contextmanager
def running(folder: Path, *defines: str, arena: int = ARENA) -> Iterator[Session]:
    """The toy model on a virtual board, with a library built so."""
    tree = fake_headers(folder / "tree")
    fake_library(tree, BOARD, "FAKE_CMSIS_NN", *defines)
    path, _ = model(folder)
    asked = pipeline.Asked("tflm", arena=arena)
    exported = pipeline.export(path, BOARD, folder / "out", asked)
    built = pipeline.build(exported, BOARD, "gcc", tflm=tree)
    with Session(MachineTransport(BOARD, built.image.binary.read_bytes())) as session:
        yield session


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with running(tmp_path_factory.mktemp("fake")) as running_session:
        yield running_session


def output_of(content: bytes, ops: int = OPS) -> bytes:
    return bytes((byte + ops) % 256 for byte in content)


def test_an_inference_runs_every_op_once(session: Session) -> None:
    toy = session.model()
    for shift in (0, 100):
        content = bytes((byte + shift) % 256 for byte in INPUT)
        session.write_input(toy, 0, content)
        session.invoke(toy)
        assert session.read_output(toy) == output_of(content)


def test_steps_are_the_models_ops_and_each_takes_time(session: Session) -> None:
    toy = session.model()
    session.profile(toy, 2)
    cycles = session.step_cycles(toy)
    assert len(cycles) == toy.step_count == OPS
    assert all(count > 4 * SIZE for count in cycles)
    assert [layer.op for layer in session.describe(toy).layers] == ["ADD"] * OPS


def test_what_each_op_wrote_can_be_looked_at_between_the_steps(session: Session) -> None:
    toy = session.model()
    session.write_input(toy, 0, INPUT)
    results = session.describe(toy).results
    for step in range(OPS):
        session.step(toy, step)
        result = results[step]
        assert (result.step, result.size) == (step, SIZE)
        found = session.peek(toy, result.block, result.offset, result.size)
        assert found == output_of(INPUT, step + 1)
    assert session.read_output(toy) == output_of(INPUT)


def test_an_inference_left_in_its_middle_is_begun_anew(session: Session) -> None:
    toy = session.model()
    session.write_input(toy, 0, bytes(SIZE))
    session.step(toy, 0)
    session.step(toy, 1)
    session.write_input(toy, 0, INPUT)
    session.invoke(toy)
    assert session.read_output(toy) == output_of(INPUT)
    session.write_input(toy, 0, bytes(SIZE))
    session.step(toy, 0)
    session.write_input(toy, 0, INPUT)
    session.step(toy, 0)
    session.step(toy, 1)
    session.step(toy, 2)
    assert session.read_output(toy) == output_of(INPUT)


def test_the_arena_in_use_is_what_the_library_says(session: Session) -> None:
    toy = session.model()
    assert toy.arena == (ARENA,)
    assert session.stats(toy).arena_used == (NEEDED,)


def test_the_stack_holds_server_and_interpreter(session: Session) -> None:
    stats = session.stats(session.model())
    assert 1024 < stats.stack_used < stats.stack_size


@pytest.mark.parametrize("stubborn", [(), ("FAKE_STUBBORN",)], ids=["fails", "halts"])
def test_an_arena_too_small_is_said_with_what_is_needed_and_nothing_runs(
    tmp_path: Path, stubborn: tuple[str, ...]
) -> None:
    with running(tmp_path, *stubborn, arena=16) as board:
        toy = board.model()
        (boot, why) = (line.detail for line in board.logs())
        assert boot == "boot"
        assert why.startswith("the arena of 16 B is too small, ")
        assert why.endswith(" B needed") or why.endswith(" B needed at least")
        for call in (
            lambda: board.invoke(toy, 2),
            lambda: board.profile(toy, 2),
            lambda: board.step(toy, 0),
            lambda: board.write_input(toy, 0, INPUT),
            lambda: board.read_output(toy),
            lambda: board.start(toy),
            lambda: board.check_ready(toy),
        ):
            with pytest.raises(ModelUnreadyError, match="the arena of 16 B is too small"):
                call()
        assert board.stats(toy).arena_used == (0,)
        assert board.describe(toy).layers  # it still tells who it is


def test_a_library_that_needs_more_than_was_stated_says_how_much_at_least(tmp_path: Path) -> None:
    with (
        running(tmp_path, "FAKE_NEEDED=200000", arena=8192) as board,
        pytest.raises(ModelUnreadyError, match="200000 B needed at least"),
    ):
        board.invoke(board.model(), 2)


def test_an_arena_that_could_not_be_stated_is_given_by_hand_and_planned_on_the_board(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object) -> None:
        raise ArenaError("toy: what TFLM's kernel needs of the arena is not modelled")

    monkeypatch.setattr(package, "arena_of", unknown)
    path, _ = model(tmp_path)
    with pytest.raises(ArenaError):
        pipeline.export(path, BOARD, tmp_path / "none", pipeline.Asked("tflm"))
    with running(tmp_path) as board:
        toy = board.model()
        board.write_input(toy, 0, INPUT)
        board.invoke(toy)
        assert board.read_output(toy) == output_of(INPUT)
        assert board.describe(toy).arena_stated is None


@pytest.mark.parametrize(
    ("first", "words"),
    [
        (0xE1, r"Node FAKE \(number 1\) failed to invoke with status 1"),
        (0xE2, "a check inside TFLM failed"),
        (0xE3, r"abort\(\) was called"),
    ],
    ids=["error", "halt", "abort"],
)
def test_an_op_that_fails_ends_the_inference_with_the_librarys_own_words(
    tmp_path: Path, first: int, words: str
) -> None:
    with running(tmp_path) as board:
        toy = board.model()
        board.write_input(toy, 0, bytes([first]) + INPUT[1:])
        with pytest.raises(ModelUnreadyError, match=words):
            board.invoke(toy)
        # And it stays so: the library's state is not known any more.
        with pytest.raises(ModelUnreadyError, match=words):
            board.invoke(toy, 2)


def test_a_library_without_its_strings_runs_a_model_as_one_step(tmp_path: Path) -> None:
    with running(tmp_path, "TF_LITE_STRIP_ERROR_STRINGS") as board:
        toy = board.model()
        assert toy.step_count == 1
        description = board.describe(toy)
        assert [(layer.name, layer.op) for layer in description.layers] == [("toy", "MODEL")]
        assert description.results == ()
        board.write_input(toy, 0, INPUT)
        board.profile(toy)
        assert board.read_output(toy) == output_of(INPUT)
        assert board.step_cycles(toy)[0] > OPS * SIZE


def test_such_a_library_is_not_even_started_in_too_small_an_arena(tmp_path: Path) -> None:
    stubborn = ("TF_LITE_STRIP_ERROR_STRINGS", "FAKE_STUBBORN")
    with (
        running(tmp_path, *stubborn, arena=16) as board,
        pytest.raises(ModelUnreadyError, match=r"the arena of 16 B is too small, \d+ B needed"),
    ):
        board.invoke(board.model(), 2)


def test_a_library_that_wants_other_buffers_than_were_planned_is_found_out(tmp_path: Path) -> None:
    with (
        running(tmp_path, "FAKE_OTHER_BUFFERS") as board,
        pytest.raises(ModelUnreadyError, match="other buffers than were planned"),
    ):
        board.invoke(board.model(), 2)


def test_ops_that_the_profiler_is_not_told_of_are_no_steps_of_no_time(tmp_path: Path) -> None:
    with (
        running(tmp_path, "FAKE_SILENT") as board,
        pytest.raises(ModelUnreadyError, match="profiler told of other ops"),
    ):
        board.profile(board.model(), 2)


def test_the_export_states_the_arena_before_anything_is_built(tmp_path: Path) -> None:
    path, _ = model(tmp_path)
    exported = pipeline.export(path, BOARD, tmp_path / "out", pipeline.Asked("tflm"))
    assert isinstance(exported, TflmExport)
    assert exported.arena_bytes == exported.arena_needed > 2 * SIZE
    assert exported.arena_needed % 16 == 0
