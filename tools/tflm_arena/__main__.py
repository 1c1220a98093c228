"""TFLM's real arena, measured under QEMU, beside the modelled one.

    python tools/tflm_arena --tflm TREE MODEL...    # a table; exit 1 where the model is wrong
    python tools/tflm_arena --tflm TREE --golden    # writes tests/golden/tflm/arena.json

TREE (or EDGE_AUTOGLM_TFLM) is a tflite-micro checkout in which TFLM's own Makefile has built
libtensorflow-microlite.a for a Cortex-M7 or M4 (target cortex_m_generic), with CMSIS-NN's kernels,
the reference kernels, or both. Needs arm-none-eabi-g++ with its C++ library, and qemu-system-arm.

Measured are what `arena_used_bytes()` reports, and the smallest arena with which AllocateTensors
and Invoke work and give the same result: of a plain MicroInterpreter, and of one that is given its
memory plan. The models of MLPerf Tiny are found in EDGE_AUTOGLM_DATA, or in ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge_export.tflm.arena import arena_of
from edge_export.tflm.ops import TFLM_OPS
from edge_export.tflm.structs import CMSIS_NN_COMMIT, CORE, PLANNED_BUFFER, TFLM_COMMIT
from edge_quantize.ingest.tflite import read_tflite

ROOT = Path(__file__).resolve().parents[2]
PROBE = Path(__file__).parent
GOLDEN = ROOT / "tests/golden/tflm/arena.json"
FOLDERS = {
    "models": ROOT / "tests/golden/models",
    "tflm": ROOT / "tests/golden/tflm/models",
    "mlperf_tiny": Path(os.environ.get("EDGE_AUTOGLM_DATA", ROOT.parent / "shared/data"))
    / "mlperf_tiny",
}
_LIBRARIES = {"cmsis-nn": "_cmsis_nn_gcc", "reference": "_gcc"}
_CORES = ("cortex-m7", "cortex-m4")
_MACHINE = "mps2-an500"
_TIMEOUT_S = 1800
_FLAGS = [
    *("-Os", "-std=c++17", "-fno-rtti", "-fno-exceptions", "-fno-threadsafe-statics"),
    *("-mcpu=cortex-m7", "-mthumb", "-mfpu=fpv5-sp-d16", "-mfloat-abi=hard"),
    *("-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections", "-nostartfiles"),
    "-DTF_LITE_STATIC_MEMORY",
]


@dataclass
class Measured:
    """Of one model, bytes; zeros where it does not run, which `log` explains."""

    used: int = 0
    smallest: int = 0
    planned: int = 0
    digest: str = ""
    plan: list[list[int]] = field(default_factory=list)  # size, first and last scope, offset
    log: list[str] = field(default_factory=list)


def find_library(tree: Path, kernels: str) -> Path | None:
    for core in _CORES:
        pattern = f"gen/cortex_m_generic_{core}*_default{_LIBRARIES[kernels]}/lib"
        for folder in sorted(tree.glob(pattern)):
            if (folder / "libtensorflow-microlite.a").is_file():
                return folder / "libtensorflow-microlite.a"
    return None


def build(tree: Path, library: Path, folder: Path) -> Path:
    """The probe, linked with `library`, in `folder`."""
    methods = [f"REGISTER({row.method})" for row in TFLM_OPS.values()]
    structs = [f"SIZE({name})" for name, struct in CORE.items() if struct.header]
    (folder / "methods.inc").write_text("\n".join(methods) + "\n")
    (folder / "structs.inc").write_text("\n".join(structs) + "\n")
    downloads = tree / "tensorflow/lite/micro/tools/make/downloads"
    includes = [tree, *(downloads / d for d in ("flatbuffers/include", "gemmlowp", "ruy")), folder]
    elf = folder / "probe.elf"
    subprocess.run(
        [
            "arm-none-eabi-g++",
            *_FLAGS,
            *(f"-I{path}" for path in includes),
            "-T",
            str(PROBE / "probe.ld"),
            str(PROBE / "probe.cc"),
            str(library),
            "-lm",
            "-o",
            str(elf),
        ],
        check=True,
    )
    return elf


def run(elf: Path, models: Sequence[Path], folder: Path) -> list[str]:
    """What the probe says of `models`."""
    listed = folder / "models.txt"
    listed.write_text("\n".join(str(path.resolve()) for path in models) + "\n")
    semihosting = f"enable=on,target=native,chardev=said,arg=probe,arg={listed}"
    done = subprocess.run(
        [
            "qemu-system-arm",
            *("-M", _MACHINE, "-icount", "shift=0", "-nographic", "-monitor", "none"),
            *("-serial", "none", "-chardev", "stdio,id=said"),
            *("-semihosting-config", semihosting, "-kernel", str(elf)),
        ],
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    lines = done.stdout.splitlines()
    if not lines or lines[-1] != "DONE":
        raise SystemExit(f"the probe ended early: {lines[-1:]} {done.stderr[-500:]}")
    return lines


def parse(lines: Sequence[str]) -> Iterator[tuple[Path, Measured]]:
    path, found = Path(), Measured()
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "MODEL":
            path, found = Path(rest), Measured()
        elif word == "BUFFER":
            found.plan.append([int(number) for number in rest.split()])
        elif word == "LOG":
            found.log.append(rest)
        elif word == "DIGEST":
            found.digest = rest
        elif word in ("USED", "SMALLEST"):
            setattr(found, word.lower(), int(rest))
        if word in ("PLANNED", "FAILED"):
            found.planned = int(rest or 0)
            yield path, found


def check_structs(lines: Sequence[str]) -> list[str]:
    """Where the library's structs are not those of the model: it is of another version."""
    wrong = []
    for line in lines:
        if not line.startswith("SIZE "):
            continue
        _, name, size, align = line.split()
        expected = (PLANNED_BUFFER, 4)
        if name in CORE:
            expected = (CORE[name].size, CORE[name].align)
        if (int(size), int(align)) != expected:
            wrong.append(f"{name} has {size} bytes, not {expected[0]}")
    return wrong


def measure(tree: Path, kernels: str, models: Sequence[Path]) -> dict[Path, Measured]:
    library = find_library(tree, kernels)
    if library is None:
        raise SystemExit(f"{tree} has no library with the kernels '{kernels}': {__doc__}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        lines = run(build(tree, library, folder), models, folder)
    wrong = check_structs(lines)
    if wrong:
        raise SystemExit(f"{tree} is not the TFLM that is modelled: {'; '.join(wrong)}")
    return dict(parse(lines))


def compare(path: Path, kernels: str, found: Measured) -> tuple[str, bool]:
    """A row of the table, and whether the model is true of it."""
    if not found.used:
        return f"{path.stem:40} does not run: {'; '.join(found.log)}", True
    arena = arena_of(read_tflite(path), kernels)
    plan = [[b.size, b.first, b.last, b.offset] for b in arena.buffers]
    good = (
        arena.used == found.used
        and arena.standard_bytes >= found.smallest
        and arena.bytes >= found.planned
        and plan == found.plan
    )
    numbers = (
        (arena.used, found.used),
        (arena.standard_bytes, found.smallest),
        (arena.bytes, found.planned),
    )
    columns = "".join(f"{model:10,}{real:10,}" for model, real in numbers)
    return f"{path.stem:40}{columns}  {'' if good else 'WRONG'}", good


def golden(tree: Path) -> None:
    """Writes what was measured of all models that the project knows."""
    names = {
        path.resolve(): f"{folder}/{path.stem}"
        for folder, place in FOLDERS.items()
        for path in sorted(place.glob("*_int8.tflite" if folder == "mlperf_tiny" else "*.tflite"))
    }
    rows = []
    for kernels in _LIBRARIES:
        for path, found in measure(tree, kernels, list(names)).items():
            row = {"kernels": kernels, "model": names[path], **vars(found)}
            rows.append(json.dumps(row))
    head = {
        "tflm": TFLM_COMMIT,
        "cmsis_nn": CMSIS_NN_COMMIT,
        "machine": _MACHINE,
        "command": "python tools/tflm_arena --golden",
    }
    text = json.dumps(head)[:-1] + ', "rows": [\n' + ",\n".join(rows) + "\n]}\n"
    GOLDEN.write_text(text)
    print(f"{len(rows)} rows in {GOLDEN}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python tools/tflm_arena", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--tflm", type=Path, default=os.environ.get("EDGE_AUTOGLM_TFLM"))
    parser.add_argument("--kernels", choices=list(_LIBRARIES), default="cmsis-nn")
    parser.add_argument("--golden", action="store_true")
    options = parser.parse_args()
    if options.tflm is None:
        parser.error("name a TFLM tree: --tflm TREE or EDGE_AUTOGLM_TFLM")
    if options.golden:
        golden(options.tflm)
        return 0
    if not options.models:
        parser.error("name models, or --golden")
    for path in options.models:
        if not path.is_file():
            parser.error(f"there is no {path}")
    print(f"{'':40}{'used':>20}{'plain':>20}{'with its plan':>20}")
    print(f"{'':40}" + f"{'modelled':>10}{'real':>10}" * 3)
    good = True
    for path, found in measure(options.tflm, options.kernels, options.models).items():
        row, right = compare(path, options.kernels, found)
        print(row)
        good &= right
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
