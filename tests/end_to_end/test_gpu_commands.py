"""`setup gpu` and `doctor` as a user runs them: interrupted, on a full disk, and well."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import apt_standin
import pytest
from cli_tools import Program, command, of
from gpu_drivers import any_driver, swiftshader

from edge_quantize.gpu.driver import LIBRARY

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the packages are Linux's")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Program:
    """With an empty cache, an empty temporary folder, and an apt-get that fetches nothing big."""
    packages = tmp_path / "packages"
    packages.mkdir()
    for name in ("chromium-common", "libvulkan1"):
        apt_standin.package(packages, name, "1.0-1", {"usr/share/x": Path(__file__)})
    apt_standin.install(tmp_path / "programs", packages)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "programs"), prepend=os.pathsep)
    monkeypatch.setenv("EDGE_AUTOGLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    return Program(tmp_path)


def left(program: Program) -> list[Path]:
    return [
        path
        for name in ("cache", "temporary")
        for path in program.folder.joinpath(name).rglob("*")
        if path.is_file()
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing_behind(
    program: Program, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(apt_standin.PLAYS, "hangs")
    running = subprocess.Popen(
        command("setup", "gpu", "--force"), cwd=program.folder, env=program.environment(),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not left(program) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert left(program)
        os.killpg(running.pid, number)
        out, err = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 130, err
    assert err.strip().endswith("edge-autoglm: interrupted")
    assert out == ""
    assert not left(program)


def test_a_disk_that_fills_up_is_named(program: Program) -> None:
    """`ulimit -f` stops writing in the middle, as a full disk does."""
    real = swiftshader()
    assert real.icd is not None
    place = program.folder / "place"
    place.mkdir()
    (place / LIBRARY).symlink_to(real.icd.parent / LIBRARY)
    script = 'ulimit -f 1000; exec "$@"'
    done = subprocess.run(
        ["bash", "-c", script, "-", *command("setup", "gpu", "--from", place)],
        cwd=program.folder, env=program.environment(), capture_output=True, text=True, timeout=120,
        check=False,
    )  # fmt: skip
    of(done).refused("File too large", "EDGE_AUTOGLM_CACHE")
    assert not left(program)


def test_doctor_and_setup_agree(program: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    any_driver()
    monkeypatch.delenv("EDGE_AUTOGLM_CACHE")  # doctor's compilers fill it
    answer = program.run("setup", "gpu", "--json", "setup.json")
    assert answer.returncode == 0, answer.stderr
    run = json.loads((program.folder / "setup.json").read_text())
    told = json.loads(program.run("doctor", "--json", "-").stdout)
    check = next(each for each in told["checks"] if each["name"] == "GPU check")
    assert check["ok"]
    assert run["adapter"] in check["detail"]
    assert not left(program)
