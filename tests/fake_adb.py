"""A stand-in for adb with a phone behind it, for machines that have none.

    phone = FakePhone(tmp_path)        # then set PATH, and FAKE_ADB to phone.home
    phone.set(plays={"gpu": "part"})   # what the app does; see `fake_app`

`adb` takes the real one's arguments and answers in its words (platform-tools 29 to 34). A command
for the phone's shell goes through a real shell, with the phone's programs (getprop, pm, am, logcat,
...) in front on PATH and its folders under `home`, so that quoting and paths are those of the real
thing. `am start` starts a process that writes the benchmark app's lines into the phone's log, with
pauses, and `logcat` follows that log in the format threadtime.
"""

from __future__ import annotations

import json
import os
import re
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PACKAGE = "org.tensorflow.lite.benchmark"
SERIAL = "28161FDH2000A1"
_ON_THE_PHONE = ("am", "log", "logcat")
_ANSWERING = ("getprop", "dumpsys", "settings", "df")  # always the same, by their arguments
PIXEL = {
    "ro.product.manufacturer": "Google",
    "ro.product.model": "Pixel 7",
    "ro.build.version.release": "14",
    "ro.build.version.sdk": "34",
    "ro.soc.manufacturer": "Google",
    "ro.soc.model": "GS201",
    "ro.board.platform": "gs201",
    "ro.product.cpu.abi": "arm64-v8a",
}


class FakePhone:
    """The stand-in's folder: `bin` goes first on PATH, `home` into FAKE_ADB."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "phone"
        self.bin = folder / "bin"
        inside = self.home / "bin"
        for made in (self.bin, inside, self.tmp, self.home / "data/app", self.home / "answers"):
            made.mkdir(parents=True)
        _program(self.bin / "adb", "adb")
        for name in _ON_THE_PHONE:
            _program(inside / name, name)
        for name in _ANSWERING:
            _script(inside / name, f'exec cat "{self.home}/answers/{name}-$1"')
        apk = self.home / "data/app/base.apk"
        _script(inside / "pm", f'[ "$*" = "path {PACKAGE}" ] && [ -e "{apk}" ] && '
                'echo package:/data/app/base.apk')  # fmt: skip
        (self.home / "logcat").write_text(_line(700, "I", "SystemServer", "boot"), encoding="utf-8")
        self.state: dict[str, Any] = {
            "version": "1.0.41",
            "devices": [[SERIAL, "device", "product:panther model:Pixel_7 device:panther"]],
            "props": PIXEL, "free_kb": 35_000_000, "install": "Success", "plays": {},
            "thermal": 0, "low_power": 0, "wake": "Awake", "pause": 0.005, "log": True,
            "old": False,  # a phone without shell_v2, and an adb that says its chatter on stdout
        }  # fmt: skip
        self.set()
        self.install_app()

    @property
    def tmp(self) -> Path:
        return self.home / "data/local/tmp"

    @property
    def environment(self) -> dict[str, str]:
        return {"PATH": f"{self.bin}{os.pathsep}{os.environ['PATH']}", "FAKE_ADB": str(self.home)}

    def set(self, **changes: Any) -> None:
        self.state |= changes
        state = self.state
        (self.home / "state.json").write_text(json.dumps(state), encoding="utf-8")
        free, thermal = state["free_kb"], state["thermal"]
        answers = {
            "getprop-": "".join(f"[{name}]: [{value}]\n" for name, value in state["props"].items()),
            "df--k": "Filesystem      1K-blocks     Used Available Use% Mounted on\n"
            f"/dev/block/dm-5 115609024 {115609024 - free} {free}  70% /data\n",
            "settings-get": f"{state['low_power']}\n",
            "dumpsys-battery": "Current Battery Service state:\n  USB powered: true\n  level: 83\n"
            "  scale: 100\n  voltage: 4321\n  temperature: 287\n  technology: Li-ion\n",
            "dumpsys-power": f"POWER MANAGER (dumpsys power)\n  mWakefulness={state['wake']}\n",
            "dumpsys-thermalservice": thermal_answer(thermal) if thermal is not None else "",
        }
        for name, text in answers.items():
            (self.home / "answers" / name).write_text(text, encoding="utf-8")

    def install_app(self) -> None:
        (self.home / "data/app/base.apk").write_bytes(b"the app's bytes")

    def remove_app(self) -> None:
        (self.home / "data/app/base.apk").unlink()

    @property
    def calls(self) -> list[list[str]]:
        """What adb was called with."""
        path = self.home / "calls"
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    @property
    def app_runs(self) -> list[str]:
        """The arguments of each run of the app."""
        path = self.home / "app_runs"
        return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

    @property
    def app_pid(self) -> int | None:
        """The app's process, None once it is stopped."""
        return _app_pid(self.home)


def make_apk(path: Path, package: str = PACKAGE) -> Path:
    """A file that looks like an APK to whoever looks inside."""
    import zipfile  # here, as the stand-in is started many times

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("AndroidManifest.xml", package)
    return path


def thermal_answer(status: int) -> str:
    return f"IsStatusOverride: false\nThermal Status: {status}\nCached temperatures:\n"


def _script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def _program(path: Path, name: str) -> None:
    _script(path, f'exec {shlex.join(_python(name))} "$@"')


def _python(name: str) -> list[str]:
    """Starts `name` of this module: imported, as a script would be compiled again each time."""
    folder = str(Path(__file__).resolve().parent)
    start = f"import sys; sys.path.insert(0, {folder!r}); import fake_adb; fake_adb.main()"
    return [sys.executable, "-S", "-E", "-c", start, name]


def _line(pid: int, level: str, tag: str, text: str) -> str:
    seconds = time.time()
    now = (
        time.strftime("%m-%d %H:%M:%S", time.localtime(seconds))
        + f".{int(seconds * 1000) % 1000:03}"
    )
    return "".join(
        f"{now} {pid:5d} {pid:5d} {level} {tag:8s}: {part}\n" for part in text.split("\n")
    )


def _app_pid(home: Path) -> int | None:
    path = home / "app.pid"
    if not path.exists():
        return None
    pid = int(path.read_text())
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    return pid


class Phone:
    def __init__(self) -> None:
        self.home = Path(os.environ["FAKE_ADB"])
        self.state = json.loads((self.home / "state.json").read_text(encoding="utf-8"))

    @property
    def gone(self) -> bool:
        return (self.home / "gone").exists()

    def log(self, pid: int, level: str, tag: str, text: str) -> None:
        if self.state["log"]:
            with (self.home / "logcat").open("a", encoding="utf-8") as log:
                log.write(_line(pid, level, tag, text))


def adb(phone: Phone, arguments: list[str]) -> int:
    with (phone.home / "calls").open("a", encoding="utf-8") as calls:
        calls.write(json.dumps(arguments) + "\n")
    state = phone.state
    serial = None
    if arguments[:1] == ["-s"]:
        serial, arguments = arguments[1], arguments[2:]
    command, *rest = arguments
    if command == "version":
        print(f"Android Debug Bridge version {state['version']}")
        print("Version 34.0.5-debian\nInstalled as /usr/lib/android-sdk/platform-tools/adb")
        return 0
    if command == "devices":
        assert rest == ["-l"], rest
        if state["plays"].get("devices") == "no server":
            return _fail("* daemon not running; starting now at tcp:5037\nADB server didn't ACK\n"
                         "error: protocol version missing")  # fmt: skip
        print("* daemon not running; starting now at tcp:5037", file=sys.stderr)
        print("* daemon started successfully", file=sys.stderr)
        print("List of devices attached")
        for name, status, more in [] if phone.gone else state["devices"]:
            print(f"{name:22} {status} {more} transport_id:1")
        print()
        return 0
    devices = {name: status for name, status, _ in state["devices"]}
    if phone.gone or serial not in devices:
        return _fail(f"error: device '{serial}' not found")
    if devices[serial] == "unauthorized":
        return _fail("error: device unauthorized.\nThis adb server's $ADB_VENDOR_KEYS is not set")
    if devices[serial] != "device":
        return _fail(f"error: device {devices[serial]}")
    if command == "get-state":
        print("device")
        return 0
    return {"shell": _shell, "push": _push, "install": _install}[command](phone, rest)


def _fail(message: str, code: int = 1) -> int:
    print(message, file=sys.stderr)
    return code


def inside_path(phone: Phone, text: str) -> str:
    return text.replace("/data/", f"{phone.home}/data/")


def _outside(phone: Phone, text: str) -> str:
    return text.replace(f"{phone.home}/data/", "/data/")


def _shell(phone: Phone, arguments: list[str]) -> int:
    """Arguments are joined with spaces and given to the phone's shell, as adb does."""
    line = " ".join(arguments)
    environment = os.environ | {"PATH": f"{phone.home / 'bin'}:/usr/bin:/bin"}
    if line.startswith("logcat"):
        (phone.home / "logcat.pid").write_text(str(os.getpid()))
    old = phone.state["old"]
    if old:
        print("* daemon not running. starting it now on port 5037 *")
        print("* daemon started successfully *", flush=True)
    # Relayed, as adb does: when it is killed, what it ran on the phone holds none of our pipes.
    with subprocess.Popen(
        ["/bin/sh", "-c", inside_path(phone, line)], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if old else None,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        for piece in process.stdout:
            # Its pseudo-terminal ends lines so, and adb on Windows adds another \r.
            sys.stdout.buffer.write(piece.replace(b"\n", b"\r\r\n") if old else piece)
            sys.stdout.flush()
        code = process.wait()
    return _fail("", 255) if phone.gone else 0 if old else code


def _push(phone: Phone, arguments: list[str]) -> int:
    source, target = arguments
    assert not source.startswith("-"), source
    size = Path(source).stat().st_size
    play = phone.state["plays"].get("push", "")
    if play == "full":
        Path(inside_path(phone, target)).write_bytes(Path(source).read_bytes()[: size // 2])
        return _fail(
            f"adb: error: failed to copy '{source}' to '{target}': remote write failed: "
            "No space left on device"
        )
    if play == "unplugged":
        (phone.home / "gone").touch()
        return _fail(f"adb: error: failed to copy '{source}' to '{target}': couldn't read from "
                     "device")  # fmt: skip
    if play == "slow":
        time.sleep(30)
    content = Path(source).read_bytes()
    Path(inside_path(phone, target)).write_bytes(content[: size // 2] if play == "cut" else content)
    print(f"[ 50%] {target}\r[100%] {target}\r", end="")
    print(f"{source}: 1 file pushed, 0 skipped. 21.4 MB/s ({size} bytes in 0.001s)")
    return 0


def _install(phone: Phone, arguments: list[str]) -> int:
    import shutil
    import zipfile

    *flags, apk = arguments
    assert not apk.startswith("-"), apk
    assert flags == ["-r", "-d", "-g"], flags
    print("Performing Streamed Install")
    said = phone.state["install"]
    if said != "Success":
        print(f"adb: failed to install {apk}: Failure [{said}]", file=sys.stderr)
        return 0 if phone.state["plays"].get("install") == "exits 0" else 1
    with zipfile.ZipFile(apk) as archive:
        if archive.read("AndroidManifest.xml").decode() == PACKAGE:
            shutil.copy(apk, phone.home / "data/app/base.apk")
    print("Success")
    return 0


def log(phone: Phone, arguments: list[str]) -> int:
    assert arguments[:3] == ["-p", "i", "-t"], arguments
    phone.log(os.getpid(), "I", arguments[3], " ".join(arguments[4:]))
    return 0


def logcat(phone: Phone, arguments: list[str]) -> int:
    text = " ".join(arguments)
    assert text.startswith("-v threadtime -b main -b system -b crash -T 1 "), text
    levels = dict(word.rsplit(":", 1) for word in text.split(" -T 1 ")[1].split())
    order = "VDIWEFS"
    path = phone.home / "logcat"
    # Until nobody reads any more: the shell between goes on when adb is killed.
    reader = select.poll()
    reader.register(1, 0)
    with path.open(encoding="utf-8") as file:
        lines = file.read().splitlines(keepends=True)
        print("--------- beginning of main\n" + lines[-1], end="", flush=True)
        rest = ""
        while not phone.gone and path.exists():
            rest += file.readline()
            if not rest.endswith("\n"):
                if reader.poll(20):
                    break
                continue
            fields = re.match(r"\S+ \S+ +\d+ +\d+ (\w) (.*?) *: ", rest)
            assert fields is not None, rest
            wanted = levels.get(fields[2], levels["*"])
            if order.index(fields[1]) >= order.index(wanted):
                print(rest, end="", flush=True)
            rest = ""
    return 1


def am(phone: Phone, arguments: list[str]) -> int:
    if arguments[0] == "force-stop":
        _stop(phone)
        return 0
    assert arguments[:4] == ["start", "-S", "-n", f"{PACKAGE}/.BenchmarkModelActivity"], arguments
    assert arguments[4:6] == ["--es", "args"], arguments
    assert len(arguments) == 7, arguments
    given = _outside(phone, arguments[6])
    _stop(phone)
    print(f"Stopping: {PACKAGE}")
    print(f"Starting: Intent {{ cmp={PACKAGE}/.BenchmarkModelActivity (has extras) }}")
    if not (phone.home / "data/app/base.apk").exists() or "no activity" in phone.state["plays"]:
        print(f"Error type 3\nError: Activity class {{{PACKAGE}/{PACKAGE}.BenchmarkModelActivity}} "
              "does not exist.")  # fmt: skip
        return 0
    with (phone.home / "app_runs").open("a", encoding="utf-8") as runs:
        runs.write(given + "\n")
    begun = subprocess.Popen(
        [*_python("app"), given], start_new_session=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    (phone.home / "app.pid").write_text(str(begun.pid))
    return 0


def _stop(phone: Phone) -> None:
    phone.log(1500, "I", "ActivityManager", f"Force stopping {PACKAGE} appid=10234 user=0: from "
              "pid 9")  # fmt: skip
    pid = _app_pid(phone.home)
    if pid is not None:
        os.kill(pid, signal.SIGKILL)
        phone.log(1500, "I", "ActivityManager", f"Killing {pid}:{PACKAGE}/u0a234 (adj 0): stop "
                  f"{PACKAGE} due to from pid 9")  # fmt: skip
    (phone.home / "app.pid").unlink(missing_ok=True)


def main() -> None:
    name, phone = sys.argv[1], Phone()
    if name == "app":
        from fake_app import app  # which imports this module

        sys.exit(app(phone, sys.argv[2:]))
    sys.exit(globals()[name](phone, sys.argv[2:]))
