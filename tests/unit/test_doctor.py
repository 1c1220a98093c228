"""`doctor` tries what it names, and says how to mend what fails."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path

import pytest

from edge_boards.doctor import Check, checks


def by_name(found: tuple[Check, ...]) -> dict[str, Check]:
    return {check.name: check for check in found}


def test_a_machine_that_runs_these_tests_is_well() -> None:
    found = by_name(checks())
    for name in ("board files", "board compiler zig", "host compiler", "unicorn", "capstone"):
        assert found[name].ok, found[name]
    assert "boards" in found["board files"].detail
    assert all(bool(check.mend) != check.ok for check in found.values())


def test_without_any_compiler_each_way_to_get_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLATFORMIO_CORE_DIR", str(tmp_path))
    monkeypatch.setattr("edge_boards.toolchain.zig.importlib.util.find_spec", lambda _: None)
    found = by_name(checks())
    for name in ("board compiler gcc", "board compiler zig", "host compiler"):
        assert not found[name].ok
        assert found[name].needed
    # TFLM alone is C++.
    assert not found["arm-none-eabi-g++"].ok
    assert not found["arm-none-eabi-g++"].needed
    assert "--runtime tflm" in found["arm-none-eabi-g++"].detail
    assert "pip install ziglang" in found["board compiler zig"].mend


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script stands in for the compiler")
def test_a_compiler_that_is_installed_but_broken_is_no_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "arm-none-eabi-gcc"
    broken.write_text("#!/bin/sh\necho cannot load libmpfr >&2\nexit 127\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    found = by_name(checks())["board compiler gcc"]
    assert not found.ok
    assert str(broken) in found.detail


def test_a_broken_board_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text("schema = 1\n")
    monkeypatch.setenv("EDGE_AUTOGLM_BOARDS", str(tmp_path))
    found = by_name(checks())["board files"]
    assert not found.ok
    assert f"{tmp_path / 'mine.toml'}:1: key " in found.detail


def test_install_lines_can_be_pasted_into_any_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("edge_boards.doctor.metadata.version", absent)
    found = by_name(checks())
    for name in ("unicorn", "capstone"):
        assert found[name].mend.endswith(" -m pip install 'edge-autoglm[virtual]'")
