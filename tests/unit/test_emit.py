"""The generated folder: reproducible, standalone, warning-free, refused by another runtime."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from aot_models import board, classifier
from cli_tools import ROOT
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_boards.data import data_path
from edge_boards.errors import ToolchainError
from edge_boards.toolchain import HostCompiler, find_host_compiler
from edge_export import HostModel
from edge_export.aot.emit import MODEL_ABI
from edge_export.aot.emit.emitter import Emitter, array_lines, c_float
from edge_export.aot.package import compile_model, export_model, load_export
from edge_export.errors import ExportError, PlanError
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.tflite import read_tflite

MAIN = """
#include "one.h"
#include "two.h"
int main(void) {
  one_init();
  two_init();
  int8_t *a = one_input(0);
  int8_t *b = two_input(0);
  for (int i = 0; i < ONE_INPUT_0_SIZE; ++i) a[i] = (int8_t)(i * 7);
  for (int i = 0; i < TWO_INPUT_0_SIZE; ++i) b[i] = (int8_t)(i * 5);
  one_invoke();
  two_invoke();
  const int8_t *x = one_output(0), *y = two_output(0);
  int sum = 0;
  for (int i = 0; i < ONE_OUTPUT_0_SIZE; ++i) sum += x[i];
  for (int i = 0; i < TWO_OUTPUT_0_SIZE; ++i) sum += y[i];
  return one_input(1) || one_output(9) || sum == 0;
}
"""
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]


def host(name: str) -> HostCompiler:
    try:
        return find_host_compiler(name)
    except ToolchainError as error:
        pytest.skip(f"no {name}: {error}")


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    first = export_model(classifier(), board(), tmp_path / "a")
    export_model(classifier(), board(), tmp_path / "b")
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert first.name == "tiny"
    assert set(tree(tmp_path / "a")) >= {
        "include/tiny.h",
        "src/tiny.c",
        "src/tiny_weights.c",
        "runtime/eag_model.h",
        "CMakeLists.txt",
        "library.json",
        "plan.json",
        "export.json",
    }


def test_no_path_of_this_machine_is_in_the_folder(tmp_path: Path) -> None:
    export_model(classifier(), board(), tmp_path / "out")
    for name, content in tree(tmp_path / "out").items():
        assert str(tmp_path).encode() not in content, name
        assert str(Path.home()).encode() + b"/" not in content, name


@pytest.mark.parametrize("compiler", ["gcc", "zig"])
def test_the_folder_alone_compiles_without_a_warning(tmp_path: Path, compiler: str) -> None:
    cc = host(compiler)
    export = export_model(classifier(), board(), tmp_path / "out")
    library = cc.shared_library(
        export.source_paths, tmp_path / "lib.so", export.include_paths, ("-pedantic", "-O2")
    )
    assert library.stat().st_size > 0


def test_two_models_link_into_one_program(tmp_path: Path) -> None:
    cc = host("gcc")
    one = export_model(classifier(seed=1), board(), tmp_path / "1", name="one")
    two = export_model(classifier(seed=2, side=12), board(), tmp_path / "2", name="two")
    main = tmp_path / "main.c"
    main.write_text(MAIN)
    # Kernels that both bring are compiled once, as a build system that knows the folders does.
    seen: dict[str, Path] = {}
    for path in (*one.source_paths, *two.source_paths):
        seen.setdefault(path.name, path)
    program = cc.program(
        [main, *seen.values()],
        tmp_path / "both",
        (*one.include_paths, *two.include_paths),
        ("-pedantic", "-O2"),
    )
    assert subprocess.run([program], check=False).returncode == 0


@pytest.mark.skipif(shutil.which("arm-none-eabi-gcc") is None, reason="no arm-none-eabi-gcc")
def test_two_models_link_for_the_board(tmp_path: Path) -> None:
    one = export_model(classifier(seed=1), board(), tmp_path / "1", name="one")
    two = export_model(classifier(seed=2), board(), tmp_path / "2", name="two")
    main = tmp_path / "main.c"
    main.write_text(MAIN + "void _exit(int code) { for (;;) (void)code; }\n")
    seen: dict[str, Path] = {}
    for path in (*one.source_paths, *two.source_paths):
        seen.setdefault(path.name, path)
    core = ("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard")
    done = subprocess.run(
        [
            *(
                "arm-none-eabi-gcc",
                *core,
                "-ffreestanding",
                "-std=c11",
                "-Wall",
                "-Wextra",
                "-Werror",
                "-pedantic",
            ),
            *("-O2", "-DEAG_SECTIONS", "-nostartfiles", "-Wl,-e,main", "--specs=nosys.specs"),
            *(f"-I{p}" for p in (*one.include_paths, *two.include_paths)),
            *map(str, (main, *seen.values())),
            *("-o", str(tmp_path / "both.elf")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    symbols = subprocess.run(
        ["arm-none-eabi-nm", tmp_path / "both.elf"], capture_output=True, text=True, check=True
    ).stdout
    assert "one_model" in symbols
    assert "two_model" in symbols


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_cmake_builds_the_folder_inside_a_users_project(tmp_path: Path) -> None:
    host("gcc")
    for name, seed in (("one", 1), ("two", 2)):
        export_model(classifier(seed=seed), board(), tmp_path / name, name=name)
    (tmp_path / "main.c").write_text(MAIN)
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(app C)\nadd_subdirectory(one)\n"
        "add_subdirectory(two)\nadd_executable(app main.c)\ntarget_link_libraries(app one two)\n"
    )
    build = tmp_path / "build"
    for command in (["cmake", "-S", tmp_path, "-B", build], ["cmake", "--build", build]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    assert subprocess.run([build / "app"], check=False).returncode == 0


def test_another_runtime_version_is_refused_by_the_compiler(tmp_path: Path) -> None:
    cc = shutil.which("gcc") or pytest.skip("no gcc")
    export = export_model(classifier(), board(), tmp_path / "out")
    header = tmp_path / "out" / "runtime" / "eag_model.h"
    header.write_text(header.read_text().replace("EAG_MODEL_ABI 1", "EAG_MODEL_ABI 2"))
    done = subprocess.run(
        [
            *(cc, *STRICT, "-c", str(export.directory / "src" / "tiny.c")),
            *(f"-I{path}" for path in export.include_paths),
            *("-o", str(tmp_path / "x.o")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "generated for EAG_MODEL_ABI 1" in done.stderr


def test_the_abi_is_that_of_the_runtimes_header() -> None:
    header = data_path("firmware", "runtime", "eag_model.h").read_text()
    assert f"#define EAG_MODEL_ABI {MODEL_ABI}\n" in header


def test_the_build_files_name_files_that_exist(tmp_path: Path) -> None:
    export = export_model(classifier(), board(), tmp_path / "out")
    library = json.loads((export.directory / "library.json").read_text())
    sources = [f[2:-1] for f in library["build"]["srcFilter"] if f.startswith("+<")]
    assert sorted(sources) == sorted(export.sources)
    assert all((export.directory / source).is_file() for source in sources)
    level, *includes = library["build"]["flags"]
    assert level == "-O2"
    assert includes
    for flag in includes:
        assert (export.directory / flag.removeprefix("-I")).is_dir()
    cmake = (export.directory / "CMakeLists.txt").read_text()
    assert all(source in cmake for source in export.sources)


def test_a_model_without_operators_compiles_and_needs_no_step(tmp_path: Path) -> None:
    cc = host("gcc")
    b = GraphBuilder("nothing")
    x = b.input("x", (1, 12), scale=0.1)
    export = export_model(b.build([x]), board(), tmp_path / "out")
    with HostModel(export, cc) as model:
        assert model.step_count == 0
        values = np.arange(12, dtype=np.int8)
        assert model.run([values.reshape(1, 12)])[0].tolist() == [values.tolist()]


def test_the_public_header_also_serves_cpp(tmp_path: Path) -> None:
    cxx = shutil.which("g++") or pytest.skip("no g++")
    export = export_model(classifier(), board(), tmp_path / "out")
    user = tmp_path / "user.cpp"
    user.write_text(
        '#include "tiny.h"\nint main() { tiny_init(); return TINY_ARENA_BYTES == 0; }\n'
    )
    done = subprocess.run(
        [
            *(cxx, "-Wall", "-Werror", "-c", str(user), "-o", str(tmp_path / "user.o")),
            *(f"-I{path}" for path in export.include_paths),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


# Reading back, replacing, refusing


def test_a_folder_reads_back_as_it_was_written(tmp_path: Path) -> None:
    written = export_model(classifier(), board(), tmp_path / "out")
    assert load_export(tmp_path / "out") == written
    assert written.description["labels"] == ["a", "b", "c", "d", "e"]
    assert written.description["inputs"][0]["shape"] == [1, 8, 8, 3]
    assert written.weight_bytes == written.description["weights"]
    assert len(written.description["results"]) == len(written.description["layers"])


def test_a_missing_or_changed_file_is_named(tmp_path: Path) -> None:
    export_model(classifier(), board(), tmp_path / "out")
    source = tmp_path / "out" / "src" / "tiny.c"
    text = source.read_text()
    source.write_text(text + "\n")
    with pytest.raises(ExportError, match=r"src/tiny\.c: changed since it was exported"):
        load_export(tmp_path / "out")
    source.unlink()
    with pytest.raises(ExportError, match=r"src/tiny\.c: No such file"):
        load_export(tmp_path / "out")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (b"[]", "schema None"),
        (b'{"schema": 9}', "schema 9"),
        (b'{"schema": 1}', "changed since it was exported"),
        (b'{"schema": 1, "digest": 3, "sources": ["/etc/passwd"]}', "changed since"),
    ],
)
def test_a_damaged_description_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    export_model(classifier(), board(), tmp_path / "out")
    (tmp_path / "out" / "export.json").write_bytes(content)
    with pytest.raises(ExportError, match=message) as caught:
        load_export(tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_an_export_within_the_named_folder_is_named(tmp_path: Path) -> None:
    export_model(classifier(), board(), tmp_path / "c")
    with pytest.raises(ExportError, match=r"no export\.json\); .*/c is one$"):
        load_export(tmp_path)


def test_a_folder_that_is_not_an_export_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="not an exported model"):
        load_export(tmp_path)
    with pytest.raises(ExportError, match=r"nowhere: no such folder"):
        load_export(tmp_path / "nowhere")


def test_somebody_elses_folder_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "thesis"
    mine.mkdir()
    (mine / "chapter.txt").write_text("words")
    with pytest.raises(ExportError, match=r"not made by an export"):
        export_model(classifier(), board(), mine)
    assert tree(tmp_path) == {"thesis/chapter.txt": b"words"}
    with pytest.raises(ExportError, match="not a folder"):
        export_model(classifier(), board(), mine / "chapter.txt")


def test_an_export_replaces_an_older_one_whole(tmp_path: Path) -> None:
    export_model(classifier(), board(), tmp_path / "out", name="old")
    export_model(classifier(), board(), tmp_path / "out", name="new")
    assert not (tmp_path / "out" / "src" / "old.c").exists()
    assert (tmp_path / "out" / "src" / "new.c").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_a_failed_export_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    export_model(classifier(), board(), tmp_path / "out")
    before = tree(tmp_path)
    original = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        if self.name == "tiny_weights.c":
            raise OSError(28, "No space left on device")
        return original(self, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ExportError, match="No space left on device"):
        export_model(classifier(seed=9), board(), tmp_path / "out")
    assert tree(tmp_path) == before


def test_a_prefix_that_is_no_c_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="try 'my_net'"):
        export_model(classifier(), board(), tmp_path / "out", name="my-net")


# Plans


def test_a_written_plan_read_back_gives_the_same_bytes(tmp_path: Path) -> None:
    export_model(classifier(), board(), tmp_path / "a")
    plan = tmp_path / "a" / "plan.json"
    export_model(classifier(), board(), tmp_path / "b", plan=plan)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_a_plan_moves_a_buffer_a_constant_and_a_kernel(tmp_path: Path) -> None:
    export_model(classifier(), board(), tmp_path / "a")
    plan = json.loads((tmp_path / "a" / "plan.json").read_text())
    portable = compile_model(classifier(), board(), features=frozenset()).program.steps[0].kernel
    layer = plan["kernels"][0]["layer"]
    constant = plan["constants"][0]["name"]
    own = {
        "schema": 1,
        "buffers": [{"name": "input", "region": "sram"}],
        "constants": [{"name": constant, "region": "dtcm"}],
        "kernels": [{"layer": layer, "kernel": portable}],
    }
    path = tmp_path / "own.json"
    path.write_text(json.dumps(own))
    compiled = compile_model(classifier(), board(), plan=path)
    assert compiled.plan.place("input").region == "sram"
    assert compiled.plan.place(constant).region == "dtcm"
    assert compiled.program.steps[0].kernel == portable
    assert (
        f"EAG_CONST({compiled.plan.place(constant).kind}, dtcm)"
        in (compiled.files["src/tiny_weights.c"])
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": 2}, "schema 2; this version reads 1"),
        ({"model_sha256": "ab"}, "made for a model with SHA-256 ab"),
        ({"board": "other"}, "made for board other"),
        ({"buffer": []}, "unknown key 'buffer'"),
        ({"buffers": {}}, "must be a list"),
        ({"buffers": [{}]}, "needs a name"),
        ({"buffers": [{"name": "input", "place": 1}]}, "unknown key 'place'"),
        ({"buffers": [{"name": "input", "offset": "x", "region": "sram"}]}, "whole number"),
        ({"buffers": [{"name": "input"}, {"name": "input"}]}, "listed twice"),
        ({"buffers": [{"name": "input", "size": 7}]}, "has 7 B there and 192 B here"),
        ({"buffers": [{"name": "nope", "region": "sram"}]}, "not in this model"),
        ({"kernels": [{"layer": "nope", "kernel": "k"}]}, "layer 'nope' is not in this model"),
        ({"kernels": [{"layer": "nope"}]}, "needs a layer and a kernel"),
    ],
)
def test_a_wrong_plan_file_is_refused_in_one_line(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({"schema": 1} | change))
    with pytest.raises(PlanError, match=message) as caught:
        export_model(classifier(), board(), tmp_path / "out", plan=path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"schema": ' + "1" * 5000 + "}", "\xff", ""])
def test_what_json_cannot_hold_is_no_plan(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(PlanError, match="not JSON"):
        compile_model(classifier(), board(), plan=path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["schema", "buffers", "constants", "kernels", "name", "region", "offset"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
@settings(max_examples=40, deadline=None)
def test_any_json_as_a_plan_is_a_plan_error_or_a_plan(
    tmp_path_factory: pytest.TempPathFactory, document: object
) -> None:
    path = tmp_path_factory.mktemp("plan") / "plan.json"
    if isinstance(document, dict):
        document["schema"] = 1
    path.write_text(json.dumps(document))
    # Any other exception than the two ways this may go fails the test.
    with contextlib.suppress(PlanError):
        assert compile_model(classifier(), board(), plan=path).plan.arena_bytes > 0


# Spelling


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_a_float_is_spelt_so_that_it_reads_back_the_same(value: float) -> None:
    text = c_float(value)
    assert text.endswith("f")
    assert np.float32(text[:-1]).tobytes() == np.float32(value).tobytes()


def test_an_infinite_float_is_refused() -> None:
    with pytest.raises(ExportError):
        c_float(float("inf"))


@given(st.lists(st.integers(-128, 127), max_size=100))
def test_an_array_is_spelt_whole(values: list[int]) -> None:
    text = "".join(array_lines(np.array(values, np.int8)))
    assert [int(v) for v in text.split(",") if v] == values


def test_a_tensors_name_cannot_leave_its_comment() -> None:
    out = Emitter()
    out.comment("evil */ int main(void) /* name")
    assert out.text().count("*/") == 1
    assert out.text().count("/*") == 1


def test_a_hostile_tensor_name_still_compiles(tmp_path: Path) -> None:
    cc = host("gcc")
    b = GraphBuilder("hostile")
    x = b.input('*/ "\\ \n#error ??/', (1, 4), scale=0.1)
    w = b.weights("w", np.ones((2, 4), np.int8), [0.1])
    y = b.fully_connected(x, w, None, 0.2, 0)
    export = export_model(b.build([y]), board(), tmp_path / "out")
    cc.shared_library(export.source_paths, tmp_path / "x.so", export.include_paths, ("-pedantic",))


def test_the_header_and_its_symbols_are_named_after_the_models_file(tmp_path: Path) -> None:
    """As the README says of its example."""
    (tmp_path / "digits_int8.tflite").write_bytes(write_tflite(classifier("anything")))
    export_model(read_tflite(tmp_path / "digits_int8.tflite"), board(), tmp_path / "out")
    header = (tmp_path / "out" / "include" / "digits_int8.h").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for name in ("digits_int8_init(", "DIGITS_INT8_INPUT_0_SIZE"):
        assert name in header
        assert name in readme


@pytest.mark.parametrize("name", ["gcc", "zig"])
def test_the_header_says_how_to_compile_the_folder(name: str, tmp_path: Path) -> None:
    """Exactly as its sentence has it, without the build files."""
    export_model(classifier(), board(), tmp_path / "tiny")
    text = (tmp_path / "tiny" / "include" / "tiny.h").read_text(encoding="utf-8")
    said = " ".join(re.sub(r"\n \*", " ", text).split())
    sentence = re.search(r"Include path: (.+?); compile the \.c files of (.+?) with", said)
    assert sentence, said
    includes = [f"-I{folder}" for folder in re.findall(r"\w+/", sentence[1])]
    sources = [
        str(source.relative_to(tmp_path / "tiny"))
        for folder in re.findall(r"\w+/", sentence[2])
        for source in sorted((tmp_path / "tiny" / folder).glob("*.c"))
    ]
    user = tmp_path / "tiny" / "user.c"
    user.write_text(
        '#include "tiny.h"\nint main(void) { tiny_init(); tiny_invoke(); return 0; }\n',
        encoding="utf-8",
    )
    command = [*host(name).command, "-std=c11", "-O2", *includes, *sources, "user.c", "-o", "user"]
    done = subprocess.run(
        command, cwd=tmp_path / "tiny", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
