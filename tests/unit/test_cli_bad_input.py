"""Bad input to the commands that need no board: one clear line, the right code, nothing left."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from aot_models import classifier
from cli_tools import call, environment

from edge_export.sealed import digest
from edge_quantize.graph.builder import GraphBuilder
from edge_quantize.graph.writer import write_tflite

ROOT = Path(__file__).resolve().parents[2]
BOARD = ["--board", "stm32f746"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGE_AUTOGLM_STATE", str(tmp_path / ".state"))
    yield
    assert not list(tmp_path.rglob("*.tmp*"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.tflite"
    path.write_bytes(write_tflite(classifier()))
    return path


def left_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def dense(name: str, columns: int, rows: int) -> bytes:
    """One fully connected layer with `columns` x `rows` weights."""
    b = GraphBuilder(name)
    x = b.input("x", (1, columns), scale=0.1)
    w = b.weights("w", np.ones((rows, columns), np.int8), [0.01])
    return write_tflite(b.build([b.fully_connected(x, w, None, 0.2, 0)]))


def wide(name: str, side: int) -> bytes:
    """A 1x1 convolution between two images of `side` x `side` x 16."""
    b = GraphBuilder(name)
    x = b.input("x", (1, side, side, 16), scale=0.1)
    w = b.weights("w", np.ones((16, 1, 1, 16), np.int8), [0.01])
    y = b.conv_2d(x, w, None, 0.2, 0)
    return write_tflite(b.build([b.conv_2d(y, w, None, 0.3, 0)]))


# Models


@pytest.mark.parametrize("verb", ["inspect", "export", "flash", "verify"])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "no such file"),
        (b"", "the file is empty"),
        (bytes(range(256)) * 8, "not a .tflite file"),
        (b"<!DOCTYPE html>", "saved web page"),
        (b"\x1c\0\0\0TFL3" + b"\xff" * 200, ""),
    ],
    ids=["missing", "empty", "random", "web page", "damaged"],
)
def test_a_file_that_is_no_model_is_refused_by_every_command(
    verb: str, content: bytes | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.tflite"
    if content is not None:
        path.write_bytes(content)
    before = left_in(tmp_path)
    options = [*BOARD, *(["--port", "virtual"] if verb == "flash" else [])]
    call(capsys, verb, path, *options).refused("bad.tflite", words)
    assert left_in(tmp_path) == before


def test_a_folder_is_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call(capsys, "inspect", tmp_path).refused("is a directory")
    call(capsys, "flash", tmp_path, *BOARD, "--port", "virtual").refused("export.json")


def test_a_model_nobody_may_read_is_refused(
    model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The superuser may read everything, so the system's refusal is played."""
    opened = Path.open

    def closed(path: Path, *arguments: object, **options: object) -> object:
        if path == model:
            raise PermissionError(13, "Permission denied", str(path))
        return opened(path, *arguments, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", closed)
    call(capsys, "inspect", model).refused("tiny.tflite", "permission")


def test_a_float_model_is_told_to_be_converted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from edge_quantize.graph import DType

    b = GraphBuilder("float")
    x = b.input("x", (1, 4), dtype=DType.FLOAT32)
    y = b.operator("RELU", (x,), dtype=DType.FLOAT32)
    (tmp_path / "float.tflite").write_bytes(write_tflite(b.build([y])))
    call(capsys, "export", "float.tflite", *BOARD).refused("float", "int8")
    assert left_in(tmp_path) == {"float.tflite"}
    looked = call(capsys, "inspect", "float.tflite")
    assert looked.code == 1
    assert "Not possible" in looked.out
    assert "1 problem stands in the way" in looked.err


def test_every_unsupported_operator_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    b = GraphBuilder("odd")
    x = b.input("x", (1, 8), scale=0.1)
    y = b.operator("HARD_SWISH", (x,), shape=(1, 8))
    z = b.operator("ELU", (y,), shape=(1, 8))
    (tmp_path / "odd.tflite").write_bytes(write_tflite(b.build([z])))
    answer = call(capsys, "export", "odd.tflite", *BOARD)
    answer.refused("odd: ", "HARD_SWISH", "ELU")
    assert left_in(tmp_path) == {"odd.tflite"}


def test_a_model_too_big_for_the_flash_is_refused_with_what_fills_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "big.tflite").write_bytes(dense("big", 1200, 1000))
    line = call(capsys, "export", "big.tflite", *BOARD).refused("flash", "1,048,576")
    assert "1,200,000" in line or "1,204,000" in line
    assert left_in(tmp_path) == {"big.tflite"}
    looked = call(capsys, "inspect", "big.tflite", *BOARD)
    assert looked.code == 1
    assert "flash" in looked.out


def test_a_model_too_big_for_the_ram_is_refused_with_what_fills_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "wide.tflite").write_bytes(wide("wide", 160))
    call(capsys, "export", "wide.tflite", *BOARD).refused("409,600", "262,144", "smaller input")
    assert left_in(tmp_path) == {"wide.tflite"}


# Boards


def test_an_unknown_board_is_answered_with_the_nearest_names(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "boards", "show", "stm32f764").refused("stm32f746")
    call(capsys, "inspect", model, "--board", "stm32f7").refused("stm32f746")
    call(capsys, "virtual", "start", "nucleo").refused("nucleo", "boards")


def test_a_bad_board_file_is_named_with_line_and_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "boards/catalog/stm32f746.toml").read_text(encoding="utf-8")
    name = next(line for line in text.splitlines() if line.startswith("name = "))
    lines = text.replace(name, 'name = "mine"').replace("hz = 216", "hz = -216", 1).splitlines()
    number = next(i for i, line in enumerate(lines, 1) if "-216" in line)
    (tmp_path / "mine.toml").write_text("\n".join(lines), encoding="utf-8")
    call(capsys, "boards", "show", "mine.toml").refused(f"mine.toml:{number}:", "clock.hz")
    (tmp_path / "mine.toml").write_text("name = \n", encoding="utf-8")
    call(capsys, "boards", "show", "mine.toml").refused("mine.toml:1:", "TOML")


def test_a_folder_of_boards_that_is_not_there_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    call(capsys, "boards", "--boards", "nowhere").refused("nowhere", "folder")


# Folders and plans


def test_an_output_folder_that_is_somebodys_is_left_alone(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("years of work", encoding="utf-8")
    call(capsys, "export", model, *BOARD, "-o", theirs).refused("theirs", "-o")
    assert left_in(theirs) == {"thesis.txt"}


def test_a_plan_that_is_wrong_is_refused_with_its_file(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = tmp_path / "plan.json"
    options = ["export", model, *BOARD, "-o", "out", "--plan", plan]
    call(capsys, *options).refused("plan.json")
    plan.write_text("{", encoding="utf-8")
    call(capsys, *options).refused("plan.json", "JSON")
    plan.write_text("{}", encoding="utf-8")
    call(capsys, *options).refused("plan.json", "schema")
    assert call(capsys, "export", model, *BOARD, "-o", "good").code == 0
    document = json.loads((tmp_path / "good" / "plan.json").read_text(encoding="utf-8"))
    document["buffers"][0]["region"] = "moon"
    plan.write_text(json.dumps(document), encoding="utf-8")
    call(capsys, *options).refused("plan.json", "moon")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_was_changed_since_its_export_is_not_built(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "export", model, *BOARD, "-o", "out").code == 0
    source = tmp_path / "out" / "src" / "tiny.c"
    source.write_text(source.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    call(capsys, "build", "out").refused("tiny.c", "changed", "export")
    source.unlink()
    call(capsys, "build", "out").refused("tiny.c", "export")
    (tmp_path / "out" / "export.json").write_text("[]", encoding="utf-8")
    call(capsys, "build", "out").refused("export.json", "export")
    assert not (tmp_path / "out" / "build").exists()


def test_a_folder_exported_for_another_board_is_not_flashed(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = (ROOT / "boards/catalog/stm32f746.toml").read_text(encoding="utf-8")
    text = text.replace('name = "stm32f746"', 'name = "other"', 1)
    lines = [line for line in text.splitlines() if not line.startswith("aliases = [")]
    (tmp_path / "other.toml").write_text("\n".join(lines), encoding="utf-8")
    options = ["--boards", tmp_path]
    made = call(capsys, "export", model, "--board", "other", *options, "-o", "out")
    assert made.code == 0, made.err
    call(capsys, "flash", "out", *BOARD, "--port", "virtual").refused(
        "other", "stm32f746", "--board", code=2
    )
    again = ["flash", "out", "--board", "other", *options, "--port", "virtual", "-o", "x"]
    call(capsys, *again).refused("-o", code=2)


# Compilers


def test_without_any_compiler_the_ways_to_get_one_are_named(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "export", model, *BOARD, "-o", "out").code == 0
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
    monkeypatch.setattr("edge_boards.toolchain.zig.importlib.util.find_spec", lambda _: None)
    answer = call(capsys, "build", "out")
    last = answer.err.strip().splitlines()[-1]
    assert answer.code == 1
    assert "ziglang" in last
    assert "arm-none-eabi-gcc" in last
    assert not list((tmp_path / "out").glob("build/*"))


def test_a_compiler_nobody_knows_is_refused(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "export", model, *BOARD, "-o", "out").code == 0
    for arguments in (["build", "out"], ["flash", model, *BOARD, "--port", "virtual"]):
        answer = call(capsys, *arguments, "--toolchain", "cobol")
        answer.refused("cobol", "gcc", "zig", code=2)  # one line: nothing was begun


def test_the_compilers_that_an_option_names_are_those_there_are() -> None:
    from edge_autoglm.cli.common import TOOLCHAINS
    from edge_boards import toolchain

    assert tuple(toolchain._FINDERS) == TOOLCHAINS


def test_a_model_is_not_built_but_exported_first(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "build", model).refused("tiny.tflite", "`export`", "`flash`", code=2)
    assert left_in(tmp_path) == {"tiny.tflite"}


def test_a_compilers_error_names_the_source(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(capsys, "export", model, *BOARD, "-o", "out").code == 0
    source, listing = tmp_path / "out/src/tiny.c", tmp_path / "out/export.json"
    source.write_text("int x = ;\n", encoding="utf-8")
    document = json.loads(listing.read_text(encoding="utf-8"))
    document["files"]["src/tiny.c"] = hashlib.sha256(source.read_bytes()).hexdigest()
    document["digest"] = digest(document)
    listing.write_text(json.dumps(document), encoding="utf-8")
    answer = call(capsys, "build", "out")
    assert answer.code == 1
    assert "Traceback" not in answer.err
    line = next(line for line in answer.err.splitlines() if line.startswith("edge-autoglm: "))
    assert "tiny.c" in line
    assert "expected" in line
    assert not list((tmp_path / "out").glob("build/*"))


# Outputs


@pytest.mark.parametrize(
    "arguments",
    [
        ["inspect", "MODEL"],
        ["export", "MODEL", *BOARD],
        ["flash", "MODEL", *BOARD, "--port", "virtual"],
        ["profile", *BOARD, "--port", "virtual"],
        ["virtual", "start", "stm32f746"],
    ],
)
def test_a_json_file_that_cannot_be_written_is_refused_before_any_work(
    arguments: list[str], model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(model) if argument == "MODEL" else argument for argument in arguments]
    call(capsys, *given, "--json", tmp_path / "no" / "x.json").refused("no", "folder")
    call(capsys, *given, "--json", tmp_path).refused("is a folder")
    assert left_in(tmp_path) == {"tiny.tflite"}


def test_json_lines_into_a_folder_that_is_not_there_are_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call(capsys, "monitor", *BOARD, "--port", "virtual", "--jsonl", "no/x").refused("no", "folder")
    assert left_in(tmp_path) == set()


def test_a_bundles_folder_that_is_taken_is_refused_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").mkdir()
    options = [*BOARD, "--port", "virtual", "--bundle", "taken"]
    call(capsys, "profile", *options).refused("taken", "--bundle")
    assert left_in(tmp_path) == {"taken"}


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
@pytest.mark.parametrize("verb", ["export", "build"])
def test_a_disk_that_is_full_leaves_nothing(
    verb: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No file may grow past 3,000 bytes, as if the disk ended there."""
    arguments = ["export", model, *BOARD, "-o", "out"]
    if verb == "build":
        assert call(capsys, *arguments).code == 0
        arguments = ["build", "out"]
    before = sorted(tmp_path.rglob("*"))
    limited = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000)); "
        "from edge_autoglm.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", limited, *map(str, arguments)],
        env=environment(EDGE_AUTOGLM_CACHE=str(tmp_path.parent / f"cache-{verb}")),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    line = next(line for line in done.stderr.splitlines() if line.startswith("edge-autoglm: "))
    assert "cannot" in line or "could not" in line
    assert [p for p in sorted(tmp_path.rglob("*")) if p.name != "build"] == before


# Data


@pytest.mark.parametrize(
    ("name", "array", "words"),
    [
        ("nan.npy", np.full((1, 8, 8, 3), np.nan, np.float32), "NaN"),
        ("shape.npy", np.zeros((3, 7), np.int8), "[1, 8, 8, 3]"),
        ("range.npy", np.full((1, 8, 8, 3), 500, np.int32), "500"),
        ("text.npy", np.array(["x"]), ""),
        ("size.bin", b"x" * 193, "192"),
        ("empty.bin", b"", "empty"),
        ("no.npz", b"no archive", "no.npz"),
        ("missing.bin", None, "no such file"),
    ],
)
def test_data_that_does_not_fit_the_model_is_refused(
    name: str,
    array: np.ndarray | bytes | None,
    words: str,
    model: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if isinstance(array, bytes):
        (tmp_path / name).write_bytes(array)
    elif array is not None:
        np.save(tmp_path / name, array)
    call(capsys, "verify", model, *BOARD, "--data", tmp_path / name).refused(name, words)


def test_a_plain_error_of_ours_shows_its_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is not the user's fault is not dressed up as if it were."""
    monkeypatch.setattr("edge_boards.list_boards", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        call(capsys, "boards")
