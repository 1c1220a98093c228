"""`bench --adb`: a phone behind a stand-in for adb (fake_adb), in every state it can be in."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from cli_tools import Answer, call, command, environment
from fake_adb import SERIAL, FakePhone, make_apk

from edge_autoglm import doctor
from edge_autoglm.adb import Settings, benchmark, find_adb, follow, run_on_phone
from edge_autoglm.adb.benchmark import app_arguments
from edge_autoglm.adb.device import choose, describe, read_devices
from edge_autoglm.errors import PhoneError
from edge_autoglm.report import phone as report
from edge_boards.doctor import Check

REAL_ADB = shutil.which("adb")  # before a stand-in is on PATH
MODELS = Path(__file__).parents[1] / "golden" / "models"
SCHEMA = json.loads(
    Path(report.__file__).with_name("phone.schema.json").read_text(encoding="utf-8")
)


class Bench:
    """`edge-autoglm bench MODEL --adb` with the stand-in on PATH, in this process."""

    def __init__(self, phone: FakePhone, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.phone, self.folder, self.capsys = phone, folder, capsys
        self.model = sorted(MODELS.glob("*.tflite"))[0]

    def __call__(self, *options: object) -> Answer:
        return call(self.capsys, "bench", self.model, "--adb", *options)

    def json(self, *options: object) -> tuple[Answer, dict[str, Any]]:
        path = self.folder / "result.json"
        done = self(*options, "--json", path)
        document = json.loads(path.read_text(encoding="utf-8"))
        jsonschema.validate(document, SCHEMA)
        return done, document


@pytest.fixture
def bench(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    phone = FakePhone(tmp_path)
    for name in ("ANDROID_HOME", "ANDROID_SDK_ROOT", "EDGE_AUTOGLM_ADB"):
        monkeypatch.delenv(name, raising=False)
    for name, value in phone.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    yield Bench(phone, tmp_path, capsys)
    # On a phone that "went away" the app goes on, as on a real one.
    if phone.app_pid is not None:
        os.kill(phone.app_pid, signal.SIGKILL)


def said(answer: Answer) -> str:
    """All words, as one line."""
    return " ".join((answer.out + " " + answer.err).split())


def left(bench: Bench) -> list[Path]:
    return list(bench.phone.tmp.iterdir())


def test_the_cpu_and_the_gpu_are_measured_and_the_phone_is_named(bench: Bench) -> None:
    done, document = bench.json()
    assert done.code == 0, done.err
    assert "measured on Pixel 7, Android 14, Google GS201" in said(done)
    assert "the GPU (OpenCL) ran the whole model" in said(done)
    assert "on average the GPU is 4.00 times faster than the CPU" in said(done)
    assert all(len(line) <= 80 for line in done.out.splitlines())
    cpu, gpu = document["runs"]
    assert (cpu["ran_on"], gpu["ran_on"]) == ("CPU", "GPU")
    assert gpu["times"] | {"average_us": 1234.5, "median_us": 1230.5} == gpu["times"]
    assert cpu["memory_bytes"] == 7.25 * 2**20
    assert cpu["before"] == {
        "thermal": 0, "battery": 83, "battery_celsius": 28.7, "power_save": False, "awake": True,
    }  # fmt: skip
    assert document["app_sha256"] is not None
    assert left(bench) == [], "nothing stays on the phone"
    assert bench.phone.app_pid is None
    assert [each.name for each in threading.enumerate() if "_read" in each.name] == []


def test_whose_runtime_was_measured_is_said_with_the_figures_and_in_the_json(bench: Bench) -> None:
    done, document = bench.json("--accelerators", "cpu")
    assert "the app runs TensorFlow Lite's Interpreter" in said(done)
    assert "runs LiteRT's CompiledModel, which is other code" in said(done)
    assert document["runtime"] == "TensorFlow Lite Interpreter"
    assert any("CompiledModel" in note for note in document["notes"])


def test_a_phone_and_an_adb_of_old_are_understood(bench: Bench) -> None:
    """Lines end in \\r\\r\\n, adb's chatter is on stdout, the shell's exit code is lost."""
    bench.phone.set(old=True, thermal=None)
    done, document = bench.json()
    assert done.code == 0, done.err
    assert "measured on Pixel 7, Android 14, Google GS201" in said(done)
    assert document["app_sha256"] is not None
    assert document["runs"][1]["ran_on"] == "GPU"
    assert document["runs"][0]["before"]["battery"] == 83
    assert left(bench) == []
    bench.phone.set(plays={"push": "cut"})
    assert "bytes arrived on Pixel 7" in bench().err


@pytest.mark.parametrize(
    "name", ["-my model.tflite", 'it\'s "q" [b] $(x) `y`;.tflite', "größe 模型.tflite"]
)
def test_a_models_name_may_hold_anything(
    bench: Bench, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(bench.folder)
    shutil.copy(bench.model, name)
    bench.model = Path("./", name)  # which is the bare name
    apk = make_apk(Path(name).with_suffix(".apk"))
    answer = call(
        bench.capsys, "bench", "--adb", "--accelerators", "cpu", f"--apk={apk}", "--json", "r.json",
        "--", bench.model,
    )  # fmt: skip
    assert answer.code == 0, answer.err
    assert json.loads(Path("r.json").read_text("utf-8"))["model"]["name"] == name
    assert name in answer.err
    assert left(bench) == []


def test_the_app_gets_what_was_asked_for(bench: Bench) -> None:
    assert bench("-n", "7", "--threads", "2", "--precision", "float32", "--limit", "50").code == 0
    cpu, gpu = bench.phone.app_runs
    assert "--num_runs=7" in cpu
    assert "--num_threads=2" in cpu
    assert "--max_secs=20" in cpu
    assert "use_gpu" not in cpu
    assert "--use_gpu=true --gpu_precision_loss_allowed=false" in gpu


def test_arguments_have_no_spaces_inside_as_the_app_splits_at_them() -> None:
    words = app_arguments("/data/local/tmp/m.tflite", "gpu", Settings(threads=3)).split()
    assert all(word.startswith("--") and "=" in word for word in words)


def test_a_part_on_the_gpu_is_no_gpu_figure(bench: Bench) -> None:
    bench.phone.set(plays={"gpu": "part"})
    done, document = bench.json()
    assert done.code == 0
    assert document["runs"][1]["ran_on"] == "GPU+CPU"
    assert "ran only 23 of 31 operators, the CPU the rest: UNPACK: Operation" in said(done)
    assert "times faster" not in said(done)


@pytest.mark.parametrize(
    ("play", "place", "words"),
    [
        ("none", "CPU", "the GPU took nothing, these are the CPU's figures"),
        ("unsupported", "CPU", "GPU acceleration is unsupported on this platform"),
        ("unsaid", "not shown", "the log does not say that the GPU took the model"),
        ("fails", "failed", "Failed to apply GPU delegate: Can not open OpenCL library"),
        ("invoke fails", "failed", "Node number 3 (TfLiteGpuDelegateV2) failed to invoke"),
        ("native crash", "failed", "the app crashed (SIGSEGV) while running the model"),
        ("java crash", "failed", "the app crashed: java.lang.UnsatisfiedLinkError"),
        ("no memory", "failed", "the system killed the app to free memory"),
        ("no load", "failed", "not a valid Flatbuffer file"),
    ],
)
def test_a_gpu_that_did_not_run_the_model_fails_aloud(
    bench: Bench, play: str, place: str, words: str
) -> None:
    bench.phone.set(plays={"gpu": play})
    done, document = bench.json("--accelerators", "gpu")
    assert done.code == 1
    assert words in said(done)
    assert document["runs"][0]["ran_on"] == place
    assert not document["good"]
    assert left(bench) == []


def test_the_cpu_keeps_its_figures_where_the_gpu_fails(bench: Bench) -> None:
    bench.phone.set(plays={"gpu": "fails"})
    done, document = bench.json()
    assert done.code == 1
    assert [run["good"] for run in document["runs"]] == [True, False]


def test_a_run_that_does_not_end_is_ended(bench: Bench) -> None:
    bench.phone.set(plays={"cpu": "slow"})
    done, document = bench.json("--limit", "8", "--accelerators", "cpu")
    assert done.code == 1
    assert "no result within 8 s, it was still running the model; raise --limit" in said(done)
    assert document["runs"][0]["ran_on"] == "failed"
    assert bench.phone.app_pid is None


def test_an_app_that_does_not_begin_is_not_waited_for_long(bench: Bench) -> None:
    bench.phone.set(plays={"cpu": "silent"})
    done = bench("--limit", "5", "--accelerators", "cpu")
    assert done.code == 1
    assert "the app did not begin within 5 s; unlock the phone" in said(done)


def test_an_app_without_a_line_on_memory_gives_its_times(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benchmark, "_MEMORY_SECONDS", 0.5)
    bench.phone.set(plays={"cpu": "no memory line"})
    done, document = bench.json("--accelerators", "cpu")
    assert done.code == 0
    assert document["runs"][0]["memory_bytes"] is None


def test_a_phone_that_throttles_is_named(bench: Bench) -> None:
    bench.phone.set(plays={"gpu": "hot"}, low_power=1, wake="Asleep")
    done, document = bench.json()
    assert "throttling (thermal status severe)" in said(done)
    assert "battery saver is on" in said(done)
    assert "the screen was off" in said(done)
    assert document["runs"][1]["after"]["thermal"] == 3


def test_an_old_android_tells_no_thermal_status(bench: Bench) -> None:
    bench.phone.set(thermal=None)
    assert bench.json("--accelerators", "cpu")[1]["runs"][0]["before"]["thermal"] is None


def test_an_emulators_figures_are_not_a_phones(bench: Bench) -> None:
    bench.phone.set(props=bench.phone.state["props"] | {"ro.boot.qemu": "1"})
    phone = describe(choose(find_adb(), None))
    assert phone.emulator
    assert any("this is an emulator" in note for note in benchmark.notes_on(phone, "0" * 64))


def test_a_chip_is_named_by_its_platform_where_android_is_old(bench: Bench) -> None:
    props = bench.phone.state["props"]
    bench.phone.set(props={k: v for k, v in props.items() if not k.startswith("ro.soc.")})
    assert describe(choose(find_adb(), None)).title == "Pixel 7, Android 14, gs201"


# --- the phone is not ready --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("unauthorized", "unlock it and allow USB debugging"),
        ("offline", "unplug it and plug it in again"),
        ("recovery", "let it start Android"),
        ("no permissions", "see the udev rules"),
    ],
)
def test_a_phone_that_is_not_ready_says_what_to_do(bench: Bench, state: str, words: str) -> None:
    bench.phone.set(devices=[[SERIAL, state, "(user in plugdev group); see [http://x]"]])
    done = bench()
    assert done.code == 1
    assert f"{SERIAL} is {state}: " in done.err
    assert words in done.err
    assert done.out == ""


def test_no_phone(bench: Bench) -> None:
    bench.phone.set(devices=[])
    done = bench()
    assert done.code == 1
    assert "no phone is attached; plug one in, and turn on USB debugging" in done.err


def test_two_phones_are_listed_and_one_can_be_chosen(bench: Bench) -> None:
    bench.phone.set(devices=[
        [SERIAL, "device", "model:Pixel_7"], ["emulator-5554", "device", "model:sdk_gphone64"],
    ])  # fmt: skip
    done = bench()
    assert done.code == 1
    assert f"2 phones; choose one with --serial: {SERIAL} Pixel 7 (device); emulator-5554" in (
        done.err
    )
    assert choose(find_adb(), SERIAL).serial == SERIAL
    with contextlib.suppress(PhoneError):  # the app is not there
        bench.phone.remove_app()
        run_on_phone(bench.model, Settings(serial=SERIAL))
    on_a_phone = [call for call in bench.phone.calls if call[0] not in ("version", "devices")]
    assert on_a_phone
    assert all(call[:2] == ["-s", SERIAL] for call in on_a_phone)


def test_a_phone_that_is_ready_is_taken_though_another_is_not(bench: Bench) -> None:
    bench.phone.set(devices=[
        ["0000", "unauthorized", ""], [SERIAL, "device", "model:Pixel_7"],
    ])  # fmt: skip
    assert choose(find_adb(), None).serial == SERIAL


def test_an_adb_whose_server_does_not_start_is_not_taken_for_no_phone(bench: Bench) -> None:
    bench.phone.set(plays={"devices": "no server"})
    bench().refused("adb lists no devices: error: protocol version missing; run `adb kill-server`")


def test_a_serial_that_is_not_attached(bench: Bench) -> None:
    done = bench("--serial", "nope")
    assert done.code == 1
    assert f"--serial: no phone nope; attached: {SERIAL} Pixel 7 (device)" in done.err


def test_an_android_that_is_too_old_for_the_app(bench: Bench) -> None:
    bench.phone.set(props=bench.phone.state["props"] | {"ro.build.version.sdk": "21"})
    assert "needs Android 6 (API 23) or later" in bench().err


def test_a_list_of_phones_is_read_with_all_that_adb_says_around_it() -> None:
    text = (
        "adb server version (39) doesn't match this client (41); killing...\n"
        "* daemon started successfully\nList of devices attached\n"
        "R58M          device usb:1-4 product:beyond1 model:SM_G973F transport_id:3\n"
        "192.168.1.7:5555 offline\n"
        "????????????  no permissions (user in plugdev group; are your udev rules wrong?)\n\n"
    )
    assert [(each.serial, each.state, each.model) for each in read_devices(text)] == [
        ("R58M", "device", "SM G973F"),
        ("192.168.1.7:5555", "offline", ""),
        ("????????????", "no permissions", ""),
    ]


# --- the app and the model ---------------------------------------------------------------------


def test_a_missing_app_is_explained(bench: Bench) -> None:
    bench.phone.remove_app()
    done = bench()
    assert done.code == 1
    assert "download android_aarch64_benchmark_model.apk" in done.err
    assert "--apk FILE" in done.err
    assert left(bench) == []


def test_a_missing_app_is_installed_where_it_is_given(bench: Bench) -> None:
    bench.phone.remove_app()
    apk = make_apk(bench.folder / "the app.apk")
    done = bench("--apk", str(apk), "--accelerators", "cpu")
    assert done.code == 0, done.err
    assert ["-s", SERIAL, "install", "-r", "-d", "-g", str(apk)] in bench.phone.calls


def test_an_apk_of_something_else_is_found_out(bench: Bench) -> None:
    bench.phone.remove_app()
    done = bench("--apk", str(make_apk(bench.folder / "x.apk", "com.example")))
    assert done.code == 1
    assert "it is not the benchmark app" in done.err


@pytest.mark.parametrize("exits_0", [False, True])
@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("INSTALL_FAILED_UPDATE_INCOMPATIBLE: signatures do not match",
         "remove it first: adb uninstall org.tensorflow.lite.benchmark"),
        ("INSTALL_FAILED_INSUFFICIENT_STORAGE", "the phone is full"),
        ("INSTALL_FAILED_USER_RESTRICTED: Install canceled by user", "allow installing over USB"),
        ("INSTALL_FAILED_SOMETHING_NEW", "INSTALL_FAILED_SOMETHING_NEW"),
    ],
)  # fmt: skip
def test_why_the_app_cannot_be_installed(
    bench: Bench, said: str, words: str, exits_0: bool
) -> None:
    bench.phone.set(install=said, plays={"install": "exits 0"} if exits_0 else {})
    done = bench("--apk", str(make_apk(bench.folder / "x.apk")))
    assert done.code == 1
    assert words in done.err


def test_an_apk_that_is_none(bench: Bench) -> None:
    (bench.folder / "no.apk").write_text("<html>not found</html>")
    for name, words in (("no.apk", "cannot be read as an APK"), ("gone.apk", "no such file")):
        done = bench("--apk", str(bench.folder / name))
        assert done.code == 1
        assert words in done.err
    assert not any("install" in call for call in bench.phone.calls)


def test_a_model_that_is_too_big_is_not_pushed(bench: Bench) -> None:
    bench.phone.set(free_kb=1)
    bench.model = max(MODELS.glob("*.tflite"), key=lambda path: path.stat().st_size)
    done = bench()
    assert done.code == 1
    assert "are too many for Pixel 7" in done.err
    assert not any("push" in call for call in bench.phone.calls)


@pytest.mark.parametrize(
    ("play", "words"),
    [
        ("full", "no space is left in /data/local/tmp"),
        ("cut", "bytes arrived on Pixel 7"),
    ],
)
def test_a_model_that_does_not_arrive_whole(bench: Bench, play: str, words: str) -> None:
    bench.phone.set(plays={"push": play})
    done = bench()
    assert done.code == 1
    assert words in done.err
    assert left(bench) == []
    assert bench.phone.app_runs == []


def test_a_file_that_is_no_model_is_refused_before_the_phone_is_asked(bench: Bench) -> None:
    bench.model = bench.folder / "x.tflite"
    bench.model.write_text("no model")
    assert bench().code == 1
    assert bench.phone.calls == []


def test_an_app_that_cannot_be_started(bench: Bench) -> None:
    bench.phone.set(plays={"no activity": True})
    done = bench()
    assert done.code == 1
    assert "does not start: Error" in done.err
    assert left(bench) == []


def test_a_phone_that_writes_no_log(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.phone.set(log=False)
    monkeypatch.setattr(follow, "_MARK_SECONDS", 1.0)
    with pytest.raises(PhoneError, match="logcat gives nothing; turn logging on"):
        run_on_phone(bench.model, Settings())
    assert left(bench) == []


# --- it ends half-way --------------------------------------------------------------------------


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


# --- adb itself --------------------------------------------------------------------------------


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
