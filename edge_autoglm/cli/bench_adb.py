"""`edge-autoglm bench --adb`: the part of `bench` that measures on a phone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .common import notes, one_of, output, write_json

if TYPE_CHECKING:
    from edge_autoglm.adb import Settings

PRECISIONS = ("float16", "float32")  # as in `adb.values`, whose import would slow `--help`

AdbOption = Annotated[
    bool,
    typer.Option(
        "--adb",
        help="Measure on an Android phone, on its CPU and its GPU, with TensorFlow Lite's "
        "benchmark app. An adb server that this starts stays, as adb's do.",
    ),
]
SerialOption = Annotated[
    str | None,
    typer.Option("--serial", metavar="S", help="With --adb: the phone, as `adb devices` lists it."),
]
ApkOption = Annotated[
    Path | None,
    typer.Option(
        "--apk", metavar="FILE", help="With --adb: the benchmark app, to be installed first."
    ),
]
AcceleratorsOption = Annotated[
    str | None,
    typer.Option("--accelerators", metavar="L", help="With --adb: cpu,gpu (default) or one."),
]
ThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="With --adb: threads of the CPU (default: the app's)."),
]
PrecisionOption = Annotated[
    str | None,
    typer.Option(
        "--precision",
        metavar="P",
        callback=one_of("--precision", PRECISIONS),
        help="With --adb: what the GPU may compute in: float16 (default) or float32.",
    ),
]
LimitOption = Annotated[
    float | None,
    typer.Option("--limit", min=5, help="With --adb: seconds that a run may take (120)."),
]


@dataclass(frozen=True)
class PhoneOptions:
    """What only `--adb` takes; None where it was not given."""

    serial: str | None = None
    apk: Path | None = None
    accelerators: str | None = None
    threads: int | None = None
    precision: str | None = None
    limit: float | None = None

    @property
    def given(self) -> list[str]:
        return [f"--{name}" for name, value in asdict(self).items() if value is not None]


def bench_adb(model: str, options: PhoneOptions, runs: int, json: Path | None = None) -> None:
    """Measures MODEL, a .tflite file, on a phone, and prints what it costs there.

    Raises UsageError, ModelFileError and PhoneError; exits 1 where a run failed, or the GPU took
    nothing.
    """
    from edge_autoglm.adb import run_on_phone
    from edge_autoglm.report.phone import phone_json, phone_lines, phone_table
    from edge_autoglm.report.tables import wrapped
    from edge_quantize.errors import ModelFileError
    from edge_quantize.ingest.tflite import read_tflite

    settings = _settings(options, runs)
    path = Path(model)
    if path.suffix == ".onnx":
        raise ModelFileError(
            f"{model}: a phone takes .tflite; make one with `edge-autoglm convert`"
        )
    read_tflite(path)  # what is no model is refused before a phone is asked
    result = run_on_phone(path, settings, say=lambda text: notes().print(f"{text} ..."))
    console = output(json)
    console.print(phone_table(result))
    for line in phone_lines(result):
        console.print(wrapped(line, "  "), soft_wrap=True)
    write_json(json, phone_json(result))
    if not result.good:
        raise typer.Exit(1)


def _settings(options: PhoneOptions, runs: int) -> Settings:
    from dataclasses import replace

    from edge_autoglm.adb import Settings
    from edge_autoglm.errors import UsageError

    settings = Settings(runs=runs, serial=options.serial, apk=options.apk, threads=options.threads)
    if options.accelerators is not None:
        settings = replace(settings, accelerators=_accelerators(options.accelerators))
    if options.precision is not None:
        if "gpu" not in settings.accelerators:
            raise UsageError("--precision: is the GPU's, which --accelerators leaves out")
        settings = replace(settings, precision=options.precision)
    if options.limit is not None:
        settings = replace(settings, limit=options.limit)
    return settings


def _accelerators(text: str) -> tuple[str, ...]:
    """`cpu`, `gpu`, or both with a comma. Raises UsageError."""
    from edge_autoglm.adb.values import ACCELERATORS
    from edge_autoglm.errors import UsageError

    names = tuple(name.strip().lower() for name in text.split(",") if name.strip())
    wrong = [name for name in names if name not in ACCELERATORS]
    if wrong or not names or len(set(names)) < len(names):
        raise UsageError(f"--accelerators: {text!r}; cpu, gpu, or cpu,gpu, each once")
    return names
