"""The host's compiler: found, named, and its libraries whole or absent."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest

from edge_boards import ToolchainError
from edge_boards.toolchain import HostCompiler, find_host_compiler

SOURCE = "int twice(int a);\nint twice(int a) { return 2 * a; }\n"


@pytest.fixture(params=[None, "zig"], ids=["first found", "zig"])
def compiler(request: pytest.FixtureRequest) -> HostCompiler:
    return find_host_compiler(request.param)


def test_a_shared_library_is_built_and_called(tmp_path: Path, compiler: HostCompiler) -> None:
    (tmp_path / "twice.c").write_text(SOURCE)
    made = compiler.shared_library([tmp_path / "twice.c"], tmp_path / "out" / "twice.so")
    assert ctypes.CDLL(str(made)).twice(21) == 42
    assert [path.name for path in made.parent.iterdir()] == ["twice.so"]


def test_a_library_may_call_the_c_library(tmp_path: Path, compiler: HostCompiler) -> None:
    (tmp_path / "length.c").write_text(
        "#include <string.h>\nint length(const char *s);\n"
        "int length(const char *s) { return (int)strlen(s); }\n"
    )
    made = compiler.shared_library([tmp_path / "length.c"], tmp_path / "length.so")
    assert ctypes.CDLL(str(made)).length(b"seven b") == 7


def test_a_program_is_built_and_run(tmp_path: Path, compiler: HostCompiler) -> None:
    (tmp_path / "say.c").write_text(
        '#include <stdio.h>\nint main(void) { return !puts("hello"); }\n'
    )
    made = compiler.program([tmp_path / "say.c"], tmp_path / "say")
    assert subprocess.run([str(made)], capture_output=True, check=True).stdout == b"hello\n"


def test_an_error_leaves_the_library_before_it(tmp_path: Path, compiler: HostCompiler) -> None:
    source, output = tmp_path / "twice.c", tmp_path / "twice.so"
    source.write_text(SOURCE)
    before = compiler.shared_library([source], output).read_bytes()
    source.write_text(SOURCE.replace("2 * a", "2 * b"))
    with pytest.raises(ToolchainError, match=r"could not compile .*twice\.c: .*b"):
        compiler.shared_library([source], output)
    assert output.read_bytes() == before


def test_without_a_compiler_on_path_zig_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert find_host_compiler().name == "zig"
    with pytest.raises(ToolchainError, match=r"no C compiler for this machine \(gcc\)"):
        find_host_compiler("gcc")
