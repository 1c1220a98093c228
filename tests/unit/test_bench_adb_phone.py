"""`bench --adb`: phones that are not ready, apps that are not there, models that do not arrive."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from adb_bench import MODELS, Bench, left, played
from fake_adb import SERIAL, make_apk

from edge_autoglm.adb import Settings, find_adb, follow, run_on_phone
from edge_autoglm.adb.device import choose, read_devices
from edge_autoglm.errors import PhoneError


@pytest.fixture
def bench(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    yield from played(tmp_path, capsys, monkeypatch)


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
