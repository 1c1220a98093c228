"""A small model, built and flashed onto a virtual board through its ROM bootloader, and what the
board then says over the wire."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import jsonschema
import pytest
from aot_models import board, classifier

from edge_autoglm import pipeline
from edge_autoglm.device.patience import Patience
from edge_autoglm.device.ports import find_port, open_port
from edge_autoglm.device.session import Session
from edge_autoglm.errors import BoardSilentError, FlashError, TransportError
from edge_autoglm.flash import FlashReport, flash_image
from edge_autoglm.flash.flashing import read_back
from edge_autoglm.measure.candidates import Candidate
from edge_autoglm.measure.counts import counter_of
from edge_autoglm.measure.figures import Kind
from edge_autoglm.measure.profile import profile_board
from edge_autoglm.measure.run import verdict
from edge_autoglm.report.profile import profile_json
from edge_boards import virtual
from edge_boards.errors import ToolchainError
from edge_boards.toolchain import find_toolchain
from edge_quantize.graph import Graph
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite

pytest.importorskip("unicorn", reason="the virtual board needs unicorn (edge-autoglm[virtual])")

SCHEMA = Path(__file__).parents[2] / "edge_autoglm" / "report" / "profile.schema.json"


@dataclass(frozen=True)
class Flashed:
    graph: Graph
    built: pipeline.Built
    report: FlashReport
    told: tuple[tuple[int, int], ...]


@pytest.fixture(scope="module")
def flashed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flashed]:
    """The model on a running virtual board of its own."""
    try:
        find_toolchain(board())
    except ToolchainError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("flash")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_AUTOGLM_STATE", str(folder / "state"))
        model = folder / "tiny.tflite"
        model.write_bytes(write_tflite(classifier()))
        export = pipeline.export(model, board(), folder / "out")
        built = pipeline.build(export, board())
        told: list[tuple[int, int]] = []
        report = flash_image(
            board(),
            built.image,
            "virtual",
            models={export.name: bytes.fromhex(export.model_sha256)},
            progress=lambda done, total: told.append((done, total)),
        )
        yield Flashed(read_tflite(model), built, report, tuple(told))
        if virtual.attach(board()) is not None:
            virtual.stop(board().name)


@pytest.fixture
def session(flashed: Flashed) -> Iterator[Session]:
    assert flashed.report.port.is_virtual
    with Session(open_port(find_port(board(), "virtual"))) as opened:
        yield opened


def test_what_was_flashed_is_what_runs(flashed: Flashed) -> None:
    report = flashed.report
    assert report.programmer == "stm32-uart"
    assert report.info.build_id == flashed.built.image.build_id
    assert [model.sha256.hex() for model in report.info.models] == [flashed.graph.sha256]
    assert report.size == flashed.built.image.binary.stat().st_size
    assert flashed.told[-1][0] == flashed.told[-1][1]


def test_a_flash_that_holds_the_image_byte_for_byte(flashed: Flashed) -> None:
    info = virtual.attach(board())
    assert info is not None
    image = flashed.built.image.binary.read_bytes()
    assert info.flash.read_bytes()[: len(image)] == image


def test_another_build_on_the_board_is_noticed(flashed: Flashed) -> None:
    expected = flashed.built.image.build_id[::-1]
    with pytest.raises(FlashError, match=rf"flashed was {expected.hex()}; reset it"):
        read_back(board(), "virtual", expected, {})


def test_another_model_on_the_board_is_noticed(flashed: Flashed) -> None:
    build_id = flashed.built.image.build_id
    name = flashed.built.export.name
    with pytest.raises(FlashError, match=rf"model {name} should have SHA-256 0707"):
        read_back(board(), "virtual", build_id, {name: bytes([7]) * 32})
    with pytest.raises(FlashError, match="the board has no such model"):
        read_back(board(), "virtual", build_id, {"somebody_else": bytes(32)})


def test_a_profile_counts_exactly_and_models_cycles(flashed: Flashed, session: Session) -> None:
    model = session.model()
    profile = profile_board(
        session,
        board(),
        model,
        virtual=True,
        counter=counter_of(flashed.report.port, session.info),
    )
    assert profile.instructions is not None
    assert profile.instructions.kind is Kind.EXACT
    assert profile.cycles.kind is Kind.MODELLED
    assert all(layer.instructions is not None for layer in profile.layers)
    assert profile.instructions.value == sum(
        layer.instructions.value for layer in profile.layers if layer.instructions
    )
    schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
    jsonschema.validate(profile_json(profile), schema)


def test_a_virtual_board_repeats_itself(flashed: Flashed, session: Session) -> None:
    model = session.model()
    counter = counter_of(flashed.report.port, session.info)
    counts = {
        profile.instructions.value
        for profile in (
            profile_board(session, board(), model, virtual=True, counter=counter, runs=1, warmup=1)
            for _ in range(2)
        )
        if profile.instructions
    }
    assert len(counts) == 1


def test_the_boards_outputs_are_the_references(flashed: Flashed, session: Session) -> None:
    graph = flashed.graph
    assert verdict(session, session.model(), Candidate(graph, write_tflite(graph), "")).good


def test_inputs_arrive_and_outputs_come_back(session: Session) -> None:
    model = session.model()
    data = bytes(i * 7 % 256 for i in range(model.inputs[0]))
    session.write_input(model, 0, data)
    session.invoke(model)
    first = session.read_output(model)
    session.write_input(model, 0, data)
    session.set_baud(921_600)
    session.invoke(model)
    assert session.read_output(model) == first


def test_a_board_held_in_its_bootloader_is_silent_on_the_console(flashed: Flashed) -> None:
    virtual.reset(board().name, boot0=True)
    session = Session(
        open_port(find_port(board(), "virtual")), patience=Patience(first=0.2, silence=1.0)
    )
    with pytest.raises(BoardSilentError, match="is in its ROM bootloader"):
        session.hello()
    session.transport.close()
    virtual.reset(board().name, boot0=False)
    assert flashed.report.board == board().name


def test_a_virtual_board_that_is_stopped_in_mid_conversation(flashed: Flashed) -> None:
    session = Session(open_port(find_port(board(), "virtual")), patience=Patience(silence=1.0))
    session.hello()
    virtual.stop(flashed.report.board)
    with pytest.raises(TransportError, match=r"its process ended|connection was lost"):
        session.echo(b"still there")
    session.transport.close()
