"""The TFLM folder: the array is the file, the resolver has the model's ops and no others, the same
input gives the same bytes, and what TFLM must not be given is refused by name."""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from host_cxx import cxx
from hypothesis import given
from hypothesis import strategies as st
from tflm_fakes import fake_headers

from edge_boards.data import data_path
from edge_boards.loader import load_board
from edge_export import ExportError, LoweringError, PlanError, TflmExport, export_tflm, load_export
from edge_export.sealed import EXPORT_FILE, seal
from edge_export.tflm.arena import ArenaError
from edge_export.tflm.emit import c_string
from edge_export.tflm.ops import TFLM_OPS
from edge_export.tflm.package import compile_tflm
from edge_export.tflm.registrations import registrations
from edge_quantize.graph import DType, Graph, Quantization, Tensor
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite
from edge_quantize.inputs import lcg_inputs
from edge_quantize.reference import TflmReference, tflm_available

BOARD = load_board("stm32f746")
GOLDEN = Path(__file__).parents[1] / "golden" / "models"


def small(name: str = "small", labels: tuple[str, ...] = ()) -> tuple[Graph, bytes]:
    """A convolution, an addition and a softmax, read from its own bytes."""
    b = GraphBuilder(name)
    x = b.input("image", (1, 6, 6, 2), 0.5, -3)
    w = b.weights("w", np.arange(-36, 36, dtype=np.int8).reshape(4, 3, 3, 2), [0.02] * 4)
    y = b.conv_2d(x, w, None, 0.7, 5)
    y = b.elementwise("ADD", y, y, 1.4, 5)
    content = write_tflite(b.build([b.softmax(b.reshape(y, (1, 144)))], labels))
    return replace(read_tflite(content), name=name), content


def exported(folder: Path, graph: Graph, content: bytes, **options: object) -> TflmExport:
    return export_tflm(graph, content, BOARD, folder, **options)  # type: ignore[arg-type]


def golden(name: str) -> tuple[Graph, bytes]:
    content = (GOLDEN / f"{name}.tflite").read_bytes()
    return replace(read_tflite(content), name=name), content


def array_of(export: TflmExport, folder: Path) -> bytes:
    """The emitted array, compiled for this machine and read back."""
    library = folder / "model.so"
    source = export.directory / "src" / "model_data.cc"
    done = cxx(["-shared", "-fPIC", "-O1", source, "-o", library], folder)
    assert done.returncode == 0, done.stderr
    symbol = (ctypes.c_uint8 * export.model_bytes).in_dll(
        ctypes.CDLL(str(library)), f"{export.name}_model_data"
    )
    assert ctypes.addressof(symbol) % 16 == 0
    return bytes(symbol)


def methods_in(text: str) -> list[tuple[str, str]]:
    return re.findall(r"resolver\.(\w+)\((?:tflite::(\w+)\(\))?\)", text)


def test_the_array_is_the_file_and_runs_in_the_interpreter(tmp_path: Path) -> None:
    graph, content = small()
    export = exported(tmp_path / "out", graph, content)
    found = array_of(export, tmp_path)
    assert found == content
    if not tflm_available():
        pytest.skip("no tflite_micro wheel on this machine")
    arrays, _ = lcg_inputs(graph, 2)
    outputs = TflmReference(found, checked=True).run(arrays)
    assert outputs[0].tobytes() == TflmReference(graph).run(arrays)[0].tobytes()


@pytest.mark.parametrize("name", ["ad", "kws"])
def test_so_it_does_of_the_mlperf_models(
    name: str, mlperf_tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    content = mlperf_tiny(name).read_bytes()
    graph = replace(read_tflite(content), name=name)
    assert array_of(exported(tmp_path / "out", graph, content), tmp_path) == content


def test_the_same_input_gives_the_same_bytes_and_no_path_or_time(tmp_path: Path) -> None:
    graph, content = small()
    first = compile_tflm(graph, content, BOARD)
    assert compile_tflm(graph, content, BOARD) == first
    exported(tmp_path / "a", graph, content)
    exported(tmp_path / "b", graph, content)
    for path, text in first.items():
        assert (tmp_path / "a" / path).read_text() == (tmp_path / "b" / path).read_text() == text
        assert str(tmp_path) not in text


def test_the_folder_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    graph, content = small()
    export = exported(tmp_path / "out", graph, content)
    assert load_export(tmp_path / "out") == export
    with (tmp_path / "out" / "src" / "model_ops.h").open("a") as file:
        file.write("\n")
    with pytest.raises(ExportError, match=r"model_ops\.h: changed since it was exported"):
        load_export(tmp_path / "out")


def test_a_folder_of_a_runtime_of_a_later_version_is_named(tmp_path: Path) -> None:
    (tmp_path / EXPORT_FILE).write_text(seal({"runtime": "later"}, {}, ()))
    with pytest.raises(ExportError, match="made for runtime 'later', this version knows aot, tflm"):
        load_export(tmp_path)


@pytest.mark.parametrize("name", ["net_residual", "net_separable", "net_float_ends", "softmax_ten"])
def test_the_resolver_has_what_the_model_needs_and_no_more(name: str, tmp_path: Path) -> None:
    graph, content = golden(name)
    export = exported(tmp_path / "out", graph, content)
    text = (tmp_path / "out" / "src" / "model_ops.h").read_text()
    needed = sorted({TFLM_OPS[o.op].method for o in graph.operators})
    assert [method for method, _ in methods_in(text)] == needed
    assert f"MicroMutableOpResolver<{len(needed)}>" in text
    assert export.ops == tuple(sorted({o.op for o in graph.operators}))


def test_ops_that_compute_in_int8_alone_bring_int8_code_alone() -> None:
    graph, _ = small()
    assert dict(registrations(graph)) == {
        "AddAdd": "Register_ADD_INT8",
        "AddConv2D": "Register_CONV_2D_INT8",
        "AddReshape": None,
        "AddSoftmax": "Register_SOFTMAX_INT8",
    }


def test_one_op_of_another_type_brings_the_code_for_all() -> None:
    graph, _ = golden("softmax_to_int16")
    assert dict(registrations(graph)) == {"AddSoftmax": None}


def test_int4_weights_are_not_int8s() -> None:
    b = GraphBuilder("int4")
    x = b.input("x", (1, 8), 0.5, 0)
    q = Quantization((0.1,), (0,))
    w = b.tensor("w", (4, 8), DType.INT4, q, np.zeros((4, 8), np.int8))
    graph = b.build([b.fully_connected(x, w, None, 1.0, 0)])
    assert dict(registrations(graph)) == {"AddFullyConnected": None}


def test_names_scales_zero_points_and_labels_are_constants(tmp_path: Path) -> None:
    labels = ("cat", 'do"g', "wölf", "back\\slash", *(f"c{i}" for i in range(140)))
    graph, content = small(labels=labels)
    export = exported(tmp_path / "out", graph, content)
    program = tmp_path / "main.cc"
    program.write_text(
        """
#include <stdio.h>
#include <initializer_list>
#include "model_tensors.h"
using namespace small_tflm;
int main() {
  for (const Tensor &t : {kInputs[0], kOutputs[0]})
    printf("%s %s %u %d %d %.9g %d\\n", t.name, t.type, (unsigned)t.bytes, t.rank,
           (int)t.shape[t.rank - 1], (double)t.scale, (int)t.zero_point);
  printf("%u %d\\n", (unsigned)kLabelCount, SMALL_ARENA_BYTES);
  for (const char *label : kLabels) printf("%s\\n", label);
}
"""
    )
    done = cxx([f"-I{export.directory / 'src'}", program, "-o", tmp_path / "main"], tmp_path)
    assert done.returncode == 0, done.stderr
    said = subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout
    lines = said.decode("utf-8").splitlines()
    output = graph.tensor(graph.outputs[0])
    assert lines[0] == "image int8 72 4 2 0.5 -3"
    assert lines[1].endswith("int8 144 2 144 0.00390625 -128")
    assert lines[1].startswith(output.name.split()[0])
    assert lines[2] == f"144 {export.arena_bytes}"
    assert tuple(lines[3:]) == labels


@given(st.text(max_size=40))
def test_any_name_is_written_as_one_c_string(text: str) -> None:
    literal = c_string(text)
    assert literal.isascii()
    assert "\n" not in literal
    assert "??" not in literal  # a trigraph
    body = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), literal[1:-1])
    assert body.encode("latin-1") == text.encode("utf-8", "surrogatepass")


def test_the_generated_code_and_its_adapter_compile_against_the_interface(tmp_path: Path) -> None:
    """Against a stand-in for TFLM's headers, with the library's strings and without."""
    graph, content = small()
    export = exported(tmp_path / "out", graph, content)
    tree = fake_headers(tmp_path / "tree")
    folders = [tree, export.directory / "src", data_path("firmware", "runtime")]
    folders.append(data_path("firmware", "tflm"))
    includes = [f"-I{folder}" for folder in folders]
    adapter = data_path("firmware", "tflm", "eag_tflm.cc")
    for defines in ([], ["-DTF_LITE_STRIP_ERROR_STRINGS"]):
        for source in (export.directory / "src" / "model.cc", adapter):
            done = cxx(["-fsyntax-only", *defines, *includes, source], tmp_path)
            assert done.returncode == 0, done.stderr


def test_a_tensor_that_no_operator_uses_compiles_too(tmp_path: Path) -> None:
    graph, _ = small()
    idle = Tensor(len(graph.tensors), "idle", (1, 50), DType.INT8, Quantization((1.0,), (0,)))
    graph = replace(graph, tensors=(*graph.tensors, idle))
    export = exported(tmp_path / "out", graph, write_tflite(graph))
    source = export.directory / "src" / "model.cc"
    assert re.search(r"^  \{64, \d+, -1, -1\},$", source.read_text(), re.M)
    folders = [fake_headers(tmp_path / "tree"), export.directory / "src"]
    folders += [data_path("firmware", "runtime"), data_path("firmware", "tflm")]
    done = cxx(["-fsyntax-only", *(f"-I{f}" for f in folders), source], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["class", "new", "std", "arena", "engine", "int", "3d model"])
def test_a_model_may_be_called_as_it_likes(name: str, tmp_path: Path) -> None:
    graph, content = small()
    export = exported(tmp_path / "out", replace(graph, name=name), content)
    tree = fake_headers(tmp_path / "tree")
    folders = [tree, export.directory / "src", data_path("firmware", "runtime")]
    folders.append(data_path("firmware", "tflm"))
    source = export.directory / "src" / "model.cc"
    done = cxx(["-fsyntax-only", *(f"-I{f}" for f in folders), source], tmp_path)
    assert done.returncode == 0, done.stderr


def refused(graph: Graph, content: bytes = b"") -> LoweringError:
    with pytest.raises(LoweringError) as found:
        compile_tflm(graph, content or write_tflite(graph), BOARD)
    return found.value


def test_what_tflm_lacks_is_refused_by_name_all_of_it() -> None:
    graph, content = small()
    strange = [
        replace(o, op={"ADD": "GELU", "SOFTMAX": "CUSTOM:Mine"}.get(o.op, o.op))
        for o in graph.operators
    ]
    error = refused(replace(graph, operators=tuple(strange)), content)
    assert len(error.problems) == 2
    assert re.search(r"operator \d+ GELU .*TFLM has no such operator", error.problems[0])
    assert re.search(r"operator \d+ CUSTOM:Mine .*custom operators", error.problems[1])
    assert "small: not for TFLM: " in str(error)


def test_weight_only_int8_which_tflm_computes_wrongly_is_refused() -> None:
    b = GraphBuilder("weight_only")
    w = b.weights("w", np.zeros((4, 8), np.int8), [0.1] * 4)
    graph = b.build([b.fully_connected(b.input("in", (1, 8), 1.0, 0), w, None, 1.0, 0)])
    tensors = list(graph.tensors)
    for index in (graph.inputs[0], graph.outputs[0]):
        tensors[index] = replace(tensors[index], dtype=DType.FLOAT32, quantization=None)
    error = refused(replace(graph, tensors=tuple(tensors)), b"unused")
    assert "TFLM has no hybrid kernels" in str(error)


def test_a_float_model_that_only_tflm_runs_is_taken(
    mlperf_tiny: Callable[[str], Path], tmp_path: Path
) -> None:
    content = mlperf_tiny("ad_float.tflite").read_bytes()
    graph = replace(read_tflite(content), name="ad_float")
    board = replace(BOARD, memories=tuple(replace(m, size=m.size * 4) for m in BOARD.memories))
    export = export_tflm(graph, content, board, tmp_path / "out")
    assert export.registrations == (("AddFullyConnected", None),)


def test_constants_behind_the_flatbuffer_are_moved_into_it(tmp_path: Path) -> None:
    graph, content = small()
    outside = _outside(content)
    moved = replace(read_tflite(outside), name="small")
    found = array_of(exported(tmp_path / "out", moved, outside), tmp_path)
    assert found != outside
    back = read_tflite(found)
    for before, after in zip(graph.tensors, back.tensors, strict=True):
        assert (before.data is None) == (after.data is None)
        if before.data is not None and after.data is not None:
            assert np.array_equal(before.data, after.data)


def _outside(content: bytes) -> bytes:
    """The same model with its largest constant behind the flatbuffer."""
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content))
    buffer = max(model.buffers, key=lambda b: 0 if b.data is None else len(b.data))
    data = bytes(buffer.data)
    buffer.data, buffer.size = None, len(data)

    def pack(offset: int) -> bytes:
        buffer.offset = offset
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    start = -(-len(pack(1 << 20)) // 16) * 16
    made = pack(start)
    assert len(made) <= start
    return made + b"\0" * (start - len(made)) + data


def test_the_arena_lies_in_the_fastest_memory_that_holds_it(tmp_path: Path) -> None:
    graph, content = small()
    assert exported(tmp_path / "a", graph, content).region == "dtcm"
    assert exported(tmp_path / "b", graph, content, arena=100_000).region == "sram"
    with pytest.raises(PlanError, match=r"an arena of 300,000 bytes fits no memory of stm32f746"):
        exported(tmp_path / "c", graph, content, arena=300_000)


def test_another_arena_than_needed_is_set_aside_where_asked_for(tmp_path: Path) -> None:
    graph, content = small()
    needed = exported(tmp_path / "a", graph, content)
    assert needed.arena_bytes == needed.arena_needed <= needed.arena_plain
    asked = exported(tmp_path / "b", graph, content, arena=4096)
    assert (asked.arena_bytes, asked.arena_needed) == (4096, needed.arena_needed)
    assert asked.model_sources().arena == ((asked.region, 4096),)


def test_reference_kernels_need_no_more_than_optimized_ones(tmp_path: Path) -> None:
    graph, content = small()
    optimized = exported(tmp_path / "a", graph, content)
    plain = exported(tmp_path / "b", graph, content, kernels="reference")
    assert plain.arena_needed <= optimized.arena_needed
    assert plain.kernels == "reference"


def test_both_figures_are_in_one_export(tmp_path: Path) -> None:
    graph, content = small()
    optimized = exported(tmp_path / "a", graph, content)
    plain = exported(tmp_path / "b", graph, content, kernels="reference")
    assert optimized.arena_reference == plain.arena_reference == plain.arena_needed
    assert load_export(tmp_path / "a") == optimized


INT_ENUMS = ("esp32", "esp32-s3", "esp32-c3", "seeed-xiao-esp32s3")


@pytest.mark.parametrize("name", INT_ENUMS)
def test_no_arena_is_stated_where_enums_are_larger_than_the_model_knows(
    name: str, tmp_path: Path
) -> None:
    graph, content = small()
    board = load_board(name)
    with pytest.raises(ArenaError, match=r"cannot be stated for .*: --arena BYTES"):
        export_tflm(graph, content, board, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    export = export_tflm(graph, content, board, tmp_path / "out", arena=20_000)
    assert (export.arena_bytes, export.arena_needed, export.arena_plain) == (20_000, None, None)
    assert export.kernels == "reference"
    # So it is the library that plans, not a table of ours.
    assert "eag_tflm_plain," in (tmp_path / "out" / "src" / "model.cc").read_text()


def test_cmsis_nn_is_for_arm() -> None:
    graph, content = small()
    with pytest.raises(ExportError, match="for Cortex-M alone, and esp32 has xtensa-lx6"):
        compile_tflm(graph, content, load_board("esp32"), kernels="cmsis-nn", arena=20_000)


def test_an_operator_without_a_figure_is_taken_with_an_arena_by_hand() -> None:
    graph, content = small()
    lstm = tuple(
        replace(o, op="UNIDIRECTIONAL_SEQUENCE_LSTM") if o.op == "SOFTMAX" else o
        for o in graph.operators
    )
    graph = replace(graph, operators=lstm)
    with pytest.raises(ArenaError, match="not modelled; give it by hand: --arena BYTES"):
        compile_tflm(graph, content, BOARD)
    files = compile_tflm(graph, content, BOARD, arena=4096)
    assert "AddUnidirectionalSequenceLSTM" in files["src/model_ops.h"]


def test_advice_on_an_arena_that_fits_nowhere_can_work(mlperf_tiny: Callable[[str], Path]) -> None:
    def advice(graph: Graph, content: bytes, arena: int | None = None) -> str:
        with pytest.raises(PlanError) as found:
            compile_tflm(graph, content, BOARD, arena=arena)
        return str(found.value).split("; choose ")[1]

    assert advice(*small(), arena=9_999_999) == "a smaller --arena"
    content = mlperf_tiny("vww_float.tflite").read_bytes()
    assert advice(read_tflite(content), content) == "a smaller model or input"


def test_the_project_names_files_that_exist(tmp_path: Path) -> None:
    graph, content = small()
    folder = exported(tmp_path / "out", graph, content).directory
    listed = re.findall(r"^  (\S+\.(?:cc|c))$", (folder / "CMakeLists.txt").read_text(), re.M)
    assert "src/main.c" in listed
    assert any(name.startswith("firmware/tflm/") for name in listed)
    assert all((folder / name).is_file() for name in listed)
    ini = (folder / "platformio.ini").read_text()
    sources = re.findall(r"\+<(\S+)>", ini)
    assert set(sources) == {*listed, "src/model_data.cc"}
    for include in re.findall(r"-I(\S+)", ini):
        assert (folder / include).is_dir()
    files = json.loads((folder / "export.json").read_text())["files"]
    assert {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()} == {
        *files,
        "export.json",
    }


def test_where_a_library_with_checks_stops_is_said(tmp_path: Path) -> None:
    graph, content = golden("dense_keep_num_dims")
    assert "operator 0 FULLY_CONNECTED" in exported(tmp_path / "a", graph, content).stops[0]
    portable = exported(tmp_path / "b", graph, content, kernels="reference")
    assert portable.stops == ()
    assert load_export(tmp_path / "a").stops == exported(tmp_path / "c", graph, content).stops  # type: ignore[union-attr]
