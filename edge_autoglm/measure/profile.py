"""What every layer costs on a board."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace

from edge_autoglm.device.messages import BoardInfo, Description, ModelInfo, Stats
from edge_autoglm.device.session import Session
from edge_autoglm.device.wiredefs import Counted
from edge_boards import Board
from edge_quantize.reference import Reference

from .counts import Counter
from .figures import Figure, Kind, median

REAL_RUNS, REAL_WARMUP = 100, 5
# A virtual board repeats itself exactly; one run before fills its caches.
VIRTUAL_RUNS, VIRTUAL_WARMUP = 1, 1
# LiteRT's plain kernels differ from TFLite Micro's by up to this on the MLPerf Tiny models.
LITERT_TOLERANCE = 2.0
# Of the largest output: a hundred roundings of a float32.
FLOAT_TOLERANCE = 1e-5
SEED = 2  # the generator's first state, as the published baseline has it


@dataclass(frozen=True)
class StepProfile:
    """One call of a kernel. `latency_ms` in milliseconds, `share` of the model's counts, of 1.

    None is what the board's counter does not tell, as in Profile.
    """

    kernel: str
    macs: int
    cycles: Figure | None
    instructions: Figure | None
    latency_ms: Figure | None
    share: float


@dataclass(frozen=True)
class LayerProfile:
    """One layer: the sum of its `steps`. Figures as in StepProfile."""

    index: int
    name: str
    op: str
    kernels: tuple[str, ...]
    macs: int
    cycles: Figure | None
    instructions: Figure | None
    latency_ms: Figure | None
    share: float
    steps: tuple[StepProfile, ...] = ()


@dataclass(frozen=True)
class Memory:
    """Bytes. None where only a build knows and this tool did not make it.

    `arena_used` is what an interpreter says that it uses of its arena, `arena_stated` what was
    stated of that at export; None for compiled code, whose arena is all used.
    """

    arena: int
    stack: int | None  # high water mark, measured on the board; None where it is not watched
    weights: int
    static_ram: int | None = None
    code: int | None = None
    arena_used: int | None = None
    arena_stated: int | None = None


@dataclass(frozen=True)
class Verdict:
    """How the board's outputs compare. `max_abs_diff` in units of the output (LSB for int8).

    `tolerance` is how far the reference itself may be from TFLite Micro's arithmetic. `relative`:
    both are fractions of the largest output, which a model that computes in floating point has.
    """

    reference: str
    bit_exact: bool
    max_abs_diff: float
    inputs: int
    tolerance: float = 0.0
    relative: bool = False

    @property
    def good(self) -> bool:
        return self.max_abs_diff <= self.tolerance

    def __str__(self) -> str:
        many = "1 input" if self.inputs == 1 else f"{self.inputs} inputs"
        if self.bit_exact:
            return f"bit-exact to {self.reference} on {many}"
        if self.relative:
            return f"within {self.max_abs_diff:.1e} of the largest of {self.reference} on {many}"
        return f"within {self.max_abs_diff:g} LSB of {self.reference} on {many}"


def tolerance(reference: Reference, relative: bool = False) -> float:
    """LSB that a right result may be off from `reference`; `relative`: the fraction."""
    if relative:
        return FLOAT_TOLERANCE
    return 0.0 if reference.bit_exact else LITERT_TOLERANCE


@dataclass(frozen=True)
class Profile:
    """One profile of one model on one board.

    `counter` is what the board counted, `clock_hz` the counts in a second. Counted microseconds
    give a latency and no cycles; an emulator's counted instructions give neither.
    """

    board: str
    virtual: bool
    model: str
    model_sha256: str
    build_id: str
    toolchain: str | None
    clock_hz: int
    counter: Counted
    warmup: int
    runs: int
    layers: tuple[LayerProfile, ...]
    macs: int
    cycles: Figure | None
    instructions: Figure | None
    latency_ms: Figure | None
    energy_mj: Figure | None
    memory: Memory
    verdict: Verdict | None
    not_compared: str = ""  # why there is no verdict
    runtime: str = "aot"


@dataclass(frozen=True)
class _Runs:
    counts: list[tuple[int, ...]]  # of the board's counter, by run, then by step
    instructions: list[tuple[int, ...]]  # of a virtual board


@dataclass(frozen=True)
class Reading:
    """What one count of a board's counter amounts to."""

    cycles: Figure | None
    instructions: Figure | None
    latency_ms: Figure | None


def read_counter(counts: Figure, counter: Counted, clock_hz: int) -> Reading:
    """A count as the figures it stands for, and no others; of instructions it is exact."""
    latency = counts.scaled(1e3 / clock_hz) if counter.tells_time else None
    return Reading(
        cycles=counts if counter is Counted.CYCLES else None,
        instructions=counts.scaled(1, Kind.EXACT) if counter is Counted.INSTRUCTIONS else None,
        latency_ms=latency,
    )


def profile_board(
    session: Session,
    board: Board,
    model: ModelInfo,
    *,
    virtual: bool,
    counter: Counter | None,
    runs: int | None = None,
    warmup: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Profile:
    """Profiles `model`: `warmup` runs, then `runs` measured ones, on generated inputs.

    `counter` is that of a virtual board that does not count by itself. Defaults: 5 and 100 on a
    real board, 1 and 1 on a virtual one. Raises SessionError and its kin.
    """
    runs = runs or (VIRTUAL_RUNS if virtual else REAL_RUNS)
    if warmup is None:
        warmup = VIRTUAL_WARMUP if virtual else REAL_WARMUP
    description = session.describe(model)
    seed: int | None = SEED
    for done in range(warmup):
        seed = session.invoke(model, seed).seed
        if progress:
            progress(done + 1, warmup + runs)
    taken = _Runs([], [])
    with counter.counting() if counter else nullcontext():
        for done in range(runs):
            seed = session.profile(model, seed).seed
            taken.counts.append(session.step_cycles(model))
            if counter:
                taken.instructions.append(counter.take(model.step_count))
            if progress:
                progress(warmup + done + 1, warmup + runs)
    stats = session.stats(model)
    info = session.info
    kind = Kind.MODELLED if virtual else Kind.MEASURED
    total = median([sum(run) for run in taken.counts], kind)
    counted = [sum(run) for run in taken.instructions]
    read = read_counter(total, info.counter, info.clock_hz)
    return Profile(
        board=board.name,
        virtual=virtual,
        model=model.name,
        model_sha256=model.sha256.hex(),
        build_id=info.build_id.hex(),
        toolchain=None,
        clock_hz=info.clock_hz,
        counter=info.counter,
        warmup=warmup,
        runs=runs,
        layers=_layers(description, taken, kind, info, total.value),
        macs=sum(layer.macs for layer in description.layers),
        cycles=read.cycles,
        instructions=median(counted, Kind.EXACT) if counted else read.instructions,
        latency_ms=read.latency_ms,
        energy_mj=energy(board, read.latency_ms),
        memory=_memory(model, description, stats),
        verdict=None,
        runtime=description.runtime,
    )


def _memory(model: ModelInfo, description: Description, stats: Stats) -> Memory:
    """What the board itself tells."""
    memory = Memory(sum(model.arena), stats.stack_used, description.weights)
    if description.runtime == "aot":
        return memory
    used = sum(stats.arena_used or ())
    return replace(memory, arena_used=used, arena_stated=description.arena_stated)


def _layers(
    description: Description, taken: _Runs, kind: Kind, info: BoardInfo, total: float
) -> tuple[LayerProfile, ...]:
    """Steps summed by layer, run by run; layers without a step (RESHAPE) cost nothing."""

    def cost(kernel: str, macs: int, steps: list[int]) -> StepProfile:
        counts = median([sum(run[i] for i in steps) for run in taken.counts], kind)
        read = read_counter(counts, info.counter, info.clock_hz)
        counted = [sum(run[i] for i in steps) for run in taken.instructions]
        return StepProfile(
            kernel=kernel,
            macs=macs,
            cycles=read.cycles,
            instructions=median(counted, Kind.EXACT) if counted else read.instructions,
            latency_ms=read.latency_ms,
            share=counts.value / total if total else 0.0,
        )

    profiles = []
    for index, layer in enumerate(description.layers):
        numbers = [i for i, step in enumerate(description.steps) if step.layer == index]
        steps = [(i, description.steps[i]) for i in numbers]
        whole = cost("", layer.macs, numbers)
        profiles.append(
            LayerProfile(
                index=index,
                name=layer.name,
                op=layer.op,
                kernels=tuple(dict.fromkeys(step.kernel for _, step in steps)),
                macs=layer.macs,
                cycles=whole.cycles,
                instructions=whole.instructions,
                latency_ms=whole.latency_ms,
                share=whole.share,
                steps=tuple(cost(step.kernel, step.macs, [i]) for i, step in steps),
            )
        )
    return tuple(profiles)


def energy(board: Board, latency_ms: Figure | None) -> Figure | None:
    """Millijoules an inference: the board file's supply power over the latency.

    None where the file has no sourced figure, or nothing tells the time. A data sheet's current is
    a typical one, so the result is of that kind however the time was found.
    """
    if not board.power or latency_ms is None:
        return None
    return latency_ms.scaled(board.power[0].milliwatts * 1e-3, Kind.DATASHEET)
