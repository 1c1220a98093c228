"""Runs the benchmark app on a phone: the CPU, the GPU, one run each, and what its log says."""

from __future__ import annotations

import contextlib
import shlex
import time
from collections.abc import Callable
from pathlib import Path

from edge_autoglm.errors import PhoneError

from .adb import Adb, find_adb
from .app import digest, ensure_app, pushed
from .device import choose, condition, describe
from .follow import Logcat
from .logcat import PACKAGE, RunLog
from .values import Condition, Phone, PhoneBenchmark, PhoneRun, Settings

ACTIVITY = f"{PACKAGE}/.BenchmarkModelActivity"
THERMAL = ("none", "light", "moderate", "severe", "critical", "emergency", "shutdown")
_START_SECONDS = 30.0
_MEMORY_SECONDS = 3.0  # between the result and the line on memory, which some builds leave out
_POLL_SECONDS = 0.5
# Of a run's limit: for inferences. The rest is for starting, and for loading onto a GPU.
_MEASURING_PART = 0.4
# Said with every result.
RUNTIME = (
    "the app runs TensorFlow Lite's Interpreter, on the GPU with its delegate; the package of "
    "`export --target android-gpu` runs LiteRT's CompiledModel, which is other code: its times may "
    "differ, its own test measures them"
)


def run_on_phone(
    model: Path, settings: Settings, say: Callable[[str], None] = lambda _text: None
) -> PhoneBenchmark:
    """Measures `model`, a .tflite file, on the phone that is attached.

    A run that fails is in the result with its reason, and the next one follows. Nothing of ours
    stays on the phone but the app, neither after a failure nor after an interruption.

    Raises:
        AdbMissingError: no adb.
        NoPhoneError: no phone, several, or not ready.
        PhoneGoneError: it went away.
        PhoneError: the app or the model cannot be brought onto it, or it writes no log.
    """
    adb = choose(find_adb(), settings.serial)
    phone = describe(adb)
    say(phone.title)
    app = ensure_app(adb, phone, settings.apk, say)
    sha256, size = digest(model), model.stat().st_size  # before it runs: of what is pushed
    runs = []
    with pushed(adb, phone, model, say) as remote:
        for accelerator in settings.accelerators:
            say(f"running on the {accelerator.upper()}")
            runs.append(_run(adb, accelerator, app_arguments(remote, accelerator, settings),
                             remote, settings.limit))  # fmt: skip
    return PhoneBenchmark(
        model.name, sha256, size, phone, app,
        adb.release or ".".join(map(str, adb.version)), settings, tuple(runs), notes_on(phone, app),
    )  # fmt: skip


def app_arguments(remote: str, accelerator: str, settings: Settings) -> str:
    """What the app is given: flags of TensorFlow Lite's benchmark_model, with spaces between."""
    flags = [
        f"--graph={remote}",
        f"--num_runs={settings.runs}",
        f"--warmup_runs={settings.warmup}",
        f"--max_secs={settings.limit * _MEASURING_PART:g}",
    ]
    if settings.threads is not None:
        flags.append(f"--num_threads={settings.threads}")
    if accelerator == "gpu":
        loss = "true" if settings.precision == "float16" else "false"
        flags += ["--use_gpu=true", f"--gpu_precision_loss_allowed={loss}"]
    return " ".join(flags)


def _run(adb: Adb, accelerator: str, arguments: str, remote: str, limit: float) -> PhoneRun:
    before = condition(adb)
    log = RunLog(remote)
    with Logcat(adb) as lines:
        try:
            _start(adb, arguments)
            late = _follow(lines, log, limit)
        finally:
            with contextlib.suppress(PhoneError):
                adb.shell(f"am force-stop {PACKAGE}", seconds=10)
    after = condition(adb)
    return PhoneRun(
        accelerator,
        arguments,
        log.times,
        log.memory,
        log.share() if accelerator == "gpu" else None,
        before,
        after,
        None if log.times is not None else log.failure or late,
        _condition_notes(before, after),
    )


def _start(adb: Adb, arguments: str) -> None:
    # -S stops one that still runs. Quoted once more for the phone's shell.
    answer = adb.shell(f"am start -S -n {ACTIVITY} --es args {shlex.quote(arguments)}")
    said = answer.out + answer.err
    # `am` exits with 0 on some versions, whatever it says.
    if not answer.good or "Error" in said or "Exception" in said:
        words = [line.strip() for line in said.splitlines() if "Err" in line or "Exc" in line]
        raise PhoneError(f"{adb.serial}: the benchmark app does not start: "
                         f"{words[0] if words else answer.said}")  # fmt: skip


def _follow(lines: Logcat, log: RunLog, limit: float) -> str | None:
    """Reads until the run is over; returns why it is not, where it takes too long."""
    begin = time.monotonic()
    result: float | None = None
    while not log.over:
        line = lines.next(_POLL_SECONDS)
        if line is not None:
            log.add(line)
        now = time.monotonic()
        if log.times is not None:
            result = result or now
            if now - result > _MEMORY_SECONDS:
                return None
        elif not log.started and now - begin > min(_START_SECONDS, limit):
            return (
                f"the app did not begin within {min(_START_SECONDS, limit):.0f} s; unlock the "
                "phone and look at its screen"
            )
        elif now - begin > limit:
            doing = "running" if log.measuring else "loading"
            return f"no result within {limit:g} s, it was still {doing} the model; raise --limit"
    return None


def _condition_notes(before: Condition, after: Condition) -> tuple[str, ...]:
    notes = []
    hottest = max(before.thermal or 0, after.thermal or 0)
    if hottest:
        name = THERMAL[min(hottest, len(THERMAL) - 1)]
        notes.append(
            f"the phone was throttling (thermal status {name}): slower than a cool one; let it "
            "cool and run this again"
        )
    if before.power_save:
        notes.append("battery saver is on: clocks are held low")
    if before.awake is False:
        notes.append("the screen was off: clocks may be held low")
    return tuple(notes)


def notes_on(phone: Phone, app: str | None) -> tuple[str, ...]:
    """What bears on all figures: whose runtime, which device, which app."""
    notes = [RUNTIME]
    if phone.emulator:
        notes.append("this is an emulator: its figures are not a phone's")
    if app is None:
        notes.append("the phone does not tell which build of the benchmark app it has")
    return tuple(notes)
