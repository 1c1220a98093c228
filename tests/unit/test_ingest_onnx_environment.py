"""The environment for ONNX: a whole one is used, half of one is made anew, nothing is left over."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from edge_quantize.errors import ConversionError
from edge_quantize.ingest import onnx_environment as oe

VERSIONS = {"onnx2tf": "1.29.24", "onnxruntime": "1.23.0", "tensorflow": "2.19.0"}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("EDGE_AUTOGLM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Puts a stand-in for Python in place: `-m venv DIR` makes DIR with a copy of it, `-m pip` does
    what the shell line says, `-c` prints the versions. It writes down how it was called."""

    def put(pip: str = "true") -> Path:
        path = tmp_path / "python"
        path.write_text(
            "#!/bin/sh\n"
            f'echo "$@" >> {tmp_path}/calls\n'
            'case "$2" in\n'
            f'venv) mkdir -p "$3/bin" && cp {path} "$3/bin/python" ;;\n'
            f"pip) {pip} ;;\n"
            f"*) echo '{json.dumps(VERSIONS)}' ;;\n"
            "esac\n"
        )
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        monkeypatch.setattr(oe, "_base_python", lambda: str(path))
        return tmp_path / "calls"

    return put


def test_it_is_made_once_and_found_again(python: Callable[[str], Path], cache: Path) -> None:
    calls, said = python("true"), list[str]()
    made = oe.prepare_environment(said.append)
    assert made.versions == VERSIONS
    assert made.folder.is_relative_to(cache)
    assert len(said) == 1
    assert str(made.folder) in said[0]
    assert "install --quiet --disable-pip-version-check onnx2tf==" in calls.read_text()
    calls.unlink()
    assert oe.prepare_environment(said.append) == made
    assert not calls.exists()
    assert len(said) == 1


def test_half_of_one_is_not_taken_for_whole(python: Callable[[str], Path]) -> None:
    folder = oe.environment_folder()
    (folder / "bin").mkdir(parents=True)
    (folder / "bin/python").write_text("")
    (folder / "left_over").write_text("")
    assert oe.find_environment() is None
    python("true")
    oe.prepare_environment(lambda _: None)
    assert not (folder / "left_over").exists()


@pytest.mark.parametrize("content", ["", "[]", "{", "null"])
def test_a_damaged_stamp_is_none(content: str) -> None:
    folder = oe.environment_folder()
    folder.mkdir(parents=True)
    (folder / "complete.json").write_text(content)
    assert oe.find_environment() is None


def test_a_stamp_whose_python_is_gone_is_none() -> None:
    folder = oe.environment_folder()
    folder.mkdir(parents=True)
    (folder / "complete.json").write_text(json.dumps(VERSIONS))
    assert oe.find_environment() is None


def test_pips_own_reason_is_said_and_nothing_stays(python: Callable[[str], Path]) -> None:
    python("echo 'ERROR: Could not find a version that satisfies it' >&2; exit 1")
    with pytest.raises(ConversionError, match="pip: ERROR: Could not find a version"):
        oe.prepare_environment(lambda _: None)
    assert not oe.environment_folder().exists()


def test_an_interruption_leaves_nothing(
    python: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    python("true")
    whole = oe._run

    def interrupted(command: list[str], who: str) -> str:
        if who == "pip":
            raise KeyboardInterrupt
        return whole(command, who)

    monkeypatch.setattr(oe, "_run", interrupted)
    with pytest.raises(KeyboardInterrupt):
        oe.prepare_environment(lambda _: None)
    assert not oe.environment_folder().exists()


def test_too_little_room_is_said_before_anything_is_made(
    python: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = python("true")
    monkeypatch.setattr(oe, "_DISK_BYTES", 1 << 62)
    with pytest.raises(ConversionError, match=r"MiB are free.*EDGE_AUTOGLM_CACHE"):
        oe.prepare_environment(lambda _: None)
    assert not calls.exists()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no POSIX permissions here")
def test_a_cache_that_cannot_be_made_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, python: Callable[[str], Path]
) -> None:
    python("true")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EDGE_AUTOGLM_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(ConversionError, match=r"cannot be made in .*file/cache"):
        oe.prepare_environment(lambda _: None)


def test_another_python_is_looked_for_where_this_one_is_too_new(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oe, "_PYTHONS", ((3, 2), (3, 3)))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConversionError, match=r"one of Python 3.2, 3.3 on the PATH"):
        oe._base_python()
    older = tmp_path / "python3.2"
    older.write_text("#!/bin/sh\n")
    older.chmod(0o755)
    assert oe._base_python() == str(older)
