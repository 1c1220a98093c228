"""`bench --adb`: runs that end half-way, and adb itself."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from adb_bench import Bench, left, played
from cli_tools import call, command, environment
from fake_adb import SERIAL, make_apk

from edge_autoglm import doctor
from edge_autoglm.adb import find_adb
from edge_autoglm.adb.device import read_devices
from edge_boards.doctor import Check

REAL_ADB = shutil.which("adb")  # before a stand-in is on PATH


@pytest.fixture
def bench(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    yield from played(tmp_path, capsys, monkeypatch)


def test_a_phone_that_is_unplugged_in_mid_run(bench: Bench) -> None:
    bench.phone.set(plays={"gpu": "unplugged"})
    done = bench("--json", str(bench.folder / "out.json"))
    assert done.code == 1
    assert f"{SERIAL} went away in mid-run; is the cable still in?" in done.err
    assert "may still be on it" in done.err
    assert not (bench.folder / "out.json").exists()


def test_a_phone_that_is_unplugged_while_the_model_is_pushed(bench: Bench) -> None:
    bench.phone.set(plays={"push": "unplugged"})
    done = bench()
    assert done.code == 1
    assert len(done.err.strip().splitlines()) == 3, "two lines of progress and one of the error"


def test_an_adb_that_is_killed_in_mid_run_is_told_from_a_phone_that_went(bench: Bench) -> None:
    bench.phone.set(plays={"cpu": "adb killed"})
    done = bench()
    assert done.code == 1
    assert "adb's connection was cut in mid-run" in done.err
    assert left(bench) == []
    assert bench.phone.app_pid is None


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("play", [{"cpu": "slow"}, {"push": "slow"}])
def test_an_interruption_leaves_nothing_on_the_phone(
    bench: Bench, play: dict[str, str], number: signal.Signals
) -> None:
    bench.phone.set(plays=play)
    begun: Callable[[], bool] = (
        (lambda: bench.phone.app_pid is not None)
        if "cpu" in play
        else (lambda: any("push" in call for call in bench.phone.calls))
    )
    with subprocess.Popen(
        command("bench", bench.model, "--adb"), env=environment(), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 60
        while not begun():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.strip().splitlines()[-1] == "edge-autoglm: interrupted"
    assert out == ""
    assert left(bench) == []
    assert bench.phone.app_pid is None


def test_no_adb(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    bench().refused("adb is not installed; install it: ")


def test_a_named_adb_that_is_not_there(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGE_AUTOGLM_ADB", "/nowhere/adb")
    bench().refused("EDGE_AUTOGLM_ADB: no program /nowhere/adb")


def test_an_adb_that_is_too_old(bench: Bench) -> None:
    bench.phone.set(version="1.0.31")
    done = bench()
    assert done.code == 1
    assert "is adb 1.0.31, 1.0.36 is needed" in done.err


def test_adb_is_found_in_the_sdk_and_where_it_is_named(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = bench.folder / "sdk" / "platform-tools"
    tools.mkdir(parents=True)
    shutil.move(bench.phone.bin / "adb", tools / "adb")
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT"):
        with monkeypatch.context() as patch:
            patch.setenv(name, str(tools.parent))
            assert find_adb().program == str(tools / "adb")
    broken = bench.folder / "broken" / "adb"  # for another processor, say: the next one serves
    broken.parent.mkdir()
    broken.write_bytes(b"\x7fELF")
    broken.chmod(0o755)
    with monkeypatch.context() as patch:
        patch.setenv("PATH", str(broken.parent))
        patch.setenv("ANDROID_HOME", str(tools.parent))
        assert find_adb().program == str(tools / "adb")
    monkeypatch.setenv("EDGE_AUTOGLM_ADB", str(tools / "adb"))
    assert find_adb().version == (1, 0, 41)


def test_doctor_tells_of_adb_and_how_it_is_installed(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def check() -> Check:
        return next(each for each in doctor.checks() if each.name == "adb")

    monkeypatch.setattr(doctor, "machine_checks", lambda: ())  # other tests', and slow
    monkeypatch.setattr(doctor, "gpu_checks", lambda: ())
    found = check()
    assert found.ok
    assert found.detail.startswith("1.0.41, platform-tools 34.0.5-debian, ")
    assert bench.phone.calls == [["version"]], "its server is not started"
    bench.phone.set(version="1.0.31")
    assert "is adb 1.0.31, 1.0.36 is needed" in check().detail
    monkeypatch.setenv("PATH", "/nowhere")
    missing = check()
    assert (missing.ok, missing.needed) == (False, False)
    assert missing.detail == "adb is not installed; needed for bench --adb only"
    assert "platform-tools" in missing.mend


@pytest.mark.parametrize(
    "options",
    [
        ["--accelerators", "npu"], ["--accelerators", ""], ["--accelerators", "cpu,cpu"],
        ["--precision", "int8"], ["--limit", "1"], ["--threads", "0"], ["--backends", "cpu"],
        ["--data", "x.npy"], ["--backends", "all"], ["--samples", "5"], ["--boards", "."],
        ["--accelerators", "cpu", "--precision", "float16"],
    ],
)  # fmt: skip
def test_wrong_usage_is_refused_before_adb_is_asked(bench: Bench, options: list[str]) -> None:
    done = bench(*options)
    assert done.code == 2
    assert bench.phone.calls == []


def test_a_phones_options_without_a_phone(bench: Bench) -> None:
    answer = call(bench.capsys, "bench", bench.model, "--serial", "x", "--limit", "9")
    answer.refused("--serial, --limit: only with --adb", code=2)


@contextlib.contextmanager
def real_adb() -> Iterator[tuple[str, dict[str, str]]]:
    """The real adb with a server of its own, which is ended afterwards."""
    if REAL_ADB is None:
        pytest.skip("no adb")
    program = REAL_ADB
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"ANDROID_ADB_SERVER_PORT": str(port)}
    try:
        yield program, environment
    finally:
        subprocess.run(
            [program, "kill-server"], env=os.environ | environment, check=False,
            capture_output=True, timeout=30,
        )  # fmt: skip


def test_the_real_adb_without_a_phone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its words are those that the stand-in says, and our calls are ones that it takes."""
    with real_adb() as (program, extra):
        for name, value in (extra | {"EDGE_AUTOGLM_ADB": program}).items():
            monkeypatch.setenv(name, value)
        if devices := read_devices(find_adb().call("devices", "-l").out):
            pytest.skip(f"a phone is attached: {devices[0]}")
        bench().refused("no phone is attached")
        for arguments in (
            ["devices", "-l"],
            ["-s", "none", "get-state"],
            ["-s", "none", "shell", "getprop"],
            ["-s", "none", "push", str(bench.model), "/data/local/tmp/x"],
            ["-s", "none", "install", "-r", "-d", "-g", str(make_apk(bench.folder / "x.apk"))],
        ):
            said = subprocess.run(
                [program, *arguments], capture_output=True, text=True, check=False,
                timeout=60,
            )  # fmt: skip
            words = said.stdout + said.stderr
            assert "usage" not in words.lower()
            assert "unknown" not in words.lower()
            if arguments[0] == "-s":
                assert said.returncode != 0
                assert "device 'none' not found" in words
