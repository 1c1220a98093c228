"""A model into a board's budget: the levels, one after the other.

0  nothing but the format       1  what is lossless
2  and quantization to int8     3  and pruning, mixed precision, kernels: a search
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge_autoglm.errors import UsageError
from edge_autoglm.measure.own_board import why_not_built
from edge_boards import Board
from edge_quantize.check import check_supported
from edge_quantize.data import Samples
from edge_quantize.graph import DType, Graph
from edge_quantize.graph.analysis import analyse
from edge_quantize.graph.writer import write_tflite
from edge_quantize.layer_quality import layer_sqnr

from .budget import Budget, Excess, worst
from .entry import Entry
from .finalists import export_to, measure
from .folder import ResultFolder
from .judge import Judge, check_drop, loss_notes
from .limits import BudgetError, check_possible
from .pareto import as_good_as_least, front, ranked, standing
from .search import Search
from .space import Choice
from .study import Identity, open_study, require_optuna
from .target import Costs, Target
from .workshop import Workshop

LEVELS = (0, 1, 2, 3)
TRIALS = 40
HELD_BACK = 0.3
MOST_CALIBRATION, LEAST_CALIBRATION, MOST_HELD_BACK = 200, 40, 500
CALIBRATION_MACS = 1_000_000_000
"""Samples to fit to are as many as take so many MACs in all, within the limits above: a candidate
is fitted to each of them several times."""
FEWEST_FINALISTS, MOST_FINALISTS, MOST_OF_FRONT = 3, 8, 12

Say = Callable[[str], None]


@dataclass(frozen=True)
class Asked:
    """What a search is asked for. `trials` counts evaluated points of the whole study; `held_back`
    is the share of the samples that judges candidates."""

    level: int = 3
    budget: Budget = field(default_factory=Budget)
    fuse_ops: bool = True
    trials: int = TRIALS
    storage: str | None = None
    seed: int = 0
    held_back: float = HELD_BACK

    def check(self) -> None:
        """Raises UsageError for what is out of range."""
        if self.level not in LEVELS:
            raise UsageError(f"--level: no level {self.level}; 0 to 3")
        if self.trials < 1:
            raise UsageError(f"--trials: {self.trials} is none; at least 1")
        if self.seed < 0:
            raise UsageError(f"--seed: {self.seed} is below 0; a whole number from 0 on")
        if not 0 < self.held_back < 1:
            raise UsageError(f"--held-back: {self.held_back:g} is not between 0 and 1")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came out. `points` are the front and the finalists, the one chosen among them."""

    board: Board
    asked: Asked
    original: Graph
    before: Costs | None  # of the original, where it runs on the board as it is
    chosen: Entry
    points: tuple[Entry, ...]
    evaluated: int
    refused: int  # by the memory plan, or not to be had
    wrong: int  # that came out unsound
    notes: tuple[str, ...]


def optimize_graph(
    graph: Graph,
    board: Board,
    asked: Asked,
    data: Callable[[Graph], Samples] | None,
    folder: Path,
    say: Say = lambda _: None,
) -> Outcome:
    """Optimizes `graph` and leaves everything in `folder`; `data` loads the samples, once the
    memory plan says that it is worth it.

    Raises UsageError for what does not go together, BudgetError where nothing fits, StudyError for
    a study of something else, OutputError for a folder of something else, and what quantization,
    pruning and building raise.
    """
    asked.check()
    result = ResultFolder(folder)
    result.check(model_digest(graph), board.name, asked.level)
    target = Target.of(board, asked.budget, asked.fuse_ops)
    integer = computes_in_integers(graph)
    if asked.level >= 2 and integer:
        raise UsageError(
            f"--level {asked.level}: {graph.name} is quantized already; start from the float "
            "model, or use --level 1"
        )
    if asked.level <= 1:
        if not integer:
            raise UsageError(_float_at(graph, asked.level))
        return _as_it_is(graph, target, asked, result, say)
    if asked.level >= 3:
        require_optuna()
    check_possible(graph, target, asked.budget, asked.level)
    if data is None:
        raise UsageError(
            f"--level {asked.level} quantizes, which needs samples of the model's input: give "
            "--data, or use --level 1 with a model that is quantized already"
        )
    samples = data(graph)
    check_drop(asked.budget, graph, samples)
    calibration, held = split(graph, samples, asked)
    for note in samples.notes:
        say(note)
    say(f"fits to {len(calibration)}, judges by {len(held)}, of {len(samples)} samples")
    run = _Run(graph, target, asked, result, calibration, held, data_digest(samples), say)
    return run.search() if asked.level >= 3 else run.quantize()


def computes_in_integers(graph: Graph) -> bool:
    """Whether activations are quantized already."""
    made = {graph.tensors[i].dtype for o in graph.operators for i in o.outputs}
    return bool(made & {DType.INT8, DType.INT16}) and not any(
        graph.tensors[i].dtype is DType.FLOAT32
        for o in graph.operators
        for i in o.outputs
        if o.op not in ("DEQUANTIZE", "QUANTIZE")
    )


def _float_at(graph: Graph, level: int) -> str:
    problems = check_supported(graph)
    first = f" ({problems[0]})" if problems else ""
    return (
        f"--level {level} leaves {graph.name} in floating point, which no board's kernels take"
        f"{first}; use --level 2 with --data, or `edge-autoglm convert` for the file alone"
    )


def split(graph: Graph, samples: Samples, asked: Asked) -> tuple[Samples, Samples]:
    """(to calibrate and prune by, to judge by), disjoint, evenly thinned to what is useful."""
    fitted, held = samples.split(asked.held_back, asked.seed)
    affordable = CALIBRATION_MACS // max(1, analyse(graph).macs)
    most = min(MOST_CALIBRATION, max(LEAST_CALIBRATION, affordable))
    return _thinned(fitted, most), _thinned(held, MOST_HELD_BACK)


def _thinned(samples: Samples, most: int) -> Samples:
    if len(samples) <= most:
        return samples
    return samples.take(np.linspace(0, len(samples) - 1, most).round().astype(np.intp))


def data_digest(samples: Samples) -> str:
    """SHA-256 over all inputs and labels."""
    total = hashlib.sha256()
    for array in (*samples.inputs, *(() if samples.labels is None else (samples.labels,))):
        total.update(f"{array.dtype}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def model_digest(graph: Graph) -> str:
    """The file's SHA-256, or that of the file the graph would be."""
    return graph.sha256 or hashlib.sha256(write_tflite(graph)).hexdigest()


def _as_it_is(
    graph: Graph, target: Target, asked: Asked, result: ResultFolder, say: Say
) -> Outcome:
    """Levels 0 and 1, on a quantized model: no data is needed."""
    notes: tuple[str, ...] = ()
    made = graph
    if asked.level == 1:
        say("removing what does nothing")
        passed = target.lossless(graph)
        made, notes = passed.graph, passed.lines()
    entry = Entry("model", made, None, target.costs(made), None)
    return _finish(graph, target, asked, result, entry, notes, say)


def _finish(
    original: Graph,
    target: Target,
    asked: Asked,
    result: ResultFolder,
    entry: Entry,
    notes: tuple[str, ...],
    say: Say,
) -> Outcome:
    """One model: measured, checked against the budget, written."""
    _refuse(original, entry.broken(asked.budget))
    with result.writing() as writing:
        entry, more = build_and_measure(writing.scratch, entry, target, say)
        _refuse(original, entry.broken(asked.budget))
        before = target.costs(original) if computes_in_integers(original) else None
        outcome = Outcome(
            target.board, asked, original, before, entry, (entry,), 1, 0, 0, (*notes, *more)
        )
        writing.finish(outcome)
    return outcome


def _refuse(graph: Graph, broken: tuple[Excess, ...]) -> None:
    if broken:
        first = worst(broken)
        others = "; ".join(str(each) for each in broken if each is not first)
        raise BudgetError(f"{graph.name}: does not fit: {first}{'; ' + others if others else ''}")


def build_and_measure(
    scratch: Path, entry: Entry, target: Target, say: Say
) -> tuple[Entry, tuple[str, ...]]:
    """The entry with what was measured, and remarks; without a compiler or an emulator as it is."""
    why = why_not_built(target.board)
    if why:
        return entry, (f"no image was built, sizes and times are modelled: {why}",)
    say(f"building and measuring {entry.name}")
    folder = scratch / f"measure-{entry.name}"
    written = entry.write(folder)
    exported = export_to(folder / "c", written.graph, target.board, entry.kernels, target.fuse_ops)
    found = measure(exported, target.board, written.file(folder))
    notes: tuple[str, ...] = ()
    if target.board.virtual is None:
        notes = (
            f"{target.board.title} has no virtual counterpart: its stack and time are not measured",
        )
    elif found.matches is False:
        notes = (f"{entry.name}: the virtual board's outputs are not the host reference's",)
    return replace(written, measured=found), notes


@dataclass
class _Run:
    """Levels 2 and 3."""

    graph: Graph
    target: Target
    asked: Asked
    result: ResultFolder
    calibration: Samples
    held: Samples
    data: str
    say: Say

    def quantize(self) -> Outcome:
        workshop, judge = self.workshop(), self.judge()
        choice = Choice()
        model = workshop.model(choice)
        self.say("judging")
        entry = Entry("model", model, choice, self.target.costs(model), judge.worth(model))
        entry = self.with_layers(entry)
        notes = loss_notes(entry.worth, self.asked.level)
        try:
            return _finish(self.graph, self.target, self.asked, self.result, entry, notes, self.say)
        except BudgetError as error:
            raise BudgetError(f"{error}; --level 3 prunes, too") from error

    def search(self) -> Outcome:
        identity = self.identity()
        with self.result.keeping() as folder:
            study = open_study(folder, self.asked.storage, identity)
            workshop = self.workshop()
            search = Search(
                study, workshop, self.judge, self.asked.budget, self.asked.trials,
                self.asked.seed, self.say,
            )  # fmt: skip
            points = search.run()
            with self.result.writing() as writing:
                chosen, others, notes = self.finalists(search, points, writing.scratch)
                chosen = self.with_layers(chosen)
                outcome = Outcome(
                    self.target.board,
                    self.asked,
                    self.graph,
                    None,
                    chosen,
                    others,
                    len(points),
                    search.refused,
                    search.wrong,
                    notes,
                )
                writing.finish(outcome)
        return outcome

    def finalists(self, search: Search, points: Any, scratch: Path) -> Any:
        """(the one chosen, the front and the finalists, remarks). Raises BudgetError."""
        order = ranked(points, self.asked.budget)
        if not order:
            raise BudgetError(search.nothing_fits(points))
        measured: list[Entry] = []
        notes: list[str] = []
        for number, point in enumerate(order[:MOST_FINALISTS]):
            if number >= FEWEST_FINALISTS and any(
                not e.broken(self.asked.budget) for e in measured
            ):
                break
            entry, more = build_and_measure(scratch, search.entry(point), self.target, self.say)
            notes += [note for note in more if note not in notes]
            measured.append(entry)
            broken = entry.broken(self.asked.budget)
            if broken:
                notes.append(f"{entry.name} was modelled to fit and does not: {broken[0]}")
            if entry.measured is None:
                break
        fitting = [e for e in measured if not e.broken(self.asked.budget)]
        if not fitting:
            first = measured[0].broken(self.asked.budget)
            raise BudgetError(
                f"{self.graph.name}: of {len(order)} points that were modelled to fit, the best "
                f"{len(measured)} were built, and none fits: {first[0]}; leave a little more room"
            )
        equal = as_good_as_least([e.worth for e in fitting if e.worth is not None])
        chosen = min(fitting, key=lambda e: (self.order(e, equal), measured.index(e)))
        there = {entry.name: entry for entry in measured}
        for point in front(points)[:MOST_OF_FRONT]:
            entry = search.entry(point)
            if entry.name not in there:
                there[entry.name], _ = build_and_measure(scratch, entry, self.target, self.say)
        others = tuple(sorted(there.values(), key=lambda e: self.order(e, equal)))
        return chosen, others, (*notes, *loss_notes(chosen.worth, self.asked.level))

    def order(self, entry: Entry, equal: float) -> tuple[float, ...]:
        """As `pareto.ranked`, with what was measured."""
        figures = entry.figures()
        assert entry.worth is not None
        time = figures["latency_ms" if "latency_ms" in figures else "macs"].value
        return standing(entry.worth, time, figures["flash"].value, self.asked.budget, equal)

    def with_layers(self, entry: Entry) -> Entry:
        """With each layer's SQNR on the data held back."""
        self.say("comparing layers")
        return replace(entry, layers=layer_sqnr(self.graph, entry.graph, self.held))

    def workshop(self) -> Workshop:
        self.say("removing what does nothing")
        floating = self.target.lossless(self.graph).graph
        return Workshop(floating, self.calibration, self.target, self.say)

    def judge(self) -> Judge:
        self.say("running the float model")
        return Judge(self.graph, self.held)

    def identity(self) -> Identity:
        return Identity(
            model=model_digest(self.graph),
            board=self.target.board.name,
            budget=self.asked.budget.json(),
            data=self.data,
            level=self.asked.level,
            seed=self.asked.seed,
        )
