"""The figures of the four MLPerf Tiny models on every virtual board, beside the peer's.

    make bench                       # python tools/bench.py
    python tools/bench.py --check    # exit 1 when a figure misses its target
    python tools/bench.py --board mps2-an500 --models ad,kws --toolchains gcc --json figures.json

Every figure of a model comes from one build of the shipping profile app: instructions (exact) and
cycles (modelled) of the second inference, arena, flash less weights, static RAM and stack. A board
in QEMU counts instructions and has no cycles. Export and flash times are this machine's. The models
are found in EDGE_AUTOGLM_DATA, or in ../shared/data. Builds of zig are measured on the first board
only, unless --board names boards.
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
from edge_boards import Board, list_boards, load_board
from edge_boards.errors import BoardsError
from edge_boards.toolchain import find_toolchain
from edge_boards.toolchain.gcc import find_gcc

ROOT = Path(__file__).resolve().parents[1]

FLAGSHIP = "stm32f746"
JUDGE = "mps2-an500"
"""QEMU's board with the flagship's core: the same code must take the same instructions there."""


@dataclass(frozen=True)
class Peer:
    """TensorFlow Lite Micro 90b983c2b3f1 with CMSIS-NN 4ab83cc3cc98, arm-none-eabi-gcc 12.2.1, on
    QEMU's mps2-an500 with -icount shift=0: its best instruction count, its arena, and the flash
    less the model of its smallest build."""

    instructions: int
    arena: int
    flash: int


PEERS = {
    "ad": Peer(582_797, 2_580, 22_832),
    "kws": Peer(7_642_320, 22_820, 43_416),
    "ic": Peer(29_939_730, 54_996, 64_136),
    "vww": Peer(24_026_000, 100_708, 70_872),
}
# The best MLPerf Tiny latencies on a chip at its full clock, ms: results v1.1 and v1.2.
PUBLISHED_MS = {
    "STM32F746": {"ad": 1.70, "kws": 17.75, "ic": 61.57, "vww": 34.08},
    "STM32L4R5": {"ad": 5.26, "kws": 43.2, "ic": 165.1, "vww": 88.9},
}
# Targets as ratios to the peer; the times in seconds are of vww on the flagship.
INSTRUCTIONS, ARENA, FLASH = 1.0, 1.0, 0.5
EXPORT_S, FLASH_PROFILE_S = 2.0, 20.0


@dataclass(frozen=True)
class Figures:
    """One model, one board, one compiler. `cycles` and `latency_ms` are None in QEMU."""

    board: str
    model: str
    toolchain: str
    beside_peer: bool  # the core is the peer's
    bit_exact: bool
    macs: int
    instructions: int
    cycles: int | None
    latency_ms: float | None
    arena: int
    flash_less_weights: int
    weights: int
    static_ram: int
    stack: int
    export_s: float
    all_s: float  # export, build, flash and profile

    def ratios(self) -> tuple[float, float, float]:
        """Instructions, arena and flash over the peer's."""
        peer = PEERS[self.model]
        return (
            self.instructions / peer.instructions,
            self.arena / peer.arena,
            self.flash_less_weights / peer.flash,
        )

    def misses(self) -> list[str]:
        """Targets missed, in words. Sizes and instructions are judged for gcc builds."""
        found = []
        if self.beside_peer and self.toolchain.startswith("gcc"):
            names = ("instructions", "arena", "flash less weights")
            targets = (INSTRUCTIONS, ARENA, FLASH)
            found = [
                f"{name} {ratio:.2f}x the peer's, target {target}x"
                for name, ratio, target in zip(names, self.ratios(), targets, strict=True)
                if ratio > target
            ]
        if not self.bit_exact:
            found.append(f"({self.toolchain}) outputs differ from tflite_micro's")
        if (self.board, self.model) == (FLAGSHIP, "vww"):
            if self.export_s > EXPORT_S:
                found.append(f"export took {self.export_s:.1f} s, target {EXPORT_S:g} s")
            if self.all_s > FLASH_PROFILE_S:
                found.append(
                    f"flash --profile took {self.all_s:.1f} s, target {FLASH_PROFILE_S:g} s"
                )
        return [f"{self.board}: {self.model}: {words}" for words in found]


def data_folder() -> Path | None:
    """Where the models lie, or None."""
    named = os.environ.get("EDGE_AUTOGLM_DATA")
    for folder in ([Path(named)] if named else []) + [ROOT.parent / "shared" / "data"]:
        if (folder / "mlperf_tiny").is_dir():
            return folder / "mlperf_tiny"
    return None


def virtual_boards() -> list[Board]:
    """Every board with a virtual counterpart, the flagship first."""
    boards = [board for board in list_boards() if board.virtual is not None]
    return sorted(boards, key=lambda board: (board.name != FLAGSHIP, board.name))


def measure(name: str, model: Path, board: Board, toolchain: str, folder: Path) -> Figures:
    """Export, build, flash and profile on the virtual board of this process's state folder."""
    begun = time.perf_counter()
    exported = pipeline.export(model, board, folder / f"{name}_{board.name}_{toolchain}")
    export_s = time.perf_counter() - begun
    built = pipeline.build(exported, board, toolchain)
    remember(built.image, model)
    flashed = flash_image(board, built.image, "virtual")
    profile, _ = run_profile(board, flashed.port, runs=1, warmup=1)
    all_s = time.perf_counter() - begun
    if profile.instructions is None or profile.verdict is None:
        raise SystemExit("the virtual board gave no instruction counts, or no reference is there")
    if profile.memory.stack is None:
        raise SystemExit("the virtual board does not watch its stack")
    sizes = built.image.sizes
    return Figures(
        board=board.name,
        model=name,
        toolchain=built.image.toolchain,
        beside_peer=board.core.name == "cortex-m7" and board.has("dsp"),
        bit_exact=profile.verdict.bit_exact,
        macs=profile.macs,
        instructions=int(profile.instructions.value),
        cycles=int(profile.cycles.value) if profile.cycles else None,
        latency_ms=profile.latency_ms.value if profile.latency_ms else None,
        arena=exported.arena_bytes,
        flash_less_weights=sizes.code,
        weights=sizes.weights,
        static_ram=sizes.static_ram,
        stack=profile.memory.stack,
        export_s=export_s,
        all_s=all_s,
    )


def show(board: Board, rows: list[Figures], console: Console) -> None:
    """Exact and measured sizes, beside the peer's where it is of that core; then time."""
    first = rows[0]
    peer = "; x is the ratio to TFLM + CMSIS-NN" if first.beside_peer else ""
    x = [">x"] if first.beside_peer else []
    console.print(
        table(
            f"{board.name}, {first.toolchain.split(' (')[0]}: exact counts and bytes{peer}",
            ["<model", ">instr.", *x, ">arena", *x, ">flash*", *x, ">RAM*", ">stack", "<outputs"],
            [
                (
                    r.model,
                    *_beside(r.instructions, r, 0),
                    *_beside(r.arena, r, 1),
                    *_beside(r.flash_less_weights, r, 2),
                    r.static_ram,
                    r.stack,
                    "exact" if r.bit_exact else "DIFFER",
                )
                for r in rows
            ],
        )
    )
    console.print("* flash less weights; static RAM less arena and wire rings. Bytes.\n")
    published = next((p for chip, p in PUBLISHED_MS.items() if board.soc.name.startswith(chip)), {})
    times = f"modelled cycles at {board.clock.hz / 1e6:g} MHz"
    if first.cycles is None:
        times = "no cycles in QEMU"
    console.print(
        table(
            f"{times}; this machine's seconds",
            ["<model", *((">cycles", ">/MAC") if first.cycles else ()), ">instr/MAC",
             *((">ms", ">best published") if first.cycles else ()), ">export s", ">in all s"],
            [
                (
                    r.model,
                    *((r.cycles, f"{r.cycles / r.macs:.2f}") if r.cycles else ()),
                    f"{r.instructions / r.macs:.2f}",
                    *((f"{r.latency_ms:.2f}", _ms(published.get(r.model))) if r.latency_ms else ()),
                    f"{r.export_s:.2f}",
                    f"{r.all_s:.1f}",
                )
                for r in rows
            ],
        )
    )  # fmt: skip


def summary(results: list[Figures], names: list[str], console: Console) -> None:
    """Instructions of every model on every board, in one table."""
    found = {(r.board, r.toolchain.split(" (")[0], r.model): r for r in results}
    rows = dict.fromkeys((board, toolchain) for board, toolchain, _ in found)
    console.print(
        table(
            "Instructions an inference (exact); outputs beside tflite_micro's",
            ["<board", "<by", *(f">{name}" for name in names), "<outputs"],
            [
                (
                    row[0],
                    row[1].split()[0],  # its version stands above the board's own table
                    *(found[*row, name].instructions for name in names),
                    "exact" if all(found[*row, name].bit_exact for name in names) else "DIFFER",
                )
                for row in rows
            ],
        )
    )


def _beside(value: int, row: Figures, which: int) -> tuple[object, ...]:
    return (value, f"{row.ratios()[which]:.2f}") if row.beside_peer else (value,)


def _ms(value: float | None) -> str | None:
    return None if value is None else f"{value:.2f} ms"


def disagreements(results: list[Figures]) -> list[str] | None:
    """Where QEMU counts other instructions than our own emulation for the same code; None where
    they did not run the same."""
    counts = {(r.board, r.model, r.toolchain): r.instructions for r in results}
    pairs = [
        (model, counts[FLAGSHIP, model, toolchain], count)
        for (board, model, toolchain), count in counts.items()
        if board == JUDGE and (FLAGSHIP, model, toolchain) in counts
    ]
    if not pairs:
        return None
    return [
        f"{JUDGE}: {model}: {there:,} instructions, on {FLAGSHIP} {here:,}"
        for model, here, there in pairs
        if here != there
    ]


def run(
    boards: list[Board], toolchains: dict[str, list[str]], names: list[str], models: Path,
    console: Console,
) -> tuple[list[Figures], list[str]]:  # fmt: skip
    """All figures, shown board by board, and what could not be measured."""
    results: list[Figures] = []
    absent: list[str] = []
    with tempfile.TemporaryDirectory(prefix="edge-bench-") as folder:
        os.environ["EDGE_AUTOGLM_STATE"] = folder
        from edge_boards import virtual  # after the state folder is named

        for board in boards:
            try:
                virtual.start(board)
            except BoardsError as error:
                absent.append(f"{board.name}: {error}")
                console.print(f"bench: {absent[-1]}; skipped", soft_wrap=True)
                continue
            try:
                for toolchain in toolchains[board.name]:
                    find_toolchain(board, toolchain)
                    rows = []
                    for name in names:
                        print(f"{board.name}: {name} with {toolchain} ...", file=sys.stderr)
                        model = models / f"{name}_int8.tflite"
                        rows.append(measure(name, model, board, toolchain, Path(folder)))
                    show(board, rows, console)
                    results += rows
            finally:
                virtual.stop(board.name)
    return results, absent


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--board", action="append", help="a board; may be given more than once")
    parser.add_argument("--models", default=",".join(PEERS))
    parser.add_argument("--toolchains", default="gcc,zig")
    parser.add_argument("--check", action="store_true", help="exit 1 when a target is missed")
    parser.add_argument(
        "--require",
        action="store_true",
        help="exit 1 when models, gcc, zig or what a board runs in are not there",
    )
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    console = Console(highlight=False)
    models = data_folder()
    if models is None:
        console.print("bench: the MLPerf Tiny models are not there; name their folder in "
                      "EDGE_AUTOGLM_DATA. Skipped.")  # fmt: skip
        return 1 if options.require else 0
    try:
        boards = [load_board(name) for name in options.board or ()] or virtual_boards()
    except BoardsError as error:
        parser.error(str(error))
    named = options.toolchains.split(",")
    toolchains = [t for t in named if t != "gcc" or find_gcc(boards[0].core)]
    if "gcc" not in toolchains:
        console.print("bench: no arm-none-eabi-gcc here; the targets are judged on its builds")
        if options.require:
            return 1
    everywhere = toolchains[:1]
    wanted = {
        board.name: toolchains if options.board or board is boards[0] else everywhere
        for board in boards
    }
    begun = time.monotonic()
    results, absent = run(boards, wanted, options.models.split(","), models, console)
    if results:
        summary(results, options.models.split(","), console)
    differ = disagreements(results)
    if differ == []:
        console.print(f"{JUDGE} (QEMU) and {FLAGSHIP} (our own) count the same instructions.")
    console.print(f"took {(time.monotonic() - begun) / 60:.1f} minutes")
    if options.json:
        options.json.write_text(json.dumps([asdict(r) for r in results], indent=1) + "\n")
    missed = [m for r in results for m in r.misses()] + (differ or [])
    for line in missed:
        console.print(f"missed: {line}")
    return 1 if (options.check and missed) or (options.require and absent) else 0


if __name__ == "__main__":
    sys.exit(main())
