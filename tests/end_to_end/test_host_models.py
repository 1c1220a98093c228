"""The MLPerf Tiny models as generated C on the host, bit for bit against tflite_micro."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from aot_models import board, classifier

from edge_boards.errors import ToolchainError
from edge_boards.toolchain import HostCompiler, find_host_compiler
from edge_export import HostModel, compile_model, export_model, verify_host
from edge_export.aot.package import ExportResult
from edge_quantize.graph import Graph
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.inputs import LCG_SEED, lcg_inputs, load_inputs, quantize_array
from edge_quantize.reference import LiteRtReference, TflmReference, tflm_available

MODELS = ("ad", "kws", "ic", "vww")
FEATURES = {"portable": frozenset[str](), "dsp": frozenset({"dsp"})}
RANDOM_INPUTS = 20
# Bytes of arena that TensorFlow Lite Micro with CMSIS-NN takes for the same models.
PEER_ARENA = {"ad": 2580, "kws": 22820, "ic": 54996, "vww": 100708}
Inputs = tuple[npt.NDArray[np.generic], ...]

needs_tflm = pytest.mark.skipif(not tflm_available(), reason="tflite_micro is not installed")


def compiler(name: str) -> HostCompiler:
    try:
        return find_host_compiler(name)
    except ToolchainError as error:
        pytest.skip(f"no {name}: {error}")


def random_inputs(graph: Graph, count: int) -> list[Inputs]:
    state, result = LCG_SEED, []
    for _ in range(count):
        arrays, state = lcg_inputs(graph, state)
        result.append(arrays)
    return result


def real_inputs(name: str, graph: Graph, find: Callable[[str], Path]) -> list[Inputs]:
    if name == "kws":
        return list(load_inputs(graph, find("kws_samples.npy")))
    if name == "ad":
        frames = np.fromfile(find("ad_normal_id_01_00000000.bin"), "<f4").reshape(-1, 128)
        windows = np.lib.stride_tricks.sliding_window_view(frames, 5, axis=0)
        windows = windows.transpose(0, 2, 1).reshape(-1, 640)
        tensor = graph.tensor(graph.inputs[0])
        return [(quantize_array(w.reshape(tensor.shape), tensor),) for w in windows]
    return []


@needs_tflm
@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("cc", ["gcc", "zig"])
@pytest.mark.parametrize("name", MODELS)
def test_the_generated_c_is_bit_exact(
    mlperf_tiny: Callable[[str], Path], tmp_path: Path, name: str, cc: str, features: str
) -> None:
    graph = read_tflite(mlperf_tiny(name))
    host = compiler(cc)
    export = export_model(graph, board(), tmp_path / name, features=FEATURES[features])
    reference = TflmReference(mlperf_tiny(name).read_bytes(), preserve=True)
    inputs = random_inputs(graph, RANDOM_INPUTS) + real_inputs(name, graph, mlperf_tiny)
    with HostModel(export, host) as model:
        verdict = verify_host(graph, model, reference, inputs)
    assert verdict.bit_exact, str(verdict)
    assert verdict.inputs == len(inputs) >= RANDOM_INPUTS
    assert verdict.max_abs_diff == 0


@needs_tflm
@pytest.mark.parametrize("name", MODELS)
def test_every_layer_is_bit_exact(
    mlperf_tiny: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    graph = read_tflite(mlperf_tiny(name))
    export = export_model(graph, board(), tmp_path / name)
    reference = TflmReference(mlperf_tiny(name).read_bytes(), preserve=True)
    (arrays,) = random_inputs(graph, 1)
    reference.run(arrays)
    tensors = reference.tensors()
    with HostModel(export) as model:
        outputs = model.run_steps(arrays)
    assert len(outputs) == len(graph.operators)
    for output in outputs:
        expected = tensors[graph.operators[output.layer].outputs[0]]
        assert output.content == np.ascontiguousarray(expected).tobytes(), output.name


@pytest.mark.parametrize("name", MODELS)
def test_a_step_writes_its_result_and_its_scratch_and_nothing_else(
    mlperf_tiny: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    graph = read_tflite(mlperf_tiny(name))
    compiled = compile_model(graph, board())
    export = export_model(graph, board(), tmp_path / name)
    places = {p.name: p for p in compiled.plan.placements}
    regions = [region for region, _ in compiled.plan.arena]
    (arrays,) = random_inputs(graph, 1)
    with HostModel(export) as model:
        model.load(arrays)
        for step in compiled.program.steps:
            before = model.arena()
            model.step(step.index)
            after = model.arena()
            allowed = [set[int]() for _ in regions]
            for buffer in (*step.results, *((step.scratch,) if step.scratch else ())):
                place = places[buffer]
                allowed[regions.index(place.region)].update(
                    range(place.offset, place.offset + place.size)
                )
            for block, (old, new) in enumerate(zip(before, after, strict=True)):
                changed = set(
                    np.flatnonzero(np.frombuffer(old, "u1") != np.frombuffer(new, "u1")).tolist()
                )
                assert changed <= allowed[block], step.kernel


@pytest.mark.parametrize("name", MODELS)
def test_nothing_is_read_before_it_is_written(
    mlperf_tiny: Callable[[str], Path], tmp_path: Path, name: str
) -> None:
    graph = read_tflite(mlperf_tiny(name))
    export = export_model(graph, board(), tmp_path / name)
    (arrays,) = random_inputs(graph, 1)
    with HostModel(export) as model:
        results = []
        for fill in (0x00, 0x55, 0xFF):
            model.fill_arena(fill)
            results.append([a.tobytes() for a in model.run(arrays)])
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("features", FEATURES)
@pytest.mark.parametrize("name", MODELS)
def test_no_access_is_out_of_bounds_or_undefined(
    mlperf_tiny: Callable[[str], Path], tmp_path: Path, name: str, features: str
) -> None:
    """As a program of its own: a sanitized library does not load into this process."""
    if sys.platform != "linux" or shutil.which("gcc") is None:
        pytest.skip("no gcc with sanitizers")
    graph = read_tflite(mlperf_tiny(name))
    export = export_model(graph, board(), tmp_path / name, name=name, features=FEATURES[features])
    arrays = random_inputs(graph, 1)[0]
    (tmp_path / "input").write_bytes(b"".join(a.tobytes() for a in arrays))
    main = tmp_path / "main.c"
    main.write_text(PROGRAM.format(name=name))
    sanitize = ("-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    program = compiler("gcc").program(
        [main, *export.source_paths], tmp_path / "program", export.include_paths, sanitize
    )
    with (tmp_path / "input").open("rb") as stdin:
        done = subprocess.run([program], stdin=stdin, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    with HostModel(export) as model:
        assert done.stdout == b"".join(a.tobytes() for a in model.run(arrays))


PROGRAM = """
#include <stdio.h>
#include "{name}.h"
int main(void) {{
  const eag_model *model = &{name}_model;
  {name}_init();
  for (unsigned i = 0; i < model->input_count; ++i) {{
    if (fread({name}_input(i), 1, model->inputs[i].size, stdin) != model->inputs[i].size) return 2;
  }}
  {name}_invoke();
  for (unsigned i = 0; i < model->output_count; ++i) {{
    fwrite({name}_output(i), 1, model->outputs[i].size, stdout);
  }}
  return 0;
}}
"""


@pytest.mark.parametrize("name", MODELS)
def test_the_arena_is_smaller_than_the_peers_and_near_its_bound(
    mlperf_tiny: Callable[[str], Path], name: str
) -> None:
    plan = compile_model(read_tflite(mlperf_tiny(name)), board()).plan
    assert plan.arena_bytes <= PEER_ARENA[name]
    assert plan.arena_bytes <= 1.1 * plan.liveness_bound + 8


def test_vww_is_exported_in_under_two_seconds(
    mlperf_tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    start = time.process_time()
    export_model(read_tflite(mlperf_tiny("vww")), board(), tmp_path / "vww")
    assert time.process_time() - start < 2


# What a wrong result looks like


def broken(export: ExportResult, layer_step: int) -> None:
    """Makes one step's activation clamp too narrow, as a wrong kernel would."""
    source = export.directory / "src" / f"{export.name}.c"
    head, tail = source.read_text().split(f"{export.name}_params_{layer_step} =", 1)
    assert ".act_max = 127" in tail
    source.write_text(f"{head}{export.name}_params_{layer_step} =" + tail.replace("127", "-60", 1))


@needs_tflm
def test_the_first_layer_that_differs_is_named(tmp_path: Path) -> None:
    graph = classifier()
    export = export_model(graph, board(), tmp_path / "out", features=FEATURES["portable"])
    broken(export, 1)
    reference = TflmReference(graph, preserve=True)
    with HostModel(export) as model:
        verdict = verify_host(graph, model, reference, random_inputs(graph, 5))
    assert not verdict.bit_exact
    first = verdict.first_difference
    assert first is not None
    assert first.layer == 1
    assert first.op == "DEPTHWISE_CONV_2D"
    assert first.actual == -60
    assert first.expected > -60
    assert first.name in str(verdict)


def test_equality_with_litert_is_never_called_bit_exact(tmp_path: Path) -> None:
    graph = classifier()
    export = export_model(graph, board(), tmp_path / "out")
    reference = LiteRtReference(graph, preserve=True)
    with HostModel(export) as model:
        verdict = verify_host(graph, model, reference, random_inputs(graph, 3))
    assert not verdict.bit_exact
    assert "LSB of LiteRT" in str(verdict)


def test_an_input_of_the_wrong_size_or_type_is_refused(tmp_path: Path) -> None:
    export = export_model(classifier(), board(), tmp_path / "out")
    with HostModel(export) as model:
        with pytest.raises(ValueError, match="input 0 must be int8"):
            model.run([np.zeros((1, 8, 8, 2), np.int8)])
        with pytest.raises(ValueError, match="input 0 must be int8"):
            model.run([np.zeros((1, 8, 8, 3), np.float32)])
        with pytest.raises(ValueError, match="inputs: 0 given, 1 needed"):
            model.run([])
