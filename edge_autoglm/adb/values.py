"""What a benchmark on a phone is made of, and what it leaves."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ACCELERATORS = ("cpu", "gpu")
PRECISIONS = ("float16", "float32")


@dataclass(frozen=True)
class Settings:
    """What is asked of the phone.

    Attributes:
        accelerators: one run each, in this order.
        runs: inferences that are measured at least; the app goes on until a second is full.
        warmup: inferences before them at least, until half a second is full.
        threads: of the CPU; None leaves it to the app.
        precision: what the GPU may compute in: float16, as apps mostly allow, or float32.
        limit: seconds that one run may take.
        serial: the phone, where several are attached.
        apk: the benchmark app, to be installed first.
    """

    accelerators: tuple[str, ...] = ACCELERATORS
    runs: int = 50
    warmup: int = 1
    threads: int | None = None
    precision: str = "float16"
    limit: float = 120.0
    serial: str | None = None
    apk: Path | None = None


@dataclass(frozen=True)
class Phone:
    """A phone, as its properties say it; empty where they say nothing."""

    serial: str
    maker: str
    model: str
    android: str
    sdk: int | None
    soc: str
    abi: str
    emulator: bool = False

    @property
    def title(self) -> str:
        """What figures are labelled with: "Pixel 7, Android 14, Tensor GS201"."""
        parts = (
            self.model or self.serial, self.android and f"Android {self.android}", self.soc,
        )  # fmt: skip
        return ", ".join(filter(None, parts))


@dataclass(frozen=True)
class Condition:
    """How the phone was when it was asked; None where it does not tell.

    `thermal` is Android's thermal status: 0 none, 1 light, 2 moderate, 3 severe (it throttles), 4
    critical, 5 emergency, 6 shutdown. `battery` is percent, `battery_celsius` its temperature.
    """

    thermal: int | None = None
    battery: int | None = None
    battery_celsius: float | None = None
    power_save: bool | None = None
    awake: bool | None = None


class Taken(StrEnum):
    """How much of the model the GPU ran, by the delegate's own words."""

    ALL = "all"
    PART = "part"
    NONE = "none"
    UNSAID = "unsaid"


@dataclass(frozen=True)
class GpuShare:
    """What the log says of the GPU.

    Attributes:
        taken: how much it ran.
        api: "OpenCL" or "OpenGL", None where the log names none.
        on_gpu, on_cpu: operators; None where the log gives no counts.
        kernels: partitions that run on it.
        refused: operators that it does not take, with the reasons, in its own words.
    """

    taken: Taken
    api: str | None
    on_gpu: int | None
    on_cpu: int | None
    kernels: int | None
    refused: tuple[str, ...]


@dataclass(frozen=True)
class Times:
    """Microseconds, all measured by the app on the phone.

    `count` inferences were measured; `minimum`, `maximum`, `deviation`, `median` and `p95` are None
    where the app's version does not print them.
    """

    load: float
    first: float
    warmup: float
    average: float
    count: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    deviation: float | None = None
    median: float | None = None
    p95: float | None = None


@dataclass(frozen=True)
class PhoneRun:
    """One run of the app.

    Attributes:
        accelerator: "cpu" or "gpu", as asked.
        arguments: what the app was given.
        times: None where it failed; then `failure` says why.
        memory: bytes that loading and running added, by the app's own count, which calls them
            approximate; None where it gives none.
        gpu: None for the CPU.
        before, after: the phone's condition.
        notes: what bears on the figures.
    """

    accelerator: str
    arguments: str
    times: Times | None
    memory: int | None
    gpu: GpuShare | None
    before: Condition
    after: Condition
    failure: str | None = None
    notes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        """It has figures, and they are of what was asked for: of the GPU at least in part."""
        taken = self.gpu is None or self.gpu.taken in (Taken.ALL, Taken.PART)
        return self.times is not None and taken


@dataclass(frozen=True)
class PhoneBenchmark:
    """All runs of a model on one phone. `app_sha256` is of the benchmark app as installed, None
    where the phone does not tell; `adb` is the version of platform-tools."""

    model: str
    sha256: str
    size: int
    phone: Phone
    app_sha256: str | None
    adb: str
    settings: Settings
    runs: tuple[PhoneRun, ...]
    notes: tuple[str, ...] = ()

    @property
    def good(self) -> bool:
        return all(run.good for run in self.runs)
