"""The committed small models: what the script writes, and bit-exact through the whole compiler."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from edge_boards.loader import load_board
from edge_export.aot.lower import lower
from edge_export.aot.package import compile_model, export_model
from edge_export.host import HostModel
from edge_export.kernels.table import KERNELS
from edge_export.verify import verify_host
from edge_quantize.check_operators import SUPPORTED_OPS
from edge_quantize.graph import Graph
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.reference import TflmReference, tflm_available

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
MODELS = sorted((GOLDEN / "models").glob("*.tflite"))


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_models", GOLDEN / "make_models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_script_writes_the_committed_models_byte_for_byte(script: ModuleType) -> None:
    assert [path.stem for path in MODELS] == list(script.names())
    for path in MODELS:
        assert script.content(path.stem) == path.read_bytes(), path.name


def test_every_operator_has_a_golden_model() -> None:
    graphs = [read_tflite(path) for path in MODELS]
    assert {o.op for graph in graphs for o in graph.operators} == SUPPORTED_OPS


def inputs_of(graph: Graph, count: int) -> Iterator[list[npt.NDArray[Any]]]:
    """Random bytes, then both extremes."""
    generator = np.random.default_rng(7)
    for i in range(count + 2):
        arrays: list[npt.NDArray[Any]] = []
        for index in graph.inputs:
            tensor = graph.tensor(index)
            if tensor.dtype.value == "float32":
                reals = generator.normal(0.0, 3.0, tensor.shape)
                reals = reals if i < count else np.full(tensor.shape, (-1e4, 1e4)[i - count])
                arrays.append(reals.astype(np.float32))
                continue
            kind = np.iinfo(tensor.dtype.value)
            if i < count:
                values = generator.integers(kind.min, kind.max, tensor.shape, endpoint=True)
            else:
                values = np.full(tensor.shape, (kind.min, kind.max)[i - count])
            arrays.append(values.astype(tensor.dtype.value))
        yield arrays


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
@pytest.mark.parametrize("features", [frozenset(), frozenset({"dsp"})], ids=["portable", "dsp"])
def test_generated_c_equals_tflite_micro(
    path: Path, features: frozenset[str], tmp_path: Path
) -> None:
    if not tflm_available():
        pytest.skip("no tflite_micro wheel on this machine")
    graph = read_tflite(path)
    export = export_model(graph, load_board("stm32f746"), tmp_path / "out", features=features)
    with HostModel(export, flags=("-O1",)) as model:
        verdict = verify_host(
            graph, model, TflmReference(graph, preserve=True), inputs_of(graph, 6)
        )
    assert verdict.bit_exact, str(verdict)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_model_that_is_taken_apart_gives_the_same_outputs(path: Path, tmp_path: Path) -> None:
    if not tflm_available():
        pytest.skip("no tflite_micro wheel on this machine")
    graph, board = read_tflite(path), load_board("stm32f746")
    fused, apart = (compile_model(graph, board, fuse_ops=fuse) for fuse in (True, False))
    if fused.files == apart.files:
        return  # nothing was fused in it
    assert len(apart.program.steps) > len(fused.program.steps)
    export = export_model(graph, board, tmp_path / "out", fuse_ops=False)
    with HostModel(export, flags=("-O1",)) as model:
        verdict = verify_host(
            graph, model, TflmReference(graph, preserve=True), inputs_of(graph, 6)
        )
    assert verdict.bit_exact, str(verdict)


def test_the_golden_models_take_every_portable_and_dsp_kernel_that_whole_models_can_reach() -> None:
    board = load_board("stm32f746")
    taken: set[str] = set()
    for path in MODELS:
        for features in (frozenset[str](), board.core.features):
            program = lower(read_tflite(path), "model", features)
            taken |= {step.kernel for step in program.steps}
    reachable = {row.name for row in KERNELS if row.op in SUPPORTED_OPS and not row.is_alias}
    assert reachable - taken == set()
