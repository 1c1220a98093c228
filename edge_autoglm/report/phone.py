"""A benchmark on a phone as JSON (phone.schema.json describes it), as a table and in words."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.table import Table

from .tables import table

if TYPE_CHECKING:
    from edge_autoglm.adb import PhoneBenchmark, PhoneRun
    from edge_autoglm.adb.values import GpuShare

SCHEMA = 1
_KIND = "measured"
_RUNTIME = "TensorFlow Lite Interpreter"  # not LiteRT's CompiledModel, which the packages use


def phone_table(result: PhoneBenchmark) -> Table:
    """One row a run, in milliseconds; fits 80 columns."""
    return table(
        f"{result.model}, measured on {result.phone.title}",
        ["<asked", "<ran on", ">load ms", ">first ms", ">median ms", ">average ms", ">p95 ms",
         ">MiB"],
        [
            (
                run.accelerator, ran_on(run), _ms(run, "load"), _ms(run, "first"),
                _ms(run, "median"), _ms(run, "average"), _ms(run, "p95"),
                None if run.memory is None else f"{run.memory / 2**20:.1f}",
            )
            for run in result.runs
        ],
    )  # fmt: skip


def ran_on(run: PhoneRun) -> str:
    """Where it ran, by the log: "GPU", "GPU+CPU", "CPU", "not shown", or "failed"."""
    if run.times is None:
        return "failed"
    if run.gpu is None:
        return "CPU"
    return {"all": "GPU", "part": "GPU+CPU", "none": "CPU"}.get(run.gpu.taken, "not shown")


def phone_lines(result: PhoneBenchmark) -> list[str]:
    """What stands under the table: verdicts, failures, and what bears on the figures."""
    lines = []
    for run in result.runs:
        name = run.accelerator.upper()
        if run.failure is not None:
            lines.append(f"{name}: no result: {run.failure}")
        elif run.gpu is not None:
            lines.append(f"{name}: {gpu_verdict(run.gpu)}")
        lines += [f"{name}: {note}" for note in run.notes]
    if speed := _speed(result):
        lines.append(speed)
    return [*lines, *result.notes]


def gpu_verdict(share: GpuShare) -> str:
    """Whether the GPU took the model, in one sentence."""
    api = f" ({share.api})" if share.api else ""
    why = f": {'; '.join(share.refused)}" if share.refused else ""
    if share.taken == "all":
        return f"the GPU{api} ran the whole model"
    if share.taken == "part":
        counts = (
            f"{share.on_gpu} of {share.on_gpu + share.on_cpu} operators"
            if share.on_gpu is not None and share.on_cpu is not None
            else f"{share.kernels} part(s) of the model"
        )
        return f"the GPU{api} ran only {counts}, the CPU the rest{why}"
    if share.taken == "none":
        return f"the GPU took nothing, these are the CPU's figures{why}"
    return "the log does not say that the GPU took the model: these may be the CPU's figures"


def _speed(result: PhoneBenchmark) -> str | None:
    """GPU against CPU; only where each ran what its name says."""
    places = {ran_on(run): run.times for run in result.runs if run.times is not None}
    cpu, gpu = places.get("CPU"), places.get("GPU")
    if cpu is None or gpu is None or not gpu.average:
        return None
    ratio = cpu.average / gpu.average
    word = "faster" if ratio >= 1 else "slower"
    return f"on average the GPU is {max(ratio, 1 / ratio):.2f} times {word} than the CPU"


def phone_json(result: PhoneBenchmark) -> dict[str, Any]:
    """The result as phone.schema.json describes it."""
    settings = asdict(result.settings) | {"serial": result.phone.serial}
    del settings["apk"]
    return {
        "schema": SCHEMA,
        "kind": _KIND,
        "runtime": _RUNTIME,
        "good": result.good,
        "model": {"name": result.model, "sha256": result.sha256, "bytes": result.size},
        "phone": asdict(result.phone),
        "app_sha256": result.app_sha256,
        "adb": result.adb,
        "settings": settings,
        "runs": [_run_json(run) for run in result.runs],
        "notes": list(result.notes),
    }


def _run_json(run: PhoneRun) -> dict[str, Any]:
    times = None
    if run.times is not None:
        times = {
            (name if name == "count" else f"{name}_us"): value
            for name, value in asdict(run.times).items()
        }
    gpu = None
    if run.gpu is not None:
        gpu = asdict(run.gpu) | {"taken": run.gpu.taken.value, "refused": list(run.gpu.refused)}
    return {
        "accelerator": run.accelerator,
        "ran_on": ran_on(run),
        "good": run.good,
        "arguments": run.arguments,
        "times": times,
        "memory_bytes": run.memory,
        "gpu": gpu,
        "before": asdict(run.before),
        "after": asdict(run.after),
        "failure": run.failure,
        "notes": list(run.notes),
    }


def _ms(run: PhoneRun, name: str) -> str | None:
    value = None if run.times is None else getattr(run.times, name)
    return None if value is None else f"{value / 1000:.3f}"
