"""What fusing gains and what int4 weights cost, counted on the virtual STM32F746; and whole models
of either kind bit-exact there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.importorskip("unicorn", reason="unicorn is not installed (extra: virtual)")

from int4_models import with_int4_weights

from edge_autoglm import pipeline
from edge_autoglm.device.ports import open_port
from edge_autoglm.device.session import Session
from edge_autoglm.flash import flash_image
from edge_autoglm.measure.candidates import candidate
from edge_autoglm.measure.counts import counter_of
from edge_autoglm.measure.profile import Profile, profile_board
from edge_autoglm.measure.run import verdict
from edge_boards import load_board, virtual
from edge_boards.errors import ToolchainError
from edge_boards.toolchain import find_toolchain
from edge_export import ExportResult
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.reference import tflm_available

BOARD = load_board("stm32f746")
MODELS = Path(__file__).parents[2]
SMALL = {
    "digits": MODELS / "examples" / "digits" / "digits_int8.tflite",
    "net_separable": MODELS / "tests" / "golden" / "models" / "net_separable.tflite",
}
MLPERF = [pytest.param(name, marks=pytest.mark.slow) for name in ("ad", "kws", "ic", "vww")]
Finder = Callable[[str], Path]


@pytest.fixture(scope="module", autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A virtual board of this module's own."""
    try:
        find_toolchain(BOARD)
    except ToolchainError as error:
        pytest.skip(str(error))
    if not tflm_available():
        pytest.skip("no tflite_micro wheel on this machine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path_factory.mktemp("state")))
        yield
        for info in virtual.list_running():
            virtual.stop(info.board)


@pytest.fixture
def model(request: pytest.FixtureRequest) -> Path:
    name: str = request.param
    if name in SMALL:
        return SMALL[name]
    find: Finder = request.getfixturevalue("mlperf_tiny")
    return find(name)


def run(path: Path, folder: Path, fuse_ops: bool = True) -> tuple[Profile, ExportResult]:
    """Profile of a model whose outputs on the board were found bit-exact, and its export."""
    export = pipeline.export(path, BOARD, folder, pipeline.Asked(fuse_ops=fuse_ops))
    assert isinstance(export, ExportResult)
    report = flash_image(BOARD, pipeline.build(export, BOARD).image, "virtual")
    with Session(open_port(report.port)) as session:
        found = session.model()
        counter = counter_of(report.port, session.info)
        profile = profile_board(session, BOARD, found, virtual=True, counter=counter)
        said = verdict(session, found, candidate(path))
    assert said.bit_exact, str(said)
    return profile, export


def instructions(profile: Profile) -> float:
    assert profile.instructions is not None
    return profile.instructions.value


@pytest.mark.parametrize("model", [*SMALL, *MLPERF], indirect=True)
def test_fusing_saves_instructions_and_never_costs_memory(model: Path, tmp_path: Path) -> None:
    fused, _ = run(model, tmp_path / "fused")
    apart, _ = run(model, tmp_path / "apart", fuse_ops=False)
    assert instructions(fused) < instructions(apart)
    assert fused.memory.arena <= apart.memory.arena
    assert fused.macs == apart.macs
    for whole, parts in zip(fused.layers, apart.layers, strict=True):
        assert len(whole.steps) <= 1
        assert parts.instructions is not None
        assert parts.instructions.value == sum(
            step.instructions.value for step in parts.steps if step.instructions
        )


@pytest.mark.parametrize("model", [*SMALL, *MLPERF], indirect=True)
def test_int4_weights_halve_the_flash_of_weights_and_are_nearly_as_fast(
    model: Path, tmp_path: Path
) -> None:
    packed = tmp_path / "packed.tflite"
    packed.write_bytes(write_tflite(with_int4_weights(read_tflite(model))))
    int8, wide = run(model, tmp_path / "int8")
    int4, narrow = run(packed, tmp_path / "int4")
    weights = [
        sum(c.nbytes for c in export.constants if c.name.endswith("_weights"))
        for export in (wide, narrow)
    ]
    assert weights[1] <= 0.52 * weights[0]
    assert narrow.weight_bytes == pipeline.read_model(packed).constant_bytes - _unread(packed)
    assert instructions(int4) < 1.45 * instructions(int8)


def _unread(path: Path) -> int:
    """Constant bytes that no kernel reads: shapes, axes, paddings."""
    graph = pipeline.read_model(path)
    weighted = {
        index
        for operator in graph.operators
        for index in operator.inputs[1:]
        if operator.op in ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    }
    return sum(t.nbytes for t in graph.constants() if t.index not in weighted)
