"""One model on several backends: what loading, the first and every later inference cost, in turns.

Host runtimes are measured in rounds, each of them in each round, so that what else the machine does
falls on all alike. A board is taken after them, alone: its own counter tells its time.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

import numpy as np

from edge_autoglm.measure.figures import Figure, Kind

from .base import Backend, BackendError, Inference, Loaded, reason
from .choose import doubt
from .judge import Difference, Judges, Outputs, apart_by, difference
from .model import RunModel
from .real_board import RealBoard
from .virtual_board import VirtualBoard

ROUNDS, WARMUP = 5, 3
# A virtual board repeats itself exactly; its first inference is shown apart.
VIRTUAL_RUNS, BOARD_INPUTS = 1, 2
_FEWEST_FOR_P95 = 20

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Row:
    """One backend. `missing` says why it did not run ("" where it did), `mend` what brings it.

    Times in seconds of one inference: `first` after loading, then `median` and `p95` of `runs`
    (None of fewer than 20). `memory` in bytes: of this machine the peak of its process, of a board
    its RAM. `difference` is from `against`, None for the reference itself, and where there is no
    reference: then `doubt` says why.
    """

    name: str
    title: str
    missing: str = ""
    mend: str = ""
    load: Figure | None = None
    first: Figure | None = None
    median: Figure | None = None
    p95: Figure | None = None
    memory: Figure | None = None
    runs: int = 0
    difference: Difference | None = None
    against: str = ""
    doubt: str = ""
    facts: tuple[str, ...] = ()

    @property
    def ran(self) -> bool:
        return not self.missing


@dataclass(frozen=True)
class Bench:
    """`source` says what was fed. `between`: how far LiteRT's CPU and the reference for boards are
    apart on the same inputs, None where only one of them judged."""

    model: str
    sha256: str
    source: str
    inputs: int
    rows: tuple[Row, ...]
    between: tuple[str, str, Difference] | None = None

    @property
    def good(self) -> bool:
        """Something ran, and nothing that ran was wrong."""
        return any(row.ran for row in self.rows) and not any(row.doubt for row in self.rows)


@dataclass
class _Running:
    """A host runtime between loading and closing."""

    backend: Backend
    loaded: Loaded
    row: Row
    seconds: list[float] = field(default_factory=list)


def bench(
    model: RunModel,
    backends: Sequence[Backend],
    inputs: Sequence[Outputs],
    source: str,
    runs: int = 50,
    progress: Progress | None = None,
) -> Bench:
    """Measures `model` on `backends`, whose rows come in the same order. A backend that cannot run
    it has a row with the reason."""
    judges = Judges(model, inputs)
    boards = [b for b in backends if isinstance(b, VirtualBoard | RealBoard)]
    steps = len(backends) + ROUNDS
    done = 0

    def say(doing: str) -> None:
        nonlocal done
        if progress is not None:
            progress(done, steps, doing)
        done += 1

    rows: dict[str, Row] = {}
    running: list[_Running] = []
    try:
        for backend in backends:
            if backend in boards:
                continue
            say(f"loading {backend.name}")
            begun = _begun(backend, model, inputs, judges)
            if isinstance(begun, Row):
                rows[backend.name] = begun
            else:
                running.append(begun)
        for turn in range(ROUNDS):
            say("measuring in turns")
            repeats = runs // ROUNDS + (turn < runs % ROUNDS)
            if repeats:
                _round(running, inputs[0], repeats)
        for each in running:
            rows[each.backend.name] = _finished(each)
    finally:
        for each in running:
            with suppress(BackendError):
                each.loaded.close()
    for backend in boards:
        say(f"running on {backend.name}")
        rows[backend.name] = _on_board(backend, model, inputs, judges, runs)
    ordered = tuple(rows[backend.name] for backend in backends)
    return Bench(model.name, model.sha256, source, len(inputs), ordered, _between(judges))


def _begun(
    backend: Backend, model: RunModel, inputs: Sequence[Outputs], judges: Judges
) -> Row | _Running:
    """Loaded, run once, and compared; or why not."""
    row = Row(backend.name, backend.title)
    why = backend.refuses(model)  # first: what is not here would not help either
    if why:
        return replace(row, missing=why)
    here = backend.available()
    if not here.ok:
        return replace(row, missing=here.why, mend=here.mend)
    try:
        loaded = backend.load(model)
    except BackendError as error:
        return replace(row, missing=_without(backend, error))
    try:
        first = loaded.infer(inputs[0])
        outputs = [first.outputs, *(loaded.infer(each).outputs for each in inputs[1:])]
        row = replace(row, load=loaded.load, facts=loaded.facts)
        row = _judged(row, backend, loaded, model, inputs, outputs, judges)
        return _Running(backend, loaded, replace(row, first=_first(first, loaded)))
    except BackendError as error:
        loaded.close()
        return replace(row, missing=_without(backend, error))
    except BaseException:
        loaded.close()
        raise


def _judged(
    row: Row,
    backend: Backend,
    loaded: Loaded,
    model: RunModel,
    inputs: Sequence[Outputs],
    outputs: Sequence[Outputs],
    judges: Judges,
) -> Row:
    try:
        expected = judges.of(backend.judge)
    except BackendError as error:
        return replace(row, doubt=f"not compared: {reason(error)}")
    apart = apart_by(expected, backend, model, inputs, outputs)
    rounded = (f"{apart} through rounding alone: every operator is right by itself",)
    return replace(
        row,
        facts=row.facts + rounded if apart.rounding else row.facts,
        difference=None if backend.last_resort and expected.as_file else apart,
        against=expected.name,
        doubt=doubt(backend, loaded, apart, expected),
    )


def _first(inference: Inference, loaded: Loaded) -> Figure | None:
    return Figure(inference.seconds[0], loaded.kind) if inference.seconds else None


def _round(running: Sequence[_Running], inputs: Outputs, repeats: int) -> None:
    for each in running:
        if each.row.missing:
            continue
        try:
            if not each.seconds:
                each.loaded.infer(inputs, WARMUP)
            taken = each.loaded.infer(inputs, repeats).seconds
        except BackendError as error:
            each.row = Row(
                each.backend.name, each.backend.title, missing=_without(each.backend, error)
            )
            continue
        each.seconds += taken or ()


def _finished(each: _Running) -> Row:
    if each.row.missing:
        return each.row
    return replace(_timed(each.row, each.seconds, each.loaded.kind), memory=each.loaded.memory())


def _timed(row: Row, seconds: Sequence[float], kind: Kind) -> Row:
    if not seconds:
        return row
    middle = Figure(statistics.median(seconds), kind, min(seconds), max(seconds))
    late = (
        Figure(float(np.percentile(seconds, 95)), kind) if len(seconds) >= _FEWEST_FOR_P95 else None
    )
    return replace(row, median=middle, p95=late, runs=len(seconds))


def _on_board(
    backend: Backend, model: RunModel, inputs: Sequence[Outputs], judges: Judges, runs: int
) -> Row:
    begun = _begun(backend, model, inputs[:BOARD_INPUTS], judges)
    if isinstance(begun, Row):
        return begun
    with begun.loaded as loaded:
        try:
            more = VIRTUAL_RUNS if loaded.kind is Kind.MODELLED else runs
            seconds = loaded.infer(inputs[0], more).seconds or ()
            return replace(_timed(begun.row, seconds, loaded.kind), memory=loaded.memory())
        except BackendError as error:
            return Row(backend.name, backend.title, missing=_without(backend, error))


def _between(judges: Judges) -> tuple[str, str, Difference] | None:
    if len(judges.said) < 2:
        return None
    one, other = list(judges.said.values())[:2]
    return one.name, other.name, difference(one.outputs, other.outputs)


def _without(backend: Backend, error: BackendError) -> str:
    return reason(error).removeprefix(f"{backend.name}: ")
