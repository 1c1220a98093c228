"""`bench --adb`: what is measured on a phone, and what is said of it."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from adb_bench import Bench, left, played, said
from cli_tools import call
from fake_adb import make_apk

from edge_autoglm.adb import Settings, benchmark, find_adb
from edge_autoglm.adb.benchmark import app_arguments
from edge_autoglm.adb.device import choose, describe


@pytest.fixture
def bench(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    yield from played(tmp_path, capsys, monkeypatch)


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
