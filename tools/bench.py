"""The figures of the four MLPerf Tiny models on the virtual STM32F746, beside the peer's.

    make bench                       # python tools/bench.py
    python tools/bench.py --check    # exit 1 when a figure misses its target
    python tools/bench.py --models ad,kws --toolchains gcc --json figures.json

Every figure of a model comes from one build of the shipping profile app: instructions (exact) and
cycles (modelled) of the second inference, arena, flash less weights, static RAM and stack. Export
and flash times are this machine's. The models are found in EDGE_AUTOGLM_DATA, or in ../shared/data.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console

from edge_autoglm import pipeline
from edge_autoglm.flash import flash_image
from edge_autoglm.measure.builds import remember
from edge_autoglm.measure.run import run_profile
from edge_autoglm.report.tables import table
from edge_boards import load_board
from edge_boards.toolchain import find_toolchain
from edge_boards.toolchain.gcc import find_gcc

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Peer:
    """TensorFlow Lite Micro 90b983c2b3f1 with CMSIS-NN 4ab83cc3cc98, arm-none-eabi-gcc 12.2.1, on
    QEMU's mps2-an500 with -icount shift=0: its best instruction count, its arena, and the flash
    less the model of its smallest build. `published_ms`: the best MLPerf Tiny latency on an
    STM32F746 at 216 MHz (results v1.1 and v1.2)."""

    instructions: int
    arena: int
    flash: int
    published_ms: float


PEERS = {
    "ad": Peer(582_797, 2_580, 22_832, 1.70),
    "kws": Peer(7_642_320, 22_820, 43_416, 17.75),
    "ic": Peer(29_939_730, 54_996, 64_136, 61.57),
    "vww": Peer(24_026_000, 100_708, 70_872, 34.08),
}
# Targets as ratios to the peer; the times in seconds are of vww.
INSTRUCTIONS, ARENA, FLASH = 1.0, 1.0, 0.5
EXPORT_S, FLASH_PROFILE_S = 2.0, 20.0


@dataclass(frozen=True)
class Figures:
    """One model, one compiler."""

    model: str
    toolchain: str
    bit_exact: bool
    macs: int
    instructions: int
    cycles: int
    latency_ms: float
    arena: int
    flash_less_weights: int
    weights: int
    static_ram: int
    stack: int
    export_s: float
    all_s: float  # export, build, flash and profile

    def misses(self, judged: bool) -> list[str]:
        """Targets missed, in words. Sizes and instructions are judged for gcc builds."""
        peer = PEERS[self.model]
        ratios = [
            ("instructions", self.instructions / peer.instructions, INSTRUCTIONS),
            ("arena", self.arena / peer.arena, ARENA),
            ("flash less weights", self.flash_less_weights / peer.flash, FLASH),
        ]
        found = [
            f"{self.model}: {name} {ratio:.2f}x the peer's, target {target}x"
            for name, ratio, target in ratios
            if judged and ratio > target
        ]
        if not self.bit_exact:
            found.append(f"{self.model} ({self.toolchain}): outputs differ from tflite_micro's")
        if self.model == "vww" and self.export_s > EXPORT_S:
            found.append(f"vww: export took {self.export_s:.1f} s, target {EXPORT_S:g} s")
        if self.model == "vww" and self.all_s > FLASH_PROFILE_S:
            found.append(
                f"vww: flash --profile took {self.all_s:.1f} s, target {FLASH_PROFILE_S:g}"
            )
        return found


def data_folder() -> Path | None:
    """Where the models lie, or None."""
    named = os.environ.get("EDGE_AUTOGLM_DATA")
    for folder in ([Path(named)] if named else []) + [ROOT.parent / "shared" / "data"]:
        if (folder / "mlperf_tiny").is_dir():
            return folder / "mlperf_tiny"
    return None


def measure(name: str, model: Path, toolchain: str, folder: Path) -> Figures:
    """Export, build, flash and profile on the virtual board of this process's state folder."""
    board = load_board("stm32f746")
    begun = time.perf_counter()
    exported = pipeline.export(model, board, folder / f"{name}_{toolchain}")
    export_s = time.perf_counter() - begun
    built = pipeline.build(exported, board, toolchain)
    remember(built.image, model)
    flashed = flash_image(board, built.image, "virtual")
    profile, _ = run_profile(board, flashed.port, runs=1, warmup=1)
    all_s = time.perf_counter() - begun
    if profile.instructions is None or profile.verdict is None:
        raise SystemExit("the virtual board gave no instruction counts, or no reference is there")
    if profile.cycles is None or profile.latency_ms is None:
        raise SystemExit(f"the virtual board counts {profile.counter.word}, no cycles")
    if profile.memory.stack is None:
        raise SystemExit("the virtual board does not watch its stack")
    sizes = built.image.sizes
    return Figures(
        model=name,
        toolchain=built.image.toolchain,
        bit_exact=profile.verdict.bit_exact,
        macs=profile.macs,
        instructions=int(profile.instructions.value),
        cycles=int(profile.cycles.value),
        latency_ms=profile.latency_ms.value,
        arena=exported.arena_bytes,
        flash_less_weights=sizes.code,
        weights=sizes.weights,
        static_ram=sizes.static_ram,
        stack=profile.memory.stack,
        export_s=export_s,
        all_s=all_s,
    )


def show(results: list[Figures], console: Console) -> None:
    """Two tables a compiler: exact and measured sizes beside the peer's, then time."""
    for toolchain in dict.fromkeys(result.toolchain for result in results):
        rows = [result for result in results if result.toolchain == toolchain]
        console.print(
            table(
                f"{toolchain}: exact counts and bytes; x is the ratio to TFLM + CMSIS-NN",
                ["<model", ">instr.", ">x", ">arena", ">x", ">flash*", ">x", ">RAM*", ">stack",
                 "<outputs"],
                [
                    (
                        r.model,
                        r.instructions,
                        f"{r.instructions / PEERS[r.model].instructions:.2f}",
                        r.arena,
                        f"{r.arena / PEERS[r.model].arena:.2f}",
                        r.flash_less_weights,
                        f"{r.flash_less_weights / PEERS[r.model].flash:.2f}",
                        r.static_ram,
                        r.stack,
                        "exact" if r.bit_exact else "DIFFER",
                    )
                    for r in rows
                ],
            )
        )  # fmt: skip
        console.print("* flash less weights; static RAM less arena and wire rings. Bytes.\n")
        console.print(
            table(
                f"{toolchain}: modelled cycles at 216 MHz, and this machine's seconds",
                ["<model", ">cycles", ">/MAC", ">instr/MAC", ">ms", ">best published",
                 ">export s", ">in all s"],
                [
                    (
                        r.model,
                        r.cycles,
                        f"{r.cycles / r.macs:.2f}",
                        f"{r.instructions / r.macs:.2f}",
                        f"{r.latency_ms:.2f}",
                        f"{PEERS[r.model].published_ms:.2f} ms",
                        f"{r.export_s:.2f}",
                        f"{r.all_s:.1f}",
                    )
                    for r in rows
                ],
            )
        )  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", default=",".join(PEERS))
    parser.add_argument("--toolchains", default="gcc,zig")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument(
        "--require", action="store_true", help="exit 1 when models, gcc or zig are not there"
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console = Console(highlight=False)
    models = data_folder()
    if models is None:
        console.print("bench: the MLPerf Tiny models are not there; name their folder in "
                      "EDGE_AUTOGLM_DATA. Skipped.")  # fmt: skip
        return 1 if options.require else 0
    board = load_board("stm32f746")
    toolchains = [t for t in options.toolchains.split(",") if t != "gcc" or find_gcc(board.core)]
    if "gcc" not in toolchains:
        console.print("bench: no arm-none-eabi-gcc here; the targets are judged on its builds")
        if options.require:
            return 1
    results: list[Figures] = []
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        os.environ["EDGE_AUTOGLM_STATE"] = folder
        from edge_boards import virtual  # after the state folder is named

        virtual.start(board)
        try:
            for toolchain in toolchains:
                find_toolchain(board, toolchain)
                for name in options.models.split(","):
                    model = models / f"{name}_int8.tflite"
                    print(f"{name} with {toolchain} ...", file=sys.stderr)
                    results.append(measure(name, model, toolchain, Path(folder)))
        finally:
            virtual.stop(board.name)
    show(results, console)
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in results], indent=1) + "\n")
    missed = [m for r in results for m in r.misses(judged=r.toolchain.startswith("gcc"))]
    for line in missed:
        console.print(f"missed: {line}")
    return 1 if options.check and missed else 0


if __name__ == "__main__":
    sys.exit(main())
