"""Profiles, verdicts, samples and bundles, with the firmware as a process of this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from aot_models import board, classifier
from firmware_host import build_host_firmware
from line_relay import LineRelay

from edge_autoglm.device.messages import LogLine
from edge_autoglm.device.session import Session
from edge_autoglm.device.transport import SerialTransport
from edge_autoglm.errors import SessionError
from edge_autoglm.measure.bundle import BundleError, read_bundle, write_bundle, write_next
from edge_autoglm.measure.figures import Kind, median
from edge_autoglm.measure.monitor import Monitor, Sample
from edge_autoglm.measure.profile import Profile, Verdict, profile_board
from edge_autoglm.measure.run import verdict
from edge_autoglm.measure.verify import Array, same_model, verify
from edge_autoglm.report.profile import profile_json
from edge_export import ExportResult, HostModel, export_model
from edge_quantize.graph import Graph
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.inputs import lcg_inputs
from edge_quantize.reference import TflmReference, best_reference

FILES = {"profile.json": b"{}\n", "log.txt": b"boot\n"}
SCHEMA = Path(__file__).parents[2] / "edge_autoglm" / "report" / "profile.schema.json"


def from_file(name: str, seed: int, folder: Path) -> Graph:
    """A small graph that went through a file, as users' models do, and so has a hash."""
    path = folder / f"{name}.tflite"
    path.write_bytes(write_tflite(classifier(name, seed)))
    return read_tflite(path)


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    return from_file("tiny", 0, tmp_path_factory.mktemp("graph"))


@pytest.fixture(scope="module")
def export(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    return export_model(graph, board(), tmp_path_factory.mktemp("model") / "out")


def firmware_of(export: ExportResult, folder: Path) -> Path:
    """The profile app with an exported model, for this machine."""
    return build_host_firmware(
        folder, models=(), sources=[(export.name, export.source_paths, export.include_paths)]
    )


@pytest.fixture(scope="module")
def firmware(export: ExportResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return firmware_of(export, tmp_path_factory.mktemp("firmware"))


@pytest.fixture
def session(firmware: Path) -> Iterator[Session]:
    with LineRelay(firmware) as relay, Session(SerialTransport(relay.path)) as opened:
        yield opened


def generated(graph: Graph, count: int) -> list[tuple[Array, ...]]:
    inputs, state = [], 2
    for _ in range(count):
        arrays, state = lcg_inputs(graph, state)
        inputs.append(tuple(arrays))
    return inputs


class TestProfile:
    def profile(self, session: Session) -> Profile:
        return profile_board(session, board(), session.model(), counter=None, runs=5, warmup=2)

    def test_every_layer_has_its_figures_and_they_add_up(
        self, session: Session, graph: Graph
    ) -> None:
        profile = self.profile(session)
        assert [layer.op for layer in profile.layers] == [op.op for op in graph.operators]
        assert profile.macs == sum(layer.macs for layer in profile.layers) > 0
        assert profile.cycles.kind is profile.latency_ms.kind is Kind.MEASURED
        assert profile.cycles.low is not None
        assert profile.cycles.low <= profile.cycles.value
        assert profile.instructions is None
        assert session.stats().runs == 7

    def test_the_layers_of_one_run_make_its_total(self, session: Session) -> None:
        profile = profile_board(session, board(), session.model(), counter=None, runs=1, warmup=0)
        assert sum(layer.cycles.value for layer in profile.layers) == profile.cycles.value
        assert sum(layer.share for layer in profile.layers) == pytest.approx(1)

    def test_the_json_is_what_its_schema_says(self, session: Session, graph: Graph) -> None:
        schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        value = profile_json(self.profile(session))
        jsonschema.validate(json.loads(json.dumps(value)), schema)
        assert value["model"]["sha256"] == graph.sha256
        assert value["totals"]["macs"]["kind"] == "exact"

    def test_a_figure_without_a_kind_is_against_the_schema(self, session: Session) -> None:
        schema = json.loads(SCHEMA.read_text(encoding="utf-8"))
        value = profile_json(self.profile(session))
        value["totals"]["cycles"] = {"value": 5}
        with pytest.raises(jsonschema.ValidationError, match="kind"):
            jsonschema.validate(value, schema)

    def test_the_verdict_compares_with_the_reference(self, session: Session, graph: Graph) -> None:
        found = verdict(session, session.model(), graph)
        assert found.good
        assert found.bit_exact == best_reference(graph).bit_exact

    def test_one_lsb_off_is_not_called_bit_exact(self) -> None:
        assert str(Verdict("LiteRT", False, 1.0, 3)) == "within 1 LSB of LiteRT on 3 inputs"
        assert not Verdict("tflite_micro", False, 1.0, 1).good

    def test_the_median_of_an_even_count_is_one_of_the_runs(self) -> None:
        figure = median([4, 1, 2, 9], Kind.MEASURED)
        assert (figure.value, figure.low, figure.high, figure.spread) == (2, 1, 9, 8)


class TestVerify:
    def test_host_and_board_agree_with_the_reference(
        self, session: Session, export: ExportResult, graph: Graph
    ) -> None:
        pytest.importorskip("tflite_micro", reason="the bit-exact reference is not installed")
        with HostModel(export) as host:
            result = verify(
                graph, host, TflmReference(graph, preserve=True), generated(graph, 4), session
            )
        assert result.good
        assert result.board is not None
        assert result.board.against_reference.bit_exact
        assert result.board.first_difference is None

    def test_the_first_layer_that_differs_on_the_board_is_named(
        self, export: ExportResult, graph: Graph, tmp_path: Path
    ) -> None:
        pytest.importorskip("tflite_micro", reason="the bit-exact reference is not installed")
        wrong = export_model(graph, board(), tmp_path / "wrong")
        source = wrong.directory / "src" / f"{wrong.name}.c"
        head, tail = source.read_text().split(f"{wrong.name}_params_1 =", 1)
        assert ".act_max = 127" in tail
        # The depthwise layer clamps too low, as a wrong kernel would.
        source.write_text(f"{head}{wrong.name}_params_1 =" + tail.replace("127", "-60", 1))
        program = firmware_of(wrong, tmp_path)
        with (
            LineRelay(program) as relay,
            Session(SerialTransport(relay.path)) as session,
            HostModel(export) as host,
        ):
            result = verify(
                graph, host, TflmReference(graph, preserve=True), generated(graph, 3), session
            )
        assert not result.good
        assert result.host.bit_exact
        assert result.board is not None
        first = result.board.first_difference
        assert first is not None
        assert (first.layer, first.op, first.actual) == (1, "DEPTHWISE_CONV_2D", -60)
        assert first.expected > -60

    def test_another_model_on_the_board_is_named(self, session: Session, tmp_path: Path) -> None:
        with pytest.raises(SessionError, match=r"host: carries tiny \([0-9a-f]{12}\), not other"):
            same_model(session, from_file("other", 4, tmp_path))


class TestMonitor:
    def test_a_sample_an_inference(self, session: Session, graph: Graph) -> None:
        watch = Monitor(session, board(), session.model(), None)
        with watch.running(period_ms=5):
            samples = [
                each for each in islice(watch.samples(), 30) if not isinstance(each, LogLine)
            ]
        assert len(samples) >= 25
        assert [each.sequence for each in samples] == list(range(len(samples)))
        assert all(each.lost == 0 for each in samples)
        assert all(each.label in graph.labels for each in samples)
        scores = np.array([each.score for each in samples])
        assert ((scores >= 0) & (scores <= 1)).all()
        assert session.stats().state == 0

    def test_a_json_line_says_each_figures_kind(self, session: Session) -> None:
        watch = Monitor(session, board(), session.model(), None)
        with watch.running(period_ms=5):
            sample = next(each for each in watch.samples() if isinstance(each, Sample))
        line = json.loads(json.dumps(sample.json()))
        assert line["cycles"]["kind"] == "measured"
        assert line["sequence"] == 0
        assert line["supply_mv"] is None


class TestBundle:
    def test_it_comes_back_as_it_was_written(self, tmp_path: Path) -> None:
        folder = write_next(tmp_path / "runs", FILES)
        assert folder.name == "run-001"
        assert read_bundle(folder) == FILES
        assert write_next(tmp_path / "runs", FILES).name == "run-002"

    def test_a_changed_file_is_noticed(self, tmp_path: Path) -> None:
        folder = write_bundle(tmp_path / "run", FILES)
        (folder / "profile.json").write_bytes(b"{1}\n")
        with pytest.raises(BundleError, match=r"profile\.json: changed since the run"):
            read_bundle(folder)

    def test_a_folder_without_a_manifest_is_no_bundle(self, tmp_path: Path) -> None:
        folder = write_bundle(tmp_path / "run", FILES)
        (folder / "manifest.json").unlink()
        with pytest.raises(BundleError, match="no bundle"):
            read_bundle(folder)

    def test_nothing_is_left_when_it_cannot_be_written_whole(self, tmp_path: Path) -> None:
        with pytest.raises(OSError, match="No such file"):
            write_bundle(tmp_path / "run", {"a.txt": b"a", "missing/b.txt": b"b"})
        assert list(tmp_path.iterdir()) == []

    def test_an_earlier_run_is_not_overwritten(self, tmp_path: Path) -> None:
        write_bundle(tmp_path / "run", FILES)
        with pytest.raises(BundleError, match="exists already"):
            write_bundle(tmp_path / "run", {})
        assert read_bundle(tmp_path / "run") == FILES
