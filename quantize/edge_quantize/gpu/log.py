"""What LiteRT's GPU accelerator says in its log: the only place where it names what it refused."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ADAPTER = re.compile(
    r"Selected adapter: (?P<name>.+?), arch=.*?backend=(?P<api>\w+), adapterType=(?P<type>.+)"
)
_REFUSED = re.compile(r"^(?P<op>CUSTOM [^:]+|[A-Z][A-Z0-9_]*(?: \([^)]*\))?): (?P<reason>.+?)\s*$")
_SPLIT = re.compile(
    r"^(?P<gpu>No|\d+) operations will run on the GPU, and (?:the remaining|all) (?P<cpu>\d+) "
    r"operations will run on the CPU"
)
_LIST = "Following operations are not supported by GPU delegate:"
_BUILT = "Initializing WebGPU-based API from graph"
_MISMATCH = "Shape mismatch"
_REGISTERED = re.compile(r"loaded GPU accelerator\((?P<name>[^)]+)\) registered")
# "ERROR: [file.cc:1] words" and glog's "E0000 00:00:17.1 42 file.cc:1] words".
_FAILURE = re.compile(r"^(?:ERROR: (?:\[[^\]\s]+\] ?)?|E\d{4} \S+ +\d+ \S+\] )(?P<words>.*\S)")
_WARNING = re.compile(r"^Warning: (?P<words>.*Vulkan.*\S|vkCreate.*\S)")
# Versions of LiteRT try an accelerator of another kind first.
_NPU = "Dispatch API"
_NO_GPU = "Failed to initialize WebGPU environment"
_DYNAMIC = "a delegate that only supports static-sized tensors"


@dataclass(frozen=True)
class Refusal:
    """An operator kind that the backend refused, in its own words. It names a kind once for each
    reason, however many operators of the model are of it; some reasons name a tensor."""

    op: str
    reason: str


@dataclass(frozen=True)
class BackendLog:
    """One compilation. `on_gpu` and `on_cpu` are counts of operators, None where the backend gave
    none (it gives them only when it refused something). `graphs_built` counts the partitions that
    it made GPU programs of: with 0 nothing ran on the GPU, whatever else is claimed."""

    adapter: str | None
    software: bool
    refused: tuple[Refusal, ...]
    on_gpu: int | None
    on_cpu: int | None
    graphs_built: int
    mismatches: tuple[str, ...]
    dynamic: bool
    accelerator: str | None = None
    api: str | None = None
    failures: tuple[str, ...] = ()
    no_gpu: str | None = None


def read_log(text: str) -> BackendLog:
    """The log of one compilation (what the process wrote to stderr)."""
    adapter = api = accelerator = no_gpu = None
    software = listing = False
    failures: list[str] = []
    warnings: list[str] = []
    refused: list[Refusal] = []
    mismatches: list[str] = []
    on_gpu: int | None = None
    on_cpu: int | None = None
    built, dynamic = 0, False
    for line in text.splitlines():
        if found := _ADAPTER.search(line):
            adapter, api = found["name"].strip(), found["api"]
            software = "CPU" in found["type"]
        elif found := _REGISTERED.search(line):
            accelerator = found["name"]
        elif _LIST in line:
            listing = True
        elif found := _SPLIT.match(line):
            on_gpu = 0 if found["gpu"] == "No" else int(found["gpu"])
            on_cpu, listing = int(found["cpu"]), False
        elif listing and (found := _REFUSED.match(line)):
            refused.append(Refusal(found["op"], found["reason"]))
        elif _BUILT in line:
            built += 1
        elif _MISMATCH in line:
            mismatches.append(line[line.index(_MISMATCH) :].strip())
        elif _DYNAMIC in line:
            dynamic = True
        elif found := _WARNING.match(line):
            warnings.append(found["words"].rstrip("."))
        elif (found := _FAILURE.match(line)) and _NPU not in line:
            failures.append(found["words"].rstrip("."))
            # What the driver or its loader said before says more.
            no_gpu = no_gpu or ([*warnings, *failures][0] if _NO_GPU in line else None)
    return BackendLog(
        adapter, software, tuple(refused), on_gpu, on_cpu, built, tuple(mismatches), dynamic,
        accelerator, api, tuple(failures), no_gpu,
    )  # fmt: skip
