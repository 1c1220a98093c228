"""Which way in a model takes, and what is said where there is none."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from cli_tools import environment
from float_models import dense, lstm
from hypothesis import given
from hypothesis import strategies as st

from edge_quantize.errors import InputDataError, MissingExtraError, ModelFileError, QuantizeError
from edge_quantize.graph.writer import write_tflite
from edge_quantize.ingest.quiet import quiet
from edge_quantize.ingest.user_function import call_named
from edge_quantize.ingest.ways import FILES, OBJECTS, convert_model, read_any
from edge_quantize.user_code import Place


@pytest.fixture(autouse=True)
def _no_frameworks(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine without the extras, whatever is installed on this one."""
    for module in ("tensorflow", "keras", "tf_keras", "torch", "litert_torch"):
        monkeypatch.setitem(sys.modules, module, None)


def zipped(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, "{}")
    return path


def test_a_tflite_file_is_read_and_compared_with_itself(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(write_tflite(dense()))
    conversion = convert_model(path)
    assert conversion.graph.name == "m"
    assert conversion.comparison.max_relative == 0
    assert read_any(str(path)).operators == conversion.graph.operators


def test_a_state_that_is_kept_is_said_and_each_sample_compared_from_its_start(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(write_tflite(lstm()))
    conversion = convert_model(path)
    assert conversion.comparison.max_relative == 0
    assert conversion.notes[0].startswith("2 variable tensors: an interpreter keeps them")


def test_a_tflite_file_brings_nothing_heavy(tmp_path: Path) -> None:
    path = tmp_path / "m.tflite"
    path.write_bytes(write_tflite(dense()))
    code = (
        "import sys; from edge_quantize.ingest.ways import read_any; "
        f"read_any({str(path)!r}); print(sorted({{'tensorflow', 'keras', 'torch', 'jax', 'h5py'}} "
        "& set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "content", "needs"),
    [
        ("m.h5", b"\x89HDF\r\n\x1a\n", "keras"),
        ("m.keras", ("metadata.json", "config.json", "model.weights.h5"), "keras"),
        ("renamed.bin", ("config.json",), "keras"),
        ("saved", None, "keras"),
        ("m.pt2", ("m/archive_format", "m/models/model.json"), "torch"),
        ("old.pt2", ("serialized_exported_program.json",), "torch"),
    ],
)
def test_a_way_whose_framework_is_missing_says_the_line_that_installs_it(
    name: str, content: bytes | tuple[str, ...] | None, needs: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is None:
        path.mkdir()
        (path / "saved_model.pb").write_bytes(b"")
    elif isinstance(content, bytes):
        path.write_bytes(content)
    else:
        zipped(path, *content)
    with pytest.raises(
        MissingExtraError, match=rf"pip install 'edge-autoglm\[{needs}\]'"
    ) as caught:
        read_any(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("none.tflite", None, "no such file"),
        ("empty.keras", b"", "the file is empty"),
        ("page.h5", b"<!DOCTYPE html>", "saved web page"),
        ("cut.tflite", b"\x1c\0\0\0TFL3", "outside the file"),
        ("noise.bin", bytes(range(256)), "known are .tflite"),
        ("half.zip", b"PK\x03\x04 cut off", "cut short"),
        ("lfs.h5", b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(
    name: str, content: bytes | None, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelFileError, match=words) as caught:
        read_any(path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_no_saved_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"no SavedModel \(no saved_model.pb in it\)"):
        read_any(tmp_path)


def test_a_pickle_is_not_loaded_but_a_function_asked_for(tmp_path: Path) -> None:
    path = zipped(tmp_path / "weights.pt", "weights/data.pkl", "weights/version")
    with pytest.raises(ModelFileError, match=r"pickled PyTorch object.*module:function"):
        read_any(path)


@given(st.binary(max_size=200), st.sampled_from(["m.tflite", "m.keras", "m.h5", "m.pt2", "m"]))
def test_no_content_gets_more_than_an_error_of_ours_out_of_it(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str
) -> None:
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(content)
    with pytest.raises(QuantizeError) as caught:
        read_any(path)
    assert "\n" not in str(caught.value)


def test_an_object_of_another_kind_is_named_with_what_is_needed() -> None:
    with pytest.raises(ModelFileError, match=r"builtins.int: a Keras model"):
        read_any(3)


def test_every_row_of_the_tables_names_a_reader_that_exists() -> None:
    for way in (*FILES, *OBJECTS):
        module, _, function = way.reader.partition(":")
        source = Path(__file__).resolve().parents[2] / "quantize/edge_quantize/ingest"
        assert f"def {function}(" in (source / f"{module}.py").read_text(encoding="utf-8")


# module:function


@pytest.fixture
def users_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my_nets.py"
    path.write_text(
        "def number():\n    return 3, 4\n\n"
        "def three():\n    return 1, 2, 3\n\n"
        "def broken():\n    raise RuntimeError('no weights\\nat all')\n\n"
        f"def file():\n    return {str(tmp_path / 'm.tflite')!r}\n\n"
        "def leaves():\n    raise SystemExit('no data')\n\n"
        "WORD = 'x'\n\n"
        f"def says():\n    print('building')\n    return {str(tmp_path / 'm.tflite')!r}\n"
    )
    (tmp_path / "fails.py").write_text("import nothing_like_it\n")
    (tmp_path / "syntax.py").write_text("def (:\n")
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)
    return path


def test_a_function_may_return_a_model_and_an_example(users_module: Path) -> None:
    del users_module
    named = call_named(Place("my_nets", "number"))
    assert (named.model, named.example_input) == (3, 4)
    assert str(Path.cwd()) not in sys.path


def test_a_function_may_return_a_path(users_module: Path) -> None:
    (users_module.parent / "m.tflite").write_bytes(write_tflite(dense()))
    assert read_any("my_nets:file").operators[0].op == "FULLY_CONNECTED"


def test_a_function_may_stand_in_a_file_and_print(
    users_module: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (users_module.parent / "m.tflite").write_bytes(write_tflite(dense()))
    assert read_any(f"{users_module}:says").operators[0].op == "FULLY_CONNECTED"
    # A report may go to stdout.
    assert capsys.readouterr() == ("", "building\n")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("my_nets:numbre", "did you mean number"),
        ("my_nets:other_thing", "my_nets has no 'other_thing'"),
        ("my_nets:WORD", "is a str, no function"),
        ("no_such_nets:f", "no file or folder, and no module 'no_such_nets'"),
        ("fails:f", "fails:f: ModuleNotFoundError: No module named 'nothing_like_it'"),
        ("syntax:f", "syntax:f: SyntaxError"),
        ("my_nets:broken", r"RuntimeError: no weights \(my_nets.py, line 8\)"),
        ("my_nets:leaves", r"SystemExit: no data \(my_nets.py, line 14\)"),
        ("my_nets:three", "returned 3 values"),
    ],
)
def test_a_function_that_gives_no_model_is_told_in_one_line(
    name: str, words: str, users_module: Path
) -> None:
    del users_module
    with pytest.raises(InputDataError, match=words) as caught:
        read_any(name)
    assert "\n" not in str(caught.value)


# Noise


def test_what_frameworks_print_is_kept_from_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet() as heard:
        print("from Python")
        print("a warning", file=sys.stderr)
        os.write(1, b"from C\n")
        os.write(2, b"an error of C\n")
    print("after")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("after\n", "")
    for line in ("from Python", "a warning", "from C", "an error of C"):
        assert line in heard.text


def test_the_terminal_is_back_after_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(ValueError), quiet():
        os.write(2, b"noise")
        raise ValueError
    os.write(2, b"visible")
    assert capfd.readouterr().err == "visible"
